//! What each user has not received yet, in order (DESIGN §6). In Redis.
//!
//! Every message for a user enters his queue with a number of his own, whether he is online or not, and leaves when it
//! was written to a socket. What is said to all of a large group enters the group's timeline instead, once, and each
//! member's lane says what of it he has not received (ADR 0011). Entries after the one at which a socket opened are its
//! to receive live; those before wait for a drain. The two sets never meet.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    adapters::push::{Pushes, SaidPush},
    clock,
    events::{ChatEvent, ConnectionId, Event, Position, Recorded, Subject, UserId},
};

use super::{
    Projection, StoreError,
    in_redis::{InRedis, RedisTx, VERSION, command},
    message_object,
    offline_groups::{Groups, Known},
    offline_heads::Heads,
    offline_lanes::Lanes,
    offline_work::Work,
};

/// A group with more members than this is large. It is part of what numbers in the log's delivery reports mean, so it
/// cannot change.
pub const LARGE: usize = 500;

/// The read model.
pub struct OfflineQueue {
    pushes: Pushes,
    large: usize,
    known: Known,
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
        Self::with_large(pushes, LARGE)
    }

    /// The same with another idea of what is large, for tests.
    pub fn with_large(pushes: Pushes, large: usize) -> Self {
        Self { pushes, large, known: Known::default() }
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
        let is_of_group = |(_, event): &(usize, &Recorded<Event>)| {
            matches!(event.subject, Subject::Group(_) | Subject::GroupChat(_))
        };
        let beyond = events.iter().enumerate().filter(is_of_group).nth(OF_GROUPS);
        beyond.map_or(events.len(), |(at, _)| at)
    }

    async fn apply(
        &self,
        tx: &mut RedisTx,
        batch: &[Recorded<Event>],
    ) -> Result<Vec<Waiting>, StoreError> {
        let groups = Groups::load(tx, &self.known, batch).await?;
        let mut heads = Heads::default();
        let users = groups.users(batch, self.large);
        heads.load(tx, batch.iter().flat_map(touched).chain(users)).await?;
        let key = tx.key("ruled");
        let ruled: Vec<Option<u64>> = tx.read([command("HGET", &key, VERSION)]).await?;
        let ruled = Position(ruled.into_iter().flatten().next().unwrap_or_default());
        let (lanes, waiting) = (Lanes::default(), Vec::new());
        let mut work = Work { tx, large: self.large, groups, heads, lanes, ruled, waiting };
        for recorded in batch {
            work.take(recorded).await?;
        }
        work.tx.run(&command("HSET", &key, (VERSION, work.ruled.0)));
        work.groups.store(work.tx, &self.known);
        work.heads.store(work.tx);
        work.lanes.store(work.tx);
        Ok(work.waiting)
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
                    self.pushes.frame(user, number, connection, frame).await;
                }
                Waiting::Timeline(said, _) => self.pushes.said(&said, frame).await,
            }
        }
    }

    /// Nothing was pushed while catching up: sockets look into their queues themselves.
    async fn caught_up(&self) {
        self.pushes.resync().await;
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
