//! A recorded event is an event with its place in the log.

use uuid::Uuid;

use super::{
    AggregateEvent, Event,
    cause::Cause,
    ids::{Position, Subject, UserId},
    values::Timestamp,
};

/// The log knows an append's identity for two minutes; an event that was stored sooner after it was decided is no repeat.
const MAY_BE_REPEATED_AFTER_MS: i64 = 60_000;

/// A fact that the log holds: what, where, when, by whom and because of what.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded<E> {
    /// The fact.
    pub event: E,
    /// Its place in the one total order.
    pub position: Position,
    /// `ce-id`: its identity, whatever its place.
    pub id: Uuid,
    /// `ce-time`: when it was decided.
    pub at: Timestamp,
    /// When the log took it.
    pub stored_at: Timestamp,
    /// `hy-actor`: on whose behalf, if a user's.
    pub actor: Option<UserId>,
    /// `hy-cause`, `traceparent`, `hy-operator` and `hy-reason`: what led to it.
    pub cause: Cause,
}

impl Recorded<Event> {
    /// Where its aggregate lives in the log.
    pub fn subject(&self) -> Subject {
        self.event.subject()
    }

    /// The same of one kind of aggregate, if it is.
    pub fn typed<E: AggregateEvent>(self) -> Option<Recorded<E>> {
        let Self { event, position, id, at, stored_at, actor, cause } = self;
        let (_, event) = E::into_own(event)?;
        Some(Recorded { event, position, id, at, stored_at, actor, cause })
    }
}

impl<E> Recorded<E> {
    /// Was it on its way for so long that the log may hold it once more, before this (ADR 0019)?
    pub fn may_be_repeat(&self) -> bool {
        self.stored_at.0 - self.at.0 > MAY_BE_REPEATED_AFTER_MS
    }
}
