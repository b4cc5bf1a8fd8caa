//! Readers that come and go while others write: nothing lost, nothing twice (`ws.md` §5, §7; DEV-3, DEV-20).

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::traffic::{Numbered, in_order, nothing_twice, numbered};
use crate::support::{App, Arrival, Socket, User};

/// A connection that reads in the background until it is told to close, and then to the end.
struct Connection {
    close: oneshot::Sender<()>,
    task: JoinHandle<Vec<Numbered>>,
}

impl Connection {
    async fn open(user: &User) -> Self {
        let (user, socket) = (user.clone(), user.connect_raw().await);
        let (close, told) = oneshot::channel();
        Self { close, task: tokio::spawn(read(user, socket, told)) }
    }

    async fn close(self) -> Vec<Numbered> {
        self.close.send(()).expect("it is still open");
        let seen = self.task.await.expect("it reads to the end");
        nothing_twice(&seen);
        in_order(&seen);
        seen
    }
}

async fn read(user: User, mut socket: Socket, mut told: oneshot::Receiver<()>) -> Vec<Numbered> {
    let mut seen = Vec::new();
    let (mut greeted, mut closing) = (false, false);
    loop {
        tokio::select! {
            _ = &mut told, if !closing => {
                closing = true;
                socket.begin_close().await;
            }
            next = socket.next_unhurried() => match next {
                Arrival::Frame(frame) => {
                    greeted = true;
                    seen.extend(numbered(&frame["data"]));
                }
                // A gateway that is not live drops it, and a client comes back.
                Arrival::Dropped if !greeted && !closing => socket = user.connect_raw().await,
                end => {
                    assert!(closing, "the server must not end it: {end:?}");
                    return seen;
                }
            },
        }
    }
}

/// One socket after another, then each taking over from the one before, at two gateways.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn comings_and_goings_lose_nothing_and_double_nothing() {
    let app = App::with_gateways(2).await;
    let [ann, bob, cat] = app.users(["ann", "bob", "cat"]).await;
    cat.let_strangers_send(2).await;
    let places = [cat.clone(), cat.via(app.gateways[1].origin())];
    let stop = AtomicBool::new(false);
    let reading = async {
        let mut seen = one_after_another(&places).await;
        seen.extend(taking_over(&places).await);
        stop.store(true, Ordering::Relaxed);
        seen
    };
    let elsewhere = bob.via(app.gateways[1].origin());
    let (seen, by_ann, by_bob) =
        tokio::join!(reading, write(&ann, &cat, &stop), write(&elsewhere, &cat, &stop));
    nothing_twice(&seen);
    let count = |from: u64, count: u64| (0..count).map(move |number| (from, number));
    let mut missing: BTreeSet<Numbered> =
        count(ann.id, by_ann).chain(count(bob.id, by_bob)).collect();
    for message in seen {
        assert!(missing.remove(&message), "{message:?} was never sent");
    }
    exactly_these_wait(&cat, missing).await;
    app.verify().await;
}

async fn write(from: &User, to: &User, stop: &AtomicBool) -> u64 {
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return number;
        }
        from.send(to, &number.to_string()).await.ok();
    }
    unreachable!("there are enough numbers")
}

async fn one_after_another(places: &[User; 2]) -> Vec<Numbered> {
    let mut seen = Vec::new();
    for round in 0..16 {
        let user = &places[round / 2 % 2];
        let connection = Connection::open(user).await;
        if round % 3 != 0 {
            user.drain().await;
        }
        user.profile().await; // some time for messages to come
        seen.extend(connection.close().await);
    }
    seen
}

async fn taking_over(places: &[User; 2]) -> Vec<Numbered> {
    let mut seen = Vec::new();
    let mut older = Connection::open(&places[0]).await;
    for round in 0..16 {
        let user = &places[round / 2 % 2];
        let newer = Connection::open(user).await;
        user.drain().await;
        user.profile().await;
        seen.extend(older.close().await);
        older = newer;
    }
    seen.extend(older.close().await);
    seen
}

/// A last connection brings what no other has brought, and nothing else.
async fn exactly_these_wait(user: &User, mut missing: BTreeSet<Numbered>) {
    let mut socket = user.connect().await;
    user.drain().await;
    while !missing.is_empty() {
        if let Some(message) = numbered(&socket.next_push().await) {
            assert!(missing.remove(&message), "{message:?} came before");
        }
    }
    socket.is_silent().await;
}
