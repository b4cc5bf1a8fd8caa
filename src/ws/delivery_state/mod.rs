//! What flows from a user's queue, and from the timelines of his large groups, into one socket: live what came after
//! it opened, by a drain what came before; none twice, none left out, in the order of the log:
//! `docs/design/connections.md`, ADR 0011.

use std::collections::{BTreeMap, HashMap};

use tracing::{debug, warn};

use super::group_subscriptions::GroupSubscription;
use crate::{
    adapters::{nats::push::GroupPush, redis::RedisFailure},
    events::{ConnectionId, GroupId, Position, UserId},
    executor::Executor,
    projections::offline_queue::{
        position_set::{ENDLESS, PositionSet},
        query::{
            self, ConnectionStart, EntryContent, FetchRequest, FetchResult, Part, QueueEntry,
            TimelineEntry,
        },
    },
};

mod evicted;

/// How many entries of each place are read at once, and how many bytes of all.
const PAGE: usize = 200;
const PAGE_BYTES: usize = 256 * 1024;

/// Why queue and timelines cannot be read now.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadFailure {
    #[error(transparent)]
    Redis(#[from] RedisFailure),
    #[error("message_history: {0}")]
    History(#[from] sqlx::Error),
}

/// Where a socket is in its user's queue and timelines.
pub(super) struct DeliveryState {
    user: UserId,
    connection: ConnectionId,
    /// `None` until the queue has seen the socket open.
    opened: Option<Reading>,
    /// A look before this may not know what this socket and those before it have received.
    min_read_position: Position,
    groups: BTreeMap<GroupId, GroupDelivery>,
    /// Groups that the user has left, which a look into the past may not know yet.
    left: HashMap<GroupId, Position>,
    /// A look before this may not know whose socket this is, or where its user is a member.
    missed_up_to: Position,
    /// Asked to drain, and not done yet.
    draining: bool,
    /// Live entries may be there that no push told of.
    must_refetch: bool,
    /// Nothing flows any more: another socket has taken over, or the token was logged out.
    stopped: bool,
}

#[derive(Debug)]
struct Reading {
    at: ConnectionStart,
    /// The next number that a drain would deliver, up to the one at which the socket opened.
    drain: u64,
    /// The next number to arrive live.
    live: u64,
}

/// A large group, as its member's socket sees it.
struct GroupDelivery {
    /// Where entries may be that he has not received.
    missing: PositionSet,
    /// What was written here; the undelivered set may not know it yet.
    written: PositionSet,
    /// As long as it is kept, what is said in the group is heard.
    _attached: Option<GroupSubscription>,
}

/// What to do with a push.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Write it.
    Deliver,
    /// Pass over it: its author is the user himself.
    SkipOwn,
    /// It was written, or is another socket's.
    Drop,
    /// There is more to see than this: look.
    Refetch,
}

/// Where an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// In the queue, by number.
    Queue(u64),
    /// In a timeline, by its place in the log and that of the entry before it.
    Timeline { group: GroupId, position: u64, after: u64 },
}

/// Something to write, or, without an object, to pass over.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) place: Place,
    pub(super) object: Option<String>,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReadOutcome {
    /// This is to be written in this order; nothing more if it is empty.
    Items(Vec<Item>),
    /// Lanes of which nothing is heard yet: [`DeliveryState::attach`] them.
    UnsubscribedGroups(Vec<(GroupId, PositionSet)>),
    /// The queue is not as far as when the socket opened, for it is being built anew; or `message_history` is not as
    /// far as what was evicted.
    TooEarly,
    /// Another socket receives.
    Superseded,
}

/// Which of the two sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Drain,
    Live,
}

impl DeliveryState {
    pub(super) fn new(user: UserId, connection: ConnectionId) -> Self {
        Self {
            user,
            connection,
            opened: None,
            min_read_position: Position(0),
            groups: BTreeMap::new(),
            left: HashMap::new(),
            missed_up_to: Position(0),
            draining: false,
            must_refetch: false,
            stopped: false,
        }
    }

    /// The queue has seen the socket open; at `since`, what those before it have received.
    pub(super) fn open(&mut self, at: ConnectionStart, min_read_position: Position) {
        self.min_read_position = min_read_position;
        self.opened = Some(Reading { at, drain: 1, live: at.number + 1 });
        self.must_refetch = true; // pushes before this were not counted
    }

    /// What is said in a group is heard from now on.
    pub(super) fn subscribe(
        &mut self,
        group: GroupId,
        missing: PositionSet,
        by: Option<GroupSubscription>,
    ) {
        let group_delivery =
            GroupDelivery { missing, written: PositionSet::default(), _attached: by };
        self.groups.insert(group, group_delivery);
        self.must_refetch = true; // pushes before this were not heard
    }

