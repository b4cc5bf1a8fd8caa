//! The model of a run, made of its history: what was sent, to whom it had to come, and what came.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
};

use crate::history::{Content, End, Outcome, Record, Time, To};

/// How long after an answer that never came a call may still have its effect.
const LATE: Time = 60_000_000;

/// How long a server may take a vanished host for connected: until its next heartbeat, which is then not acknowledged for
/// `limits.peer_timeout_ms`.
const UNNOTICED: Time = 100_000_000;

/// What an item says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    /// Takes a message back.
    Revoke,
    /// The two are friends now.
    Friends,
}

/// Something that is to reach users.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) n: u64,
    pub(super) kind: Kind,
    pub(super) by: u32,
    pub(super) to: To,
    pub(super) begin: Time,
    pub(super) end: Time,
    pub(super) outcome: Outcome,
    /// It may have had its effect at any time: there was no answer at first, or never.
    pub(super) loose: bool,
}

/// A frame that brought an item.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    pub(super) item: u64,
    pub(super) socket: u32,
    pub(super) at: Time,
}

/// A socket from its opening to its end.
#[derive(Debug, Clone)]
pub(super) struct Socket {
    pub(super) user: u32,
    pub(super) gateway: u32,
    pub(super) begin: Time,
    /// When the welcome was read.
    pub(super) open: Time,
    pub(super) ended: Option<Time>,
    /// Did its client's host vanish?
    vanished: bool,
    /// When it was first asked, and said yes, to bring what waits.
    drained: Option<Time>,
}

/// Is something for somebody?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entitled {
    Yes,
    /// It depends on what came first.
    Perhaps,
    No,
}

struct Change {
    joins: bool,
    begin: Time,
    end: Time,
    outcome: Outcome,
}

/// Everything that was done and seen.
#[derive(Default)]
pub(super) struct Model {
    pub(super) items: BTreeMap<u64, Item>,
    pub(super) sockets: HashMap<u32, Socket>,
    pub(super) quiet: Option<Time>,
    /// The messages that were accepted, by the id that the server gave them.
    pub(super) messages: HashMap<String, u64>,
    /// Frames of which no call is known.
    pub(super) unknown: Vec<(u32, Time, Content)>,
    arrived: HashMap<u32, Vec<Arrival>>,
    /// The same as items and users.
    arrived_items: HashSet<(u64, u32)>,
    users: BTreeMap<u32, i64>,
    members: HashMap<(u32, u32), Vec<Change>>,
    of_group: HashMap<u32, Vec<u32>>,
    /// The gateway, or all, that a fault touches, from when to when.
    faults: Vec<(Option<u32>, Time, Time)>,
}

impl Model {
    pub(super) fn of(records: &[Record]) -> Self {
        let mut model = Self::default();
        let mut revoked: HashMap<&str, u64> = HashMap::new();
        let mut friends: HashMap<(u32, i64), u64> = HashMap::new();
        // What is about others comes after those.
        for record in records {
            model.take_in(record);
        }
        let numbers = model.items.last_key_value().map_or(0, |(n, _)| *n);
        let mut next = numbers + records.len() as u64;
        for record in records {
            match record {
                Record::Revoke { by, of, id, n, begin, end, outcome } => {
                    model.revoke((*by, *of, *n), (*begin, *end, *outcome), revoked.entry(id));
                }
                Record::Befriend { by, with, begin, end, outcome } => {
                    for (from, to) in [(*by, *with), (*with, *by)] {
                        let Some(id) = model.users.get(&from) else { continue };
                        friends.insert((to, *id), next);
                        let to = To::User(to);
                        let (begin, end, outcome) = (*begin, *end, *outcome);
                        let kind = Kind::Friends;
                        let loose = true; // a notice, whose order nobody minds
                        let item = Item { n: next, kind, by: from, to, begin, end, outcome, loose };
                        model.items.insert(next, item);
                        next += 1;
                    }
                }
                _ => {}
            }
        }
        for record in records {
            let Record::Frame { socket, at, what } = record else { continue };
            let Some(user) = model.sockets.get(socket).map(|socket| socket.user) else { continue };
            let item = match what {
                Content::Message(n) => Some(*n),
                Content::Revoked(id) => revoked.get(id.as_str()).copied(),
                Content::Friends(id) => friends.get(&(user, *id)).copied(),
            };
            match item.filter(|n| model.items.contains_key(n)) {
                Some(item) => {
                    let arrival = Arrival { item, socket: *socket, at: *at };
                    model.arrived_items.insert((item, user));
                    model.arrived.entry(user).or_default().push(arrival);
                }
                None => model.unknown.push((*socket, *at, what.clone())),
            }
        }
        model
    }

