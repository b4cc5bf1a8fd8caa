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
    /// What of a generation is read at once: a table, or some keys.
    type Part: Send + Sync;

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
        purpose: BuildPurpose,
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

    /// Adds to a generation what only its readers need, if it has not got that yet.
    fn complete(
        &self,
        generation: &Generation,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Makes a generation the live one, atomically, if the one that is live is still as `held` left it; the old one
    /// stays until dropped. [`StoreError::Fenced`] if it is not.
    fn switch(
        &self,
        held: FenceToken,
        to: &Generation,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Drops a generation that is not live.
    fn drop(&self, generation: &Generation) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// All parts of some generations of one read model.
    fn parts(
        &self,
        generations: &[Generation],
    ) -> impl Future<Output = Result<Vec<Self::Part>, StoreError>> + Send;

    /// Digests of each range of a part of a generation, all as of one position: the checkpoint then.
    fn digests(
        &self,
        generation: &Generation,
        part: &Self::Part,
    ) -> impl Future<Output = Result<(Position, Digests), StoreError>> + Send;

    /// The rows of a range of a part, by names that are the same in all generations, as of one position.
    fn rows(
        &self,
        generation: &Generation,
        part: &Self::Part,
        range: i32,
    ) -> impl Future<Output = Result<(Position, RowContents), StoreError>> + Send;

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

/// What a generation is built for, as long as it has not been live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildPurpose {
    /// To become the live one.
    Rebuild,
    /// To be compared with it, by an operator.
    Verify,
    /// To be compared with it, by the schedule: neither takes over what the other builds.
    ScheduledVerify,
}

impl BuildPurpose {
    /// As stores keep it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rebuild => "rebuild",
            Self::Verify => "verify",
            Self::ScheduledVerify => "scheduled_verify",
        }
    }

    /// Reads that; `None` of a generation that was live once.
    pub fn of(name: &str) -> Option<Self> {
        let all = [Self::Rebuild, Self::Verify, Self::ScheduledVerify];
        all.into_iter().find(|purpose| purpose.name() == name)
    }
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

impl FenceToken {
    /// What `owner` has claimed at a position.
    pub fn claimed(generation: &Generation, owner: Uuid, position: Position) -> Self {
        Self { generation: generation.number, owner, position }
    }

    /// Which generation.
    pub fn generation(&self) -> i32 {
        self.generation
    }

    /// Who has claimed it.
    pub fn owner(&self) -> Uuid {
        self.owner
    }

    /// Where it was left.
    pub fn position(&self) -> Position {
        self.position
    }
}

/// By the number of the range.
pub type Digests = BTreeMap<i32, Digest>;

/// By table, or family of keys, and name.
pub type RowContents = BTreeMap<(String, String), String>;

/// What a range of rows holds, whatever their order.
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
    /// The log it was built from, by the second it was created.
    pub log_created: i64,
    /// What it is being built for; `None` if it was live once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub built_for: Option<BuildPurpose>,
}

impl ListedGeneration {
    /// The generation itself.
    pub fn of(&self, name: &'static str) -> Generation {
        let Self { generation: number, log_created, outdated, .. } = *self;
        Generation { name, number, log_created, outdated }
    }
}
