//! Groups as messages show them: folded here, for a read model reads no other.
//!
//! Of a group with many members only as many are read as it takes to know that none is shown (DEV-33).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Serialize, de::DeserializeOwned};
use sqlx::PgConnection;

use crate::{
    commands::group::{ActiveGroup, Group, Member, command::ROSTER},
    events::{Event, GroupEvent, GroupId, Position, Recorded, UserId},
    projections::{
        StoreError,
        engine::postgres::{column, number},
        offline_queue::members::changed_by,
    },
    protocol::group_object::{Columns, GroupObject},
};

/// The groups of a batch.
#[derive(Default)]
pub(super) struct Groups {
    folded: BTreeMap<GroupId, Folded>,
    /// New rows of `shown_groups`.
    shown: Vec<(i64, String)>,
}

#[derive(Default)]
struct Folded {
    group: Group,
    /// Where in `shown_groups` it is as it is now.
    shown: Option<i64>,
    /// Has something of it to be written?
    changed: bool,
    /// Whose memberships changed.
    members: BTreeSet<UserId>,
}

impl Groups {
    /// Reads what the batch needs of its groups.
    pub(super) async fn load(
        tx: &mut PgConnection,
        batch: &[Recorded<Event>],
    ) -> Result<Self, StoreError> {
        let mut events: HashMap<GroupId, usize> = HashMap::new();
        let (mut groups, mut users) = (Vec::new(), Vec::new());
        for recorded in batch {
            match &recorded.event {
                Event::Group(id, event) => {
                    *events.entry(*id).or_default() += 1;
                    let changed = changed_by(event);
                    groups.extend(changed.iter().map(|_| id.0));
                    users.extend(changed.iter().map(|user| user.0));
                }
                Event::GroupChat(id, _) => _ = events.entry(*id).or_default(),
                _ => {}
            }
        }
        let ids: Vec<i64> = events.keys().map(|id| id.0).collect();
        if ids.is_empty() {
            return Ok(Self::default());
        }
        let rows = sqlx::query!(
            "select group_id, fields, shown from folded_groups where group_id = any($1)",
            &ids
        );
        let rows = rows.fetch_all(&mut *tx).await?;
        // To put a message beside a group that was shown before takes no members.
        let changes = |id: i64| events.get(&GroupId(id)).is_some_and(|events| *events > 0);
        let wanted = rows.iter().filter(|row| row.shown.is_none() || changes(row.group_id));
        let wanted: Vec<i64> = wanted.map(|row| row.group_id).collect();
        let most = ROSTER + 2 + events.values().max().copied().unwrap_or_default();
        let mut members = load_members(tx, &wanted, most, (&groups, &users)).await?;
        let mut folded = BTreeMap::new();
        for row in rows {
            let members = members.remove(&row.group_id).unwrap_or_default();
            let group = Group::from_rows(parse(&row.fields)?, members);
            let group = Folded { group, shown: row.shown, ..Folded::default() };
            folded.insert(GroupId(row.group_id), group);
        }
        Ok(Self { folded, shown: Vec::new() })
    }

    /// A group as of the last event that was taken in.
    pub(super) fn get(&self, id: GroupId) -> Option<&ActiveGroup> {
        self.folded.get(&id)?.group.active()
    }

    /// Takes a fact in.
    pub(super) fn apply(&mut self, id: GroupId, at: Position, event: &GroupEvent) {
        let folded = self.folded.entry(id).or_default();
        folded.group.evolve(at, event);
        folded.members.extend(changed_by(event));
        (folded.changed, folded.shown) = (true, None);
    }

    /// Where in `shown_groups` a group is as it is now; it is put there if it is not.
    pub(super) fn shown(&mut self, id: GroupId, at: Position) -> Option<i64> {
        let folded = self.folded.get_mut(&id)?;
        let group = folded.group.active()?;
        if folded.shown.is_none() {
            self.shown.push((number(at), json(&GroupObject::of(group, Columns::Chat))));
            (folded.changed, folded.shown) = (true, Some(number(at)));
        }
        folded.shown
    }

