//! The numbers of messages in their chats: which one was the last, and so how many there were, up to a position.

use sqlx::PgPool;

use super::Chat;
use crate::{
    events::{Pair, Position},
    projections::engine::postgres::number,
};

/// A message, as its chat counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbered {
    /// 1, 2, 3 …
    pub number: i64,
    /// Where it was sent.
    pub position: Position,
    /// Taken back, then or later?
    pub revoked: bool,
}

/// The last message of a chat up to a position. Positions rise with numbers, so it is found by halves: there is no
/// index for this, which only operators ask.
///
/// # Errors
/// The database cannot be reached.
pub async fn last_until(
    pool: &PgPool,
    chat: Chat,
    until: Position,
) -> sqlx::Result<Option<Numbered>> {
    let last = match chat {
        Chat::Pair(pair) => last_of_pair(pool, pair).await?,
        Chat::Group(group) => {
            let last = sqlx::query_scalar!(
                "select last_number from group_chats where group_id = $1",
                group.0
            );
            last.fetch_optional(pool).await?
        }
    };
    let (mut found, mut low, mut high) = (None, 1, last.unwrap_or(0));
    while low <= high {
        let middle = low + (high - low) / 2;
        let Some(there) = numbered(pool, chat, middle).await? else { return Ok(found) };
        if number(there.position) <= number(until) {
            (found, low) = (Some(there), middle + 1);
        } else {
            high = middle - 1;
        }
    }
    Ok(found)
}

async fn last_of_pair(pool: &PgPool, pair: Pair) -> sqlx::Result<Option<i64>> {
    let last = sqlx::query_scalar!(
        "select last_number from chats where lo = $1 and hi = $2",
        pair.lo().0,
        pair.hi().0
    );
    last.fetch_optional(pool).await
}

async fn numbered(pool: &PgPool, chat: Chat, number: i64) -> sqlx::Result<Option<Numbered>> {
    let found = match chat {
        Chat::Pair(pair) => {
            let row = sqlx::query!(
                r#"select position, revocation is not null as "revoked!" from messages
                   where lo = $1 and hi = $2 and number = $3"#,
                pair.lo().0,
                pair.hi().0,
                number
            );
            row.fetch_optional(pool).await?.map(|row| (row.position, row.revoked))
        }
        Chat::Group(group) => {
            let row = sqlx::query!(
                r#"select position, revocation is not null as "revoked!" from messages
                   where group_id = $1 and number = $2"#,
                group.0,
                number
            );
            row.fetch_optional(pool).await?.map(|row| (row.position, row.revoked))
        }
    };
    Ok(found.map(|(position, revoked)| Numbered {
        number,
        position: Position(position.unsigned_abs()),
        revoked,
    }))
}
