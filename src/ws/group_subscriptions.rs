//! What is said in large groups, on its way to the sockets of their members here (ADR 0011): one subscription per
//! group with a socket, one frame for all of them.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::extract::ws::Utf8Bytes;
use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::time::timeout;

use super::{
    mailbox::Mailbox,
    registry::{Entry, Order, order_push},
};
use crate::{
    adapters::nats::{
        push::{SaidPush, want_group},
        subscriptions::{Deaf, Interest, Wanted},
    },
    events::{ConnectionId, GroupId, Position},
    executor::Executor,
};

/// How long what is said waits until this node knows whose sockets are whose.
const PATIENCE: Duration = Duration::from_millis(200);

/// Who hears what is said in which group.
#[derive(Clone)]
pub struct Lanes {
    interest: Interest,
    groups: Arc<Mutex<HashMap<GroupId, Hearers>>>,
    /// Had this node not heard in time of what came before a push?
    behind: Arc<AtomicBool>,
}

struct Hearers {
    /// The last position that was heard of.
    heard: Position,
    sockets: HashMap<ConnectionId, Arc<Mailbox<Order>>>,
    _wanted: Wanted,
}

/// What was said, as a socket hears it.
#[derive(Debug)]
pub struct Said {
    /// Where and by whom.
    pub push: SaidPush,
    /// The frame; none if the socket has to look by itself.
    pub frame: Option<Utf8Bytes>,
}

/// A socket's place among the hearers of a group, given back when it is dropped.
pub struct Attached {
    groups: Arc<Mutex<HashMap<GroupId, Hearers>>>,
    group: GroupId,
    connection: ConnectionId,
}

impl Lanes {
    /// Of a node that hears what it has an interest in.
    pub fn new(interest: Interest) -> Self {
        Self { interest, groups: Arc::default(), behind: Arc::default() }
    }

    /// From now on the socket hears what is said in these groups.
    ///
    /// # Errors
    /// There is no server.
    pub(super) async fn attach(
        &self,
        groups: impl IntoIterator<Item = GroupId>,
        entry: &Entry,
    ) -> Result<Vec<Attached>, Deaf> {
        let attached = groups.into_iter().map(|group| self.join(group, entry)).collect();
        // Also if others have subscribed: that may be on its way yet.
        self.interest.prove().await?;
        Ok(attached)
    }

    fn join(&self, group: GroupId, entry: &Entry) -> Attached {
        let mut groups = lock(&self.groups);
        let nobody = || Hearers {
            heard: Position(0),
            sockets: HashMap::new(),
            _wanted: want_group(&self.interest, group),
        };
        let hearers = groups.entry(group).or_insert_with(nobody);
        hearers.sockets.insert(entry.connection, Arc::clone(&entry.orders));
        let connection = entry.connection;
        Attached { groups: Arc::clone(&self.groups), group, connection }
    }

    /// Tells all who hear it. Not before this node knows whose sockets they are, and who has left: then they have been
    /// told that before.
    pub async fn tell(&self, executor: &Executor, push: SaidPush, frame: Bytes) {
        let frame = Some(frame).filter(|frame| !frame.is_empty());
        let seen = executor.seen_here(push.ruled);
        // Whoever hands on pushes waits here, but not for a node that is behind: its sockets look.
        let knows = if self.behind.load(Ordering::Relaxed) {
            seen.now_or_never() == Some(true)
        } else {
            timeout(PATIENCE, seen).await == Ok(true)
        };
        self.behind.store(!knows, Ordering::Relaxed);
        let frame = frame.filter(|_| knows).and_then(|frame| Utf8Bytes::try_from(frame).ok());
        let mut groups = lock(&self.groups);
        let Some(hearers) = groups.get_mut(&push.group) else { return };
        hearers.heard = push.position;
        let said = Arc::new(Said { push, frame });
        for socket in hearers.sockets.values() {
            order_push(socket, Order::Hear(Arc::clone(&said)));
        }
    }

    /// What was said in a group up to this position was pushed.
    pub fn pushed(&self, group: GroupId, position: Position) {
        let groups = lock(&self.groups);
        let Some(hearers) = groups.get(&group).filter(|hearers| hearers.heard < position) else {
            return;
        };
        for socket in hearers.sockets.values() {
            socket.put(Order::SaidBefore(group, position));
        }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let mut groups = lock(&self.groups);
        let Some(hearers) = groups.get_mut(&self.group) else { return };
        hearers.sockets.remove(&self.connection);
        if hearers.sockets.is_empty() {
            groups.remove(&self.group);
        }
    }
}

fn lock(groups: &Mutex<HashMap<GroupId, Hearers>>) -> MutexGuard<'_, HashMap<GroupId, Hearers>> {
    groups.lock().unwrap_or_else(PoisonError::into_inner)
}
