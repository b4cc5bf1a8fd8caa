//! Somebody who lives through a run: writes, takes back, comes and goes, logs in and out, makes friends, joins and leaves.

mod calls;
mod listener;
mod sessions;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::listener::Listener;
pub(super) use self::listener::MARK;
use super::{
    history::{Fate, History, Record, Time, To},
    rng::Dice,
};
use testkit::client::{
    account::Account,
    http::{Connection, Origin},
};

/// After something failed, so that what is away is not asked all the time.
const PAUSE: Duration = Duration::from_millis(100);

/// What all people know.
pub(super) struct World {
    pub(super) history: History,
    pub(super) origins: Vec<Arc<Origin>>,
    /// The ids that the server knows.
    pub(super) ids: Vec<i64>,
    pub(super) groups: Vec<i64>,
    pub(super) tasks: TaskTracker,
    /// Do clients speak to the gateways themselves? Who stands between acknowledges what they do not.
    pub(super) is_direct: bool,
    /// So long one person waits from one call to the next.
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
struct Said {
    n: u64,
    to: To,
    at: Time,
    /// As the server answered it.
    object: Value,
}

/// One of them.
pub(super) struct Person {
    pub(super) number: u32,
    pub(super) account: Account,
    pub(super) dice: Dice,
    /// To each gateway.
    http: Vec<Connection>,
    /// The newest is the last.
    sockets: Vec<Listener>,
    said: VecDeque<Said>,
    /// Who is a friend already, or was asked.
    met: Vec<u32>,
    /// Those he was in from the beginning, and whether he is now.
    pub(super) groups: Vec<(u32, bool)>,
}

impl Person {
    pub(super) fn new(number: u32, account: Account, dice: Dice, http: Vec<Connection>) -> Self {
        let (sockets, said) = (Vec::new(), VecDeque::new());
        Self { number, account, dice, http, sockets, said, met: Vec::new(), groups: Vec::new() }
    }