    pub(super) fn stop(&mut self) {
        self.stopped = true;
        self.groups.clear();
    }

    pub(super) fn drain(&mut self) {
        self.draining = true;
    }

    pub(super) fn require_refetch(&mut self) {
        self.must_refetch = true;
    }

    /// The queue's entries up to this number were pushed.
    pub(super) fn on_queue_watermark(&mut self, number: u64) {
        self.must_refetch |= self.opened.as_ref().is_some_and(|opened| number >= opened.live);
    }

    /// What was said in a large group at this position was pushed.
    pub(super) fn on_timeline_watermark(&mut self, group: GroupId, position: Position) {
        let Some(opened) = &self.opened else { return };
        let group_delivery = self.groups.get(&group).filter(|_| position > opened.at.position);
        self.must_refetch |= group_delivery
            .is_some_and(|group_delivery| group_delivery.missing.contains(position.0));
    }

    /// Events up to `position` may have been missed. Until it has looked, what it is told of groups may not be for it.
    pub(super) fn on_missed_events(&mut self, position: Position) {
        self.missed_up_to = position;
    }

    /// The user has left a group.
    pub(super) fn leave(&mut self, group: GroupId, position: Position) {
        self.left.insert(group, position);
        if let Some(group_delivery) = self.groups.get_mut(&group) {
            group_delivery.missing.remove(position.0 + 1, ENDLESS);
        }
    }

    /// Is there something to read now?
    pub(super) fn wants_reading(&self) -> bool {
        !self.stopped && self.opened.is_some() && (self.draining || self.must_refetch)
    }

    /// Judges a push of the queue's entry with this number; a bare one only says that it is there.
    pub(super) fn on_queue_push(&mut self, number: u64, bare: bool) -> Decision {
        let Some(opened) = self.opened.as_ref().filter(|_| !self.stopped) else {
            return Decision::Drop; // `open` looks into the queue
        };
        if number < opened.live {
            return Decision::Drop;
        }
        // A drain that was asked for before something was sent comes before it.
        if number == opened.live && !self.must_refetch && !self.draining && !bare {
            return Decision::Deliver;
        }
        self.must_refetch = true;
        Decision::Refetch
    }

    /// Judges a push of what was said in a large group.
    pub(super) fn on_group_push(&mut self, said: &GroupPush, bare: bool) -> Decision {
        let Some(opened) = self.opened.as_ref().filter(|_| !self.stopped) else {
            return Decision::Drop;
        };
        let (opened, position) = (opened.at.position.0, said.position.0);
        let Some(group_delivery) = self.groups.get(&said.group) else { return Decision::Drop };
        if position <= opened || !group_delivery.missing.contains(position) {
            return Decision::Drop; // it waits for a drain, was written, or is not for him
        }
        let gap = group_delivery.missing.first_within(opened + 1, said.after).is_some();
        if self.must_refetch
            || self.draining
            || bare
            || gap
            || self.min_read_position < self.missed_up_to
        {
            self.must_refetch = true;
            return Decision::Refetch;
        }
        if said.author == Some(self.user) { Decision::SkipOwn } else { Decision::Deliver }
    }

    /// Notes that an entry was written, or passed over.
    pub(super) fn written(&mut self, place: Place) {
        match (place, &mut self.opened) {
            (Place::Queue(number), Some(opened)) => {
                if number > opened.at.number {
                    opened.live = number + 1;
                } else {
                    opened.drain = number + 1;
                }
            }
            (Place::Timeline { group, position, after }, _) => {
                if let Some(group_delivery) = self.groups.get_mut(&group) {
                    group_delivery.missing.remove(after + 1, position);
                    group_delivery.written.add(after + 1, position);
                    self.min_read_position = self.min_read_position.max(Position(position));
                }
            }
            (Place::Queue(_), None) => {}
        }
    }

    /// What comes next.
    pub(super) async fn read(&mut self, executor: &Executor) -> Result<ReadOutcome, ReadFailure> {
        loop {
            let side = match (self.draining, self.must_refetch) {
                (true, _) => Side::Drain,
                (false, true) => Side::Live,
                (false, false) => return Ok(ReadOutcome::Items(Vec::new())),
            };
            let Some(wanted) = self.wanted(side) else { return Ok(ReadOutcome::Items(Vec::new())) };
            let (user, redis) = (self.user, &executor.redis);
            let mut seen = query::fetch(redis, user, self.connection, &wanted).await?;
            if !evicted::fill(&executor.pool, user, &wanted, &mut seen).await? {
                return Ok(ReadOutcome::TooEarly);
            }
            match self.take(side, &wanted, seen) {
                None => {}
                Some(ReadOutcome::Items(items)) if items.is_empty() => self.finish(side),
                Some(found) => return Ok(found),
            }
        }
    }

