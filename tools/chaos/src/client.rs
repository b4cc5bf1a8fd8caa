//! One client of a run: sends, revokes, connects and disconnects, logs in and out, makes friends, joins and leaves groups.

mod calls;
mod listener;
mod sessions;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use serde_json::Value;
use testkit::client::{
    account::Account,
    http::{Connection, Origin},
};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::listener::Listener;
pub(super) use self::listener::MESSAGE_TAG;
use super::{
    history::{History, Outcome, Record, Time, To},
    rng::Rng,
};

/// After something failed, so that what is away is not asked all the time.
const PAUSE: Duration = Duration::from_millis(100);

/// What all clients share.
pub(super) struct SharedState {
    pub(super) history: History,
    pub(super) origins: Vec<Arc<Origin>>,
    /// The ids that the server knows.
    pub(super) ids: Vec<i64>,
    pub(super) groups: Vec<i64>,
    pub(super) tasks: TaskTracker,
    /// Do clients reach the gateways without a faulty proxy, which acknowledges what these do not?
    pub(super) is_direct: bool,
    /// So long one client waits from one call to the next.
    pub(super) pace: Duration,
    pub(super) counts: Counts,
}

/// What has happened so far, for those who watch.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) acknowledged: std::sync::atomic::AtomicU64,
    pub(super) arrived: std::sync::atomic::AtomicU64,
}

/// A message that can still be taken back.
struct SentMessage {
    n: u64,
    to: To,
    at: Time,
    /// As the server answered it.
    object: Value,
}

/// A client with an account of its own.
pub(super) struct Client {
    pub(super) number: u32,
    pub(super) account: Account,
    pub(super) rng: Rng,
    /// To each gateway.
    http: Vec<Connection>,
    /// The newest is the last.
    sockets: Vec<Listener>,
    sent: VecDeque<SentMessage>,
    /// Who is a friend already, or was asked.
    met: Vec<u32>,
    /// Those it was in from the beginning, and whether it is now.
    pub(super) groups: Vec<(u32, bool)>,
}

impl Client {
    pub(super) fn new(number: u32, account: Account, rng: Rng, http: Vec<Connection>) -> Self {
        let (sockets, sent) = (Vec::new(), VecDeque::new());
        Self { number, account, rng, http, sockets, sent, met: Vec::new(), groups: Vec::new() }
    }

