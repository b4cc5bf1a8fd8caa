//! Generations: a read model can be built anew beside the live one, compared with it, and switched to.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::{
    events::Position,
    projections::{Checkpoint, StoreError},
};

/// Where read models are kept: transactions that move the checkpoint from the expected old value.
pub trait Store: Clone + Send + Sync + 'static {
    /// A transaction: applies whole or not at all.
    type Tx: Send;

    /// The live generation of a read model; makes the first one if there is none.
    fn live(
        &self,
        name: &'static str,
        log_created: i64,
    ) -> impl Future<Output = Result<Generation, StoreError>> + Send;

    /// Adds a generation beside the live one, empty.
    fn add(
        &self,
        name: &'static str,
        log_created: i64,
    ) -> impl Future<Output = Result<Generation, StoreError>> + Send;

    /// Makes `owner` the only one who may move a generation's checkpoint, and tells where it is.
    /// Whoever had it finds out at their next commit: the newest runner wins.
    fn claim(
        &self,
        generation: &Generation,
        owner: Uuid,
    ) -> impl Future<Output = Result<Checkpoint, StoreError>> + Send;

    /// Begins a transaction on a generation, which will make the step `moved`.
    fn begin(
        &self,
        generation: &Generation,
        moved: CheckpointAdvance,
    ) -> impl Future<Output = Result<Self::Tx, StoreError>> + Send;

    /// Commits it, moving the checkpoint; [`StoreError::Fenced`] if it is not where `moved` says.
    fn commit(
        &self,
        tx: Self::Tx,
        generation: &Generation,
        moved: CheckpointAdvance,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Makes a generation the live one, atomically; the old one stays until dropped.
    fn switch(&self, to: &Generation) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Drops a generation that is not live.
    fn drop(&self, generation: &Generation) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Count and digest of every table or key family of a generation.
    fn digests(
        &self,
        generation: &Generation,
    ) -> impl Future<Output = Result<BTreeMap<String, Digest>, StoreError>> + Send;

    /// Every row of a table or key family, by a name that is the same in all generations.
    fn rows(
        &self,
        generation: &Generation,
        table: &str,
    ) -> impl Future<Output = Result<BTreeMap<String, String>, StoreError>> + Send;

    /// All generations of a read model.
    fn generations(
        &self,
        name: &'static str,
    ) -> impl Future<Output = Result<Vec<ListedGeneration>, StoreError>> + Send;
}

/// One build of one read model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation {
    /// Of which read model.
    pub name: &'static str,
    /// 1, 2, 3 …
    pub number: i32,
    /// The log it was built from, by the second it was created.
    pub log_created: i64,
    /// Was it built by other definitions than this version's?
    pub outdated: bool,
}

/// A step of a checkpoint.
#[derive(Debug, Clone, Copy)]
pub struct CheckpointAdvance {
    /// Who makes it.
    pub owner: Uuid,
    /// Where it must be.
    pub from: Checkpoint,
    /// Where it will be.
    pub to: Checkpoint,
}

impl CheckpointAdvance {
    /// The moment before it.
    pub fn since(&self, generation: &Generation) -> FenceToken {
        FenceToken {
            generation: generation.number,
            owner: self.owner,
            position: self.from.position,
        }
    }

    /// The moment after it.
    pub fn until(&self, generation: &Generation) -> FenceToken {
        FenceToken { generation: generation.number, owner: self.owner, position: self.to.position }
    }
}

/// A moment in the life of a generation, as its owner left it. What they remember of it is what the store holds, as long
/// as their next step begins there: nobody else can have written meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FenceToken {
    generation: i32,
    owner: Uuid,
    position: Position,
}

/// What a table holds, whatever the order of its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Digest {
    /// How many rows or keys.
    pub rows: u64,
    /// The sum of their hashes.
    pub sum: u64,
}

/// A generation as listed.
#[derive(Debug, Clone, serde::Serialize)]
pub struct ListedGeneration {
    /// 1, 2, 3 …
    pub generation: i32,
    /// Do readers see it?
    pub live: bool,
    /// The last event that counts.
    pub position: u64,
    /// Was it built by other definitions than this version's?
    pub outdated: bool,
}
