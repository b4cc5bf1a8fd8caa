//! The supervisor of a read model: runs it again whatever stopped it, until the process stops.

use std::time::Duration;

use tokio::time::sleep;
use tracing::{error, warn};

use super::{context::RunnerContext, runner::Runner, stop_reason::StopReason};
use crate::{adapters::nats::checkpoints::LOST_AFTER, projections::Projection};

/// Keeps a read model up to date until the end, whatever happens to its store.
pub async fn run<P: Projection>(projection: P, store: P::Store, context: RunnerContext) {
    let mut pause = Duration::from_millis(50);
    let (mut logged, mut stopped_at) = (String::new(), None);
    loop {
        let mut runner = Runner::new(&projection, &store, &context);
        runner.stopped_at = stopped_at;
        let reason = tokio::select! {
            () = context.stop.cancelled() => break,
            reason = runner.follow() => reason,
            never = context.raise_alarm(P::NAME) => match never {},
        };
        stopped_at = runner.stopped_at;
        if runner.progressed {
            pause = Duration::from_millis(50);
            logged.clear();
        }
        match reason {
            StopReason::Fenced => tokio::select! {
                () = context.stop.cancelled() => break,
                () = context.wait_for_silence(P::NAME) => {}
            },
            StopReason::Transient(why) => {
                if logged != why {
                    logged.clone_from(&why); // once, however long it takes
                    warn!(
                        projection.name = P::NAME,
                        why,
                        "projection `{}` waits for its store or the log",
                        P::NAME
                    );
                }
                context.health.waiting(P::NAME, &why);
                tokio::select! {
                    () = context.stop.cancelled() => break,
                    () = sleep(pause) => pause = (pause * 2).min(Duration::from_secs(1)),
                }
            }
            StopReason::PoisonEvent { position, reason } => {
                error!(
                    projection.name = P::NAME, %position, reason,
                    "projection `{}` stopped: the event at {position} cannot be applied; \
                     `hongyan events show {position}` shows it, `hongyan projections skip {} {position}` leaves it out",
                    P::NAME,
                    P::NAME
                );
                context.health.stopped(P::NAME, position, &reason);
                stopped_at = Some(position);
                let heartbeat = context.heartbeat(runner.position(), stopped_at);
                tokio::select! {
                    () = context.stop.cancelled() => break,
                    // The store may have been mended, or the generation switched.
                    () = context.publish_for(LOST_AFTER, P::NAME, heartbeat) => {}
                }
            }
        }
    }
    context.leave(P::NAME).await;
}
