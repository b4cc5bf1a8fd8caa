//! The connection: one WebSocket is one task, from the upgrade to its end (ws.md §1–§9).

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::extract::ws::{Utf8Bytes, WebSocket};
use bytes::Bytes;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tracing::{Instrument as _, Span, debug, error_span, warn};

use super::{
    connection_command::{ConnectionCommand, GroupFrame},
    connection_state::ConnectionState,
    delivery_state::{Decision, DeliveryState, ReadOutcome, Remembered},
    frame_sink::{Ended, FrameSink},
    opening::{Admitted, Opened, Refused, open},
    place::Place,
    registry::Registration,
    sockets::Sockets,
    takeover::RETRY,
};
use crate::{
    adapters::{client_stream::ClientConnection, nats::push::QueuePush},
    clock,
    commands::user::{Account, User},
    events::{DisconnectReason, Role, UserId},
    projections::{address_book, group_roster},
    protocol::{frames, message_object},
};

const HEARTBEAT: Duration = Duration::from_secs(30);

/// How long an alert waits for the word that nobody wants it: less than whoever takes over waits.
const ALERT: Duration = Duration::from_secs(1);

/// How long hints wait for what they depend on: less than whoever takes over waits.
const HINTS: Duration = Duration::from_secs(1);

/// How long a frame may take once another connection delivers, or none: less than whoever takes over waits.
const LAST_WRITE: Duration = Duration::from_millis(500);

/// Serves a connection to its end, in a task of its own. There may be a hundred thousand that say nothing, so a future
/// that is awaited only now and then is boxed: the task has room for the waiting and no more.
pub fn serve(
    sockets: Sockets,
    socket: WebSocket,
    client: Arc<ClientConnection>,
    admitted: Result<Box<Admitted>, Refused>,
) {
    let mut sink =
        Box::new(FrameSink { socket, client, limit: sockets.app.config.write_timeout() });
    let tasks = sockets.registry.tasks.clone();
    tasks.spawn(async move {
        sockets.app.metrics.connections.inc();
        let opened = match admitted {
            Ok(admitted) => {
                let span = admitted.span();
                Box::pin(open(&sockets, admitted).instrument(span)).await
            }
            Err(refused) => Err(refused),
        };
        match opened {
            Ok(Opened { user, role, registration, account, barrier }) => {
                let state = ConnectionState::TakingOver(barrier, Remembered::default());
                let mut connected = Box::new(Connected { user, role, registration, state });
                let span = connected.span();
                let greeted = connected.greet(&sockets, account, &mut sink).instrument(span);
                let reason = match Box::pin(greeted).await {
                    Ok(()) => connected.run(&sockets, &mut sink).await,
                    Err(ended) => ended,
                };
                let connection = connected.registration.connection;
                let settled = sockets.delivery_acks.settle(connection);
                Box::pin(settled.instrument(connected.span())).await;
                connected.registration.end(reason);
            }
            Err(Refused::Text(text)) => Box::pin(sink.refuse(text)).await,
            Err(Refused::Later) => {}
        }
        sockets.app.metrics.connections.dec();
    });
}

struct Connected {
    user: UserId,
    role: Role,
    registration: Registration,
    state: ConnectionState,
}

impl Connected {
    /// What log lines of this connection say of it. Made when there is something to do: kept, it would be a fifth of
    /// the memory of a connection on which nothing happens.
    fn span(&self) -> Span {
        let connection = self.registration.connection;
        error_span!("connection", user.id = self.user.0, connection.id = %connection)
    }

    /// Welcome and hints (ws.md §3).
    async fn greet(
        &mut self,
        sockets: &Sockets,
        account: Box<Account>,
        sink: &mut FrameSink,
    ) -> Result<(), Ended> {
        sink.send(frames::welcome(clock::now())).await?;
        let pool = &sockets.app.executor.pool;
        let look = async {
            let has_friends =
                self.role == Role::User && address_book::has_friends(pool, self.user).await?;
            Ok::<_, sqlx::Error>((has_friends, group_roster::has_groups(pool, self.user).await?))
        };
        // A database that does not answer keeps nobody from what they connected for.
        let (has_friends, in_groups) =
            timeout(HINTS, look).await.ok().and_then(Result::ok).unwrap_or_default();
        let wanted = frames::HintsFor { role: self.role, in_groups, has_friends };
        let assets = &sockets.app.config.server.asset_base;
        for hint in frames::hints(&account, assets, wanted, (clock::now(), clock::random_id)) {
            sink.send(hint).await?;
        }
        Ok(())
    }

