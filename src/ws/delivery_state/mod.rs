//! The delivery state of a connection: what it is given from its user's queue, and from the timelines of large groups:
//! live what came after it opened, by a drain what came before; none twice, none left out, in the order of the log:
//! `docs/design/connections.md`, ADR 0011.

use std::collections::{BTreeMap, HashMap};

use tracing::{debug, warn};

use super::{
    connection_command::ConnectionCommand, group_subscriptions::GroupSubscription, place::Place,
};
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

/// Where the user's current connection is in their queue and timelines.
pub(super) struct DeliveryState {
    user: UserId,
    connection: ConnectionId,
    /// Where it connected: what is at or before this waits for a drain, what comes after is live.
    start: ConnectionStart,
    /// The next number that a drain would deliver.
    drain: u64,
    /// The next number to arrive live.
    live: u64,
    /// A fetch before this may not know what this connection and those before it have received.
    min_read_position: Position,
    groups: BTreeMap<GroupId, GroupDelivery>,
    before: Remembered,
    /// Live entries may be there that no push told of.
    must_refetch: bool,
}

/// What concerns delivery, from before there is any as well.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    /// Asked to drain, and not done yet.
    draining: bool,
    /// A fetch before this may not know whose connection this is, or where its user is a member.
    missed_up_to: Position,
    /// Groups that the user has left, which a fetch of the past may not know yet.
    left: HashMap<GroupId, Position>,
}

impl Remembered {
    pub(super) fn apply(&mut self, command: &ConnectionCommand) {
        match *command {
            ConnectionCommand::Drain => self.draining = true,
            ConnectionCommand::EventsMissed(position) => self.missed_up_to = position,
            ConnectionCommand::LeftGroup(group, position) => _ = self.left.insert(group, position),
            _ => {}
        }
    }
}

/// A large group, as its member's connection sees it.
struct GroupDelivery {
    /// Where entries may be that they have not received.
    missing: PositionSet,
    /// What was written here; the undelivered set may not know it yet.
    written: PositionSet,
    /// As long as it is kept, what is said in the group is heard.
    _subscription: Option<GroupSubscription>,
}

/// What to do with a push.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Write it.
    Deliver,
    /// Pass over it: its author is the user.
    SkipOwn,
    /// It was written, or is another connection's.
    Drop,
    /// There is more to see than this.
    Refetch,
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
    /// Groups that are not subscribed to yet, with what the user has not received of each:
    /// [`DeliveryState::subscribe`].
    UnsubscribedGroups(Vec<(GroupId, PositionSet)>),
    /// The queue is not as far as when the connection opened, for it is being built anew; or `message_history` is not
    /// as far as what was evicted.
    TooEarly,
    /// Another connection receives.
    Displaced,
}

/// Which of the two sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Drain,
    Live,
}

impl DeliveryState {
    /// Of a connection that has passed the takeover barrier: it began at `start`, and what those before it have
    /// received is in what is read at `min_read_position` or later.
    pub(super) fn new(
        (user, connection): (UserId, ConnectionId),
        start: ConnectionStart,
        min_read_position: Position,
        before: Remembered,
    ) -> Self {
        Self {
            user,
            connection,
            start,
            drain: 1,
            live: start.number + 1,
            min_read_position,
            groups: BTreeMap::new(),
            before,
            must_refetch: true, // pushes before this were not counted
        }
    }

    /// What is said in a group is heard from now on.
    pub(super) fn subscribe(
        &mut self,
        group: GroupId,
        missing: PositionSet,
        by: Option<GroupSubscription>,
    ) {
        let group_delivery =
            GroupDelivery { missing, written: PositionSet::default(), _subscription: by };
        self.groups.insert(group, group_delivery);
        self.must_refetch = true; // pushes before this were not heard
    }

    pub(super) fn apply(&mut self, command: &ConnectionCommand) {
        self.before.apply(command);
        match *command {
            ConnectionCommand::Refetch => self.must_refetch = true,
            // The queue's entries up to this number were pushed.
            ConnectionCommand::QueueWatermark(number) => self.must_refetch |= number >= self.live,
            // So was what was said in a large group at this position.
            ConnectionCommand::TimelineWatermark(group, position) => {
                let group = self.groups.get(&group).filter(|_| position > self.start.position);
                self.must_refetch |= group.is_some_and(|group| group.missing.contains(position.0));
            }
            // What was read later knows of it, and may know that they are back.
            ConnectionCommand::LeftGroup(group, position) if position > self.min_read_position => {
                if let Some(group) = self.groups.get_mut(&group) {
                    group.missing.remove(position.0 + 1, ENDLESS);
                }
            }
            _ => {}
        }
    }

    /// Is it to deliver what waits from before it connected?
    pub(super) fn is_draining(&self) -> bool {
        self.before.draining
    }

    /// Is there something to read now?
    pub(super) fn wants_reading(&self) -> bool {
        self.before.draining || self.must_refetch
    }

