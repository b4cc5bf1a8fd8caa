//! Facts about what has been written to sockets.

use serde::{Deserialize, Serialize};

use super::ids::UserId;

/// What one node wrote since its last report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum DeliveryEvent {
    /// Queue entries reached sockets.
    #[serde(rename = "delivery.written.v1")]
    Written {
        /// A row per user.
        users: Vec<Delivered>,
    },
}

/// What one user received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// Who.
    pub user: UserId,
    /// Ranges of his queue numbers, both ends included.
    pub ranges: Vec<(u64, u64)>,
}