    fn take_in(&mut self, record: &Record) {
        match record {
            Record::User { user, id } => _ = self.users.insert(*user, *id),
            Record::Send { by, to, n, begin, end, outcome, id } => {
                self.messages.extend(id.clone().map(|id| (id, *n)));
                let (begin, end, outcome, kind) = (*begin, *end, *outcome, Kind::Message);
                let (by, to, loose) = (*by, *to, outcome == Outcome::Unknown);
                let item = Item { n: *n, kind, by, to, begin, end, outcome, loose };
                self.items.insert(*n, item);
            }
            Record::Member { user, group, joins, begin, end, outcome } => {
                let change = Change { joins: *joins, begin: *begin, end: *end, outcome: *outcome };
                let changes = self.members.entry((*user, *group)).or_default();
                if changes.is_empty() {
                    self.of_group.entry(*group).or_default().push(*user);
                }
                changes.push(change);
            }
            Record::Open { socket, user, gateway, begin, end } => {
                let (user, gateway, begin, open) = (*user, *gateway, *begin, *end);
                let (ended, vanished, drained) = (None, false, None);
                let opened = Socket { user, gateway, begin, open, ended, vanished, drained };
                self.sockets.insert(*socket, opened);
            }
            Record::Drain { socket, end, outcome: Outcome::Done, .. } => {
                if let Some(socket) = self.sockets.get_mut(socket) {
                    socket.drained.get_or_insert(*end);
                }
            }
            Record::Ended { socket, at, how } => {
                if let Some(socket) = self.sockets.get_mut(socket) {
                    socket.ended = Some(*at);
                    socket.vanished = *how == End::Vanished;
                }
            }
            Record::Fault { part, begin, end, .. } => {
                let gateway = part.strip_prefix("gateway-").and_then(|number| number.parse().ok());
                if gateway.is_some() || part == "nats-server" {
                    self.faults.push((gateway, *begin, *end));
                }
            }
            Record::Quiet { at } => _ = self.quiet.get_or_insert(*at),
            _ => {}
        }
    }

    /// All calls to take one message back are one item: it is told once.
    fn revoke(
        &mut self,
        (by, of, n): (u32, u64, u64),
        (begin, end, outcome): (Time, Time, Outcome),
        known: std::collections::hash_map::Entry<'_, &str, u64>,
    ) {
        let n = *known.or_insert(n);
        let Some(to) = self.items.get(&of).map(|message| message.to) else { return };
        let (kind, loose) = (Kind::Revoke, outcome == Outcome::Unknown);
        let fresh = Item { n, kind, by, to, begin, end, outcome, loose };
        let item = self.items.entry(n).or_insert(fresh);
        if item.outcome != Outcome::Done {
            (item.end, item.outcome) = (end, outcome);
        }
    }

