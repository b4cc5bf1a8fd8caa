//! Changes of groups and members that a batch of events comes to: at most one statement for each way to change a table.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    events::{GroupEvent, GroupId, MembershipId, Position, Timestamp, UserId},
    projections::{
        StoreError,
        engine::postgres::{column, number},
        user_directory::raise_sequence,
    },
};

/// The rows that change.
#[derive(Default)]
pub(super) struct Changes<'a> {
    groups: BTreeMap<GroupId, Row<'a>>,
    members: BTreeMap<(GroupId, UserId), Membership<'a>>,
}

/// A group's row.
#[derive(Default)]
struct Row<'a> {
    /// If it is new: its public id, its owner, and when it was made.
    new: Option<(Uuid, UserId, Timestamp)>,
    name: Option<&'a str>,
    avatar: Option<&'a str>,
    remark: Option<&'a str>,
    policy: Option<i16>,
    updated_at: Option<Timestamp>,
    dissolved: bool,
    version: i64,
}

/// A membership's row.
#[derive(Default)]
struct Membership<'a> {
    /// Does the one before go?
    removed: bool,
    /// If there is a new one: its id, and since when.
    new: Option<(MembershipId, Timestamp)>,
    status: Option<i16>,
    nickname: Option<&'a str>,
    updated_at: Option<Timestamp>,
}

const MEMBER: i16 = 1;
const WAITING: i16 = 2;

impl<'a> Changes<'a> {
    /// Takes in what happened next.
    pub(super) fn apply(&mut self, group: GroupId, event: &'a GroupEvent, position: Position) {
        let membership = |index| MembershipId(position.numbered(index));
        let row = self.groups.entry(group).or_default();
        row.version = number(position);
        match event {
            GroupEvent::Created { uuid, owner, name, avatar, members, at, .. } => {
                row.new = Some((*uuid, owner.id, *at));
                row.name = Some(name);
                row.change(Some(avatar), *at);
                for (index, member) in members.iter().enumerate() {
                    self.add(group, *member, membership(index), MEMBER, *at);
                }
            }
            GroupEvent::Renamed { name, at, .. } => {
                row.name = Some(name);
                row.change(None, *at);
            }
            GroupEvent::Announced { remark, at, .. } => {
                row.remark = Some(remark);
                row.change(None, *at);
            }
            GroupEvent::PolicySet { policy, at } => {
                row.policy = Some(*policy);
                row.change(None, *at);
            }
            GroupEvent::Joined { avatar, entry, at, .. } => {
                row.change(Some(avatar), *at);
                self.add(group, entry.user.id, membership(0), MEMBER, *at);
            }
            GroupEvent::Applied { entry, at, .. } => {
                self.add(group, entry.user.id, membership(0), WAITING, *at);
            }
            GroupEvent::Approved { user, avatar, at, .. } => {
                row.change(Some(avatar), *at);
                let member = self.members.entry((group, user.id)).or_default();
                (member.status, member.updated_at) = (Some(MEMBER), Some(*at));
            }
            GroupEvent::NicknameSet { user, nickname, at } => {
                let member = self.members.entry((group, *user)).or_default();
                (member.nickname, member.updated_at) = (Some(nickname.as_str()), Some(*at));
            }
            GroupEvent::MemberRemoved { user, avatar, at } => {
                row.change(Some(avatar), *at);
                self.remove(group, *user);
            }
            GroupEvent::Refused { user, .. } => self.remove(group, *user),
            GroupEvent::Left { by, .. } => self.remove(group, by.id),
            GroupEvent::Dissolved { .. } => {
                row.dissolved = true;
                self.members.retain(|(other, _), _| *other != group);
            }
        }
    }

    fn add(&mut self, group: GroupId, user: UserId, id: MembershipId, status: i16, at: Timestamp) {
        let member = self.members.entry((group, user)).or_default();
        let (new, removed) = (Some((id, at)), member.removed);
        let (status, updated_at) = (Some(status), Some(at));
        *member = Membership { removed, new, status, nickname: None, updated_at };
    }

    fn remove(&mut self, group: GroupId, user: UserId) {
        let gone = Membership { removed: true, ..Membership::default() };
        self.members.insert((group, user), gone);
    }

    /// Writes it all.
    pub(super) async fn write(self, tx: &mut PgConnection) -> Result<(), StoreError> {
        let (new, old): (Vec<_>, Vec<_>) =
            self.groups.into_iter().partition(|(_, row)| row.new.is_some());
        let dissolved = new.iter().chain(&old).filter(|(_, row)| row.dissolved);
        let dissolved: Vec<i64> = dissolved.map(|(group, _)| group.0).collect();
        insert_groups(tx, &new).await?;
        update_groups(tx, &old).await?;
        let removed = self.members.iter().filter(|(_, member)| member.removed);
        let removed: Vec<(GroupId, UserId)> = removed.map(|(place, _)| *place).collect();
        delete_members(tx, &removed, &dissolved).await?;
        let rest = self.members.into_iter().filter(|(_, member)| member.updated_at.is_some());
        let (new, old): (Vec<_>, Vec<_>) = rest.partition(|(_, member)| member.new.is_some());
        insert_members(tx, &new).await?;
        update_members(tx, &old).await
    }
}

impl<'a> Row<'a> {
    fn change(&mut self, avatar: Option<&'a str>, at: Timestamp) {
        self.avatar = avatar.or(self.avatar);
        self.updated_at = Some(at);
    }
}

type Groups<'a> = [(GroupId, Row<'a>)];
type Members<'a> = [((GroupId, UserId), Membership<'a>)];

