//! Groups, and who is in them. In PostgreSQL.

use sqlx::{PgConnection, PgPool};

use super::{
    Page, Projection, StoreError,
    in_postgres::{InPostgres, number},
    user_directory::raise_sequence,
};
use crate::{
    commands::group::{Group, GroupRow, Member},
    events::{
        Event, GroupEvent, GroupId, MembershipId, NewMember, Position, Recorded, Subject,
        Timestamp, UserId,
    },
};

/// Its tables.
pub const DDL: &str = include_str!("group_roster.sql");

/// The read model.
pub struct GroupRoster;

impl Projection for GroupRoster {
    type Store = InPostgres;
    type Effect = ();
    const NAME: &'static str = "group_roster";
    const SUBJECTS: &'static [&'static str] = &["evt.group.>"];

    async fn apply(
        &self,
        tx: &mut <InPostgres as super::generation::Store>::Tx,
        batch: &[Recorded<Event>],
    ) -> Result<Vec<()>, StoreError> {
        for recorded in batch {
            if let (Event::Group(event), Subject::Group(group)) =
                (&recorded.event, recorded.subject)
            {
                apply(tx, group, event, number(recorded.position)).await?;
            }
        }
        Ok(Vec::new())
    }
}

async fn apply(
    tx: &mut PgConnection,
    group: GroupId,
    event: &GroupEvent,
    version: i64,
) -> Result<(), StoreError> {
    match event {
        GroupEvent::Created { .. } => return create(tx, event, version).await,
        GroupEvent::Renamed { name, at, .. } => {
            set(tx, group, Change { name: Some(name), ..Change::at(*at) }).await?;
        }
        GroupEvent::Announced { remark, at, .. } => {
            set(tx, group, Change { remark: Some(remark), ..Change::at(*at) }).await?;
        }
        GroupEvent::PolicySet { policy, at } => {
            set(tx, group, Change { policy: Some(*policy), ..Change::at(*at) }).await?;
        }
        GroupEvent::Joined { membership, avatar, entry, at, .. } => {
            let member = NewMember { id: *membership, user: entry.user.id };
            add(tx, group, &[member], 1, *at).await?;
            set(tx, group, Change { avatar: Some(avatar), ..Change::at(*at) }).await?;
        }
        GroupEvent::Applied { membership, entry, at, .. } => {
            let member = NewMember { id: *membership, user: entry.user.id };
            add(tx, group, &[member], 2, *at).await?;
        }
        GroupEvent::Approved { user, avatar, at, .. } => {
            change(tx, group, user.id, (Some(1), None), *at).await?;
            set(tx, group, Change { avatar: Some(avatar), ..Change::at(*at) }).await?;
        }
        GroupEvent::MemberRemoved { user, avatar, at } => {
            remove(tx, group, *user).await?;
            set(tx, group, Change { avatar: Some(avatar), ..Change::at(*at) }).await?;
        }
        GroupEvent::NicknameSet { user, nickname, at } => {
            change(tx, group, *user, (None, Some(nickname)), *at).await?;
        }
        GroupEvent::Refused { user, .. } => remove(tx, group, *user).await?,
        GroupEvent::Left { by, .. } => remove(tx, group, by.id).await?,
        GroupEvent::Dissolved { .. } => dissolve(tx, group).await?,
    }
    sqlx::query!("update groups set version = $2 where id = $1", group.0, version)
        .execute(tx)
        .await?;
    Ok(())
}

async fn create(tx: &mut PgConnection, event: &GroupEvent, version: i64) -> Result<(), StoreError> {
    let GroupEvent::Created { id, uuid, owner, name, avatar, members, at, .. } = event else {
        unreachable!("called for this event only")
    };
    sqlx::query!(
        "insert into groups (id, uuid, owner, name, avatar, created_at, updated_at, version)
         values ($1, $2, $3, $4, $5, $6, $6, $7)",
        id.0,
        uuid,
        owner.id.0,
        name,
        avatar,
        at.date_time(),
        version
    )
    .execute(&mut *tx)
    .await?;
    raise_sequence(tx, "ids.groups", id.0).await?;
    add(tx, *id, members, 1, *at).await
}

/// What changes in a group's row.
struct Change<'a> {
    name: Option<&'a str>,
    avatar: Option<&'a str>,
    remark: Option<&'a str>,
    policy: Option<i16>,
    at: Timestamp,
}

impl Change<'_> {
    fn at(at: Timestamp) -> Self {
        Self { name: None, avatar: None, remark: None, policy: None, at }
    }
}

async fn set(tx: &mut PgConnection, group: GroupId, to: Change<'_>) -> Result<(), StoreError> {
    sqlx::query!(
        "update groups set name = coalesce($2, name), avatar = coalesce($3, avatar),
             remark = coalesce($4, remark), invite_confirm = coalesce($5, invite_confirm),
             updated_at = $6
         where id = $1",
        group.0,
        to.name,
        to.avatar,
        to.remark,
        to.policy,
        to.at.date_time()
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn add(
    tx: &mut PgConnection,
    group: GroupId,
    members: &[NewMember],
    status: i16,
    at: Timestamp,
) -> Result<(), StoreError> {
    let (ids, users): (Vec<i64>, Vec<i64>) =
        members.iter().map(|member| (member.id.0, member.user.0)).unzip();
    sqlx::query!(
        "insert into group_users (id, group_id, user_id, status, created_at, updated_at)
         select member.id, $1, member.user_id, $2, $3, $3
         from unnest($4::bigint[], $5::bigint[]) as member (id, user_id)",
        group.0,
        status,
        at.date_time(),
        &ids,
        &users
    )
    .execute(&mut *tx)
    .await?;
    match ids.iter().max() {
        Some(highest) => raise_sequence(tx, "ids.group_members", *highest).await,
        None => Ok(()),
    }
}

async fn change(
    tx: &mut PgConnection,
    group: GroupId,
    user: UserId,
    (status, nickname): (Option<i16>, Option<&str>),
    at: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update group_users set status = coalesce($3, status), nickname = coalesce($4, nickname),
             updated_at = $5
         where group_id = $1 and user_id = $2",
        group.0,
        user.0,
        status,
        nickname,
        at.date_time()
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn remove(tx: &mut PgConnection, group: GroupId, user: UserId) -> Result<(), StoreError> {
    sqlx::query!("delete from group_users where group_id = $1 and user_id = $2", group.0, user.0)
        .execute(tx)
        .await?;
    Ok(())
}

async fn dissolve(tx: &mut PgConnection, group: GroupId) -> Result<(), StoreError> {
    sqlx::query!("update groups set dissolved = true where id = $1", group.0)
        .execute(&mut *tx)
        .await?;
    sqlx::query!("delete from group_users where group_id = $1", group.0).execute(tx).await?;
    Ok(())
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
        return Ok((Group::Unborn, Position(0)));
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
pub struct Listed {
    /// The group.
    pub group: GroupRow,
    /// The member's name in it.
    pub nickname: String,
}

/// The groups that `user` is a status-1 member of, newest first.
///
/// # Errors
/// The database cannot be reached.
pub async fn groups_of(pool: &PgPool, user: UserId, page: Page) -> sqlx::Result<Vec<Listed>> {
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
    let listed = rows.into_iter().map(|row| Listed {
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
