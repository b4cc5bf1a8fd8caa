//! Who hears what on this node: the sockets that are open here, and what happens to them elsewhere.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    time::sleep,
};
use tokio_util::task::TaskTracker;
use tracing::warn;

use bytes::Bytes;

use super::{delivery_acks::Deliveries, group_subscriptions::Said, mailbox::Mailbox};
use crate::{
    adapters::nats::{
        event_log::{EventLog, Expect, LogError, NewEvent},
        push::want_user,
        subscriptions::{Interest, Wanted},
    },
    clock,
    events::{
        Cause, ConnectionId, DisconnectReason, Event, GroupEvent, GroupId, Person, Position,
        Recorded, Role, SessionEvent, Subject, TokenId, UserEvent, UserId,
    },
};

/// After a missed push so many users' sockets look at once, and then the next: 6,400 in a second.
const RESYNCED_AT_ONCE: usize = 64;
const RESYNC_PAUSE: Duration = Duration::from_millis(10);

/// The sockets of this node.
pub struct Hub {
    sockets: Mutex<Sockets>,
    /// Their tasks.
    pub(super) tasks: TaskTracker,
    deliveries: Deliveries,
    interest: Interest,
    endings: mpsc::UnboundedSender<Ending>,
    /// Ends that the log has not been told yet.
    untold: watch::Sender<usize>,
    /// Rung when pushes may have been missed.
    missed: Notify,
    most_per_user: usize,
}

/// The users with sockets, until the node stops.
#[derive(Default)]
struct Sockets {
    users: HashMap<UserId, Vec<Handle>>,
    closed: bool,
}

struct Handle {
    connection: ConnectionId,
    token: TokenId,
    stage: Stage,
    /// The last number that was pushed to it.
    pushed: u64,
    orders: Arc<Mailbox<Order>>,
}

/// Where a socket is in its life, as the log tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its `connected` event has not come by: what has concerns older sockets.
    Opening,
    /// It is, or was, the account's socket.
    Open,
    /// Another has taken over.
    Superseded,
}

/// A socket's place in the hub, given back when the socket ends.
pub(super) struct Entry {
    hub: Arc<Hub>,
    user: UserId,
    /// Its name in the log.
    pub(super) connection: ConnectionId,
    /// What the hub tells it.
    pub(super) orders: Arc<Mailbox<Order>>,
    /// What is pushed to the user is for this socket, too.
    wanted: Option<Wanted>,
}

impl Entry {
    /// Another socket has what is pushed.
    pub(super) fn stop(&mut self) {
        self.wanted = None;
    }

    /// The socket, of which the log knows, has ended.
    pub(super) fn end(&self, reason: DisconnectReason) {
        self.hub.untold.send_modify(|count| *count += 1);
        let (user, connection) = (self.user, self.connection);
        _ = self.hub.endings.send(Ending { user, connection, reason });
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut sockets = self.hub.lock();
        if let Some(handles) = sockets.users.get_mut(&self.user) {
            handles.retain(|handle| handle.connection != self.connection);
            if handles.is_empty() {
                sockets.users.remove(&self.user);
            }
        }
        drop(sockets);
        self.hub.untold.send_modify(|_| {}); // who waits for the last one looks again
    }
}

/// What the hub tells a socket.
#[derive(Debug)]
pub(super) enum Order {
    /// A newer socket of the account, with a token of this role, took over (ws.md §5).
    Superseded(Role),
    /// Deliver nothing more; say so when the last write is done.
    Yield(oneshot::Sender<()>),
    /// The token was logged out (DEV-30), or taken back.
    Silence,
    /// An entry of the queue; an empty frame says that there is something to look for.
    Push(u64, Bytes),
    /// Deliver what waits from before the socket opened.
    Drain,
    /// Pushes may have been missed.
    Resync,
    /// Pushes of the queue up to this number may have been missed.
    Pushed(u64),
    /// A push of what was said in a large group may have been missed.
    SaidBefore(GroupId, Position),
    /// Events up to this one may have been missed.
    Doubt(Position),
    /// The user has left a group.
    Left(GroupId, Position),
    /// Something was said in a large group.
    Hear(Arc<Said>),
    /// The account was disabled: a close frame is right here (ws.md §7.7).
    Close,
    /// End without a close frame.
    Drop(DisconnectReason),
}

impl Order {
    /// Is what the socket would still deliver for another one, or for none?
    fn is_last(&self) -> bool {
        matches!(
            self,
            Self::Superseded(_) | Self::Yield(_) | Self::Silence | Self::Close | Self::Drop(_)
        )
    }
}

/// A socket that ended, to be told to the log.
struct Ending {
    user: UserId,
    connection: ConnectionId,
    reason: DisconnectReason,
}

