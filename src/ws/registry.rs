//! The connection registry: the connections of this gateway, and what happens to them elsewhere.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{
    sync::{Notify, oneshot},
    time::sleep,
};
use tokio_util::task::TaskTracker;

use bytes::Bytes;

use super::{
    connection_command::{ConnectionCommand, push_command},
    delivery_acks::DeliveryAcks,
    disconnect_reporter::DisconnectReporter,
    mailbox::Mailbox,
};
use crate::{
    adapters::nats::{
        log_error::LogError,
        push::{QueuePush, subscribe_user},
        subscriptions::{Subscription, Subscriptions},
    },
    clock,
    events::{
        ConnectionId, DisconnectReason, Event, GroupEvent, Position, Recorded, SessionEvent,
        TokenId, UserEvent, UserId, UserSummary,
    },
    executor::{Executor, connections::Disconnect},
    telemetry::metrics::Timer,
};

/// After a missed push so many users' connections refetch at once, and then the next: 6,400 in a second.
const REFETCHED_AT_ONCE: usize = 64;
const REFETCH_PAUSE: Duration = Duration::from_millis(10);

/// The connections of this node.
pub struct ConnectionRegistry {
    sockets: Mutex<Registered>,
    /// Their tasks.
    pub(super) tasks: TaskTracker,
    delivery_acks: DeliveryAcks,
    subscriptions: Subscriptions,
    disconnects: DisconnectReporter,
    /// Rung when pushes may have been missed.
    pushes_missed: Notify,
    most_per_user: usize,
}

/// The users with connections, until the node stops.
#[derive(Default)]
struct Registered {
    users: HashMap<UserId, Vec<Handle>>,
    closed: bool,
}

struct Handle {
    connection: ConnectionId,
    token: TokenId,
    stage: Stage,
    /// The last number that was pushed to it.
    pushed: u64,
    /// It was told to end, for there were too many.
    is_evicted: bool,
    commands: Arc<Mailbox<ConnectionCommand>>,
}

/// Where a connection is in its life, as the log tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its `connected` event has not come by: what has concerns older connections.
    Opening,
    /// It is, or was, the account's connection.
    Open,
    /// Another has taken over.
    Superseded,
}

/// A connection's place in the registry, given back when the connection ends.
pub(super) struct Registration {
    registry: Arc<ConnectionRegistry>,
    user: UserId,
    /// Its name in the log.
    pub(super) connection: ConnectionId,
    /// What the registry tells it.
    pub(super) commands: Arc<Mailbox<ConnectionCommand>>,
    /// What is pushed to the user is for this connection, too.
    subscription: Option<Subscription>,
}

impl Registration {
    /// What is pushed is not for it.
    pub(super) fn unsubscribe(&mut self) {
        self.subscription = None;
    }

    /// The connection, of which the log knows, has ended.
    pub(super) fn end(&self, reason: DisconnectReason) {
        self.registry.disconnects.report(Disconnect {
            user: self.user,
            connection: self.connection,
            reason,
        });
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut sockets = self.registry.lock();
        if let Some(handles) = sockets.users.get_mut(&self.user) {
            handles.retain(|handle| handle.connection != self.connection);
            if handles.is_empty() {
                sockets.users.remove(&self.user);
            }
        }
        drop(sockets);
        self.registry.disconnects.changed(); // who waits for the last one looks again
    }
}

impl ConnectionRegistry {
    /// With at most `most_per_user` connections per user; run the returned future.
    pub fn start(
        executor: Executor,
        delivery_acks: DeliveryAcks,
        subscriptions: Subscriptions,
        most_per_user: usize,
    ) -> (Arc<Self>, impl Future<Output = ()> + Send + 'static) {
        let (disconnects, report) = DisconnectReporter::start(executor, delivery_acks.clone());
        let registry = Self {
            sockets: Mutex::default(),
            tasks: TaskTracker::new(),
            delivery_acks,
            subscriptions,
            disconnects,
            pushes_missed: Notify::new(),
            most_per_user: most_per_user.max(1),
        };
        (Arc::new(registry), report)
    }

