//! The client's side of the wire, for those who make load and those who make trouble.

pub(super) mod account;
pub(super) mod http;
pub(super) mod socket;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Nobody leaves anything half done in there.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