impl Hub {
    /// With at most `most_per_user` sockets per user; run the returned future.
    pub fn start(
        log: EventLog,
        deliveries: Deliveries,
        interest: Interest,
        most_per_user: usize,
    ) -> (Arc<Self>, impl Future<Output = ()> + Send + 'static) {
        let (endings, ended) = mpsc::unbounded_channel();
        let untold = watch::channel(0).0;
        let hub = Self {
            sockets: Mutex::default(),
            tasks: TaskTracker::new(),
            deliveries: deliveries.clone(),
            interest,
            endings,
            untold: untold.clone(),
            missed: Notify::new(),
            most_per_user: most_per_user.max(1),
        };
        (Arc::new(hub), tell_endings(log, deliveries, ended, untold))
    }

    /// Adds a socket that is about to be told to the log. Drops the user's oldest if he has too many.
    pub(super) fn enter(self: &Arc<Self>, user: UserId, token: TokenId) -> Entry {
        let connection = ConnectionId(clock::random_id());
        let wanted = want_user(&self.interest, user);
        let orders = Arc::new(Mailbox::new());
        let mut sockets = self.lock();
        let closed = sockets.closed;
        let handles = sockets.users.entry(user).or_default();
        if closed {
            orders.put(Order::Drop(DisconnectReason::Shutdown));
        }
        if handles.len() >= self.most_per_user {
            handles[0].order(Order::Drop(DisconnectReason::TooMany));
        }
        let stage = Stage::Opening;
        handles.push(Handle { connection, token, stage, pushed: 0, orders: Arc::clone(&orders) });
        Entry { hub: Arc::clone(self), user, connection, orders, wanted: Some(wanted) }
    }

    /// Hands an entry of a user's queue to the socket that it is for.
    pub fn push(&self, user: UserId, connection: ConnectionId, number: u64, frame: Bytes) {
        let mut sockets = self.lock();
        let mut handles = sockets.users.get_mut(&user).into_iter().flatten();
        if let Some(handle) = handles.find(|handle| handle.connection == connection) {
            handle.pushed = number;
            order_push(&handle.orders, Order::Push(number, frame));
        }
    }

    /// Is the socket here?
    pub fn has(&self, user: UserId, connection: ConnectionId) -> bool {
        let sockets = self.lock();
        let mut handles = sockets.users.get(&user).into_iter().flatten();
        handles.any(|handle| handle.connection == connection)
    }

    /// Up to this number everything was pushed to the user, wherever his socket is.
    pub fn pushed(&self, user: UserId, number: u64) {
        let sockets = self.lock();
        let handles = sockets.users.get(&user).into_iter().flatten();
        let behind = handles.filter(|handle| handle.pushed < number);
        behind.for_each(|handle| handle.order(Order::Pushed(number)));
    }

    /// Tells the user's sockets that are not superseded to drain the queue; `false` if they have none here. Of those that
    /// are opening the log decides which receives, in whatever order they came here; the others drain nothing.
    pub fn drain(&self, user: UserId) -> bool {
        let sockets = self.lock();
        let handles = sockets.users.get(&user).into_iter().flatten();
        let current = handles.filter(|handle| handle.stage != Stage::Superseded);
        current.map(|handle| handle.order(Order::Drain)).count() > 0
    }

    /// Takes in what happened anywhere.
    pub fn observe(&self, recorded: &Recorded<Event>) {
        let mut sockets = self.lock();
        let users = &mut sockets.users;
        match (&recorded.event, recorded.subject) {
            (Event::Session(event), Subject::Session(user)) => {
                if let Some(handles) = users.get_mut(&user) {
                    observe_session(handles, event);
                }
            }
            (Event::User(UserEvent::Disabled), Subject::User(user)) => {
                for handle in users.get(&user).into_iter().flatten() {
                    handle.order(Order::Close);
                }
            }
            (Event::Group(event), Subject::Group(group)) => {
                let (GroupEvent::Left { by: Person { id: user, .. }, .. }
                | GroupEvent::MemberRemoved { user, .. }) = event
                else {
                    return;
                };
                for handle in users.get(user).into_iter().flatten() {
                    handle.order(Order::Left(group, recorded.position));
                }
            }
            _ => {}
        }
    }

    /// Tells every socket that events up to `position` may have been missed.
    pub fn doubt(&self, position: Position) {
        self.to_all(|| Order::Doubt(position));
        self.resync();
    }

