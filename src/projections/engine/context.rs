//! The context that all runners of a process share.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::{
    adapters::nats::{
        checkpoints::Checkpoints, event_log::EventLog, shared_log::SharedLogSubscription,
    },
    events::NodeId,
    telemetry::{Metrics, ProjectionHealth},
};

/// What every runner of a process shares.
#[derive(Clone)]
pub struct RunnerContext {
    /// The log.
    pub log: EventLog,
    /// Its end.
    pub shared_log: SharedLogSubscription,
    /// Where runners tell how far they are.
    pub checkpoints: Checkpoints,
    /// This process.
    pub node: NodeId,
    /// Events in one transaction, at most.
    pub batch: usize,
    /// What `/health` says.
    pub health: ProjectionHealth,
    /// What `/metrics` says.
    pub metrics: Arc<Metrics>,
    /// The end.
    pub stop: CancellationToken,
}
