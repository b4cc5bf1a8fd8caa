//! The reason for which a runner stops working on a read model, for now or until somebody helps.

use crate::{adapters::nats::log_error::LogError, events::Position, projections::StoreError};

/// Why a runner stopped working on a generation.
#[derive(Debug, thiserror::Error)]
pub enum StopReason {
    /// Another runner took it, or the store lost its state.
    #[error("another runner works on it")]
    Fenced,
    /// The store or the log is away.
    #[error("{0}")]
    Transient(String),
    /// An event that will never be applied.
    #[error("the event at {position} cannot be applied: {reason}")]
    PoisonEvent {
        /// Where it is.
        position: Position,
        /// Why not.
        reason: String,
    },
}

impl From<LogError> for StopReason {
    fn from(error: LogError) -> Self {
        Self::Transient(error.to_string())
    }
}

impl From<StoreError> for StopReason {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Fenced => Self::Fenced,
            StoreError::Transient(why) | StoreError::Refused(why) => Self::Transient(why),
        }
    }
}

impl From<sqlx::Error> for StopReason {
    fn from(error: sqlx::Error) -> Self {
        StoreError::from(error).into()
    }
}