    /// Judges a push of the queue's entry with this number; a bare one only says that it is there.
    pub(super) fn on_queue_push(&mut self, number: u64, bare: bool) -> Decision {
        if number < self.live {
            return Decision::Drop;
        }
        // A drain that was asked for before something was sent comes before it.
        if number == self.live && !self.wants_reading() && !bare {
            return Decision::Deliver;
        }
        self.must_refetch = true;
        Decision::Refetch
    }

    /// Judges a push of what was said in a large group.
    pub(super) fn on_group_push(&mut self, push: &GroupPush, bare: bool) -> Decision {
        let (start, position) = (self.start.position.0, push.position.0);
        let Some(group) = self.groups.get(&push.group) else { return Decision::Drop };
        if position <= start || !group.missing.contains(position) {
            return Decision::Drop; // it waits for a drain, was written, or is not for them
        }
        let gap = group.missing.first_within(start + 1, push.after).is_some();
        let may_be_outdated = self.min_read_position < self.before.missed_up_to;
        if self.wants_reading() || bare || gap || may_be_outdated {
            self.must_refetch = true;
            return Decision::Refetch;
        }
        if push.author == Some(self.user) { Decision::SkipOwn } else { Decision::Deliver }
    }

    /// Notes that an entry was written, or passed over.
    pub(super) fn written(&mut self, place: Place) {
        match place {
            Place::Queue { number, .. } if number > self.start.number => self.live = number + 1,
            Place::Queue { number, .. } => self.drain = number + 1,
            Place::Timeline { group, position, after } => {
                if let Some(group) = self.groups.get_mut(&group) {
                    group.missing.remove(after + 1, position);
                    group.written.add(after + 1, position);
                    self.min_read_position = self.min_read_position.max(Position(position));
                }
            }
        }
    }

    /// What comes next.
    pub(super) async fn read(&mut self, executor: &Executor) -> Result<ReadOutcome, ReadFailure> {
        loop {
            let side = match (self.before.draining, self.must_refetch) {
                (true, _) => Side::Drain,
                (false, true) => Side::Live,
                (false, false) => return Ok(ReadOutcome::Items(Vec::new())),
            };
            let wanted = self.wanted(side);
            let (user, redis) = (self.user, &executor.redis);
            let mut seen = query::fetch(redis, user, self.connection, &wanted).await?;
            if !evicted::fill(&executor.pool, user, &wanted, &mut seen).await? {
                return Ok(ReadOutcome::TooEarly);
            }
            match self.apply_fetch(side, &wanted, seen) {
                None => {}
                Some(ReadOutcome::Items(items)) if items.is_empty() => self.finish(side),
                Some(found) => return Ok(found),
            }
        }
    }

    fn wanted(&self, side: Side) -> FetchRequest {
        let start = self.start;
        let (queue, within) = match side {
            Side::Drain => ((self.drain, start.number), (0, start.position.0)),
            Side::Live => ((self.live, ENDLESS), (start.position.0 + 1, ENDLESS)),
        };
        let groups = self.groups.iter();
        let timelines = groups.filter_map(|(group, delivery)| {
            Some((*group, delivery.missing.first_within(within.0, within.1)?))
        });
        let (timelines, groups) = (timelines.collect(), self.groups.keys().copied().collect());
        FetchRequest { groups, queue, timelines, most: PAGE, bytes: PAGE_BYTES }
    }

    /// Takes in what was seen; `None` if something else has to be asked for.
    fn apply_fetch(
        &mut self,
        side: Side,
        wanted: &FetchRequest,
        seen: FetchResult,
    ) -> Option<ReadOutcome> {
        if seen.at < self.min_read_position {
            return Some(ReadOutcome::TooEarly);
        }
        if !seen.is_receiving {
            return Some(ReadOutcome::Displaced);
        }
        self.min_read_position = seen.at;
        self.before.left.retain(|_, left| seen.at < *left); // later fetches know it
        let mut new = Vec::new();
        let mut kept = BTreeMap::new();
        for (group, mut missing) in seen.undelivered {
            if let Some(left) = self.before.left.get(&group) {
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
        if self.wanted(side).timelines != wanted.timelines {
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
                debug!("drained the queue of user `{}`", self.user);
                self.before.draining = false;
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
            warn!("queue numbers {}..{} are gone", wanted.queue.0, first.number);
        }
        let end = match side {
            Side::Drain => self.start.position.0,
            Side::Live => ENDLESS,
        };
        let mut limit = queue.up_to;
        let mut items = Vec::new();
        for QueueEntry { number, position, content } in queue.entries {
            let object = match content {
                EntryContent::Object(object) => Some(object),
                EntryContent::Nothing | EntryContent::Evicted => None,
            };
            let place = Place::Queue { number, position: Position(position) };
            items.push((position, Item { place, object }));
        }
        for ((group, (from, to)), Part { entries, up_to, .. }) in
            wanted.timelines.iter().zip(timelines)
        {
            // Between this range and the next are entries that they have, or that were never theirs.
            let read = up_to.min(*to);
            limit = limit.min(read);
            // A range that a leave has closed may not have been seen to its end.
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
