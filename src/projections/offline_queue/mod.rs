//! What each user has not received yet, in order (DESIGN §6). In Redis.
//!
//! Every message for a user enters his queue with a number of his own, whether he is online or not, and leaves when it
//! was written to a socket. What is said to all of a large group enters the group's timeline instead, once, and each
//! member's lane says what of it he has not received (ADR 0011). Beyond their quota queues and timelines forget the
//! oldest; it is fetched from `message_history` (ADR 0016). Entries after the one at which a socket opened are its
//! to receive live; those before wait for a drain. The two sets never meet.

mod apply;
mod cursors;
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
        push::{Pushes, SaidPush},
        watermarks::Pushed,
    },
    clock,
    events::{ChatEvent, ConnectionId, Event, GroupChatEvent, Position, Recorded, Subject, UserId},
};

use self::{apply::Work, cursors::Heads, members::Groups, store::COMMIT, undelivered::Lanes};
use super::{
    Projection, StoreError,
    engine::{
        generation::Moment,
        redis::{InRedis, RedisTx, VERSION, command},
    },
    message_object,
    quota::{KEPT, Quota},
};

/// A group with more members than this is large (ADR 0013). It is part of what numbers in the log's delivery reports
/// mean, so it cannot change.
pub const LARGE: usize = 50;

/// What a group and a queue may be before they are treated otherwise.
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
    memory: Mutex<Option<(Moment, Memory)>>,
    pushed: Mutex<Pushed>,
}

/// What batches have read and changed: it is not read again as long as nobody else can have written.
#[derive(Default)]
struct Memory {
    groups: Groups,
    heads: Heads,
    ruled: Option<Position>,
}

impl Memory {
    /// With more of both it is forgotten, and read again as it is needed.
    const MOST_QUEUES: usize = 200_000;
    const MOST_MEMBERSHIPS: usize = 1_000_000;

    fn is_bearable(&self) -> bool {
        self.heads.count() <= Self::MOST_QUEUES
            && self.groups.memberships() <= Self::MOST_MEMBERSHIPS
    }
}

/// A new entry for sockets that are open.
pub enum Waiting {
    /// In a queue.
    Queue {
        /// Whose.
        user: UserId,
        /// Its number.
        number: u64,
        /// His socket.
        connection: ConnectionId,
        /// Shared by all who get it; none if the socket has to look by itself.
        object: Option<Arc<str>>,
    },
    /// In a timeline.
    Timeline(SaidPush, Option<Arc<str>>),
}

impl OfflineQueue {
    /// Pushes go out through `pushes`.
    pub fn new(pushes: Pushes) -> Self {
        Self::bounded(pushes, Bounds { large: LARGE, quota: KEPT })
    }

    /// The same with other bounds, for tests.
    pub fn bounded(pushes: Pushes, bounds: Bounds) -> Self {
        Self { pushes, bounds, memory: Mutex::default(), pushed: Mutex::default() }
    }
}

