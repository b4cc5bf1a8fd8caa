//! An event with its place in the log.

use uuid::Uuid;

use super::{
    cause::Cause,
    ids::{Position, Subject, UserId},
    values::Timestamp,
};

/// A fact that the log holds: what, where, when, by whom and because of what.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded<E> {
    /// The fact.
    pub event: E,
    /// Its place in the one total order.
    pub position: Position,
    /// What it is about.
    pub subject: Subject,
    /// `ce-id`: its identity, whatever its place.
    pub id: Uuid,
    /// `ce-time`: when it was decided.
    pub at: Timestamp,
    /// `hy-actor`: on whose behalf, if a user's.
    pub actor: Option<UserId>,
    /// `hy-cause` and `traceparent`: the request that led to it.
    pub cause: Cause,
}
