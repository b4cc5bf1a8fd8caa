//! One socket: one task, from the upgrade to its end (ws.md §1–§9).

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::extract::ws::{Utf8Bytes, WebSocket};
use bytes::Bytes;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tracing::{debug, warn};

use super::{
    delivery_state::{Arrival, Found, Inflow, Place},
    frame_sink::{Ended, Wire},
    frames::{self, HintsFor},
    group_subscriptions::Said,
    opening_order::OpeningTurn,
    registry::{Entry, Order},
    takeover::{Opening, RETRY, opening},
};
use crate::{
    adapters::{
        client_stream::ClientConnection,
        nats::event_log::{Expect, NewEvent},
        tokens::Claims,
    },
    app::App,
    clock,
    commands::{
        session::{Session, SessionCommand, SessionRejection, Socket},
        user::{Account, User},
    },
    events::{Cause, DisconnectReason, Event, Role, SessionEvent, Subject, UserId},
    executor::{CommandError, authority::Authority, authority::Unauthorized},
    projections::{address_book, group_roster, message_object},
};

const HEARTBEAT: Duration = Duration::from_secs(30);

/// How long an alert waits for the word that nobody wants it.
const ALERT: Duration = Duration::from_millis(300);

/// Somebody who may have a socket. He hears pushes already: a client that asks for its queue as soon
/// as the socket is open (rest.md §21) must not be earlier than we are.
pub struct Admitted {
    claims: Claims,
    pub(crate) account: Account,
    entry: Entry,
    turn: OpeningTurn,
    cause: Cause,
}

