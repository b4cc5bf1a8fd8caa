//! The groups as the queue needs them: who is in each at an event's position. In Redis, beside the queues.
//!
//! A projection reads no other, so the queue folds `evt.group.>` itself. `group_{id}` is a hash: `row`, and a
//! membership by each user's number.

use std::collections::{BTreeSet, HashMap};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    StoreError,
    in_redis::{NONE, RedisTx, command},
};
use crate::{
    commands::group::{ActiveGroup, Group, GroupRow, Member},
    events::{Event, GroupEvent, GroupId, Recorded, Subject, UserId},
};

/// The groups that a batch touches.
#[derive(Default)]
pub(super) struct Groups {
    now: HashMap<GroupId, Group>,
    /// As stored, where it changed.
    stored: HashMap<GroupId, Group>,
}

impl Groups {
    /// As they are before the batch.
    pub(super) async fn load(
        tx: &mut RedisTx,
        batch: &[Recorded<Event>],
    ) -> Result<Self, StoreError> {
        let touched = batch.iter().filter_map(|recorded| match recorded.subject {
            Subject::Group(id) | Subject::GroupChat(id) => Some(id),
            _ => None,
        });
        let touched: BTreeSet<GroupId> = touched.collect();
        let commands: Vec<_> =
            touched.iter().map(|id| command("HGETALL", &key(tx, *id), NONE)).collect();
        let hashes: Vec<HashMap<String, String>> = tx.read(commands).await?;
        let mut now = HashMap::new();
        for (id, hash) in touched.into_iter().zip(hashes) {
            now.insert(id, read(&hash)?);
        }
        Ok(Self { now, stored: HashMap::new() })
    }

    /// A group as of the last event that was taken in.
    pub(super) fn get(&self, id: GroupId) -> Option<&ActiveGroup> {
        self.now.get(&id)?.active()
    }

    /// Takes a fact in, and tells of it with the group after it; with the last of a dissolved one.
    pub(super) fn take<T>(
        &mut self,
        id: GroupId,
        event: &GroupEvent,
        tell: impl FnOnce(&ActiveGroup) -> T,
    ) -> Option<T> {
        let group = self.now.entry(id).or_default();
        self.stored.entry(id).or_insert_with(|| group.clone());
        let over = matches!(event, GroupEvent::Dissolved { .. });
        if !over {
            group.evolve(event);
        }
        let told = group.active().map(tell);
        if over {
            group.evolve(event);
        }
        told
    }

    /// Everybody who may be told something: who is in a group, or comes into it within the batch.
    pub(super) fn users(&self, batch: &[Recorded<Event>]) -> Vec<UserId> {
        let known = self.now.values().filter_map(Group::active).flat_map(ActiveGroup::memberships);
        let known = known.map(|member| member.user);
        let new = batch.iter().flat_map(|recorded| match &recorded.event {
            Event::Group(GroupEvent::Created { members, .. }) => {
                members.iter().map(|member| member.user).collect()
            }
            Event::Group(GroupEvent::Joined { entry, .. } | GroupEvent::Applied { entry, .. }) => {
                vec![entry.user.id]
            }
            _ => Vec::new(),
        });
        known.chain(new).collect()
    }

    /// Writes what changed.
    pub(super) fn store(&self, tx: &mut RedisTx) {
        for (id, before) in &self.stored {
            let after = self.now.get(id).and_then(Group::active);
            write(tx, &key(tx, *id), before.active(), after);
        }
    }
}

fn key(tx: &RedisTx, id: GroupId) -> String {
    tx.key(format_args!("group_{id}"))
}

fn read(hash: &HashMap<String, String>) -> Result<Group, StoreError> {
    fn parse<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
        serde_json::from_str(text)
            .map_err(|error| StoreError::Refused(format!("a stored group: {error}")))
    }
    let Some(row) = hash.get("row") else { return Ok(Group::default()) };
    let row: GroupRow = parse(row)?;
    let members: Result<Vec<Member>, _> = hash
        .iter()
        .filter(|(field, _)| field.as_str() != "row")
        .map(|(_, member)| parse(member))
        .collect();
    Ok(Group::from_rows(row, members?))
}

fn write(tx: &mut RedisTx, key: &str, before: Option<&ActiveGroup>, after: Option<&ActiveGroup>) {
    fn json<T: Serialize>(value: &T) -> String {
        serde_json::to_string(value).expect("groups are plain data")
    }
    const AT_ONCE: usize = 1000; // words of one command, which Lua keeps on its stack
    let Some(after) = after else {
        tx.run(&command("DEL", key, NONE));
        return;
    };
    let known: HashMap<UserId, &Member> = before
        .into_iter()
        .flat_map(ActiveGroup::memberships)
        .map(|member| (member.user, member))
        .collect();
    let mut fields = Vec::new();
    if before.is_none_or(|before| before.row != after.row) {
        fields.push(("row".to_owned(), json(&after.row)));
    }
    for member in after.memberships() {
        if known.get(&member.user).is_none_or(|known| *known != member) {
            fields.push((member.user.to_string(), json(member)));
        }
    }
    for some in fields.chunks(AT_ONCE) {
        tx.run(&command("HSET", key, some));
    }
    let stay: BTreeSet<UserId> = after.memberships().iter().map(|member| member.user).collect();
    let gone: Vec<String> =
        known.keys().filter(|user| !stay.contains(user)).map(UserId::to_string).collect();
    for some in gone.chunks(AT_ONCE) {
        tx.run(&command("HDEL", key, some));
    }
}
