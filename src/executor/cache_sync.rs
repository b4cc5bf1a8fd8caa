//! Cache synchronisation keeps the caches of a gateway fresh: one subscriber to all that rules ask about.

use std::{future::pending, time::Duration};

use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::warn;

use super::{Executor, aggregates::SUBJECTS};
use crate::{
    adapters::nats::{
        checkpoints::{Checkpoints, Heartbeat},
        liveness::GATEWAY_HEARTBEAT,
        log_error::LogError,
        reader::position_of,
        shared_log::SharedLogSubscription,
    },
    events::{Event, Position, Recorded, UserEvent},
};

impl Executor {
    /// Keeps the caches fresh, for ever; `observe` hears every event after the caches, `begin` up to where it will
    /// never hear any.
    pub async fn sync_caches(
        &self,
        shared_log: &SharedLogSubscription,
        observe: impl Fn(&Recorded<Event>),
        begin: impl Fn(Position),
    ) {
        tokio::join!(self.report(), async {
            loop {
                let ended = tokio::select! {
                    ended = self.try_follow(shared_log, &observe, &begin) => ended,
                    // Nobody may have waited for us, so what the caches hold may have ended.
                    () = self.lapsed() => continue,
                };
                if let Err(error) = ended {
                    warn!(%error, "the caches lost touch with the log");
                    self.caches.clear();
                    sleep(Duration::from_millis(200)).await;
                }
            }
        });
    }

    async fn lapsed(&self) {
        match &self.liveness {
            Some(liveness) => liveness.lapsed.notified().await,
            None => pending().await,
        }
    }

    /// Says that this gateway is alive, also while the log is away: its connections are not lost then. And how far it
    /// is, once no command runs that was judged by an older state.
    async fn report(&self) {
        let (name, mut heartbeat) = (Checkpoints::gateway(self.node), interval(GATEWAY_HEARTBEAT));
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut applied = self.commands.subscribe();
        let mut reported = Position(0);
        loop {
            let next = *applied.borrow_and_update();
            tokio::select! {
                _ = heartbeat.tick() => {
                    self.checkpoints.publish_heartbeat(&name, Heartbeat::at(reported, self.node)).await;
                }
                () = self.commands.none_before(next), if next != reported => {
                    reported = next;
                    if let Some(liveness) = &self.liveness {
                        liveness.reported(next);
                    }
                    self.checkpoints.publish(&name, Heartbeat::at(next, self.node)).await;
                }
                _ = applied.changed(), if next == reported => {}
            }
        }
    }

    async fn try_follow(
        &self,
        shared_log: &SharedLogSubscription,
        observe: &impl Fn(&Recorded<Event>),
        begin: &impl Fn(Position),
    ) -> Result<(), LogError> {
        let silences = self.liveness.as_ref().map(|liveness| liveness.silences());
        let end = self.log.end().await?;
        // At first from the end on. Later from where we were: connections must hear what became of them while we heard
        // nothing, that another took over or that we were taken for dead.
        let mut position = match *self.commands.subscribe().borrow() {
            Position(0) => end.last,
            before => before.min(end.last),
        };
        let mut reader = shared_log.follow(SUBJECTS, Position(position.0 + 1)).await?;
        self.caches.clear(); // nothing that was cached before this reader began has been kept fresh
        self.log.keys.forget_all();
        if let (Some(liveness), Some(silences)) = (&self.liveness, silences) {
            liveness.caught_up(silences);
        }
        begin(position);
        loop {
            self.commands.applied(position);
            self.log.has_seen(position);
            for entry in reader.next_batch(1000).await? {
                position = position_of(&entry);
                if let Ok(recorded) = entry {
                    self.caches.apply(recorded.position, &recorded.event);
                    if let Event::User(_, UserEvent::Erased { .. }) = recorded.event {
                        self.log.keys.forget_all(); // of theirs it may remember several
                    }
                    observe(&recorded);
                }
            }
        }
    }
}
