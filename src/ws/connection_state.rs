//! The states of a connection, from its takeover to its end, and what takes it from one to the next
//! (docs/design/connections.md). What comes before and after, opening and closing, is the course of its task.

use super::{
    connection_command::ConnectionCommand,
    delivery_state::{DeliveryState, Remembered},
    takeover::{Passed, TakeoverBarrier},
};
use crate::events::{ConnectionId, UserId};

/// Where a connection is.
pub(super) enum ConnectionState {
    /// It is its user's current one, and waits until those before it have written their last.
    TakingOver(TakeoverBarrier, Remembered),
    /// It delivers.
    Current(DeliveryState),
    /// The queue names another one; the event that says so has not come by.
    Displaced,
    /// A newer one has taken over.
    Superseded,
    /// Its token was logged out or taken back: silent for good.
    Muted,
}

impl ConnectionState {
    /// Where it delivers from, if it does.
    pub(super) fn delivery(&mut self) -> Option<&mut DeliveryState> {
        match self {
            Self::Current(delivery) => Some(delivery),
            Self::TakingOver(..) | Self::Displaced | Self::Superseded | Self::Muted => None,
        }
    }

    /// Is it its user's current one by the log, as far as this gateway has read it? One that the queue has displaced is
    /// so until the event that says so comes by.
    pub(super) fn is_current_by_log(&self) -> bool {
        match self {
            Self::TakingOver(..) | Self::Current(_) | Self::Displaced => true,
            Self::Superseded | Self::Muted => false,
        }
    }

    /// Applies a command that changes what is to be delivered; those that end delivery are `supersede`, `mute` and
    /// `displace`.
    pub(super) fn apply(&mut self, command: &ConnectionCommand) {
        match (self, command) {
            (Self::Current(delivery), command) => delivery.apply(command),
            // Before it delivers it fetches, so pushes and watermarks tell it nothing then.
            (Self::TakingOver(_, remembered), command) => remembered.apply(command),
            (Self::Displaced | Self::Superseded | Self::Muted, _) => {}
        }
    }

    /// Returns what the barrier says once it is passed; never, if it is behind.
    pub(super) async fn barrier(&mut self) -> Passed {
        match self {
            Self::TakingOver(barrier, _) => barrier.await,
            _ => std::future::pending().await,
        }
    }

    /// The barrier was passed.
    pub(super) fn pass(&mut self, who: (UserId, ConnectionId), passed: Passed) {
        let Self::TakingOver(_, remembered) = self else { return };
        *self = match passed {
            Some((start, position)) => {
                Self::Current(DeliveryState::new(who, start, position, std::mem::take(remembered)))
            }
            None => Self::Displaced,
        };
    }

    /// The queue says that another connection receives.
    pub(super) fn displace(&mut self) {
        if self.is_current_by_log() {
            *self = Self::Displaced;
        }
    }

    /// A newer connection has taken over; `true` if this one was current until then.
    pub(super) fn supersede(&mut self) -> bool {
        let was_current = self.is_current_by_log();
        *self = Self::Superseded;
        was_current
    }

    /// The token was logged out or taken back.
    pub(super) fn mute(&mut self) {
        if self.is_current_by_log() {
            *self = Self::Muted;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use uuid::Uuid;

    use super::*;
    use crate::{events::Position, projections::offline_queue::query::ConnectionStart};

    const WHO: (UserId, ConnectionId) = (UserId(1), ConnectionId(Uuid::nil()));

    fn taking_over() -> ConnectionState {
        ConnectionState::TakingOver(Box::pin(pending()), Remembered::default())
    }

    fn current() -> ConnectionState {
        let mut state = taking_over();
        let start = ConnectionStart { number: 3, position: Position(9) };
        state.pass(WHO, Some((start, Position(9))));
        state
    }

    #[test]
    fn only_what_has_passed_the_barrier_delivers() {
        assert!(taking_over().delivery().is_none() && taking_over().is_current_by_log());
        assert!(current().delivery().is_some_and(|delivery| delivery.wants_reading()));
        let mut displaced = taking_over();
        displaced.pass(WHO, None);
        assert!(displaced.delivery().is_none() && displaced.is_current_by_log());
    }

    #[test]
    fn the_alert_is_for_who_was_current() {
        assert!(taking_over().supersede() && current().supersede());
        let mut displaced = current();
        displaced.displace();
        assert!(displaced.supersede());
        let mut muted = current();
        muted.mute();
        assert!(!muted.is_current_by_log() && !muted.supersede());
        assert!(matches!(muted, ConnectionState::Superseded));
    }

    #[test]
    fn what_is_superseded_stays_so() {
        let mut state = current();
        state.supersede();
        state.mute();
        state.displace();
        state.pass(WHO, None);
        assert!(matches!(state, ConnectionState::Superseded));
    }

    #[test]
    fn a_drain_that_was_asked_for_at_the_barrier_is_remembered() {
        let mut state = taking_over();
        state.apply(&ConnectionCommand::Drain);
        let start = ConnectionStart { number: 3, position: Position(9) };
        state.pass(WHO, Some((start, Position(9))));
        assert!(state.delivery().is_some_and(|delivery| delivery.is_draining()));
    }
}
