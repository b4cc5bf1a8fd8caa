//! The offline queue: what each user has not received yet, in order (`docs/design/offline-queue.md`). In Redis.
//!
//! Every message for a user enters their queue with a number of its own, whether they are online or not, and leaves
//! once its client has acknowledged it (ADR 0015). What is said to all of a large group enters the group's timeline
//! instead, once, and each member's undelivered set says what of it they have not received (ADR 0011). Beyond their
//! quota queues and timelines forget the oldest; it is fetched from `message_history` (ADR 0016). Entries after the one
//! at which a connection opened are its to receive live; those before wait for a drain. The two sets never meet.

mod apply;
mod cursors;
pub mod lookup;
pub mod members;
pub mod position_set;
pub mod query;
mod store;
mod undelivered;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::{
    adapters::nats::{
        push::{GroupPush, Pushes, QueuePush},
        watermarks::Pushed,
    },
    adapters::redis::keys::RedisKey,
    clock,
    events::{ChatEvent, Event, GroupChatEvent, Position, Recorded, UserId},
    protocol::frames,
};

use self::{
    apply::BatchApplier, cursors::QueueCursors, members::GroupMembers, store::COMMIT,
    undelivered::UndeliveredSets,
};
use super::{
    Projection, ProjectionParts, StoreError,
    engine::{
        generation::FenceToken,
        redis::{RedisStore, RedisTx, VERSION, command},
    },
    quota::{KEPT, Quota},
};

/// A group with more members than this is large (ADR 0013). It is part of what numbers in the log's delivery reports
/// mean, so it cannot change.
pub const FANOUT_ON_READ_ABOVE: usize = 50;

/// From which size on a group is large, and how much queues and timelines keep.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// A group with more members than this is large.
    pub large: usize,
    /// What queues and timelines keep.
    pub quota: Quota,
}

/// The read model.
pub struct OfflineQueue {
    pushes: Pushes,
    bounds: Bounds,
    memory: Mutex<Option<(FenceToken, Memory)>>,
    pushed: Mutex<Pushed>,
}

/// What batches have read and changed: it is not read again as long as nobody else can have written.
#[derive(Default)]
struct Memory {
    groups: GroupMembers,
    cursors: QueueCursors,
    audience_version: Option<Position>,
}

impl Memory {
    /// With more of either it is forgotten, and read again as it is needed.
    const MOST_QUEUES: usize = 200_000;
    const MOST_MEMBERSHIPS: usize = 1_000_000;

    fn is_within_bounds(&self) -> bool {
        self.cursors.count() <= Self::MOST_QUEUES
            && self.groups.memberships() <= Self::MOST_MEMBERSHIPS
    }
}

/// A new entry for connections that are open.
pub enum PushEffect {
    /// In a queue. The object is shared by all who get it; there is none if the connection has to refetch.
    Queue(QueuePush, Option<Arc<str>>),
    /// In a timeline.
    Timeline(GroupPush, Option<Arc<str>>),
}

impl OfflineQueue {
    /// Pushes go out through `pushes`.
    pub fn new(pushes: Pushes) -> Self {
        Self::bounded(pushes, Bounds { large: FANOUT_ON_READ_ABOVE, quota: KEPT })
    }

    /// The same with other bounds, for tests.
    pub fn bounded(pushes: Pushes, bounds: Bounds) -> Self {
        Self { pushes, bounds, memory: Mutex::default(), pushed: Mutex::default() }
    }
}

