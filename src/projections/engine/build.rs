//! Building a generation: what the log holds is applied up to a position, without effects, in large transactions.

use futures_util::future::try_join;
use tracing::info;

use super::{
    generation::{BuildPurpose, Generation, ListedGeneration, Store as _},
    runner::Runner,
    stop_reason::StopReason,
};
use crate::{
    adapters::nats::{
        reader::position_of,
        replay::{Replay, ReplayReader},
    },
    events::Position,
    projections::{Checkpoint, Projection, StoreError},
};

/// How many times the events of a live generation's batch are in one transaction: nobody waits for it, and each costs
/// more than some events.
const BATCHES_AT_ONCE: usize = 4;

impl<P: Projection> Runner<'_, P> {
    /// A generation to build: what an interrupted build left, if the log still holds what that has applied; otherwise
    /// an empty one.
    pub(super) async fn begin(&mut self, purpose: BuildPurpose) -> Result<Generation, StopReason> {
        self.context.log.keys.forget_all(); // what was destroyed meanwhile is not remembered
        let end = self.context.log.end().await?;
        for listed in self.store.generations(P::NAME).await? {
            if listed.built_for != Some(purpose) {
                continue;
            }
            let ListedGeneration { outdated, log_created, position, .. } = listed;
            let generation = listed.of(P::NAME);
            if !outdated && log_created == end.created {
                let at = match self.store.claim(&generation, self.owner).await {
                    Err(StoreError::Fenced) => continue, // whoever built it has dropped it meanwhile
                    at => at?,
                };
                if at.is_held_by(&self.context.log, &generation, end.created, end.last).await? {
                    let (name, number) = (P::NAME, generation.number);
                    info!(
                        projection.name = name,
                        "an interrupted build of `{name}`, generation {number}, goes on at {position}"
                    );
                    self.at = at;
                    return Ok(generation);
                }
            }
            self.store.drop(&generation).await?;
        }
        self.at = Checkpoint::default();
        Ok(self.store.add(P::NAME, end.created, purpose).await?)
    }

    /// Brings a generation up to the last of its events at or before `target`, without effects.
    ///
    /// # Errors
    /// It is fenced or stopped, or its store or the log fails.
    pub async fn build(
        &mut self,
        generation: &Generation,
        target: Position,
        progress: impl FnMut(Position, u64),
    ) -> Result<(), StopReason> {
        // Before it is read from: a store that came back may be where it was earlier.
        self.at = self.store.claim(generation, self.owner).await?;
        if self.position() >= target {
            return Ok(());
        }
        let mut replay = Replay::new(self.context.log.clone(), target);
        let reader = replay.reader(P::SUBJECTS, (self.next(), target));
        let replaying = async { Ok(replay.run(None).await?) };
        try_join(replaying, self.apply_replayed(generation, reader, progress)).await?;
        Ok(())
    }

    /// The same with events that are read for others, too.
    pub(super) async fn build_from(
        &mut self,
        generation: &Generation,
        reader: ReplayReader,
        progress: impl FnMut(Position, u64),
    ) -> Result<(), StopReason> {
        self.at = self.store.claim(generation, self.owner).await?;
        if self.next() < reader.from() {
            return Err(StopReason::Transient("the store is where it was earlier".into()));
        }
        self.apply_replayed(generation, reader, progress).await
    }

    /// Applies what is read to a generation that was claimed.
    async fn apply_replayed(
        &mut self,
        generation: &Generation,
        mut reader: ReplayReader,
        mut progress: impl FnMut(Position, u64),
    ) -> Result<(), StopReason> {
        self.skipped = self.context.log.skipped(P::NAME).await?;
        loop {
            let mut batch = reader.next_batch(self.context.batch * BATCHES_AT_ONCE).await?;
            if batch.is_empty() {
                return Ok(());
            }
            batch.retain(|entry| position_of(entry) > self.at.position);
            let count = batch.len() as u64;
            if count > 0 {
                self.apply(generation, batch, &mut Vec::new()).await?;
                progress(self.at.position, count);
            }
        }
    }
}