    /// Adds a connection that is about to be told to the log. Drops the user's oldest if they have too many.
    pub(super) fn register(self: &Arc<Self>, user: UserId, token: TokenId) -> Registration {
        let connection = ConnectionId(clock::random_id());
        let subscription = subscribe_user(&self.subscriptions, user);
        let commands = Arc::new(Mailbox::new());
        let mut sockets = self.lock();
        let closed = sockets.closed;
        let handles = sockets.users.entry(user).or_default();
        if closed {
            commands.put(ConnectionCommand::Abort(DisconnectReason::Shutdown));
        }
        // One that is blocked in a write takes a while to end: it does not count, and the next one is not spared for it.
        let kept = handles.iter().filter(|handle| !handle.is_evicted).count();
        if kept >= self.most_per_user
            && let Some(oldest) = handles.iter_mut().find(|handle| !handle.is_evicted)
        {
            oldest.is_evicted = true;
            oldest.send(ConnectionCommand::Abort(DisconnectReason::TooMany));
        }
        let stage = Stage::Opening;
        handles.push(Handle {
            connection,
            token,
            stage,
            pushed: 0,
            is_evicted: false,
            commands: Arc::clone(&commands),
        });
        Registration {
            registry: Arc::clone(self),
            user,
            connection,
            commands,
            subscription: Some(subscription),
        }
    }

    /// Hands an entry of a user's queue to the connection that it is for.
    pub fn push(&self, push: QueuePush, frame: Bytes, timer: Timer) {
        let mut sockets = self.lock();
        let mut handles = sockets.users.get_mut(&push.user).into_iter().flatten();
        if let Some(handle) = handles.find(|handle| handle.connection == push.connection) {
            handle.pushed = push.number;
            push_command(&handle.commands, ConnectionCommand::QueuePush(push, frame, timer));
        }
    }

    /// Is the connection here?
    pub fn has(&self, user: UserId, connection: ConnectionId) -> bool {
        let sockets = self.lock();
        let mut handles = sockets.users.get(&user).into_iter().flatten();
        handles.any(|handle| handle.connection == connection)
    }

    /// Up to this number everything was pushed to the user, wherever their connection is.
    pub fn on_queue_watermark(&self, user: UserId, number: u64) {
        let sockets = self.lock();
        let handles = sockets.users.get(&user).into_iter().flatten();
        let behind = handles.filter(|handle| handle.pushed < number);
        behind.for_each(|handle| handle.send(ConnectionCommand::QueueWatermark(number)));
    }

    /// Tells the user's connections that are not superseded to drain the queue; `false` if they have none here. Of
    /// those that are opening the log decides which receives, in whatever order they came here; the others drain
    /// nothing.
    pub fn drain(&self, user: UserId) -> bool {
        let sockets = self.lock();
        let handles = sockets.users.get(&user).into_iter().flatten();
        let current = handles.filter(|handle| handle.stage != Stage::Superseded);
        current.map(|handle| handle.send(ConnectionCommand::Drain)).count() > 0
    }

    /// Takes in what happened anywhere.
    pub fn on_event(&self, recorded: &Recorded<Event>) {
        let mut sockets = self.lock();
        let users = &mut sockets.users;
        match &recorded.event {
            Event::Session(user, event) => {
                if let Some(handles) = users.get_mut(user) {
                    on_session_event(handles, event);
                }
            }
            Event::User(user, UserEvent::Disabled | UserEvent::Deleted) => {
                for handle in users.get(user).into_iter().flatten() {
                    handle.send(ConnectionCommand::Close);
                }
            }
            Event::Group(group, event) => {
                let (GroupEvent::Left { by: UserSummary { id: user, .. }, .. }
                | GroupEvent::MemberRemoved { user, .. }) = event
                else {
                    return;
                };
                for handle in users.get(user).into_iter().flatten() {
                    handle.send(ConnectionCommand::LeftGroup(*group, recorded.position));
                }
            }
            _ => {}
        }
    }

