//! The decider is the one shape that every aggregate's rules have.

use std::hash::Hash;

use crate::events::Position;

/// The rules of one aggregate: no I/O, no clock, no randomness.
pub trait Decider: Default + Clone + PartialEq + Send + Sync + 'static {
    /// What tells aggregates of this kind apart.
    type Id: Copy + Eq + Hash + Send + Sync + 'static;
    /// What can be asked for.
    type Command: Sync;
    /// What can happen.
    type Event;
    /// Why a command may be refused.
    type Rejection: std::error::Error + Send + Sync + 'static;

    /// Judges a command. `None` means "already so", which makes a repeat harmless.
    ///
    /// # Errors
    /// The rule that says no.
    fn decide(&self, command: &Self::Command) -> Result<Option<Self::Event>, Self::Rejection>;

    /// Takes a fact in, which is at this position of the log: what it makes may get its id from there. Cannot fail: it
    /// has happened.
    fn evolve(&mut self, at: Position, event: &Self::Event);
}
