//! Operations events say what operators decided about the running of the service.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ids::Position;

/// What an operator did, or decided: a rebuild must come to the same decision.
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
    /// What was said before a day is gone (`retention.messages_days`): whoever reads the log from now on finds it empty.
    #[serde(rename = "operations.messages_expired.v1")]
    MessagesExpired {
        /// The first day that is still there, counted from 1970 in UTC.
        before: i64,
    },
    /// An operator looked at what people say; who and why is in the headers, as of all that operators do.
    #[serde(rename = "operations.content_read.v1")]
    ContentRead {
        /// Whose: `chat 3.9`, `complaint 131072`.
        #[schemars(extend("x-personal" = "person"))]
        aggregate: String,
        /// Of which part of the log, both included.
        from: Position,
        /// Its end.
        to: Position,
    },
}