    /// Tells every connection that events up to `position` may have been missed.
    pub fn on_missed_events(&self, position: Position) {
        self.to_all(|| ConnectionCommand::EventsMissed(position));
        self.refetch_all();
    }

    /// Waits until the user's superseded connections have written their last, and tells the log what
    /// they have received; answers where that is. Then another connection may have the rest.
    ///
    /// # Errors
    /// The log cannot be reached.
    pub async fn hand_over(&self, user: UserId) -> Result<Position, LogError> {
        let waits: Vec<_> = {
            let sockets = self.lock();
            let handles = sockets.users.get(&user).into_iter().flatten();
            let superseded = handles.filter(|handle| handle.stage == Stage::Superseded);
            superseded
                .map(|handle| {
                    let (done, wait) = oneshot::channel();
                    handle.send(ConnectionCommand::HandOver(done));
                    wait
                })
                .collect()
        };
        // A connection that is blocked in a write answers when it is dropped for that.
        _ = join_all(waits).await;
        self.delivery_acks.flush().await
    }

    /// Pushes may have been missed: all connections will refetch.
    pub fn refetch_all(&self) {
        self.pushes_missed.notify_one(); // kept, if that goes on already
    }

    /// Tells all connections to refetch whenever pushes may have been missed, for ever: a few at a time, since each
    /// asks Redis, which others need as well.
    pub async fn spread_refetches(&self) {
        loop {
            self.pushes_missed.notified().await;
            let users: Vec<UserId> = self.lock().users.keys().copied().collect();
            for some in users.chunks(REFETCHED_AT_ONCE) {
                {
                    let sockets = self.lock();
                    let handles = some.iter().filter_map(|user| sockets.users.get(user)).flatten();
                    handles.for_each(|handle| handle.send(ConnectionCommand::Refetch));
                }
                sleep(REFETCH_PAUSE).await;
            }
        }
    }

    /// Ends every connection without a close frame (ws.md §7.7), and returns when the log knows.
    pub async fn shut_down(&self) {
        self.lock().closed = true;
        self.to_all(|| ConnectionCommand::Abort(DisconnectReason::Shutdown));
        self.disconnects.all_reported(|| self.count() == 0).await;
    }

    /// How many connections are open.
    pub fn count(&self) -> usize {
        self.lock().users.values().map(Vec::len).sum()
    }

    fn to_all(&self, command: impl Fn() -> ConnectionCommand) {
        self.lock().users.values().flatten().for_each(|handle| handle.send(command()));
    }

    fn lock(&self) -> MutexGuard<'_, Registered> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn on_session_event(handles: &mut [Handle], event: &SessionEvent) {
    match *event {
        SessionEvent::Connected { connection, role, .. } => {
            for handle in handles {
                if handle.connection == connection {
                    handle.stage = Stage::Open;
                } else if handle.stage == Stage::Open {
                    handle.stage = Stage::Superseded;
                    handle.send(ConnectionCommand::Superseded(role));
                }
            }
        }
        SessionEvent::LoggedOut { token } => {
            let of_token = handles.iter().filter(|handle| handle.token == token);
            of_token.for_each(|handle| handle.send(ConnectionCommand::Mute));
        }
        SessionEvent::Revoked { kept, .. } => {
            let ended = handles.iter().filter(|handle| Some(handle.token) != kept);
            ended.for_each(|handle| handle.send(ConnectionCommand::Mute));
        }
        // Another node declared this one lost: its users' queues fill while the connections live on,
        // so the connections must go and come back.
        SessionEvent::Disconnected { connection, reason: DisconnectReason::NodeLost } => {
            let ours = handles.iter().filter(|handle| handle.connection == connection);
            ours.for_each(|handle| {
                handle.send(ConnectionCommand::Abort(DisconnectReason::NodeLost));
            });
        }
        SessionEvent::Disconnected { .. } | SessionEvent::LoggedIn { .. } => {}
    }
}

impl Handle {
    fn send(&self, command: ConnectionCommand) {
        // The connection may have ended just now.
        if command.is_final() {
            self.commands.put_final(command);
        } else {
            self.commands.put(command);
        }
    }
}
