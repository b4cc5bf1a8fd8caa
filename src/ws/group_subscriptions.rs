//! Group subscriptions: pushes of large groups, on their way to the connections of members here (ADR 0011): one
//! subscription per group with a connection, one frame for all of them.

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
    connection_command::{ConnectionCommand, GroupFrame, push_command},
    mailbox::Mailbox,
    registry::Registration,
};
use crate::{
    adapters::nats::{
        push::{GroupPush, subscribe_group},
        subscriptions::{NotConnected, Subscription, Subscriptions},
    },
    events::{ConnectionId, GroupId, Position},
    executor::Executor,
    telemetry::metrics::Timer,
};

/// How long what is pushed waits until this node knows whose connections are whose.
const PATIENCE: Duration = Duration::from_millis(200);

/// Who hears what is pushed in which group.
#[derive(Clone)]
pub struct GroupSubscriptions {
    subscriptions: Subscriptions,
    groups: Arc<Mutex<HashMap<GroupId, GroupSubscribers>>>,
    /// Had this node not heard in time of what came before a push?
    lags: Arc<AtomicBool>,
}

struct GroupSubscribers {
    /// The last position that was heard of.
    heard: Position,
    sockets: HashMap<ConnectionId, Arc<Mailbox<ConnectionCommand>>>,
    _wanted: Subscription,
}

/// A connection's place among the hearers of a group, given back when it is dropped.
pub struct GroupSubscription {
    groups: Arc<Mutex<HashMap<GroupId, GroupSubscribers>>>,
    group: GroupId,
    connection: ConnectionId,
}

impl GroupSubscriptions {
    /// Of a node that hears what it has an interest in.
    pub fn new(subscriptions: Subscriptions) -> Self {
        Self { subscriptions, groups: Arc::default(), lags: Arc::default() }
    }

    /// From now on the connection hears what is pushed in these groups.
    ///
    /// # Errors
    /// There is no server.
    pub(super) async fn subscribe(
        &self,
        groups: impl IntoIterator<Item = GroupId>,
        registration: &Registration,
    ) -> Result<Vec<GroupSubscription>, NotConnected> {
        let subscriptions =
            groups.into_iter().map(|group| self.join(group, registration)).collect();
        // Also if others have subscribed: that may be on its way yet.
        self.subscriptions.confirm().await?;
        Ok(subscriptions)
    }

    fn join(&self, group: GroupId, registration: &Registration) -> GroupSubscription {
        let mut groups = lock(&self.groups);
        let nobody = || GroupSubscribers {
            heard: Position(0),
            sockets: HashMap::new(),
            _wanted: subscribe_group(&self.subscriptions, group),
        };
        let subscribers = groups.entry(group).or_insert_with(nobody);
        subscribers.sockets.insert(registration.connection, Arc::clone(&registration.commands));
        let connection = registration.connection;
        GroupSubscription { groups: Arc::clone(&self.groups), group, connection }
    }

    /// Tells all who hear it. Not before this node knows whose connections they are, and who has left: then they have
    /// been told that before.
    pub async fn deliver(&self, executor: &Executor, push: GroupPush, frame: Bytes, timer: Timer) {
        let frame = Some(frame).filter(|frame| !frame.is_empty());
        let seen = executor.applied(push.audience_version);
        // Whoever hands on pushes waits here, but not for a node that is behind: its connections refetch.
        let knows = if self.lags.load(Ordering::Relaxed) {
            seen.now_or_never().is_some()
        } else {
            timeout(PATIENCE, seen).await.is_ok()
        };
        self.lags.store(!knows, Ordering::Relaxed);
        let frame = frame.filter(|_| knows).and_then(|frame| Utf8Bytes::try_from(frame).ok());
        let mut groups = lock(&self.groups);
        let Some(subscribers) = groups.get_mut(&push.group) else { return };
        subscribers.heard = push.position;
        let pushed = Arc::new(GroupFrame { push, frame, _timer: timer });
        for socket in subscribers.sockets.values() {
            push_command(socket, ConnectionCommand::GroupPush(Arc::clone(&pushed)));
        }
    }

    /// What was pushed in a group up to this position was pushed.
    pub fn on_timeline_watermark(&self, group: GroupId, position: Position) {
        let groups = lock(&self.groups);
        let Some(subscribers) =
            groups.get(&group).filter(|subscribers| subscribers.heard < position)
        else {
            return;
        };
        for socket in subscribers.sockets.values() {
            socket.put(ConnectionCommand::TimelineWatermark(group, position));
        }
    }
}

impl Drop for GroupSubscription {
    fn drop(&mut self) {
        let mut groups = lock(&self.groups);
        let Some(subscribers) = groups.get_mut(&self.group) else { return };
        subscribers.sockets.remove(&self.connection);
        if subscribers.sockets.is_empty() {
            groups.remove(&self.group);
        }
    }
}

fn lock(
    groups: &Mutex<HashMap<GroupId, GroupSubscribers>>,
) -> MutexGuard<'_, HashMap<GroupId, GroupSubscribers>> {
    groups.lock().unwrap_or_else(PoisonError::into_inner)
}
