//! Operations events say what operators decided about the running of the service.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ids::Position;

/// A decision of an operator that a rebuild must come to as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "data")]
pub enum OperationsEvent {
    /// An operator had a read model leave an event out, because it can never be applied (ADR 0010).
    #[serde(rename = "operations.event_skipped.v1")]
    EventSkipped {
        /// Which read model.
        #[schemars(extend("x-personal" = "none"))]
        projection: String,
        /// Which event.
        position: Position,
        /// Why, in the operator's words.
        #[schemars(extend("x-personal" = "content"))]
        reason: String,
    },
}
