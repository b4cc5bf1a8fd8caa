//! The store of the analysts' stream: what it holds says how far it is, and its last number is the fence.
//!
//! There is one generation at a time. A new one begins with the stream emptied, and is filled in the sight of its readers:
//! they know it by the stream's metadata, and by positions that begin anew.

use std::sync::{Arc, Mutex, PoisonError};

use tracing::warn;
use uuid::Uuid;

use crate::{
    adapters::nats::{
        analysts_stream::{AnalystsStream, NotAdded, Outgoing, StreamBuild, StreamContent},
        log_error::LogError,
    },
    events::{Position, Redaction},
    projections::{
        Checkpoint, StoreError,
        engine::generation::{
            BuildPurpose, CheckpointAdvance, Digests, FenceToken, Generation, ListedGeneration,
            RowContents, Store,
        },
    },
};

/// Bumped when messages are made otherwise out of the same events.
const SHAPE: &str = "1";

/// The stream as the store of a read model.
#[derive(Clone)]
pub struct StreamStore {
    stream: AnalystsStream,
    shape: String,
    content: &'static str,
    claimed: Arc<Mutex<Option<Claim>>>,
}

/// How a runner left the stream.
#[derive(Debug, Clone, Copy)]
struct Claim {
    owner: Uuid,
    generation: i32,
    at: Position,
    last: u64,
}

impl From<LogError> for StoreError {
    fn from(error: LogError) -> Self {
        Self::Transient(error.to_string())
    }
}

impl From<NotAdded> for StoreError {
    fn from(error: NotAdded) -> Self {
        match error {
            NotAdded::Fenced => Self::Fenced,
            NotAdded::Unavailable(error) => error.into(),
        }
    }
}

impl StreamStore {
    /// The stream with what `redaction` leaves.
    pub fn new(stream: AnalystsStream, redaction: &Redaction) -> Self {
        let shape = format!("{SHAPE} {}", redaction.fingerprint());
        let content = redaction.disclosure().as_str();
        Self { stream, shape, content, claimed: Arc::default() }
    }

    pub(super) fn stream(&self) -> &AnalystsStream {
        &self.stream
    }

    fn build(&self, generation: i32, log_created: i64) -> StreamBuild {
        StreamBuild { generation, shape: self.shape.clone(), log_created }
    }

    fn is_outdated(&self, held: &StreamContent) -> bool {
        held.build.shape != self.shape || held.is_emptied
    }

    fn remember(&self, claim: Claim) {
        *self.claimed.lock().unwrap_or_else(PoisonError::into_inner) = Some(claim);
    }

    /// How the one who makes this step left it.
    fn remembered(&self, generation: i32, moved: CheckpointAdvance) -> Result<Claim, StoreError> {
        let claimed = *self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = (moved.owner, generation, moved.from.position);
        claimed
            .filter(|claim| (claim.owner, claim.generation, claim.at) == wanted)
            .ok_or(StoreError::Fenced)
    }

    /// The generation that the stream is.
    pub(super) async fn of_generation(&self, number: i32) -> Result<StreamContent, StoreError> {
        let held = self.stream.held().await?;
        held.filter(|held| held.build.generation == number).ok_or(StoreError::Fenced)
    }
}

impl Store for StreamStore {
    type Tx = Vec<Outgoing>;
    type Part = ();

    async fn live(&self, name: &'static str, log_created: i64) -> Result<Generation, StoreError> {
        if let Some(held) = self.stream.held().await? {
            let StreamBuild { generation: number, log_created, .. } = held.build;
            return Ok(Generation { name, number, log_created, outdated: self.is_outdated(&held) });
        }
        self.stream.create(&self.build(1, log_created)).await?;
        Ok(Generation { name, number: 1, log_created, outdated: false })
    }

    async fn add(
        &self,
        name: &'static str,
        log_created: i64,
        _: BuildPurpose,
    ) -> Result<Generation, StoreError> {
        let number = self.stream.held().await?.map_or(0, |held| held.build.generation) + 1;
        warn!(
            generation = number,
            "the stream ANALYTICS is emptied and filled anew, with analytics.content = {}; its readers get all events again",
            self.content
        );
        self.stream.begin(&self.build(number, log_created)).await?;
        Ok(Generation { name, number, log_created, outdated: false })
    }

    async fn claim(&self, generation: &Generation, owner: Uuid) -> Result<Checkpoint, StoreError> {
        let held = self.of_generation(generation.number).await?;
        let at = held
            .checkpoint
            .map_or_else(Checkpoint::default, |(position, event)| Checkpoint { position, event });
        let (generation, last) = (generation.number, held.last);
        self.remember(Claim { owner, generation, at: at.position, last });
        Ok(at)
    }

    async fn begin(&self, _: &Generation, _: CheckpointAdvance) -> Result<Self::Tx, StoreError> {
        Ok(Vec::new())
    }

    /// Message after message, each on condition that the one before it is the last: what is there of a batch that was cut
    /// off is where the next runner goes on.
    async fn commit(
        &self,
        tx: Self::Tx,
        generation: &Generation,
        moved: CheckpointAdvance,
    ) -> Result<(), StoreError> {
        let claim = self.remembered(generation.number, moved)?;
        if tx.is_empty() {
            if self.stream.last().await? != Some(claim.last) {
                return Err(StoreError::Fenced);
            }
            self.remember(Claim { at: moved.to.position, ..claim });
            return Ok(());
        }
        let last = self.stream.add(tx, claim.last).await?;
        self.remember(Claim { at: moved.to.position, last, ..claim });
        Ok(())
    }

    async fn complete(&self, _: &Generation) -> Result<(), StoreError> {
        Ok(())
    }

    /// It has been seen from its beginning.
    async fn switch(&self, _: FenceToken, to: &Generation) -> Result<(), StoreError> {
        self.of_generation(to.number).await.map(|_| ())
    }

    async fn drop(&self, _: &Generation) -> Result<(), StoreError> {
        Ok(())
    }

    /// It is compared with the log itself: [`Analytics::compare`](super::Analytics::compare).
    async fn parts(&self, _: &[Generation]) -> Result<Vec<()>, StoreError> {
        Ok(Vec::new())
    }

    async fn digests(&self, _: &Generation, (): &()) -> Result<(Position, Digests), StoreError> {
        Ok((Position(0), Digests::new()))
    }

    async fn rows(
        &self,
        _: &Generation,
        (): &(),
        _: i32,
    ) -> Result<(Position, RowContents), StoreError> {
        Ok((Position(0), RowContents::new()))
    }

    async fn generations(&self, _: &'static str) -> Result<Vec<ListedGeneration>, StoreError> {
        let Some(held) = self.stream.held().await? else { return Ok(Vec::new()) };
        let position = held.checkpoint.map_or(Position(0), |(position, _)| position);
        Ok(vec![ListedGeneration {
            generation: held.build.generation,
            live: true,
            position: position.0,
            outdated: self.is_outdated(&held),
            log_created: held.build.log_created,
            built_for: None,
        }])
    }
}