    fn wanted(&self, side: Side) -> Option<FetchRequest> {
        let opened = self.opened.as_ref()?;
        let at = opened.at;
        let (queue, within) = match side {
            Side::Drain => ((opened.drain, at.number), (0, at.position.0)),
            Side::Live => ((opened.live, ENDLESS), (at.position.0 + 1, ENDLESS)),
        };
        let groups = self.groups.iter();
        let timelines = groups.filter_map(|(group, group_delivery)| {
            Some((*group, group_delivery.missing.first_within(within.0, within.1)?))
        });
        Some(FetchRequest { queue, timelines: timelines.collect(), most: PAGE, bytes: PAGE_BYTES })
    }

    /// Takes in what was seen; `None` if something else has to be asked for.
    fn take(
        &mut self,
        side: Side,
        wanted: &FetchRequest,
        seen: FetchResult,
    ) -> Option<ReadOutcome> {
        if seen.at < self.min_read_position {
            return Some(ReadOutcome::TooEarly);
        }
        if !seen.is_receiving {
            return Some(ReadOutcome::Superseded);
        }
        self.min_read_position = seen.at;
        self.left.retain(|_, left| seen.at < *left); // later looks know it
        let mut new = Vec::new();
        let mut kept = BTreeMap::new();
        for (group, mut missing) in seen.undelivered {
            if let Some(left) = self.left.get(&group) {
                missing.remove(left.0 + 1, ENDLESS);
            }
            match self.groups.remove(&group) {
                Some(mut group_delivery) => {
                    missing.remove_all(&group_delivery.written);
                    group_delivery.missing = missing;
                    kept.insert(group, group_delivery);
                }
                None => new.push((group, missing)),
            }
        }
        self.groups = kept;
        if !new.is_empty() {
            return Some(ReadOutcome::UnsubscribedGroups(new));
        }
        let now = self.wanted(side)?;
        if now.timelines != wanted.timelines {
            return None; // the user has left a group meanwhile, or come back to it
        }
        let (items, are_all) = self.merge(side, wanted, seen.queue, seen.timelines);
        if are_all {
            // What comes from now on is pushed, and judged after these were written. Who has to see nothing first would
            // under traffic look for ever.
            self.finish(side);
        }
        Some(ReadOutcome::Items(items))
    }

    /// All that was there of one side was seen.
    fn finish(&mut self, side: Side) {
        match side {
            Side::Drain => {
                debug!(user.id = %self.user, "drained the queue of user `{}`", self.user);
                self.draining = false;
            }
            Side::Live => self.must_refetch = false,
        }
    }

    /// In the order of the log, as far as all places were read; and whether that is to the end.
    fn merge(
        &self,
        side: Side,
        wanted: &FetchRequest,
        queue: Part<QueueEntry>,
        timelines: Vec<Part<TimelineEntry>>,
    ) -> (Vec<Item>, bool) {
        if let (Side::Live, Some(first)) = (side, queue.entries.first())
            && first.number > wanted.queue.0
        {
            warn!(user.id = %self.user, "queue numbers {}..{} are gone", wanted.queue.0, first.number);
        }
        let end = match (side, &self.opened) {
            (Side::Drain, Some(opened)) => opened.at.position.0,
            _ => ENDLESS,
        };
        let mut limit = queue.up_to;
        let mut items = Vec::new();
        for QueueEntry { number, position, content } in queue.entries {
            let object = match content {
                EntryContent::Object(object) => Some(object),
                EntryContent::Nothing | EntryContent::Evicted => None,
            };
            items.push((position, Item { place: Place::Queue(number), object }));
        }
        for ((group, (from, to)), Part { entries, up_to, .. }) in
            wanted.timelines.iter().zip(timelines)
        {
            // Between this stretch and the next are entries that he has, or that were never his.
            let read = up_to.min(*to);
            limit = limit.min(read);
            // A stretch that a leave has closed may not have been seen to its end.
            if entries.is_empty() && read != end && read <= self.min_read_position.0 {
                let place = Place::Timeline { group: *group, position: read, after: from - 1 };
                items.push((read, Item { place, object: None }));
            }
            for said in entries {
                let (position, after) = (said.position, said.after);
                let place = Place::Timeline { group: *group, position, after };
                let own = said.author == Some(self.user);
                items.push((position, Item { place, object: (!own).then_some(said.object) }));
            }
        }
        items.retain(|(position, _)| *position <= limit);
        items.sort_by_key(|(position, item)| (*position, item.place));
        (items.into_iter().map(|(_, item)| item).collect(), limit >= end)
    }
}

#[cfg(test)]
mod tests;
