//! Objects that queues and timelines do not hold any more, and where a message is in the log.

use sqlx::PgPool;

use crate::{
    events::{GroupId, MessageId, Position, UserId},
    protocol::message_object::with_group,
};

/// What was said in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// Where in the log.
    pub position: u64,
    /// Who wrote it; nobody if it is a notice.
    pub author: Option<UserId>,
    /// The message object.
    pub object: String,
}

/// Where a message is in the log, and whether it was taken back.
///
/// # Errors
/// The database cannot be reached.
pub async fn place(pool: &PgPool, id: MessageId) -> sqlx::Result<Option<(Position, bool)>> {
    let row = sqlx::query!(
        r#"select position, revocation is not null as "revoked!" from messages where id = $1"#,
        id.0
    );
    let row = row.fetch_optional(pool).await?;
    Ok(row.map(|row| (Position(row.position.unsigned_abs()), row.revoked)))
}

/// How many messages somebody has written.
///
/// # Errors
/// The database cannot be reached.
pub async fn count_by(pool: &PgPool, user: UserId) -> sqlx::Result<u64> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from messages where sender = $1"#,
        user.0
    );
    Ok(count.fetch_one(pool).await?.unsigned_abs())
}

/// What `user` is shown of the events at some positions: of the first of them, until they come to so many bytes, but of
/// one at least. `None` for what nobody is shown.
///
/// # Errors
/// The database cannot be reached.
pub async fn for_user(
    pool: &PgPool,
    user: UserId,
    positions: &[u64],
    bytes: usize,
) -> sqlx::Result<Vec<(u64, Option<String>)>> {
    let positions: Vec<i64> = positions.iter().map(|position| signed(*position)).collect();
    let rows = sqlx::query!(
        r#"select found.position as "position!", found.object as "object?",
             shown_groups.object as "shown?"
         from (
             select wanted.position, coalesce(messages.object, notices.object) as object, messages.shown,
                 sum(coalesce(octet_length(messages.object), octet_length(notices.object), 0))
                     over (order by wanted.position rows between unbounded preceding and 1 preceding) as before
             from unnest($1::bigint[]) as wanted (position)
                 left join messages on messages.position = wanted.position
                 left join notices on notices.position = wanted.position and notices.recipient in (0, $2)
         ) as found
             left join shown_groups on shown_groups.position = found.shown
         where coalesce(found.before, 0) < $3
         order by found.position"#,
        &positions,
        user.0,
        signed(bytes as u64)
    );
    let rows = rows.fetch_all(pool).await?.into_iter();
    let whole = rows.map(|row| {
        let object = row.object.map(|object| whole(object, row.shown.as_deref()));
        (row.position.unsigned_abs(), object)
    });
    Ok(whole.collect())
}

/// What was said to all of a group between two positions, both included: the first `most`, until they come to so many
/// bytes, but one at least.
///
/// # Errors
/// The database cannot be reached.
pub async fn in_group(
    pool: &PgPool,
    group: GroupId,
    (from, to): (u64, u64),
    most: usize,
    bytes: usize,
) -> sqlx::Result<Vec<HistoryEntry>> {
    let rows = sqlx::query!(
        r#"select found.position as "position!", found.author as "author!", found.object as "object!",
             shown_groups.object as "shown?"
         from (
             select position, author, object, shown,
                 sum(octet_length(object))
                     over (order by position rows between unbounded preceding and 1 preceding) as before
             from (
                 (select position, sender as author, object, shown from messages
                  where group_id = $1 and position between $2 and $3 order by position limit $4)
                 union all
                 (select position, 0, object, null from notices
                  where group_id = $1 and position between $2 and $3 order by position limit $4)
                 order by position limit $4
             ) as said
         ) as found
             left join shown_groups on shown_groups.position = found.shown
         where coalesce(found.before, 0) < $5
         order by found.position"#,
        group.0,
        signed(from),
        signed(to),
        signed(most as u64),
        signed(bytes as u64)
    );
    let rows = rows.fetch_all(pool).await?.into_iter();
    let said = rows.map(|row| HistoryEntry {
        position: row.position.unsigned_abs(),
        author: Some(UserId(row.author)).filter(|author| author.0 != 0),
        object: whole(row.object, row.shown.as_deref()),
    });
    Ok(said.collect())
}

fn whole(object: String, group: Option<&str>) -> String {
    match group {
        Some(group) => with_group(&object, group),
        None => object,
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
