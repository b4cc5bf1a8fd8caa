//! Address books and requests as clients page through them, with the other side's account.
//!
//! The queries that list people read the view of the user directory as well: it is the one place
//! where two read models meet, and only for readers. An answer to whoever changed something waits
//! for the read model that shows it, so both are as fresh as the caller may expect.

use sqlx::PgPool;

use crate::{
    events::{EdgeId, RequestId, Timestamp, UserId},
    projections::{Page, user_directory::ListedUser},
};

/// Somebody in an address book.
#[derive(Debug, Clone, PartialEq)]
pub struct Friend {
    /// The row of the address book.
    pub id: EdgeId,
    /// The owner's remark.
    pub remark: String,
    /// Who it is.
    pub user: ListedUser,
}

/// A page of `owner`'s address book, by row.
///
/// # Errors
/// The database cannot be reached.
pub async fn friends(pool: &PgPool, owner: UserId, page: Page) -> sqlx::Result<Vec<Friend>> {
    let rows = sqlx::query!(
        "select e.id, e.friend, e.remark, u.uuid, u.username, u.nickname, u.avatar
         from friend_edges e join users u on u.id = e.friend
         where e.owner = $1 order by e.id limit $2 offset $3",
        owner.0,
        page.limit,
        page.offset
    )
    .fetch_all(pool)
    .await?;
    let friends = rows.into_iter().map(|row| Friend {
        id: EdgeId(row.id),
        remark: row.remark,
        user: ListedUser {
            id: UserId(row.friend),
            uuid: row.uuid,
            username: row.username,
            nickname: row.nickname,
            avatar: row.avatar,
        },
    });
    Ok(friends.collect())
}

/// A friend request (data.md §2.4).
#[derive(Debug, Clone, PartialEq)]
pub struct RequestRow {
    /// The request.
    pub id: RequestId,
    /// How the asker introduces themselves.
    pub text: String,
    /// `pending`, `agree`, `refuse` or `ignore`.
    pub status: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was answered, or made.
    pub updated_at: Timestamp,
    /// Who asks.
    pub asker: ListedUser,
}

/// A page of the requests addressed to `asked`, the newest first.
///
/// # Errors
/// The database cannot be reached.
pub async fn requests(pool: &PgPool, asked: UserId, page: Page) -> sqlx::Result<Vec<RequestRow>> {
    let rows = sqlx::query!(
        "select r.id, r.asker, r.text, r.status, r.created_at, r.updated_at,
             u.uuid, u.username, u.nickname, u.avatar
         from friend_requests r join users u on u.id = r.asker
         where r.asked = $1 order by r.id desc limit $2 offset $3",
        asked.0,
        page.limit,
        page.offset
    )
    .fetch_all(pool)
    .await?;
    let requests = rows.into_iter().map(|row| RequestRow {
        id: RequestId(row.id),
        text: row.text,
        status: row.status,
        created_at: Timestamp::of(row.created_at),
        updated_at: Timestamp::of(row.updated_at),
        asker: ListedUser {
            id: UserId(row.asker),
            uuid: row.uuid,
            username: row.username,
            nickname: row.nickname,
            avatar: row.avatar,
        },
    });
    Ok(requests.collect())
}

/// How many requests wait for an answer of `asked`.
///
/// # Errors
/// The database cannot be reached.
pub async fn pending_count(pool: &PgPool, asked: UserId) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from friend_requests
           where asked = $1 and status = 'pending'"#,
        asked.0
    )
    .fetch_one(pool)
    .await
}

/// The request of `asker` that waits for an answer of `asked`: its number and text.
///
/// # Errors
/// The database cannot be reached.
pub async fn pending_request(
    pool: &PgPool,
    asker: UserId,
    asked: UserId,
) -> sqlx::Result<Option<(RequestId, String)>> {
    let row = sqlx::query!(
        "select id, text from friend_requests
         where asker = $1 and asked = $2 and status = 'pending'",
        asker.0,
        asked.0
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|row| (RequestId(row.id), row.text)))
}