    pub(super) fn users(&self) -> impl Iterator<Item = u32> + '_ {
        self.users.keys().copied()
    }

    /// What the server calls a user.
    pub(super) fn id_of(&self, user: u32) -> Option<i64> {
        self.users.get(&user).copied()
    }

    /// Has something come to a user?
    pub(super) fn has_arrived(&self, n: u64, user: u32) -> bool {
        self.arrived_items.contains(&(n, user))
    }

    /// What came to a user, over each socket in the order in which it came.
    pub(super) fn arrivals(&self, user: u32) -> Vec<Arrival> {
        self.arrived.get(&user).cloned().unwrap_or_default()
    }

    /// What must reach a user.
    pub(super) fn due(&self, user: u32) -> impl Iterator<Item = &Item> {
        let done = self.items.values().filter(|item| item.outcome == Outcome::Done);
        done.filter(move |item| self.entitled(item, user) == Entitled::Yes)
    }

    pub(super) fn entitled(&self, item: &Item, user: u32) -> Entitled {
        match item.to {
            To::User(to) if to == user => Entitled::Yes,
            To::User(_) => Entitled::No,
            // Who writes to a group has the answer for a copy; who takes back is told as all are.
            To::Group(_) if item.kind == Kind::Message && item.by == user => Entitled::No,
            To::Group(group) => self.is_member(user, group, item),
        }
    }

    pub(super) fn may_write(&self, item: &Item) -> Entitled {
        match item.to {
            To::User(_) => Entitled::Yes,
            To::Group(group) => self.is_member(item.by, group, item),
        }
    }

    fn is_member(&self, user: u32, group: u32, item: &Item) -> Entitled {
        let late = if item.outcome == Outcome::Unknown { LATE } else { 0 };
        let (from, to) = (item.begin, item.end + late);
        let mut now = Entitled::No;
        for change in self.members.get(&(user, group)).into_iter().flatten() {
            let after = if change.joins { Entitled::Yes } else { Entitled::No };
            if change.begin > to || change.outcome == Outcome::Refused {
                continue;
            }
            if change.end < from && change.outcome == Outcome::Done {
                now = after;
            } else if now != after {
                now = Entitled::Perhaps;
            }
        }
        now
    }

    /// Was the delivery's gateway, or the log, broken at about that time?
    pub(super) fn is_near_fault(&self, arrival: &Arrival, about: Time) -> bool {
        let gateway = self.sockets[&arrival.socket].gateway;
        self.faults.iter().any(|(of, begin, end)| {
            of.is_none_or(|of| of == gateway)
                && arrival.at + about >= *begin
                && arrival.at <= *end + about
        })
    }

    fn sockets_of(&self, user: u32, at: Time) -> impl Iterator<Item = &Socket> {
        self.sockets.values().filter(move |socket| {
            socket.user == user && socket.open <= at && socket.ended.is_none_or(|end| end > at)
        })
    }

    pub(super) fn is_connected(&self, user: u32, at: Time) -> bool {
        self.sockets_of(user, at).next().is_some()
    }

    /// May the server still take a user for connected, since it cannot have noticed the end yet?
    pub(super) fn may_seem_connected(&self, user: u32, at: Time) -> bool {
        let mut vanished = self.sockets.values().filter(|one| one.user == user && one.vanished);
        vanished.any(|one| one.ended.is_some_and(|end| end <= at && at < end + UNNOTICED))
    }

    /// Had a user a socket then that was asked for what waits?
    pub(super) fn had_drained(&self, user: u32, at: Time) -> bool {
        let newest = self.sockets_of(user, at).max_by_key(|socket| socket.open);
        newest.is_some_and(|socket| socket.drained.is_some_and(|drained| drained < at))
    }
}

impl fmt::Display for Item {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { n, kind, by, to, begin, end, .. } = self;
        let kind = match kind {
            Kind::Message => "message",
            Kind::Revoke => "revocation",
            Kind::Friends => "friendship",
        };
        write!(out, "{kind} {n} of user {by} to {to:?} (called {begin}, answered {end})")
    }
}

impl fmt::Display for Arrival {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "over socket {} at {}", self.socket, self.at)
    }
}
