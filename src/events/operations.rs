//! Operations events say what operators decided about the running of the service.

use serde::{Deserialize, Serialize};

use super::ids::Position;

/// A decision of an operator that a rebuild must come to as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum OperationsEvent {
    /// A read model leaves an event out, because it can never be applied.
    #[serde(rename = "operations.event_skipped.v1")]
    EventSkipped {
        /// Which read model.
        projection: String,
        /// Which event.
        position: Position,
        /// Why, in the operator's words.
        reason: String,
    },
}
