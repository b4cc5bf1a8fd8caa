//! The testkit: what the tests of the service and its tools share. It knows the service from outside alone.

pub mod chaos_proxy;
pub mod client;
pub mod clock;
pub mod host;
pub mod output;
pub mod ports;
pub mod process;
pub mod programs;
pub mod servers;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex whose holders leave nothing half done when they panic.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
