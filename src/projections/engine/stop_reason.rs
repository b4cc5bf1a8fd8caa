//! Why a runner stops working on a read model, for now or until somebody helps.

use crate::{adapters::nats::event_log::LogError, events::Position, projections::StoreError};

/// Why a runner stopped working on a generation.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    /// Another runner took it, or the store lost its state.
    #[error("another runner works on it")]
    Fenced,
    /// The store or the log is away.
    #[error("{0}")]
    Passing(String),
    /// An event that will never be applied.
    #[error("the event at {position} cannot be applied: {reason}")]
    Poison {
        /// Where it is.
        position: Position,
        /// Why not.
        reason: String,
    },
}

impl From<LogError> for Halt {
    fn from(error: LogError) -> Self {
        Self::Passing(error.to_string())
    }
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Fenced => Self::Fenced,
            StoreError::Passing(why) | StoreError::Refused(why) => Self::Passing(why),
        }
    }
}
