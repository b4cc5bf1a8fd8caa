//! One socket: one task, from the upgrade to its end (ws.md §1–§9).

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::extract::ws::{Utf8Bytes, WebSocket};
use bytes::Bytes;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tracing::{debug, warn};

use super::{
    delivery_state::{Decision, DeliveryState, Place, ReadOutcome},
    frame_sink::{Ended, FrameSink},
    frames::{self, HintsFor},
    group_subscriptions::GroupFrame,
    opening::{Admitted, Opened, Refused, open},
    registry::{ConnectionCommand, Registration},
    sockets::Sockets,
    takeover::{RETRY, TakeoverBarrier},
};
use crate::{
    adapters::client_stream::ClientConnection,
    clock,
    commands::user::{Account, User},
    events::{DisconnectReason, Role, UserId},
    projections::{address_book, group_roster, message_object},
};

const HEARTBEAT: Duration = Duration::from_secs(30);

/// How long an alert waits for the word that nobody wants it.
const ALERT: Duration = Duration::from_millis(300);

/// Serves a socket to its end, in a task of its own. There may be a hundred thousand that say nothing, so a future that
/// is awaited only now and then is boxed: the task has room for the waiting and no more.
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
        sockets.app.metrics.sockets.inc();
        let opened = match admitted {
            Ok(admitted) => Box::pin(open(&sockets, admitted)).await,
            Err(refused) => Err(refused),
        };
        match opened {
            Ok(Opened { user, role, registration, account, barrier }) => {
                let delivery = DeliveryState::new(user, registration.connection);
                let mut connected =
                    Box::new(Connected { user, role, registration, delivery, current: true });
                let reason = match Box::pin(connected.greet(&sockets, account, &mut sink)).await {
                    Ok(()) => connected.run(&sockets, barrier, &mut sink).await,
                    Err(ended) => ended,
                };
                Box::pin(sockets.delivery_acks.settle(connected.registration.connection)).await;
                connected.registration.end(reason);
            }
            Err(Refused::Text(text)) => Box::pin(sink.refuse(text)).await,
            Err(Refused::Later) => {}
        }
        sockets.app.metrics.sockets.dec();
    });
}

struct Connected {
    user: UserId,
    role: Role,
    registration: Registration,
    delivery: DeliveryState,
    /// Is this the account's socket?
    current: bool,
}

impl Connected {
    /// Welcome and hints (ws.md §3).
    async fn greet(
        &self,
        sockets: &Sockets,
        account: Box<Account>,
        sink: &mut FrameSink,
    ) -> Result<(), Ended> {
        sink.send(frames::welcome(clock::now())).await?;
        let has_friends = self.role == Role::User
            && address_book::has_friends(&sockets.app.executor.pool, self.user)
                .await
                .unwrap_or(false);
        let in_groups = group_roster::has_groups(&sockets.app.executor.pool, self.user).await;
        let in_groups = in_groups.unwrap_or(false);
        let subscription = HintsFor { role: self.role, in_groups, has_friends };
        for hint in frames::hints(&account, &sockets.app.config.server.asset_base, subscription) {
            sink.send(hint).await?;
        }
        Ok(())
    }

