//! The place of an entry: in its user's queue, or in the timeline of a large group.

use crate::events::GroupId;

/// Where an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// In the queue, by number.
    Queue(u64),
    /// In a timeline, by its place in the log and that of the entry before it.
    Timeline { group: GroupId, position: u64, after: u64 },
}