/// Why a socket is not admitted.
pub enum Refused {
    /// For good: an error frame and a close (ws.md §2).
    Text(&'static str),
    /// Something is down: dropped without a close frame, so that the client comes back.
    Later,
}

fn later(error: impl std::fmt::Display) -> Refused {
    warn!(%error, "a socket cannot be opened now");
    Refused::Later
}

/// The checks of ws.md §2, in their order.
///
/// # Errors
/// What the client is told.
pub async fn admit(app: &App, token: Option<&str>, cause: Cause) -> Result<Box<Admitted>, Refused> {
    let token = token.filter(|token| !token.is_empty()).ok_or(Refused::Text("缺少 token 参数"))?;
    let unlawful = Refused::Text("Token 不合法");
    let Some(claims) = app.tokens.read(token) else { return Err(unlawful) };
    let Some(claims) = app.current(claims).await.map_err(later)? else { return Err(unlawful) };
    let user = app.executor.state::<User>(claims.id).await.map_err(later)?;
    let account = match user.state.account() {
        None => return Err(Refused::Text("用户不存在")),
        Some(account) if account.disabled => return Err(Refused::Text("你已被管理员禁用")),
        Some(account) => account.clone(),
    };
    let turn = app.opening_turns.wait(account.id).await;
    let entry = app.hub.enter(account.id, claims.jti);
    app.interest.prove().await.map_err(later)?;
    Ok(Box::new(Admitted { claims, account, entry, turn, cause }))
}

/// Serves a socket to its end, in a task of its own. There may be a hundred thousand that say nothing, so a future that
/// is awaited only now and then is boxed: the task has room for the waiting and no more.
pub fn serve(
    app: App,
    socket: WebSocket,
    client: Arc<ClientConnection>,
    admitted: Result<Box<Admitted>, Refused>,
) {
    let mut wire = Box::new(Wire { socket, client, limit: app.config.write_timeout() });
    let tasks = app.hub.tasks.clone();
    tasks.spawn(async move {
        app.metrics.sockets.inc();
        let opened = match admitted {
            Ok(admitted) => Box::pin(open(&app, admitted)).await,
            Err(refused) => Err(refused),
        };
        match opened {
            Ok(Started { mut connected, account, opening }) => {
                let reason = match Box::pin(connected.greet(&app, account, &mut wire)).await {
                    Ok(()) => connected.pump(&app, opening, &mut wire).await,
                    Err(ended) => ended,
                };
                Box::pin(app.deliveries.settle(connected.entry.connection)).await;
                connected.entry.end(reason);
            }
            Err(Refused::Text(text)) => Box::pin(wire.refuse(text)).await,
            Err(Refused::Later) => {}
        }
        app.metrics.sockets.dec();
    });
}

/// A socket that has become its account's.
struct Started {
    connected: Box<Connected>,
    account: Box<Account>,
    opening: Opening,
}

/// The socket becomes the account's socket (ws.md §3).
async fn open(app: &App, admitted: Box<Admitted>) -> Result<Started, Refused> {
    let Admitted { claims, account, entry, turn: _turn, cause } = *admitted;
    let (user, connection, node) = (account.id, entry.connection, app.executor.node);
    let socket = Socket { connection, node, token: claims.jti, role: claims.role };
    let connect = SessionCommand::Connect(socket);
    let authority = Authority::of_user(user, claims.jti, &cause);
    let mut before = None; // the socket that this one takes over from: the append was guarded by it
    let look = |session: &Session| before = session.socket.as_ref().map(|socket| socket.node);
    let done = app.executor.execute_upon::<Session>(user, &connect, authority, look).await;
    let position = match done {
        Ok(done) => done.position,
        Err(
            CommandError::Rejected(SessionRejection::NotCurrent)
            | CommandError::Unauthorized(Unauthorized::Token),
        ) => return Err(Refused::Text("Token 不合法")),
        Err(CommandError::Unauthorized(Unauthorized::Account)) => {
            return Err(Refused::Text("你已被管理员禁用"));
        }
        Err(error) => {
            // The log may have it nevertheless, and nobody else would ever say that this socket is gone.
            entry.end(DisconnectReason::Closed);
            return Err(later(error));
        }
    };
    // Once this node has seen it, its older sockets are superseded, and have been alerted.
    if !app.executor.seen_here(position).await {
        entry.end(DisconnectReason::Closed);
        return Err(later("this gateway lags behind the log"));
    }
    let elsewhere = before.filter(|other| *other != node);
    let opening = Box::pin(opening(app.clone(), user, connection, position, elsewhere));
    let (inflow, role) = (Inflow::new(user, connection), claims.role);
    let connected = Box::new(Connected { user, role, entry, inflow, current: true });
    Ok(Started { connected, account: Box::new(account), opening })
}

struct Connected {
    user: UserId,
    role: Role,
    entry: Entry,
    inflow: Inflow,
    /// Is this the account's socket?
    current: bool,
}

impl Connected {
    /// Welcome and hints (ws.md §3).
    async fn greet(&self, app: &App, account: Box<Account>, wire: &mut Wire) -> Result<(), Ended> {
        wire.send(frames::welcome(clock::now())).await?;
        let has_friends = self.role == Role::User
            && address_book::has_friends(&app.executor.pool, self.user).await.unwrap_or(false);
        let in_groups = group_roster::has_groups(&app.executor.pool, self.user).await;
        let in_groups = in_groups.unwrap_or(false);
        let wanted = HintsFor { role: self.role, in_groups, has_friends };
        for hint in frames::hints(&account, &app.config.server.asset_base, wanted) {
            wire.send(hint).await?;
        }
        Ok(())
    }

