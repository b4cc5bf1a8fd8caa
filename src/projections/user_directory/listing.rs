//! Accounts as operators page through them.

use sqlx::PgPool;

use super::literal;
use crate::{
    events::{Role, Timestamp, UserId, Username},
    projections::After,
};

/// An account in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedAccount {
    /// Which.
    pub id: UserId,
    /// The log-in name.
    pub username: String,
    /// The display name; may be empty.
    pub nickname: String,
    /// The row role.
    pub role: Role,
    /// Shut by an operator?
    pub disabled: bool,
    /// Since when there is one.
    pub registered_at: Timestamp,
}

/// Accounts, guests' and disabled ones too, by id: those whose username holds `part` in any spelling, and of those on
/// demand the disabled ones alone.
///
/// # Errors
/// The database cannot be reached.
pub async fn listed(
    pool: &PgPool,
    part: Option<&str>,
    disabled_only: bool,
    After { id, limit }: After,
) -> sqlx::Result<Vec<ListedAccount>> {
    let pattern = part.map(|part| format!("%{}%", literal(&Username(part.to_owned()).folded())));
    let rows = sqlx::query!(
        "select id, username, nickname, role, disabled, registered_at from users
         where ($1::text is null or username_fold like $1) and (disabled or not $2) and ($3::bigint is null or id > $3)
         order by id limit $4",
        pattern,
        disabled_only,
        id,
        limit
    )
    .fetch_all(pool)
    .await?;
    let listed = rows.into_iter().map(|row| ListedAccount {
        id: UserId(row.id),
        username: row.username,
        nickname: row.nickname,
        role: Role::parse(&row.role),
        disabled: row.disabled,
        registered_at: Timestamp::of(row.registered_at),
    });
    Ok(listed.collect())
}