fn time(at: Option<Timestamp>) -> Option<OffsetDateTime> {
    at.map(Timestamp::date_time)
}

fn text(words: Option<&str>) -> Option<String> {
    words.map(str::to_owned)
}

async fn insert_groups(tx: &mut PgConnection, rows: &Groups<'_>) -> Result<(), StoreError> {
    let Some(highest) = rows.iter().map(|(group, _)| group.0).max() else { return Ok(()) };
    let new = |row: &Row<'_>| row.new.expect("these are new");
    sqlx::query!(
        "insert into groups (id, uuid, owner, name, avatar, remark, invite_confirm, dissolved, created_at, updated_at,
             version)
         select id, uuid, owner, name, avatar, coalesce(remark, ''), coalesce(policy, 0), dissolved, created_at,
             updated_at, version
         from unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::smallint[],
             $8::boolean[], $9::timestamptz[], $10::timestamptz[], $11::bigint[])
             as new (id, uuid, owner, name, avatar, remark, policy, dissolved, created_at, updated_at, version)",
        &column(rows, |(group, _)| group.0),
        &column(rows, |(_, row)| new(row).0),
        &column(rows, |(_, row)| new(row).1.0),
        &column(rows, |(_, row)| text(row.name)) as &[Option<String>],
        &column(rows, |(_, row)| text(row.avatar)) as &[Option<String>],
        &column(rows, |(_, row)| text(row.remark)) as &[Option<String>],
        &column(rows, |(_, row)| row.policy) as &[Option<i16>],
        &column(rows, |(_, row)| row.dissolved),
        &column(rows, |(_, row)| new(row).2.date_time()),
        &column(rows, |(_, row)| time(row.updated_at)) as &[Option<OffsetDateTime>],
        &column(rows, |(_, row)| row.version),
    )
    .execute(&mut *tx)
    .await?;
    raise_sequence(tx, "ids.groups", highest).await
}

async fn update_groups(tx: &mut PgConnection, rows: &Groups<'_>) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update groups set name = coalesce(new.name, groups.name), avatar = coalesce(new.avatar, groups.avatar),
             remark = coalesce(new.remark, groups.remark),
             invite_confirm = coalesce(new.policy, groups.invite_confirm),
             dissolved = groups.dissolved or new.dissolved,
             updated_at = coalesce(new.updated_at, groups.updated_at), version = new.version
         from unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::smallint[], $6::boolean[],
             $7::timestamptz[], $8::bigint[])
             as new (id, name, avatar, remark, policy, dissolved, updated_at, version)
         where groups.id = new.id",
        &column(rows, |(group, _)| group.0),
        &column(rows, |(_, row)| text(row.name)) as &[Option<String>],
        &column(rows, |(_, row)| text(row.avatar)) as &[Option<String>],
        &column(rows, |(_, row)| text(row.remark)) as &[Option<String>],
        &column(rows, |(_, row)| row.policy) as &[Option<i16>],
        &column(rows, |(_, row)| row.dissolved),
        &column(rows, |(_, row)| time(row.updated_at)) as &[Option<OffsetDateTime>],
        &column(rows, |(_, row)| row.version),
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn delete_members(
    tx: &mut PgConnection,
    removed: &[(GroupId, UserId)],
    dissolved: &[i64],
) -> Result<(), StoreError> {
    if removed.is_empty() && dissolved.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "delete from group_users
         where group_id = any($3::bigint[]) or (group_id, user_id) in
             (select group_id, user_id from unnest($1::bigint[], $2::bigint[]) as gone (group_id, user_id))",
        &column(removed, |(group, _)| group.0),
        &column(removed, |(_, user)| user.0),
        dissolved
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn insert_members(tx: &mut PgConnection, rows: &Members<'_>) -> Result<(), StoreError> {
    let new = |member: &Membership<'_>| member.new.expect("these are new");
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into group_users (id, group_id, user_id, status, nickname, created_at, updated_at)
         select id, group_id, user_id, status, coalesce(nickname, ''), created_at, updated_at
         from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::smallint[], $5::text[], $6::timestamptz[],
             $7::timestamptz[]) as new (id, group_id, user_id, status, nickname, created_at, updated_at)",
        &column(rows, |(_, member)| new(member).0.0),
        &column(rows, |((group, _), _)| group.0),
        &column(rows, |((_, user), _)| user.0),
        &column(rows, |(_, member)| member.status) as &[Option<i16>],
        &column(rows, |(_, member)| text(member.nickname)) as &[Option<String>],
        &column(rows, |(_, member)| new(member).1.date_time()),
        &column(rows, |(_, member)| time(member.updated_at)) as &[Option<OffsetDateTime>],
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn update_members(tx: &mut PgConnection, rows: &Members<'_>) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update group_users set status = coalesce(new.status, group_users.status),
             nickname = coalesce(new.nickname, group_users.nickname), updated_at = new.updated_at
         from unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::text[], $5::timestamptz[])
             as new (group_id, user_id, status, nickname, updated_at)
         where group_users.group_id = new.group_id and group_users.user_id = new.user_id",
        &column(rows, |((group, _), _)| group.0),
        &column(rows, |((_, user), _)| user.0),
        &column(rows, |(_, member)| member.status) as &[Option<i16>],
        &column(rows, |(_, member)| text(member.nickname)) as &[Option<String>],
        &column(rows, |(_, member)| time(member.updated_at)) as &[Option<OffsetDateTime>],
    )
    .execute(tx)
    .await?;
    Ok(())
}