    /// Lives until something ends it.
    async fn run(
        &mut self,
        sockets: &Sockets,
        takeover: TakeoverBarrier,
        sink: &mut FrameSink,
    ) -> Ended {
        match self.try_run(sockets, takeover, sink).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    async fn try_run(
        &mut self,
        sockets: &Sockets,
        takeover: TakeoverBarrier,
        sink: &mut FrameSink,
    ) -> Result<Infallible, Ended> {
        let mut takeover = Some(takeover);
        let mut heartbeat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut renewal = Instant::now() + sockets.app.config.renewal();
        let mut patience = None; // until when a failed look into the queue is not repeated
        loop {
            let may_read = self.delivery.wants_reading() && patience.is_none();
            tokio::select! {
                command = self.registration.commands.next() => Box::pin(self.handle(command, sockets, sink)).await?,
                message = sink.socket.recv() => sink.on_message(message, &sockets.app).await?,
                opened = async { takeover.as_mut().expect("guarded").await },
                    if takeover.is_some() =>
                {
                    takeover = None;
                    match opened {
                        Some((opened, min_read_position)) => self.delivery.open(opened, min_read_position),
                        None => self.stop(),
                    }
                }
                () = async { sleep_until(patience).await }, if patience.is_some() => patience = None,
                () = async {}, if may_read => {
                    // A drain that was asked for before something was sent comes before it, also if the next look would
                    // show that too.
                    while let Some(command) = self.registration.commands.take() {
                        Box::pin(self.handle(command, sockets, sink)).await?;
                    }
                    if !Box::pin(self.read(sockets, sink)).await? {
                        patience = Some(Instant::now() + RETRY);
                    }
                }
                _ = heartbeat.tick() => sink.send(frames::PING.to_owned()).await?,
                () = sleep_until(Some(renewal)), if self.current => {
                    let renewed =
                        sockets.app.executor.renew(self.user, self.registration.connection);
                    if let Err(error) = Box::pin(renewed).await {
                        debug!(%error, user.id = %self.user, "cannot renew a connection of user `{}`", self.user);
                    }
                    renewal += sockets.app.config.renewal();
                }
            }
        }
    }

    /// An entry of the queue was pushed.
    async fn receive(
        &mut self,
        number: u64,
        frame: Bytes,
        sockets: &Sockets,
        sink: &mut FrameSink,
    ) -> Result<(), Ended> {
        if self.delivery.on_queue_push(number, frame.is_empty() || !may_write(sockets))
            == Decision::Deliver
            && let Ok(text) = Utf8Bytes::try_from(frame)
        {
            sink.send(text).await?;
            self.written(sockets, sink, Place::Queue(number), true);
        }
        Ok(())
    }

    /// Something was said in a large group.
    async fn on_group_push(
        &mut self,
        said: &GroupFrame,
        sockets: &Sockets,
        sink: &mut FrameSink,
    ) -> Result<(), Ended> {
        let arrival =
            self.delivery.on_group_push(&said.push, said.frame.is_none() || !may_write(sockets));
        let (group, position) = (said.push.group, said.push.position.0);
        let place = Place::Timeline { group, position, after: said.push.after };
        match (arrival, &said.frame) {
            (Decision::Deliver, Some(frame)) => {
                sink.send(frame.clone()).await?;
                self.written(sockets, sink, place, true);
            }
            (Decision::SkipOwn, _) => self.written(sockets, sink, place, false),
            _ => {}
        }
        Ok(())
    }

    /// Looks into the queue and the timelines, and writes a page of what is there; `false` if that has to wait.
    async fn read(&mut self, sockets: &Sockets, sink: &mut FrameSink) -> Result<bool, Ended> {
        let refetch = async {
            // After a reconnect or a rebuild all sockets refetch, and log-ins need Redis too.
            let _turn = sockets.refetches.acquire().await;
            self.delivery.read(&sockets.app.executor).await
        };
        let found = tokio::select! {
            biased;
            // Whoever has the queue now does not wait for us as long as we would wait for a slow Redis.
            () = self.registration.commands.over() => return Ok(true),
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
                            self.delivery.subscribe(group, missing, Some(subscription));
                        }
                        return Ok(true);
                    }
                    Err(error) => {
                        warn!(%error, "cannot hear what is said in groups");
                        return Ok(false);
                    }
                }
            }
            Ok(ReadOutcome::TooEarly) => {
                debug!(user.id = %self.user, "the queue of user `{}` is being built anew", self.user);
                return Ok(false);
            }
            Ok(ReadOutcome::Superseded) => {
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
            if self.registration.commands.is_over() {
                break;
            }
            if let Some(object) = &item.object {
                sink.send(message_object::frame(object, clock::now())).await?;
            }
            self.written(sockets, sink, item.place, item.object.is_some());
        }
        Ok(true)
    }

    /// Delivers nothing more.
    fn stop(&mut self) {
        self.delivery.stop();
        self.registration.stop();
    }

    /// An entry was written, or only passed over.
    fn written(&mut self, sockets: &Sockets, sink: &FrameSink, place: Place, is_message: bool) {
        self.delivery.written(place);
        sockets.delivery_acks.record(
            (self.user, self.registration.connection),
            &sink.client,
            place,
        );
        if is_message {
            sockets.app.metrics.delivered.inc();
        }
    }

    async fn handle(
        &mut self,
        command: ConnectionCommand,
        sockets: &Sockets,
        sink: &mut FrameSink,
    ) -> Result<(), Ended> {
        match command {
            ConnectionCommand::Superseded(by) => {
                let was_current = std::mem::replace(&mut self.current, false);
                self.stop();
                if was_current {
                    self.alert(by, sockets, sink).await?;
                }
            }
            ConnectionCommand::HandOver(done) => {
                self.stop();
                let settled = sockets.delivery_acks.settle(self.registration.connection).await;
                _ = done.send(());
                if !settled {
                    return Err(DisconnectReason::TooSlow);
                }
            }
            ConnectionCommand::Mute => {
                self.current = false;
                self.stop();
            }
            ConnectionCommand::QueuePush(number, frame) => {
                self.receive(number, frame, sockets, sink).await?;
            }
            ConnectionCommand::Drain => self.delivery.drain(),
            ConnectionCommand::Refetch => self.delivery.require_refetch(),
            ConnectionCommand::QueueWatermark(number) => self.delivery.on_queue_watermark(number),
            ConnectionCommand::TimelineWatermark(group, position) => {
                self.delivery.on_timeline_watermark(group, position);
            }
            ConnectionCommand::EventsMissed(position) => self.delivery.on_missed_events(position),
            ConnectionCommand::LeftGroup(group, position) => self.delivery.leave(group, position),
            ConnectionCommand::GroupPush(said) => self.on_group_push(&said, sockets, sink).await?,
            ConnectionCommand::Close => {
                sink.close().await;
                return Err(DisconnectReason::Closed);
            }
            ConnectionCommand::Abort(reason) => return Err(reason),
        }
        Ok(())
    }

    /// F1, if a registered user's socket took over from a registered user's (ws.md §5, DEV-24).
    async fn alert(&self, by: Role, sockets: &Sockets, sink: &mut FrameSink) -> Result<(), Ended> {
        if (self.role, by) != (Role::User, Role::User) {
            return Ok(());
        }
        // Who has taken over waits for us.
        let mark = timeout(ALERT, sockets.app.rate_limit.take_modified(self.user)).await;
        let silenced = matches!(mark, Ok(Ok(true)));
        let user = sockets.app.executor.state::<User>(self.user).await;
        match user.as_ref().map(|user| user.state.account()) {
            Ok(Some(account)) if !silenced => {
                sink.send(frames::alert(account, &sockets.app.config.server.asset_base)).await
            }
            _ => Ok(()),
        }
    }
}

/// May what was pushed be written? A gateway that was frozen or cut off has pushes from before, for sockets that may have
/// been logged out since. It looks instead.
fn may_write(sockets: &Sockets) -> bool {
    sockets.app.executor.is_live()
}

async fn sleep_until(when: Option<Instant>) {
    if let Some(when) = when {
        tokio::time::sleep_until(when).await;
    }
}
