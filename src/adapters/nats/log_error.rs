//! The errors with which the log says no.

use std::sync::Arc;

use crate::events::{DecodeError, Position};

/// The one stream: one total order (ADR 0001).
pub const STREAM: &str = "EVENTS";

/// How the log says no.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// What was expected is not so any more: reload and decide again.
    #[error("concurrency conflict: somebody appended first")]
    Conflict,
    /// The log cannot be reached, or does not answer: then it is unknown whether an append has had its effect.
    #[error("the event log is unavailable: {0}")]
    Unavailable(String),
    /// The fact is larger than the server takes.
    #[error("the event is too large for the log")]
    TooLarge,
    /// The log holds something that this version cannot read.
    #[error("the log holds an unreadable event at {position}: {source}")]
    Corrupt {
        /// Where.
        position: Position,
        /// Why.
        source: Arc<DecodeError>,
    },
}

/// Any failure to talk to the server.
pub fn unavailable(error: impl std::fmt::Display) -> LogError {
    LogError::Unavailable(error.to_string())
}
