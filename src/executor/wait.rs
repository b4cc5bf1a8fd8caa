//! Waiting until others have seen a position of the log: read models, all live gateways, or this process.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use super::{Executor, running_commands::cut_off};
use crate::{
    adapters::nats::log_error::LogError,
    events::{Position, Subject},
    projections::engine::postgres,
};

impl Executor {
    /// Waits until `read_models` and all gateways have passed `position`. Bounded: what was appended counts, even if it
    /// shows later. Waits once more after a silence of this process: others may not have heard that it waits, nor it them.
    ///
    /// # Errors
    /// This gateway may not serve yet.
    pub async fn wait_for_all(
        &self,
        position: Position,
        read_models: &[&str],
    ) -> Result<(), LogError> {
        for _ in 0..2 {
            let silences = self.silences();
            self.wait_once(position, read_models).await;
            if self.has_served_since(silences) {
                return Ok(());
            }
            self.may_serve().await?;
        }
        Err(cut_off())
    }

    async fn wait_once(&self, position: Position, read_models: &[&str]) {
        let timer = self.metrics.wait_timer("all");
        let shown = self.checkpoints.wait_for_projections(position, read_models, self.wait);
        let (shown, ()) = tokio::join!(shown, self.checkpoints.wait_for_gateways(position));
        drop(timer);
        if !shown {
            warn!(%position, "an effect was not visible everywhere in time");
        }
    }

    /// Waits a while for a read model to pass `position`.
    pub async fn catch_up_to(&self, position: Position, read_model: &str) {
        let _timer = self.metrics.wait_timer("projection");
        self.checkpoints.wait_for_projections(position, &[read_model], self.wait).await;
    }

    /// Waits until a read model in PostgreSQL has seen all that the log holds on `subject`; `false` if that takes too
    /// long.
    ///
    /// # Errors
    /// The log cannot be reached.
    pub async fn wait_for_projection(
        &self,
        subject: Subject,
        read_model: &str,
    ) -> Result<bool, LogError> {
        let last = self.log.last_of(subject).await?;
        let _timer = self.metrics.wait_timer("projection");
        let deadline = Instant::now() + self.wait;
        while self.checkpoints.wait_for_projections(last, &[read_model], self.wait).await {
            // What was heard of the read model may be older than a restore of its database.
            match postgres::has_seen(&self.pool, read_model, last).await {
                Ok(true) => return Ok(true),
                Ok(false) if Instant::now() < deadline => sleep(Duration::from_millis(5)).await,
                Ok(false) | Err(_) => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Waits until the caches of this process have taken `position` in; `false` if that takes too long.
    pub async fn wait_for_local(&self, position: Position) -> bool {
        let _timer = self.metrics.wait_timer("local");
        timeout(self.wait, self.applied(position)).await.is_ok()
    }

    /// Returns once the caches of this process have taken `position` in.
    pub async fn applied(&self, position: Position) {
        let mut applied = self.commands.subscribe();
        _ = applied.wait_for(|applied| *applied >= position).await;
    }
}