impl Projection for OfflineQueue {
    type Store = InRedis;
    type Effect = Waiting;
    const NAME: &'static str = "offline_queue";
    const SUBJECTS: &'static [&'static str] = &[
        "evt.chat.>",
        "evt.friendship.>",
        "evt.group.>",
        "evt.groupchat.>",
        "evt.session.>",
        "evt.delivery.>",
    ];

    /// An event of a group becomes an entry for each member, and Redis serves nobody while it takes a transaction.
    fn portion(events: &[Recorded<Event>]) -> usize {
        const OF_GROUPS: usize = 20;
        const BYTES: usize = 1024 * 1024;
        let (mut of_groups, mut bytes) = (0, 0);
        let goes_beyond = |recorded: &Recorded<Event>| {
            let subject = recorded.subject;
            of_groups += usize::from(matches!(subject, Subject::Group(_) | Subject::GroupChat(_)));
            bytes += content_bytes(&recorded.event);
            of_groups > OF_GROUPS || bytes > BYTES
        };
        events.iter().position(goes_beyond).map_or(events.len(), |at| at.max(1))
    }

    async fn apply(
        &self,
        tx: &mut RedisTx,
        batch: &[Recorded<Event>],
    ) -> Result<Vec<Waiting>, StoreError> {
        tx.commits_by(&COMMIT);
        let Memory { mut groups, mut heads, ruled } = self.remember(tx.since);
        groups.load(tx, batch).await?;
        let users = groups.users(batch, self.bounds.large);
        heads.load(tx, batch.iter().flat_map(touched).chain(users)).await?;
        let before = match ruled {
            Some(ruled) => ruled,
            None => read_ruled(tx).await?,
        };
        let (lanes, waiting) = (Lanes::default(), Vec::new());
        let bounds = self.bounds;
        let mut work = Work { tx, bounds, groups, heads, lanes, ruled: before, waiting };
        for recorded in batch {
            work.take(recorded).await?;
        }
        let Work { tx, mut groups, mut heads, lanes, ruled, waiting, .. } = work;
        if ruled != before {
            tx.run(&command("HSET", &tx.key(RULED), (VERSION, ruled.0)));
        }
        groups.store(tx);
        heads.store(tx);
        lanes.store(tx);
        self.keep(tx.until, Memory { groups, heads, ruled: Some(ruled) });
        Ok(waiting)
    }

    async fn publish(&self, waiting: Vec<Waiting>) {
        let mut last: Option<(Arc<str>, Bytes)> = None;
        for entry in waiting {
            let (Waiting::Queue { object, .. } | Waiting::Timeline(_, object)) = &entry;
            let frame = match (object, &last) {
                (None, _) => Bytes::new(),
                (Some(object), Some((before, frame))) if Arc::ptr_eq(object, before) => {
                    frame.clone()
                }
                (Some(object), _) => {
                    let frame = Bytes::from(message_object::frame(object, clock::now()));
                    last = Some((Arc::clone(object), frame.clone()));
                    frame
                }
            };
            match entry {
                Waiting::Queue { user, number, connection, .. } => {
                    if self.pushes.frame(user, number, connection, frame).await {
                        self.pushed().note(user, number);
                    }
                }
                Waiting::Timeline(said, _) => {
                    self.pushed().note_said(said.group, said.position);
                    self.pushes.said(said, frame).await;
                }
            }
        }
    }

    /// Nothing was pushed while catching up: sockets look into their queues themselves.
    async fn caught_up(&self) {
        self.pushed().begin();
        self.pushes.resync().await;
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

    /// What is remembered, if it is of that moment.
    fn remember(&self, since: Moment) -> Memory {
        let kept = self.memory.lock().unwrap_or_else(PoisonError::into_inner).take();
        kept.filter(|(until, _)| *until == since).map(|(_, memory)| memory).unwrap_or_default()
    }

    fn keep(&self, until: Moment, memory: Memory) {
        let kept = memory.is_bearable().then_some((until, memory));
        *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = kept;
    }
}

/// The hash with the last event that changed who receives.
const RULED: &str = "ruled";

async fn read_ruled(tx: &mut RedisTx) -> Result<Position, StoreError> {
    let ruled: Vec<Option<u64>> = tx.read([command("HGET", &tx.key(RULED), VERSION)]).await?;
    Ok(Position(ruled.into_iter().flatten().next().unwrap_or_default()))
}

/// How much people wrote of an event; the rest is small.
fn content_bytes(event: &Event) -> usize {
    let options = |options: Option<&RawValue>| options.map_or(0, |raw| raw.get().len());
    match event {
        Event::Chat(ChatEvent::Sent(sent)) => sent.data.len() + options(sent.options.as_deref()),
        Event::GroupChat(GroupChatEvent::Sent(sent)) => {
            sent.data.len() + options(sent.options.as_deref())
        }
        _ => 0,
    }
}

fn touched(recorded: &Recorded<Event>) -> Vec<UserId> {
    match (&recorded.event, recorded.subject) {
        (Event::Session(_), Subject::Session(user)) => vec![user],
        (Event::Chat(ChatEvent::Sent(sent)), _) => vec![sent.to.id],
        (Event::Chat(ChatEvent::Revoked(revocation)), _) => vec![revocation.to.id],
        (Event::Friendship(_), Subject::Friendship(pair)) => vec![pair.lo(), pair.hi()],
        _ => Vec::new(),
    }
}
