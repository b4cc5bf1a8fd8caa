//! Heartbeats of runners: what one says while it applies nothing, and waiting until another says nothing.

use std::{convert::Infallible, time::Duration};

use tokio::time::{interval, sleep, timeout};
use tracing::error;

use super::context::RunnerContext;
use crate::{
    adapters::nats::checkpoints::{HEARTBEAT, Heartbeat},
    events::Position,
};

impl RunnerContext {
    /// That this process works on a read model, how far that is, and which event it cannot apply.
    pub(super) fn heartbeat(&self, position: Position, stopped_at: Option<Position>) -> Heartbeat {
        Heartbeat { stopped_at, ..Heartbeat::at(position, self.node) }
    }

    /// Says so again and again for as long as nobody else works on the read model. Without that it would count as one
    /// that nobody works on.
    pub(super) async fn publish_for(&self, time: Duration, name: &str, heartbeat: Heartbeat) {
        let telling = async {
            let mut due = interval(HEARTBEAT);
            loop {
                due.tick().await;
                if self.checkpoints.active_runner(name).is_none_or(|node| node == self.node) {
                    self.checkpoints.publish_heartbeat(name, heartbeat).await;
                }
            }
        };
        _ = timeout(time, telling).await;
    }

    /// Says, once each time, that the store or the log has not let a read model go on for too long: also when nothing
    /// fails and they just do not answer.
    pub(super) async fn raise_alarm(&self, name: &'static str) -> Infallible {
        let mut due = interval(Duration::from_secs(1));
        loop {
            let now = due.tick().await;
            if let Some(waited) = self.health.is_stalled(name, now) {
                let waited = waited.as_secs();
                error!(
                    projection.name = name,
                    waited_s = waited,
                    "projection `{name}` has waited {waited} s for its store or the log"
                );
            }
        }
    }

    /// Says that this process works on a read model no more, if it did.
    pub(super) async fn leave(&self, name: &str) {
        if self.checkpoints.active_runner(name) == Some(self.node) {
            let position = self.checkpoints.position(name).unwrap_or_default();
            self.checkpoints.publish(name, Heartbeat::last(position, self.node)).await;
        }
    }

    /// Waits until nobody else is heard to work on a read model. A runner that only lost its own state, or was fenced by
    /// a tool that has finished, does not wait.
    pub(super) async fn wait_for_silence(&self, name: &'static str) {
        loop {
            // Whoever took it says so at once, and goes on saying so.
            sleep(Duration::from_millis(50)).await;
            if self.checkpoints.active_runner(name).is_none_or(|node| node == self.node) {
                return;
            }
            self.health.standby(name, self.checkpoints.position(name).unwrap_or_default());
        }
    }
}