impl Projection for OfflineQueue {
    type Store = RedisStore;
    type Effect = PushEffect;
    const NAME: &'static str = "offline_queue";
    const SUBJECTS: &'static [&'static str] = &[
        "evt.chat.>",
        "evt.friendship.>",
        "evt.group.>",
        "evt.groupchat.>",
        "evt.session.>",
        "evt.delivery.>",
    ];

    fn open(parts: &ProjectionParts) -> (Self, RedisStore) {
        (Self::new(parts.pushes.clone()), RedisStore::new(parts.redis.clone()))
    }

    /// An event of a group becomes an entry for each member, and Redis serves nobody while it takes a transaction.
    fn split_batch(events: &[Recorded<Event>]) -> usize {
        const OF_GROUPS: usize = 20;
        const BYTES: usize = 1024 * 1024;
        let (mut of_groups, mut bytes) = (0, 0);
        let goes_beyond = |recorded: &Recorded<Event>| {
            let event = &recorded.event;
            of_groups += usize::from(matches!(event, Event::Group(..) | Event::GroupChat(..)));
            bytes += content_bytes(&recorded.event);
            of_groups > OF_GROUPS || bytes > BYTES
        };
        events.iter().position(goes_beyond).map_or(events.len(), |at| at.max(1))
    }

    async fn apply(
        &self,
        tx: &mut RedisTx,
        batch: &[Recorded<Event>],
    ) -> Result<Vec<PushEffect>, StoreError> {
        tx.commits_by(&COMMIT);
        let Memory { mut groups, mut cursors, audience_version } = self.recall(tx.since);
        groups.load(tx, batch).await?;
        let users = groups.users(batch, self.bounds.large);
        cursors.load(tx, batch.iter().flat_map(touched).chain(users)).await?;
        let before = match audience_version {
            Some(audience_version) => audience_version,
            None => read_audience_version(tx).await?,
        };
        let (undelivered, effects) = (UndeliveredSets::default(), Vec::new());
        let bounds = self.bounds;
        let mut applier = BatchApplier {
            tx,
            bounds,
            groups,
            cursors,
            undelivered,
            audience_version: before,
            effects,
        };
        for recorded in batch {
            applier.apply(recorded).await?;
        }
        let BatchApplier {
            tx,
            mut groups,
            mut cursors,
            undelivered,
            audience_version,
            effects,
            ..
        } = applier;
        if audience_version != before {
            tx.run(&command(
                "HSET",
                &tx.key(RedisKey::AudienceVersion),
                (VERSION, audience_version.0),
            ));
        }
        groups.store(tx);
        cursors.store(tx);
        undelivered.store(tx);
        self.keep(tx.until, Memory { groups, cursors, audience_version: Some(audience_version) });
        Ok(effects)
    }

    async fn publish(&self, effects: Vec<PushEffect>) {
        let mut last: Option<(Arc<str>, Bytes)> = None;
        for entry in effects {
            let (PushEffect::Queue(_, object) | PushEffect::Timeline(_, object)) = &entry;
            let frame = match (object, &last) {
                (None, _) => Bytes::new(),
                (Some(object), Some((before, frame))) if Arc::ptr_eq(object, before) => {
                    frame.clone()
                }
                (Some(object), _) => {
                    let frame = Bytes::from(frames::message(object, clock::now()));
                    last = Some((Arc::clone(object), frame.clone()));
                    frame
                }
            };
            match entry {
                PushEffect::Queue(push, _) => {
                    if self.pushes.queue(push, frame).await {
                        self.pushed().record(push.user, push.number);
                    }
                }
                PushEffect::Timeline(said, _) => {
                    self.pushed().record_group(said.group, said.position);
                    self.pushes.group(said, frame).await;
                }
            }
        }
    }

    /// Nothing was pushed while catching up: connections refetch.
    async fn caught_up(&self) {
        self.pushed().begin();
        self.pushes.refetch_all().await;
    }

    async fn heartbeat(&self) {
        let watermarks = self.pushed().take();
        for some in &watermarks {
            self.pushes.watermarks(some).await;
        }
    }
}

impl OfflineQueue {
    fn pushed(&self) -> MutexGuard<'_, Pushed> {
        self.pushed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes out what is remembered, if it is of that moment.
    fn recall(&self, since: FenceToken) -> Memory {
        let kept = self.memory.lock().unwrap_or_else(PoisonError::into_inner).take();
        kept.filter(|(until, _)| *until == since).map(|(_, memory)| memory).unwrap_or_default()
    }

    fn keep(&self, until: FenceToken, memory: Memory) {
        let kept = memory.is_within_bounds().then_some((until, memory));
        *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = kept;
    }
}

async fn read_audience_version(tx: &mut RedisTx) -> Result<Position, StoreError> {
    let audience_version: Vec<Option<u64>> =
        tx.read([command("HGET", &tx.key(RedisKey::AudienceVersion), VERSION)]).await?;
    Ok(Position(audience_version.into_iter().flatten().next().unwrap_or_default()))
}

/// How much people wrote of an event; the rest is small.
fn content_bytes(event: &Event) -> usize {
    let options = |options: Option<&RawValue>| options.map_or(0, |raw| raw.get().len());
    match event {
        Event::Chat(_, ChatEvent::Sent(sent)) => sent.data.len() + options(sent.options.as_deref()),
        Event::GroupChat(_, GroupChatEvent::Sent(sent)) => {
            sent.data.len() + options(sent.options.as_deref())
        }
        _ => 0,
    }
}

fn touched(recorded: &Recorded<Event>) -> Vec<UserId> {
    match &recorded.event {
        Event::Session(user, _) => vec![*user],
        Event::Chat(_, ChatEvent::Sent(sent)) => vec![sent.to.id],
        Event::Chat(_, ChatEvent::Revoked(revocation)) => vec![revocation.to.id],
        Event::Friendship(pair, _) => vec![pair.lo(), pair.hi()],
        _ => Vec::new(),
    }
}