    /// Lives until told to stop.
    pub(super) async fn live(mut self, world: Arc<World>, stop: CancellationToken) -> Self {
        let mut next = Instant::now() + self.dice.millis(0, 1000);
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep_until(next) => {}
            }
            // Nobody makes up for what he could not say.
            next = (next + world.pace).max(Instant::now());
            if self.act(&world, &stop).await == Fate::Unknown {
                sleep(PAUSE).await;
            }
        }
        self
    }

    async fn act(&mut self, world: &Arc<World>, stop: &CancellationToken) -> Fate {
        if self.lost_socket() {
            return self.connect(world).await;
        }
        match self.dice.roll(1000) {
            0..10 => self.take_back(world).await,
            10..15 => self.come_or_go(world).await,
            15..17 => self.ask_again(world).await,
            17..18 => self.join_or_leave(world, stop).await,
            18..20 => self.make_a_friend(world, stop).await,
            20..22 => self.change_session(world).await,
            22..140 => self.write_to_group(world).await,
            _ => self.write_to_somebody(world).await,
        }
    }

    async fn write_to_somebody(&mut self, world: &World) -> Fate {
        let to = self.dice.roll(world.ids.len());
        let to = if to == self.number as usize { (to + 1) % world.ids.len() } else { to };
        self.write(world, To::User(u32::try_from(to).unwrap_or_default())).await
    }

    /// Sometimes also to one that he has left, which is refused.
    async fn write_to_group(&mut self, world: &World) -> Fate {
        match self.dice.pick(&self.groups).copied() {
            Some((group, is_in)) if is_in || self.dice.chance(50) => {
                self.write(world, To::Group(group)).await
            }
            _ => self.write_to_somebody(world).await,
        }
    }

    async fn write(&mut self, world: &World, to: To) -> Fate {
        let (n, begin) = (world.history.call(), world.history.now());
        let (fate, object) = self.send(world, to, n).await;
        let (by, end) = (self.number, world.history.now());
        world.history.note(&Record::Send { by, to, n, begin, end, fate });
        if fate == Fate::Done {
            world.counts.acknowledged.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        if let Some(object) = object.filter(|_| self.dice.chance(60)) {
            self.said.push_back(Said { n, to, at: end, object });
            if self.said.len() > 8 {
                self.said.pop_front();
            }
        }
        fate
    }

    /// Something that he said in the last minute.
    async fn take_back(&mut self, world: &World) -> Fate {
        let now = world.history.now();
        self.said.retain(|said| {
            let is_in = |group| self.groups.iter().any(|(known, is_in)| *known == group && *is_in);
            let may = match said.to {
                To::User(_) => true,
                To::Group(group) => is_in(group),
            };
            may && now - said.at < 60_000_000
        });
        let Some(said) = self.said.pop_front() else {
            return self.write_to_somebody(world).await;
        };
        let (n, begin) = (world.history.call(), world.history.now());
        let fate = self.revoke(world, &said).await;
        let (by, of, end) = (self.number, said.n, world.history.now());
        let id = said.object["id"].as_str().unwrap_or_default().to_owned();
        world.history.note(&Record::Revoke { by, of, id, n, begin, end, fate });
        if fate == Fate::Unknown {
            self.said.push_front(said); // again: it is told once, however often it is asked for
        }
        fate
    }

    /// Goes online, offline, or to a newer socket while the older one stays open (ws.md §5).
    async fn come_or_go(&mut self, world: &Arc<World>) -> Fate {
        match self.sockets.last() {
            None => self.connect(world).await,
            Some(_) if self.dice.chance(500) => {
                let fate = self.connect(world).await;
                if self.sockets.len() > 2 || self.dice.chance(500) {
                    self.close_all_but(1).await;
                }
                fate
            }
            Some(_) if world.is_direct && self.dice.chance(300) => {
                self.vanish().await;
                Fate::Done
            }
            Some(_) => {
                self.close_all_but(0).await;
                Fate::Done
            }
        }
    }

    /// Has he just lost the socket that counts? Those before it do not count either.
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
    pub(super) async fn connect(&mut self, world: &Arc<World>) -> Fate {
        let gateway = self.dice.roll(world.origins.len());
        let Some(listener) = self.open(world, gateway).await else {
            // It may have taken over nevertheless.
            self.close_all_but(0).await;
            return Fate::Unknown;
        };
        self.sockets.push(listener);
        if self.dice.chance(100) { Fate::Done } else { self.ask(world).await }
    }

    /// Somebody who is online asks for what waits, as a client may at any time.
    async fn ask_again(&mut self, world: &Arc<World>) -> Fate {
        if self.sockets.is_empty() { self.connect(world).await } else { self.ask(world).await }
    }

    /// Has a socket that was asked to bring what waits.
    pub(super) async fn be_online(&mut self, world: &Arc<World>) {
        while self.lost_socket() || !self.sockets.last().is_some_and(|newest| newest.drained) {
            let fate = match self.sockets.last() {
                None => self.connect(world).await,
                Some(_) => self.ask(world).await,
            };
            if fate != Fate::Done {
                sleep(PAUSE).await;
            }
        }
    }

    async fn make_a_friend(&mut self, world: &World, stop: &CancellationToken) -> Fate {
        // The one with the lower number asks, so that each two become friends once.
        let others: Vec<u32> = (self.number + 1
            ..u32::try_from(world.ids.len()).unwrap_or_default())
            .filter(|other| !self.met.contains(other))
            .collect();
        match self.dice.pick(&others) {
            Some(other) => self.befriend(world, *other, stop).await,
            None => self.write_to_somebody(world).await,
        }
    }

    async fn join_or_leave(&mut self, world: &World, stop: &CancellationToken) -> Fate {
        if self.groups.is_empty() {
            return self.write_to_somebody(world).await;
        }
        let which = self.dice.roll(self.groups.len());
        let (group, is_in) = self.groups[which];
        // Each group is made by the person with its number, and who leaves his own group ends it.
        if is_in && group == self.number {
            return self.write_to_group(world).await;
        }
        let fate = self.change_membership(world, group, !is_in, stop).await;
        if fate == Fate::Done {
            self.groups[which].1 = !is_in;
        }
        fate
    }
}