    /// Writes what changed.
    pub(super) async fn store(self, tx: &mut PgConnection) -> Result<(), StoreError> {
        if !self.shown.is_empty() {
            sqlx::query!(
                "insert into shown_groups (position, object)
                 select position, object from unnest($1::bigint[], $2::text[]) as new (position, object)",
                &column(&self.shown, |(at, _)| *at),
                &column(&self.shown, |(_, object)| object.clone()),
            )
            .execute(&mut *tx)
            .await?;
        }
        let changed: Vec<_> = self.folded.into_iter().filter(|(_, group)| group.changed).collect();
        if changed.is_empty() {
            return Ok(());
        }
        let (mut over, mut groups, mut members, mut gone) = (vec![], vec![], vec![], vec![]);
        for (id, Folded { group, shown, members: users, .. }) in &changed {
            let Some(group) = group.active() else {
                over.push(id.0);
                continue;
            };
            groups.push((id.0, json(&group.row), *shown));
            for user in users {
                match group.membership(*user) {
                    Some(member) => members.push((id.0, user.0, member.waiting, json(member))),
                    None => gone.push((id.0, user.0)),
                }
            }
        }
        write_groups(tx, &groups, &over).await?;
        write_members(tx, &members, &gone, &over).await
    }
}

/// The first so many status-1 members of some groups, and some memberships by group and user.
async fn load_members(
    tx: &mut PgConnection,
    wanted: &[i64],
    most: usize,
    (groups, users): (&[i64], &[i64]),
) -> Result<HashMap<i64, Vec<Member>>, StoreError> {
    let mut members: HashMap<i64, Vec<Member>> = HashMap::new();
    if wanted.is_empty() {
        return Ok(members);
    }
    let rows = sqlx::query!(
        r#"select member.group_id as "group_id!", member.fields as "fields!"
         from unnest($1::bigint[]) as wanted (id)
             cross join lateral (
                 select group_id, fields from folded_members
                 where group_id = wanted.id and waiting = false order by user_id limit $2
             ) as member
         union
         select group_id, fields from folded_members
         where (group_id, user_id) in
             (select group_id, user_id from unnest($3::bigint[], $4::bigint[]) as touched (group_id, user_id))"#,
        wanted,
        i64::try_from(most).unwrap_or(i64::MAX),
        groups,
        users
    );
    for row in rows.fetch_all(tx).await? {
        members.entry(row.group_id).or_default().push(parse(&row.fields)?);
    }
    Ok(members)
}

async fn write_groups(
    tx: &mut PgConnection,
    groups: &[(i64, String, Option<i64>)],
    over: &[i64],
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into folded_groups (group_id, fields, shown)
         select group_id, fields, shown
         from unnest($1::bigint[], $2::text[], $3::bigint[]) as new (group_id, fields, shown)
         on conflict (group_id) do update set fields = excluded.fields, shown = excluded.shown",
        &column(groups, |(id, ..)| *id),
        &column(groups, |(_, fields, _)| fields.clone()),
        &column(groups, |(.., shown)| *shown) as &[Option<i64>],
    )
    .execute(&mut *tx)
    .await?;
    if !over.is_empty() {
        sqlx::query!("delete from folded_groups where group_id = any($1)", over)
            .execute(tx)
            .await?;
    }
    Ok(())
}

async fn write_members(
    tx: &mut PgConnection,
    members: &[(i64, i64, bool, String)],
    gone: &[(i64, i64)],
    over: &[i64],
) -> Result<(), StoreError> {
    if !members.is_empty() {
        sqlx::query!(
            "insert into folded_members (group_id, user_id, waiting, fields)
             select group_id, user_id, waiting, fields
             from unnest($1::bigint[], $2::bigint[], $3::boolean[], $4::text[])
                 as new (group_id, user_id, waiting, fields)
             on conflict (group_id, user_id) do update
                 set waiting = excluded.waiting, fields = excluded.fields",
            &column(members, |(group, ..)| *group),
            &column(members, |(_, user, ..)| *user),
            &column(members, |(_, _, waiting, _)| *waiting),
            &column(members, |(.., fields)| fields.clone()),
        )
        .execute(&mut *tx)
        .await?;
    }
    if !gone.is_empty() || !over.is_empty() {
        sqlx::query!(
            "delete from folded_members
             where group_id = any($3::bigint[]) or (group_id, user_id) in
                 (select group_id, user_id from unnest($1::bigint[], $2::bigint[]) as gone (group_id, user_id))",
            &column(gone, |(group, _)| *group),
            &column(gone, |(_, user)| *user),
            over
        )
        .execute(tx)
        .await?;
    }
    Ok(())
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("groups are plain data")
}

fn parse<T: DeserializeOwned>(fields: &str) -> Result<T, StoreError> {
    serde_json::from_str(fields)
        .map_err(|error| StoreError::Refused(format!("a folded group: {error}")))
}
