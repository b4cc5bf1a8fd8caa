//! The executor: loads what a command is judged by, decides, appends with a guard, tries again after a concurrency
//! conflict, and waits for the effect.

pub mod accounts;
pub mod action;
pub mod aggregates;
pub mod authority;
pub mod cache_sync;
pub mod connections;
pub mod contention_queue;
pub mod groups;
pub mod inspection;
pub mod messages;
pub mod pipeline;
pub mod reaper;
pub mod running_commands;
pub mod state_cache;
mod states;
mod wait;

use std::{sync::Arc, time::Duration};

use sqlx::PgPool;

pub use self::pipeline::{Executed, Wait};
use self::{
    aggregates::Caches, authority::Unauthorized, contention_queue::ContentionQueue,
    running_commands::RunningCommands,
};
use crate::{
    adapters::{
        id_allocation::IdAllocationError,
        nats::{
            checkpoints::Checkpoints, event_log::EventLog, liveness::Liveness, log_error::LogError,
        },
        redis::Redis,
    },
    events::NodeId,
    telemetry::Metrics,
};

/// What executes commands in this process.
#[derive(Clone)]
pub struct Executor {
    /// The log.
    pub log: EventLog,
    /// Who has seen how much of it.
    pub checkpoints: Checkpoints,
    /// The read models in PostgreSQL.
    pub pool: PgPool,
    /// The read models in Redis.
    pub redis: Redis,
    caches: Arc<Caches>,
    /// Those who were too slow.
    contention: Arc<ContentionQueue>,
    /// This process.
    pub node: NodeId,
    /// Is the log kept by several servers? Guards that many writers share collapse there (ADR 0008).
    pub replicated: bool,
    /// What runs here, and by what it is judged.
    commands: RunningCommands,
    /// Of a gateway, which keeps its caches fresh and serves by them.
    liveness: Option<Arc<Liveness>>,
    wait: Duration,
    metrics: Arc<Metrics>,
}

/// What an executor is told of its process.
#[derive(Debug, Clone, Copy)]
pub struct ExecutorSettings {
    /// This process.
    pub node: NodeId,
    /// Is the log kept by several servers?
    pub replicated: bool,
    /// How long an answer waits for its effect, at most.
    pub wait: Duration,
}

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub enum CommandError<R: std::error::Error> {
    /// A rule says no.
    #[error(transparent)]
    Rejected(R),
    /// The log says no, or nothing.
    #[error(transparent)]
    Log(#[from] LogError),
    /// PostgreSQL or Redis cannot be asked what the command needs.
    #[error("a read model is unavailable: {0}")]
    Unavailable(String),
    /// What the caller came with has ended meanwhile.
    #[error(transparent)]
    Unauthorized(#[from] Unauthorized),
    /// Others appended first each time.
    #[error("retries exhausted after concurrency conflicts")]
    Contended,
}

impl<R: std::error::Error> From<IdAllocationError> for CommandError<R> {
    fn from(error: IdAllocationError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl Executor {
    /// Over the log and the read models.
    pub fn new(
        log: EventLog,
        checkpoints: Checkpoints,
        (pool, redis): (PgPool, Redis),
        ExecutorSettings { node, replicated, wait }: ExecutorSettings,
        metrics: Arc<Metrics>,
    ) -> Self {
        let caches = Arc::new(Caches::new(&metrics));
        let (contention, commands) = (Arc::default(), RunningCommands::default());
        Self {
            log,
            checkpoints,
            pool,
            redis,
            caches,
            contention,
            node,
            replicated,
            commands,
            liveness: None,
            wait,
            metrics,
        }
    }

    /// The same of a gateway, which serves as long as `liveness` says so.
    #[must_use]
    pub fn serving(self, liveness: Arc<Liveness>) -> Self {
        Self { liveness: Some(liveness), ..self }
    }
}
