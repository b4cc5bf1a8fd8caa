//! Groups as operators page through them.

use sqlx::PgPool;

use crate::{
    events::{GroupId, Timestamp, UserId},
    projections::{After, user_directory::literal},
};

/// A group in a list, or one that was.
#[derive(Debug, Clone, PartialEq)]
pub struct Outline {
    /// Which.
    pub id: GroupId,
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub owner: UserId,
    /// Is it no more?
    pub dissolved: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Groups that are there, by id: those whose name holds `part`, in large letters or small ones.
///
/// # Errors
/// The database cannot be reached.
pub async fn listed(
    pool: &PgPool,
    part: Option<&str>,
    After { id, limit }: After,
) -> sqlx::Result<Vec<Outline>> {
    let pattern = part.map(|part| format!("%{}%", literal(part)));
    let rows = sqlx::query_as!(
        Row,
        "select id, name, owner, dissolved, created_at from groups
         where not dissolved and ($1::text is null or name ilike $1) and ($2::bigint is null or id > $2)
         order by id limit $3",
        pattern,
        id,
        limit
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(Row::into_outline).collect())
}

/// A group, also one that was dissolved.
///
/// # Errors
/// The database cannot be reached.
pub async fn outline(pool: &PgPool, group: GroupId) -> sqlx::Result<Option<Outline>> {
    let row = sqlx::query_as!(
        Row,
        "select id, name, owner, dissolved, created_at from groups where id = $1",
        group.0
    );
    Ok(row.fetch_optional(pool).await?.map(Row::into_outline))
}

struct Row {
    id: i64,
    name: String,
    owner: i64,
    dissolved: bool,
    created_at: time::OffsetDateTime,
}

impl Row {
    fn into_outline(self) -> Outline {
        Outline {
            id: GroupId(self.id),
            name: self.name,
            owner: UserId(self.owner),
            dissolved: self.dissolved,
            created_at: Timestamp::of(self.created_at),
        }
    }
}
