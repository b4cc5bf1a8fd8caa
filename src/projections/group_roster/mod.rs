//! Groups, and who is in them. In PostgreSQL.

mod changes;
mod listing;

use sqlx::PgPool;

use self::changes::Changes;
use super::{
    Page, Projection, ProjectionParts, StoreError,
    engine::postgres::{PostgresStore, PostgresTx, Tables},
};
use crate::{
    commands::group::{Group, GroupRow, Member},
    events::{Event, GroupId, MembershipId, Position, Recorded, Timestamp, UserId},
};

pub use listing::{Outline, listed, outline};

const TABLES: Tables = Tables {
    ddl: include_str!("schema.sql"),
    indexes: "",
    keys: &[("groups", "id"), ("group_users", "id")],
};

/// The read model.
pub struct GroupRoster;

impl Projection for GroupRoster {
    type Store = PostgresStore;
    type Effect = ();
    const NAME: &'static str = "group_roster";
    const SUBJECTS: &'static [&'static str] = &["evt.group.>"];

    fn open(parts: &ProjectionParts) -> (Self, PostgresStore) {
        (Self, PostgresStore::new(parts.pool.clone(), &TABLES))
    }

    async fn apply(
        &self,
        tx: &mut PostgresTx,
        batch: &[Recorded<Event>],
    ) -> Result<Vec<()>, StoreError> {
        let mut changes = Changes::default();
        for recorded in batch {
            if let &Event::Group(group, ref event) = &recorded.event {
                changes.apply(group, event, recorded.position);
            }
        }
        changes.write(tx).await?;
        Ok(Vec::new())
    }
}

/// A group as the rules see it, with the version that it is.
///
/// # Errors
/// The database cannot be reached.
pub async fn load(pool: &PgPool, group: GroupId) -> sqlx::Result<(Group, Position)> {
    // One snapshot: the version must be that of the rows.
    let mut tx = pool.begin_with("begin isolation level repeatable read read only").await?;
    let row = sqlx::query!(
        "select uuid, owner, name, avatar, remark, invite_confirm, dissolved, created_at,
             updated_at, version
         from groups where id = $1",
        group.0
    )
    .fetch_optional(&mut *tx)
    .await?;
    let members = sqlx::query!(
        "select id, user_id, nickname, status, created_at, updated_at
         from group_users where group_id = $1",
        group.0
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    let Some(row) = row else {
        return Ok((Group::NotCreated, Position(0)));
    };
    let version = Position(row.version.unsigned_abs());
    if row.dissolved {
        return Ok((Group::Dissolved, version));
    }
    let members = members.into_iter().map(|row| Member {
        id: MembershipId(row.id),
        user: UserId(row.user_id),
        nickname: row.nickname,
        waiting: row.status == 2,
        created_at: Timestamp::of(row.created_at),
        updated_at: Timestamp::of(row.updated_at),
    });
    let members = members.collect();
    let row = GroupRow {
        id: group,
        uuid: row.uuid,
        owner: UserId(row.owner),
        name: row.name,
        avatar: row.avatar,
        remark: row.remark,
        policy: row.invite_confirm,
        created_at: Timestamp::of(row.created_at),
        updated_at: Timestamp::of(row.updated_at),
    };
    Ok((Group::from_rows(row, members), version))
}

/// Is `user` a status-1 member of any group?
///
/// # Errors
/// The database cannot be reached.
pub async fn has_groups(pool: &PgPool, user: UserId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from group_users where user_id = $1 and status = 1) as "any!""#,
        user.0
    )
    .fetch_one(pool)
    .await
}

/// A group in its member's list (rest.md §22).
#[derive(Debug, Clone, PartialEq)]
pub struct GroupOfUser {
    /// The group.
    pub group: GroupRow,
    /// The member's name in it.
    pub nickname: String,
}

/// The groups that `user` is a status-1 member of, newest first.
///
/// # Errors
/// The database cannot be reached.
pub async fn groups_of(pool: &PgPool, user: UserId, page: Page) -> sqlx::Result<Vec<GroupOfUser>> {
    let rows = sqlx::query!(
        "select groups.id, uuid, owner, name, avatar, remark, invite_confirm, groups.created_at,
             groups.updated_at, group_users.nickname
         from group_users join groups on groups.id = group_users.group_id
         where group_users.user_id = $1 and group_users.status = 1
         order by groups.id desc limit $2 offset $3",
        user.0,
        page.limit,
        page.offset
    )
    .fetch_all(pool)
    .await?;
    let listed = rows.into_iter().map(|row| GroupOfUser {
        group: GroupRow {
            id: GroupId(row.id),
            uuid: row.uuid,
            owner: UserId(row.owner),
            name: row.name,
            avatar: row.avatar,
            remark: row.remark,
            policy: row.invite_confirm,
            created_at: Timestamp::of(row.created_at),
            updated_at: Timestamp::of(row.updated_at),
        },
        nickname: row.nickname,
    });
    Ok(listed.collect())
}
