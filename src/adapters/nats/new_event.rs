//! An event on its way into the log: what is appended, under which expectation, and how that ended.

use uuid::Uuid;

use crate::{
    clock,
    events::{Cause, Event, Position, Subject, Timestamp, UserId},
};

/// A fact on its way into the log.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// The fact.
    pub event: Event,
    /// On whose behalf.
    pub actor: Option<UserId>,
    /// The request that led to it.
    pub cause: Cause,
    /// When it was decided.
    pub at: Timestamp,
    /// Its identity; appending it twice has the effect of once.
    pub id: Uuid,
    /// An earlier attempt was not answered: it may be in the log, after this position.
    pub maybe_after: Option<Position>,
}

impl NewEvent {
    /// A fact with a new identity.
    pub fn new(event: Event, actor: Option<UserId>, cause: &Cause) -> Self {
        Self {
            event,
            actor,
            cause: cause.clone(),
            at: clock::now(),
            id: clock::event_id(),
            maybe_after: None,
        }
    }
}

/// What must still be true for an append to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Nothing: the fact conflicts with none by nature.
    Anything,
    /// The last event of a subject, often of another aggregate, is at this position; 0: there is none.
    Last(Subject, Position),
}

/// How an append ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Where the fact is.
    pub position: Position,
    /// It was there before: an earlier attempt under the same identity.
    pub duplicate: bool,
}
