//! Delivery acknowledgements say what clients have received of what a gateway wrote to their connections.

#![expect(missing_docs, reason = "a field whose name says what it is needs no comment")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ids::{GroupId, Position, UserId};

/// What one node wrote since its last report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "data")]
pub enum DeliveryEvent {
    /// A gateway reports what clients have received of what it wrote to their connections, some times a second at most
    /// (ADR 0003, ADR 0015).
    #[serde(rename = "delivery.written.v1")]
    Written {
        /// A row per user.
        users: Vec<Delivered>,
        /// What was read from the timelines of large groups.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        groups: Vec<DeliveredInGroup>,
    },
}

/// What one user received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Delivered {
    pub user: UserId,
    /// Ranges of their queue numbers, both ends included.
    pub ranges: Vec<(u64, u64)>,
    /// Where in the log the entries with these numbers came from, in the order of the ranges. Reports from before
    /// ADR 0034 have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub positions: Vec<Position>,
}

/// What some members of a large group received, all of them the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeliveredInGroup {
    pub group: GroupId,
    /// Ranges of the log, both ends included: what the timeline has there, they have.
    pub ranges: Vec<(u64, u64)>,
    pub users: Vec<UserId>,
}
