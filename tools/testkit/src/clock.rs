//! The time of day and randomness, as the tools' clients need them.
#![expect(clippy::disallowed_methods, reason = "the tools have no other home of time and chance")]

use std::time::{SystemTime, UNIX_EPOCH};

use uuid::Uuid;

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// An id that nothing else has.
pub fn random_id() -> Uuid {
    Uuid::new_v4()
}
