//! The states that commands are judged by: from the cache, or else from a read model and what the log says beyond it.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;
use tracing::debug;

use super::{Executor, aggregates::Aggregate, state_cache::Versioned};
use crate::{adapters::nats::log_error::LogError, events::Position};

/// How long a read model may take. A command that is under way holds up what all gateways wait for, and a gateway that is
/// behind for longer than half the liveness time-out serves nobody (ADR 0020).
const PATIENCE: Duration = Duration::from_millis(500);

impl Executor {
    /// An aggregate as it is now.
    ///
    /// # Errors
    /// The log cannot be reached.
    pub async fn state<A: Aggregate>(&self, id: A::Id) -> Result<Versioned<A>, LogError> {
        A::cache(&self.caches).get(id, async || self.load::<A>(id).await).await
    }

    /// A read model that lags, or is gone, costs time but never an error: the log has the rest.
    async fn load<A: Aggregate>(&self, id: A::Id) -> Result<Versioned<A>, LogError> {
        let mut versioned = match timeout(PATIENCE, A::load_snapshot(self, id)).await {
            Ok(Ok((state, version))) => Versioned { state: Arc::new(state), version },
            Ok(Err(error)) => {
                debug!(%error, "folding an aggregate from the log alone");
                Versioned::default()
            }
            Err(_) => {
                debug!("a store does not answer, folding an aggregate from the log alone");
                Versioned::default()
            }
        };
        loop {
            let next = |version: Position| self.log.next::<A::Event>(id, Position(version.0 + 1));
            while let Some(recorded) = next(versioned.version).await? {
                versioned.apply(recorded.position, &recorded.event);
            }
            if !A::EXPIRES {
                return Ok(versioned);
            }
            // The event whose position is the version may have vanished; then the server expects the one before.
            let last = self.log.last_of(A::subject(id)).await?;
            if last <= versioned.version {
                return Ok(Versioned { version: last, ..versioned });
            }
        }
    }

    /// Brings the cache up to the log; `false` if that has nothing after what was `seen`.
    pub(super) async fn catch_up_cache<A: Aggregate>(
        &self,
        id: A::Id,
        seen: Position,
    ) -> Result<bool, LogError> {
        let cache = A::cache(&self.caches);
        let mut last = seen;
        while let Some(recorded) = self.log.next::<A::Event>(id, Position(last.0 + 1)).await? {
            cache.apply(id, recorded.position, &recorded.event);
            last = recorded.position;
        }
        Ok(last > seen)
    }
}
