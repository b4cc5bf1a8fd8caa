//! The context that all runners of a process share.

#![expect(missing_docs, reason = "a field whose name says what it is needs no comment")]

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
    pub log: EventLog,
    pub shared_log: SharedLogSubscription,
    /// Where runners tell how far they are.
    pub checkpoints: Checkpoints,
    pub node: NodeId,
    /// Events in one transaction, at most.
    pub batch: usize,
    /// What `/health` says.
    pub health: ProjectionHealth,
    /// What `/metrics` says.
    pub metrics: Arc<Metrics>,
    pub stop: CancellationToken,
}
