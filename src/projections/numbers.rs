//! Numbers that clients see, drawn from sequences in PostgreSQL (ADR 0004).
//!
//! A read model raises its sequences above every number that it meets. A database that was lost, or restored to an
//! older state, may be behind the log until its read models have caught up; a number that it gave meanwhile might be
//! in the log already. So whoever draws says how much of the log the database must have seen.

use sqlx::PgPool;

use super::{
    Projection, address_book::AddressBook, complaint_box::ComplaintBox, group_roster::GroupRoster,
    in_postgres::number,
};
use crate::events::Position;

/// A sequence, and the read model that raises it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    sequence: &'static str,
    /// The read model.
    pub read_model: &'static str,
    /// The events that it takes numbers from.
    pub subjects: &'static [&'static str],
}

/// Of friend requests.
pub const REQUESTS: Numbers = raised_by::<AddressBook>("ids.friend_requests");
/// Of rows of address books.
pub const EDGES: Numbers = raised_by::<AddressBook>("ids.friend_edges");
/// Of groups.
pub const GROUPS: Numbers = raised_by::<GroupRoster>("ids.groups");
/// Of memberships.
pub const MEMBERSHIPS: Numbers = raised_by::<GroupRoster>("ids.group_members");
/// Of complaints.
pub const COMPLAINTS: Numbers = raised_by::<ComplaintBox>("ids.complaints");

const fn raised_by<P: Projection>(sequence: &'static str) -> Numbers {
    Numbers { sequence, read_model: P::NAME, subjects: P::SUBJECTS }
}

impl Numbers {
    /// Draws `count` of them, in rising order; `None` if the database has not seen all events up to `seen`.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn draw(
        self,
        pool: &PgPool,
        seen: Position,
        count: usize,
    ) -> sqlx::Result<Option<Vec<i64>>> {
        // One statement: a position that it sees was committed after the sequence was raised for it.
        let drawn = sqlx::query_scalar!(
            r#"select nextval($1::text::regclass) as "number!"
               from hongyan.positions, generate_series(1, $2)
               where projection = $3 and position >= $4"#,
            self.sequence,
            i32::try_from(count).unwrap_or(i32::MAX),
            self.read_model,
            number(seen)
        )
        .fetch_all(pool)
        .await?;
        Ok((drawn.len() == count).then_some(drawn))
    }
}