    /// Waits until the user's superseded sockets have written their last, and tells the log what
    /// they have received; answers where that is. Then another socket may have the rest.
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
                    handle.order(Order::Yield(done));
                    wait
                })
                .collect()
        };
        // A socket that is blocked in a write answers when it is dropped for that.
        _ = join_all(waits).await;
        self.deliveries.flush().await
    }

    /// Pushes may have been missed: all sockets will look.
    pub fn resync(&self) {
        self.missed.notify_one(); // kept, if that goes on already
    }

    /// Tells all sockets to look whenever pushes may have been missed, for ever: a few at a time, since each asks Redis,
    /// which others need as well.
    pub async fn spread_resyncs(&self) {
        loop {
            self.missed.notified().await;
            let users: Vec<UserId> = self.lock().users.keys().copied().collect();
            for some in users.chunks(RESYNCED_AT_ONCE) {
                {
                    let sockets = self.lock();
                    let handles = some.iter().filter_map(|user| sockets.users.get(user)).flatten();
                    handles.for_each(|handle| handle.order(Order::Resync));
                }
                sleep(RESYNC_PAUSE).await;
            }
        }
    }

    /// Ends every socket without a close frame (ws.md §7.7), and returns when the log knows.
    pub async fn shut_down(&self) {
        self.lock().closed = true;
        self.to_all(|| Order::Drop(DisconnectReason::Shutdown));
        let mut untold = self.untold.subscribe();
        while self.count() > 0 || *untold.borrow_and_update() > 0 {
            if untold.changed().await.is_err() {
                return;
            }
        }
    }

    /// How many sockets are open.
    pub fn count(&self) -> usize {
        self.lock().users.values().map(Vec::len).sum()
    }

    fn to_all(&self, order: impl Fn() -> Order) {
        self.lock().users.values().flatten().for_each(|handle| handle.order(order()));
    }

    fn lock(&self) -> MutexGuard<'_, Sockets> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn observe_session(handles: &mut [Handle], event: &SessionEvent) {
    match *event {
        SessionEvent::Connected { connection, role, .. } => {
            for handle in handles {
                if handle.connection == connection {
                    handle.stage = Stage::Open;
                } else if handle.stage == Stage::Open {
                    handle.stage = Stage::Superseded;
                    handle.order(Order::Superseded(role));
                }
            }
        }
        SessionEvent::LoggedOut { token } => {
            let of_token = handles.iter().filter(|handle| handle.token == token);
            of_token.for_each(|handle| handle.order(Order::Silence));
        }
        SessionEvent::Revoked { kept, .. } => {
            let ended = handles.iter().filter(|handle| Some(handle.token) != kept);
            ended.for_each(|handle| handle.order(Order::Silence));
        }
        // Another node declared this one lost: its users' queues fill while the sockets live on,
        // so the sockets must go and come back.
        SessionEvent::Disconnected { connection, reason: DisconnectReason::NodeLost } => {
            let ours = handles.iter().filter(|handle| handle.connection == connection);
            ours.for_each(|handle| handle.order(Order::Drop(DisconnectReason::NodeLost)));
        }
        SessionEvent::Disconnected { .. } | SessionEvent::LoggedIn { .. } => {}
    }
}

impl Handle {
    fn order(&self, order: Order) {
        // The socket may have ended just now.
        if order.is_last() {
            self.orders.put_last(order);
        } else {
            self.orders.put(order);
        }
    }
}

/// With more orders waiting, pushes are left out, and the socket looks by itself.
const MOST_WAITING: usize = 1024;

/// Tells a socket of a push.
pub(super) fn order_push(orders: &Mailbox<Order>, push: Order) {
    orders.put_if_room(push, MOST_WAITING, Order::Resync); // the socket may have ended just now
}

/// Tells the log which sockets ended, after what they had received, however long the log is away.
async fn tell_endings(
    log: EventLog,
    deliveries: Deliveries,
    mut ended: mpsc::UnboundedReceiver<Ending>,
    untold: watch::Sender<usize>,
) {
    let mut batch = Vec::new();
    while ended.recv_many(&mut batch, 256).await > 0 {
        while let Err(error) = deliveries.flush().await {
            warn!(%error, "ends of sockets cannot be told yet");
            sleep(Duration::from_millis(500)).await;
        }
        let count = batch.len();
        let told = batch.drain(..).map(|ending| tell(&log, ending));
        join_all(told).await;
        untold.send_modify(|left| *left -= count);
    }
}

async fn tell(log: &EventLog, Ending { user, connection, reason }: Ending) {
    let event = Event::Session(SessionEvent::Disconnected { connection, reason });
    let mut new = NewEvent::new(Subject::Session(user), event, Some(user), &Cause::own("socket"));
    while let Err(error) = log.append_unsynced(&mut new, Expect::Anything).await {
        warn!(%error, "the end of a socket cannot be told yet");
        sleep(Duration::from_millis(500)).await;
    }
}
