//! Specifications of the rules: `given(events).decide(&command)` is an event, nothing, or a rejection.

use std::borrow::Borrow;

use super::decider::Decider;
use crate::events::Position;

/// What has come of these events, the first of which is at position 1.
pub(super) fn given<A: Decider>(events: impl IntoIterator<Item = impl Borrow<A::Event>>) -> A {
    let mut state = A::default();
    for (at, event) in (1..).map(Position).zip(events) {
        state.evolve(at, event.borrow());
    }
    state
}

/// What has come of these commands, all of them allowed; what the first yields is at position 1, and so on.
pub(super) fn after<A: Decider>(commands: impl IntoIterator<Item = impl Borrow<A::Command>>) -> A {
    let mut state = A::default();
    for (at, command) in (1..).map(Position).zip(commands) {
        if let Some(event) = state.decide(command.borrow()).expect("all of these are allowed") {
            state.evolve(at, &event);
        }
    }
    state
}
