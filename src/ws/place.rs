//! The place of an entry: in its user's queue, or in the timeline of a large group.

use crate::events::{GroupId, Position};

/// Where an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// In the queue, by number; and the place in the log that it came from, for whoever asks later (ADR 0034).
    Queue { number: u64, position: Position },
    /// In a timeline, by its place in the log and that of the entry before it.
    Timeline { group: GroupId, position: u64, after: u64 },
}