    /// Lives until something ends it.
    async fn pump(&mut self, app: &App, opening: Opening, wire: &mut Wire) -> Ended {
        match self.try_pump(app, opening, wire).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    async fn try_pump(
        &mut self,
        app: &App,
        opening: Opening,
        wire: &mut Wire,
    ) -> Result<Infallible, Ended> {
        let mut opening = Some(opening);
        let mut heartbeat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut renewal = Instant::now() + app.config.renewal();
        let mut patience = None; // until when a failed look into the queue is not repeated
        loop {
            let may_read = self.inflow.wants_reading() && patience.is_none();
            tokio::select! {
                order = self.entry.orders.next() => Box::pin(self.obey(order, app, wire)).await?,
                message = wire.socket.recv() => wire.hear(message, app).await?,
                opened = async { opening.as_mut().expect("guarded").await },
                    if opening.is_some() =>
                {
                    opening = None;
                    match opened {
                        Some((opened, since)) => self.inflow.open(opened, since),
                        None => self.stop(),
                    }
                }
                () = async { sleep_until(patience).await }, if patience.is_some() => patience = None,
                () = async {}, if may_read => {
                    // A drain that was asked for before something was sent comes before it, also if the next look would
                    // show that too.
                    while let Some(order) = self.entry.orders.take() {
                        Box::pin(self.obey(order, app, wire)).await?;
                    }
                    if !Box::pin(self.read(app, wire)).await? {
                        patience = Some(Instant::now() + RETRY);
                    }
                }
                _ = heartbeat.tick() => wire.send(frames::PING.to_owned()).await?,
                () = sleep_until(Some(renewal)), if self.current => {
                    Box::pin(self.renew(app)).await;
                    renewal += app.config.renewal();
                }
            }
        }
    }

    /// Tells the log of this socket again, if it is still the account's: the first event expires, and a rebuild would
    /// not know of it.
    async fn renew(&self, app: &App) {
        let user = self.user;
        let Ok(session) = app.executor.state::<Session>(user).await else { return };
        let Some(Socket { connection, node, token, role }) = session.state.socket.clone() else {
            return;
        };
        if connection != self.entry.connection {
            return;
        }
        let event = Event::Session(SessionEvent::Connected { connection, node, token, role });
        let subject = Subject::Session(user);
        let mut new = NewEvent::new(subject, event, Some(user), &Cause::own("renewal"));
        // Only as long as nothing has happened to the session: a newer socket must stay the newest.
        let expect = Expect::Last(subject, session.version);
        if let Err(error) = app.executor.log.append_unsynced(&mut new, expect).await {
            debug!(%error, user.id = %user, "the socket of user `{user}` was not told again");
        }
    }

    /// An entry of the queue was pushed.
    async fn receive(
        &mut self,
        number: u64,
        frame: Bytes,
        app: &App,
        wire: &mut Wire,
    ) -> Result<(), Ended> {
        if self.inflow.arrive(number, frame.is_empty() || !may_write(app)) == Arrival::Write
            && let Ok(text) = Utf8Bytes::try_from(frame)
        {
            wire.send(text).await?;
            self.written(app, wire, Place::Queue(number), true);
        }
        Ok(())
    }

    /// Something was said in a large group.
    async fn hear(&mut self, said: &Said, app: &App, wire: &mut Wire) -> Result<(), Ended> {
        let arrival = self.inflow.hear(&said.push, said.frame.is_none() || !may_write(app));
        let (group, position) = (said.push.group, said.push.position.0);
        let place = Place::Timeline { group, position, after: said.push.after };
        match (arrival, &said.frame) {
            (Arrival::Write, Some(frame)) => {
                wire.send(frame.clone()).await?;
                self.written(app, wire, place, true);
            }
            (Arrival::Own, _) => self.written(app, wire, place, false),
            _ => {}
        }
        Ok(())
    }

    /// Looks into the queue and the timelines, and writes a page of what is there; `false` if that has to wait.
    async fn read(&mut self, app: &App, wire: &mut Wire) -> Result<bool, Ended> {
        let refetch = async {
            // After a reconnect or a rebuild all sockets refetch, and log-ins need Redis too.
            let _turn = app.refetches.acquire().await;
            self.inflow.read(&app.executor).await
        };
        let found = tokio::select! {
            biased;
            // Whoever has the queue now does not wait for us as long as we would wait for a slow Redis.
            () = self.entry.orders.over() => return Ok(true),
            found = refetch => found,
        };
        let items = match found {
            Ok(Found::Items(items)) => items,
            Ok(Found::Lanes(lanes)) => {
                let groups = lanes.iter().map(|(group, _)| *group);
                match app.lanes.attach(groups, &self.entry).await {
                    Ok(attached) => {
                        for ((group, missing), attached) in lanes.into_iter().zip(attached) {
                            self.inflow.attach(group, missing, Some(attached));
                        }
                        return Ok(true);
                    }
                    Err(error) => {
                        warn!(%error, "cannot hear what is said in groups");
                        return Ok(false);
                    }
                }
            }
            Ok(Found::TooEarly) => {
                debug!(user.id = %self.user, "the queue of user `{}` is being built anew", self.user);
                return Ok(false);
            }
            Ok(Found::Superseded) => {
                debug!(user.id = %self.user, "another socket of user `{}` receives", self.user);
                self.stop();
                return Ok(true);
            }
            Err(error) => {
                warn!(%error, "cannot read a queue");
                return Ok(false);
            }
        };
        for item in items {
            if self.entry.orders.is_over() {
                break;
            }
            if let Some(object) = &item.object {
                wire.send(message_object::frame(object, clock::now())).await?;
            }
            self.written(app, wire, item.place, item.object.is_some());
        }
        Ok(true)
    }

    /// Delivers nothing more.
    fn stop(&mut self) {
        self.inflow.stop();
        self.entry.stop();
    }

    /// An entry was written, or only passed over.
    fn written(&mut self, app: &App, wire: &Wire, place: Place, is_message: bool) {
        self.inflow.written(place);
        app.deliveries.record((self.user, self.entry.connection), &wire.client, place);
        if is_message {
            app.metrics.delivered.inc();
        }
    }

    async fn obey(&mut self, order: Order, app: &App, wire: &mut Wire) -> Result<(), Ended> {
        match order {
            Order::Superseded(by) => {
                let was_current = std::mem::replace(&mut self.current, false);
                self.stop();
                if was_current {
                    self.alert(by, app, wire).await?;
                }
            }
            Order::Yield(done) => {
                self.stop();
                let settled = app.deliveries.settle(self.entry.connection).await;
                _ = done.send(());
                if !settled {
                    return Err(DisconnectReason::TooSlow);
                }
            }
            Order::Silence => {
                self.current = false;
                self.stop();
            }
            Order::Push(number, frame) => self.receive(number, frame, app, wire).await?,
            Order::Drain => self.inflow.drain(),
            Order::Resync => self.inflow.resync(),
            Order::Pushed(number) => self.inflow.pushed(number),
            Order::SaidBefore(group, position) => self.inflow.said_before(group, position),
            Order::Doubt(position) => self.inflow.doubt(position),
            Order::Left(group, position) => self.inflow.leave(group, position),
            Order::Hear(said) => self.hear(&said, app, wire).await?,
            Order::Close => {
                wire.close().await;
                return Err(DisconnectReason::Closed);
            }
            Order::Drop(reason) => return Err(reason),
        }
        Ok(())
    }

    /// F1, if a registered user's socket took over from a registered user's (ws.md §5, DEV-24).
    async fn alert(&self, by: Role, app: &App, wire: &mut Wire) -> Result<(), Ended> {
        if (self.role, by) != (Role::User, Role::User) {
            return Ok(());
        }
        // Who has taken over waits for us.
        let mark = timeout(ALERT, app.rate_limit.take_modified(self.user)).await;
        let silenced = matches!(mark, Ok(Ok(true)));
        let user = app.executor.state::<User>(self.user).await;
        match user.as_ref().map(|user| user.state.account()) {
            Ok(Some(account)) if !silenced => {
                wire.send(frames::alert(account, &app.config.server.asset_base)).await
            }
            _ => Ok(()),
        }
    }
}

/// May what was pushed be written? A gateway that was frozen or cut off has pushes from before, for sockets that may have
/// been logged out since. It looks instead.
fn may_write(app: &App) -> bool {
    app.executor.is_live()
}

async fn sleep_until(when: Option<Instant>) {
    if let Some(when) = when {
        tokio::time::sleep_until(when).await;
    }
}
