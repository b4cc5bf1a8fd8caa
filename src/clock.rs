//! The clock is the only reader of time and randomness; everything else is handed what it needs.
#![expect(clippy::disallowed_methods, reason = "this is the one home of time and chance")]

use time::OffsetDateTime;
use uuid::Uuid;

use crate::events::Timestamp;

/// Now, in milliseconds.
pub fn now() -> Timestamp {
    Timestamp::of(OffsetDateTime::now_utc())
}

/// An id that says nothing: users, messages, connections, tokens.
pub fn random_id() -> Uuid {
    Uuid::new_v4()
}

/// An id that sorts by time: events (`ce-id`, UUID v7).
pub fn event_id() -> Uuid {
    Uuid::now_v7()
}