    /// Acts until it is stopped.
    pub(super) async fn run(mut self, shared: Arc<SharedState>, stop: CancellationToken) -> Self {
        let mut next = Instant::now() + self.rng.millis(0, 1000);
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep_until(next) => {}
            }
            // What could not be sent in time is not made up for.
            next = (next + shared.pace).max(Instant::now());
            if self.step(&shared, &stop).await == Outcome::Unknown {
                sleep(PAUSE).await;
            }
        }
        self
    }

    async fn step(&mut self, shared: &Arc<SharedState>, stop: &CancellationToken) -> Outcome {
        if self.lost_socket() {
            return self.connect(shared).await;
        }
        match self.rng.below(1000) {
            0..10 => self.revoke_recent(shared).await,
            10..15 => self.reconnect(shared).await,
            15..17 => self.drain_again(shared).await,
            17..18 => self.join_or_leave(shared, stop).await,
            18..20 => self.add_friend(shared, stop).await,
            20..22 => self.change_session(shared).await,
            22..140 => self.send_to_group(shared).await,
            _ => self.send_to_user(shared).await,
        }
    }

    async fn send_to_user(&mut self, shared: &SharedState) -> Outcome {
        let to = self.rng.below(shared.ids.len());
        let to = if to == self.number as usize { (to + 1) % shared.ids.len() } else { to };
        self.send_message(shared, To::User(u32::try_from(to).unwrap_or_default())).await
    }

    /// Sometimes also to one that it has left, which is refused.
    async fn send_to_group(&mut self, shared: &SharedState) -> Outcome {
        match self.rng.choose(&self.groups).copied() {
            Some((group, is_in)) if is_in || self.rng.chance(50) => {
                self.send_message(shared, To::Group(group)).await
            }
            _ => self.send_to_user(shared).await,
        }
    }

    async fn send_message(&mut self, shared: &SharedState, to: To) -> Outcome {
        let (n, begin) = (shared.history.call(), shared.history.now());
        let (outcome, object) = self.send(shared, to, n).await;
        let (by, end) = (self.number, shared.history.now());
        let id = object.as_ref().and_then(|object| Some(object["id"].as_str()?.to_owned()));
        shared.history.record(&Record::Send { by, to, n, begin, end, outcome, id });
        if outcome == Outcome::Done {
            shared.counts.acknowledged.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        if let Some(object) = object.filter(|_| self.rng.chance(60)) {
            self.sent.push_back(SentMessage { n, to, at: end, object });
            if self.sent.len() > 8 {
                self.sent.pop_front();
            }
        }
        outcome
    }

    /// Takes back something that it sent in the last minute.
    async fn revoke_recent(&mut self, shared: &SharedState) -> Outcome {
        let now = shared.history.now();
        self.sent.retain(|sent| {
            let is_in = |group| self.groups.iter().any(|(known, is_in)| *known == group && *is_in);
            let may = match sent.to {
                To::User(_) => true,
                To::Group(group) => is_in(group),
            };
            may && now - sent.at < 60_000_000
        });
        let Some(sent) = self.sent.pop_front() else {
            return self.send_to_user(shared).await;
        };
        let (n, begin) = (shared.history.call(), shared.history.now());
        let outcome = self.revoke(shared, &sent).await;
        let (by, of, end) = (self.number, sent.n, shared.history.now());
        let id = sent.object["id"].as_str().unwrap_or_default().to_owned();
        shared.history.record(&Record::Revoke { by, of, id, n, begin, end, outcome });
        if outcome == Outcome::Unknown {
            self.sent.push_front(sent); // again: recipients are told once, however often it is asked for
        }
        outcome
    }

    /// Goes online, offline, or to a newer socket while the older one stays open (ws.md §5).
    async fn reconnect(&mut self, shared: &Arc<SharedState>) -> Outcome {
        match self.sockets.last() {
            None => self.connect(shared).await,
            Some(_) if self.rng.chance(500) => {
                let outcome = self.connect(shared).await;
                if self.sockets.len() > 2 || self.rng.chance(500) {
                    self.close_all_but(1).await;
                }
                outcome
            }
            Some(_) if shared.is_direct && self.rng.chance(300) => {
                self.vanish().await;
                Outcome::Done
            }
            Some(_) => {
                self.close_all_but(0).await;
                Outcome::Done
            }
        }
    }

    /// Has it just lost the socket that counts? Those before it do not count either.
    fn lost_socket(&mut self) -> bool {
        let lost = self.sockets.last().is_some_and(Listener::is_over);
        self.sockets.retain(|listener| !lost && !listener.is_over());
        lost
    }

    /// Ends the older sockets, in order.
    pub(super) async fn close_all_but(&mut self, newest: usize) {
        let older = self.sockets.len().saturating_sub(newest);
        for listener in self.sockets.drain(..older) {
            listener.close().await;
        }
    }

    /// The host vanishes, with all sockets that are open there.
    async fn vanish(&mut self) {
        for listener in self.sockets.drain(..) {
            listener.vanish().await;
        }
    }

    /// Opens a socket and, nearly always, asks for what waits.
    pub(super) async fn connect(&mut self, shared: &Arc<SharedState>) -> Outcome {
        let gateway = self.rng.below(shared.origins.len());
        let Some(listener) = self.open(shared, gateway).await else {
            // It may have taken over nevertheless.
            self.close_all_but(0).await;
            return Outcome::Unknown;
        };
        self.sockets.push(listener);
        if self.rng.chance(100) { Outcome::Done } else { self.drain(shared).await }
    }

    /// Asks while it is online for what waits, as a client may at any time.
    async fn drain_again(&mut self, shared: &Arc<SharedState>) -> Outcome {
        if self.sockets.is_empty() { self.connect(shared).await } else { self.drain(shared).await }
    }

    /// Has a socket that was asked to bring what waits.
    pub(super) async fn ensure_online(&mut self, shared: &Arc<SharedState>) {
        while self.lost_socket() || !self.sockets.last().is_some_and(|newest| newest.drained) {
            let outcome = match self.sockets.last() {
                None => self.connect(shared).await,
                Some(_) => self.drain(shared).await,
            };
            if outcome != Outcome::Done {
                sleep(PAUSE).await;
            }
        }
    }

    async fn add_friend(&mut self, shared: &SharedState, stop: &CancellationToken) -> Outcome {
        // The one with the lower number asks, so that each two become friends once.
        let others: Vec<u32> = (self.number + 1
            ..u32::try_from(shared.ids.len()).unwrap_or_default())
            .filter(|other| !self.met.contains(other))
            .collect();
        match self.rng.choose(&others) {
            Some(other) => self.befriend(shared, *other, stop).await,
            None => self.send_to_user(shared).await,
        }
    }

    async fn join_or_leave(&mut self, shared: &SharedState, stop: &CancellationToken) -> Outcome {
        if self.groups.is_empty() {
            return self.send_to_user(shared).await;
        }
        let which = self.rng.below(self.groups.len());
        let (group, is_in) = self.groups[which];
        // Each group is made by the client with its number, and an owner who leaves ends the group.
        if is_in && group == self.number {
            return self.send_to_group(shared).await;
        }
        let outcome = self.change_membership(shared, group, !is_in, stop).await;
        if outcome == Outcome::Done {
            self.groups[which].1 = !is_in;
        }
        outcome
    }
}