    /// Lives until something ends it.
    async fn run(&mut self, sockets: &Sockets, sink: &mut FrameSink) -> Ended {
        match self.try_run(sockets, sink).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    async fn try_run(
        &mut self,
        sockets: &Sockets,
        sink: &mut FrameSink,
    ) -> Result<Infallible, Ended> {
        let mut heartbeat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut renewal = Instant::now() + sockets.app.config.renewal();
        let mut patience = None; // until when a failed fetch is not repeated
        loop {
            let wants_reading =
                self.state.delivery().is_some_and(|delivery| delivery.wants_reading());
            let may_read = wants_reading && patience.is_none();
            let is_taking_over = matches!(self.state, ConnectionState::TakingOver(..));
            let is_current = self.state.is_current_by_log();
            tokio::select! {
                command = self.registration.commands.next() => Box::pin(self.handle_in_span(command, sockets, sink)).await?,
                message = sink.socket.recv() => sink.on_message(message, &sockets.app).await?,
                passed = self.state.barrier(), if is_taking_over => {
                    self.state.pass((self.user, self.registration.connection), passed);
                    self.unsubscribe_unless_delivering();
                }
                () = async { sleep_until(patience).await }, if patience.is_some() => patience = None,
                () = async {}, if may_read => {
                    // A drain that was asked for before something was sent comes before it, also if the next fetch
                    // would show that too.
                    while let Some(command) = self.registration.commands.take() {
                        Box::pin(self.handle_in_span(command, sockets, sink)).await?;
                    }
                    let span = self.span();
                    if !Box::pin(self.read(sockets, sink).instrument(span)).await? {
                        patience = Some(Instant::now() + RETRY);
                    }
                }
                _ = heartbeat.tick() => sink.send(frames::ping()).await?,
                () = sleep_until(Some(renewal)), if is_current => {
                    let span = self.span();
                    Box::pin(self.renew(sockets).instrument(span)).await;
                    renewal += sockets.app.config.renewal();
                }
            }
        }
    }

    /// Tells the log of the connection again, before the event that did so expires.
    async fn renew(&mut self, sockets: &Sockets) {
        let connection = self.registration.connection;
        if let Err(error) = sockets.app.executor.renew(self.user, connection).await {
            debug!(%error, "cannot renew a connection of user `{}`", self.user);
        }
    }

    /// An entry of the queue was pushed.
    async fn on_queue_push(
        &mut self,
        QueuePush { number, position, .. }: QueuePush,
        frame: Bytes,
        sockets: &Sockets,
        sink: &mut FrameSink,
    ) -> Result<(), Ended> {
        let Some(delivery) = self.delivery() else { return Ok(()) };
        let bare = frame.is_empty() || !may_write(sockets);
        if delivery.on_queue_push(number, bare) == Decision::Deliver
            && let Ok(text) = Utf8Bytes::try_from(frame)
        {
            self.write(sink, text).await?;
            self.written(sockets, sink, Place::Queue { number, position }, true);
        }
        Ok(())
    }

    /// Something was said in a large group.
    async fn on_group_push(
        &mut self,
        GroupFrame { push, frame, .. }: &GroupFrame,
        sockets: &Sockets,
        sink: &mut FrameSink,
    ) -> Result<(), Ended> {
        let Some(delivery) = self.delivery() else { return Ok(()) };
        let decision = delivery.on_group_push(push, frame.is_none() || !may_write(sockets));
        let (group, position) = (push.group, push.position.0);
        let place = Place::Timeline { group, position, after: push.after };
        match (decision, frame) {
            (Decision::Deliver, Some(frame)) => {
                self.write(sink, frame.clone()).await?;
                self.written(sockets, sink, place, true);
            }
            (Decision::SkipOwn, _) => self.written(sockets, sink, place, false),
            _ => {}
        }
        Ok(())
    }

    /// Fetches from the queue and the timelines, and writes a page of what is there; `false` if that has to wait.
    async fn read(&mut self, sockets: &Sockets, sink: &mut FrameSink) -> Result<bool, Ended> {
        let Some(delivery) = self.state.delivery() else { return Ok(true) };
        let metrics = &sockets.app.metrics;
        if delivery.is_draining() { &metrics.drains } else { &metrics.refetches }.inc();
        let refetch = async {
            // After a reconnect or a rebuild all connections refetch, and log-ins need Redis too.
            let _turn = sockets.refetches.acquire().await;
            delivery.read(&sockets.app.executor).await
        };
        let found = tokio::select! {
            biased;
            // Whoever has the queue now does not wait for us as long as we would wait for a slow Redis.
            () = self.registration.commands.final_arrived() => return Ok(true),
            found = refetch => found,
        };
        let items = match found {
            Ok(ReadOutcome::Items(items)) => items,
            Ok(ReadOutcome::UnsubscribedGroups(groups)) => {
                let ids = groups.iter().map(|(group, _)| *group);
                match sockets.group_subscriptions.subscribe(ids, &self.registration).await {
                    Ok(subscriptions) => {
                        for ((group, missing), subscription) in
                            groups.into_iter().zip(subscriptions)
                        {
                            delivery.subscribe(group, missing, Some(subscription));
                        }
                        return Ok(true);
                    }
                    Err(error) => {
                        warn!(%error, "cannot subscribe to the pushes of groups");
                        return Ok(false);
                    }
                }
            }
            Ok(ReadOutcome::TooEarly) => {
                debug!("the queue of user `{}` is being built anew", self.user);
                return Ok(false);
            }
            Ok(ReadOutcome::Displaced) => {
                debug!("another connection of user `{}` receives", self.user);
                self.state.displace();
                self.unsubscribe_unless_delivering();
                return Ok(true);
            }
            Err(error) => {
                warn!(%error, "cannot read a queue");
                return Ok(false);
            }
        };
        for item in items {
            if self.registration.commands.has_final() {
                break;
            }
            if let Some(object) = &item.object {
                let now = clock::now();
                self.write(sink, frames::message(object, now)).await?;
                if let Some(accepted) = message_object::accepted_at(object) {
                    let age = Duration::from_millis(now.0.abs_diff(accepted.0));
                    sockets.app.metrics.queue_age.observe(age.as_secs_f64());
                }
            }
            self.written(sockets, sink, item.place, item.object.is_some());
        }
        Ok(true)
    }

    /// What does not deliver needs no pushes.
    fn unsubscribe_unless_delivering(&mut self) {
        if self.state.delivery().is_none() {
            self.registration.unsubscribe();
        }
    }

    /// An entry was written, or only passed over.
    fn written(&mut self, sockets: &Sockets, sink: &FrameSink, place: Place, is_message: bool) {
        if let Some(delivery) = self.state.delivery() {
            delivery.written(place);
        }
        sockets.delivery_acks.record(
            (self.user, self.registration.connection),
            &sink.client,
            place,
        );
        if is_message {
            sockets.app.metrics.frames_written.inc();
        }
    }

    /// Handles a command in the span of this connection. A push that is written logs nothing, and there may be many.
    async fn handle_in_span(
        &mut self,
        command: ConnectionCommand,
        sockets: &Sockets,
        sink: &mut FrameSink,
    ) -> Result<(), Ended> {
        if command.is_push() {
            return self.handle(command, sockets, sink).await;
        }
        let span = self.span();
        self.handle(command, sockets, sink).instrument(span).await
    }

    async fn handle(
        &mut self,
        command: ConnectionCommand,
        sockets: &Sockets,
        sink: &mut FrameSink,
    ) -> Result<(), Ended> {
        match command {
            ConnectionCommand::Superseded(by) => {
                let was_current = self.state.supersede();
                self.unsubscribe_unless_delivering();
                if was_current {
                    self.alert(by, sockets, sink).await?;
                }
            }
            ConnectionCommand::HandOver(done) => {
                let settled = sockets.delivery_acks.settle(self.registration.connection).await;
                _ = done.send(());
                if !settled {
                    return Err(DisconnectReason::TooSlow);
                }
            }
            ConnectionCommand::Mute => {
                self.state.mute();
                self.unsubscribe_unless_delivering();
            }
            ConnectionCommand::QueuePush(push, frame, _timer) => {
                self.on_queue_push(push, frame, sockets, sink).await?;
            }
            ConnectionCommand::GroupPush(frame) => {
                self.on_group_push(&frame, sockets, sink).await?;
            }
            ConnectionCommand::Close => {
                sink.close().await;
                return Err(DisconnectReason::Closed);
            }
            ConnectionCommand::Abort(reason) => return Err(reason),
            other => self.state.apply(&other),
        }
        Ok(())
    }

    /// F1, if a registered user's connection took over from a registered user's (ws.md §5, DEV-24).
    async fn alert(
        &mut self,
        by: Role,
        sockets: &Sockets,
        sink: &mut FrameSink,
    ) -> Result<(), Ended> {
        if (self.role, by) != (Role::User, Role::User) {
            return Ok(());
        }
        // Who has taken over waits for us.
        let mark = timeout(ALERT, sockets.app.rate_limit.take_modified(self.user)).await;
        let silenced = matches!(mark, Ok(Ok(true)));
        let Ok(user) = sockets.app.executor.state::<User>(self.user).await else { return Ok(()) };
        let Some(account) = user.state.account().filter(|_| !silenced) else { return Ok(()) };
        let assets = &sockets.app.config.server.asset_base;
        self.write(sink, frames::alert(account, assets, (clock::now(), clock::random_id()))).await
    }

    /// What it delivers, if it still does: behind what was pushed may wait that another connection delivers now, or none.
    fn delivery(&mut self) -> Option<&mut DeliveryState> {
        if self.registration.commands.has_final() { None } else { self.state.delivery() }
    }

    /// Writes a frame. Whoever has taken over does not wait for as long as a slow client may take.
    async fn write(
        &mut self,
        sink: &mut FrameSink,
        text: impl Into<Utf8Bytes>,
    ) -> Result<(), Ended> {
        let overtaken = async {
            self.registration.commands.final_arrived().await;
            tokio::time::sleep(LAST_WRITE).await;
        };
        tokio::select! {
            biased;
            written = sink.send(text) => written,
            () = overtaken => Err(DisconnectReason::TooSlow),
        }
    }
}

/// May what was pushed be written? A gateway that was frozen or cut off has pushes from before, for connections that
/// may have been logged out since. It looks instead.
fn may_write(sockets: &Sockets) -> bool {
    sockets.app.executor.is_live()
}

async fn sleep_until(when: Option<Instant>) {
    if let Some(when) = when {
        tokio::time::sleep_until(when).await;
    }
}
