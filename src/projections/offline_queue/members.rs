//! The groups as the queue needs them: who is in each at an event's position, and where what is said to all of it
//! goes (ADR 0011). In Redis, beside the queues.
//!
//! A projection reads no other, so the queue folds `evt.group.>` itself. `group_{id}` is a hash: `row`, `timeline`,
//! `floor` (see `store`), and a membership by each user's number.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    str::FromStr,
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    adapters::redis::keys::RedisKey,
    commands::group::{ActiveGroup, Group, GroupRow, Member},
    events::{Event, GroupEvent, GroupId, Position, Recorded, UserId},
    projections::{
        StoreError,
        engine::redis::{NONE, RedisTx, command},
    },
};

/// Words of one command, which Lua keeps on its stack.
pub(super) const AT_ONCE: usize = 1000;

/// The groups that this batch and those before it have touched so far.
#[derive(Default)]
pub(super) struct GroupMembers {
    now: HashMap<GroupId, Held>,
    /// Those that the batch touches.
    touched: BTreeSet<GroupId>,
    /// How many memberships there are, at most.
    memberships: usize,
}

#[derive(Default)]
struct Held {
    group: Group,
    timeline: Option<Timeline>,
    stored: Option<Timeline>,
    /// If something of it has to be written: whose memberships changed.
    changed: Option<BTreeSet<UserId>>,
}

/// The timeline of a group that was large at least once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timeline {
    /// Where in the log its newest entry is; 0 if it has none.
    pub(super) last: u64,
    /// Where members have to look before they are shown more.
    pub(super) last_fanout: LastFanout,
}

/// Where what was last said to all of a group went. Whoever then hears of something in the other place has to look
/// into both, or they could be shown it too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::enum_variant_names,
    reason = "fan-out on write and on read is what the field says"
)]
pub(super) enum LastFanout {
    /// To everybody's queue.
    OnWrite,
    /// To the queues of all but the author.
    OnWriteExcept(UserId),
    /// To the timeline.
    OnRead,
}

impl GroupMembers {
    /// Reads those that the batch touches, unless they were read before.
    pub(super) async fn load(
        &mut self,
        tx: &mut RedisTx,
        batch: &[Recorded<Event>],
    ) -> Result<(), StoreError> {
        let touched = batch.iter().filter_map(|recorded| match &recorded.event {
            Event::Group(id, _) | Event::GroupChat(id, _) => Some(*id),
            _ => None,
        });
        self.touched = touched.collect();
        let unread: Vec<GroupId> =
            self.touched.iter().copied().filter(|id| !self.now.contains_key(id)).collect();
        let commands: Vec<_> = unread
            .iter()
            .map(|id| command("HGETALL", &tx.key(RedisKey::Group(*id)), NONE))
            .collect();
        let hashes: Vec<HashMap<String, String>> = tx.read(commands).await?;
        for (id, hash) in unread.into_iter().zip(hashes) {
            self.memberships += hash.len();
            self.now.insert(id, read(&hash)?);
        }
        Ok(())
    }

    /// How many memberships are known, at most.
    pub(super) fn memberships(&self) -> usize {
        self.memberships
    }

    /// A group as of the last event that was taken in.
    pub(super) fn get(&self, id: GroupId) -> Option<&ActiveGroup> {
        self.now.get(&id)?.group.active()
    }

    /// The timeline of a group that was large at least once.
    pub(super) fn timeline(&mut self, id: GroupId) -> Option<&mut Timeline> {
        self.now.get_mut(&id)?.timeline.as_mut()
    }

    /// The same; begins one if there is none.
    pub(super) fn begin_timeline(&mut self, id: GroupId) -> &mut Timeline {
        let none = Timeline { last: 0, last_fanout: LastFanout::OnWrite };
        self.now.entry(id).or_default().timeline.get_or_insert(none)
    }

    /// Takes a fact in; a dissolved group stays as it was until [`GroupMembers::end`].
    pub(super) fn apply(&mut self, id: GroupId, at: Position, event: &GroupEvent) {
        let held = self.now.entry(id).or_default();
        let changed = held.changed.get_or_insert_default();
        if matches!(event, GroupEvent::Dissolved { .. }) {
            return;
        }
        changed.extend(changed_by(event));
        held.group.evolve(at, event);
    }

    /// Takes in that it is no more.
    pub(super) fn end(&mut self, id: GroupId, at: Position, event: &GroupEvent) {
        self.now.entry(id).or_default().group.evolve(at, event);
    }

    /// Everybody in groups so small that each gets an entry of their own, or who may come into one within the batch.
    pub(super) fn users(&self, batch: &[Recorded<Event>], most: usize) -> Vec<UserId> {
        let small = self.touched.iter().filter_map(|id| self.get(*id));
        let known = small.filter(|group| group.count() <= most).flat_map(ActiveGroup::memberships);
        let known = known.map(|member| member.user);
        let new = batch.iter().flat_map(|recorded| match &recorded.event {
            Event::Group(_, event) => changed_by(event),
            _ => Vec::new(),
        });
        known.chain(new).collect()
    }

    /// Writes what changed.
    pub(super) fn store(&mut self, tx: &mut RedisTx) {
        for id in std::mem::take(&mut self.touched) {
            let Some(held) = self.now.get_mut(&id) else { continue };
            let (key, changed) = (tx.key(RedisKey::Group(id)), held.changed.take());
            self.memberships += changed.as_ref().map_or(0, BTreeSet::len);
            let Some(active) = held.group.active() else {
                if changed.is_some() {
                    tx.run(&command("DEL", &key, NONE));
                    (held.timeline, held.stored) = (None, None);
                }
                continue;
            };
            if let Some(changed) = changed {
                write(tx, &key, active, &changed);
            }
            if let Some(timeline) = held.timeline.filter(|now| Some(*now) != held.stored) {
                tx.run(&command("HSET", &key, ("timeline", timeline.to_string())));
                held.stored = Some(timeline);
            }
        }
    }
}

/// Whose memberships an event changes.
pub(in crate::projections) fn changed_by(event: &GroupEvent) -> Vec<UserId> {
    match event {
        GroupEvent::Created { members, .. } => members.clone(),
        GroupEvent::Joined { entry, .. } | GroupEvent::Applied { entry, .. } => vec![entry.user.id],
        GroupEvent::Approved { user, .. } => vec![user.id],
        GroupEvent::Refused { user, .. }
        | GroupEvent::MemberRemoved { user, .. }
        | GroupEvent::NicknameSet { user, .. } => vec![*user],
        GroupEvent::Left { by, .. } => vec![by.id],
        GroupEvent::Renamed { .. }
        | GroupEvent::Announced { .. }
        | GroupEvent::PolicySet { .. }
        | GroupEvent::Dissolved { .. } => Vec::new(),
    }
}

fn malformed(error: impl fmt::Display) -> StoreError {
    StoreError::Refused(format!("a stored group: {error}"))
}

fn read(hash: &HashMap<String, String>) -> Result<Held, StoreError> {
    fn parse<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
        serde_json::from_str(text).map_err(malformed)
    }
    let Some(row) = hash.get("row") else { return Ok(Held::default()) };
    let row: GroupRow = parse(row)?;
    let timeline = hash.get("timeline").map(|text| text.parse().map_err(malformed)).transpose()?;
    let members: Result<Vec<Member>, _> = hash
        .iter()
        .filter(|(field, _)| field.starts_with(|first: char| first.is_ascii_digit()))
        .map(|(_, member)| parse(member))
        .collect();
    let group = Group::from_rows(row, members?);
    Ok(Held { group, timeline, stored: timeline, changed: None })
}

fn write(tx: &mut RedisTx, key: &str, group: &ActiveGroup, changed: &BTreeSet<UserId>) {
    fn json<T: Serialize>(value: &T) -> String {
        serde_json::to_string(value).expect("groups are plain data")
    }
    let mut fields = vec![("row".to_owned(), json(&group.row))];
    let mut gone = Vec::new();
    for user in changed {
        match group.membership(*user) {
            Some(member) => fields.push((user.to_string(), json(member))),
            None => gone.push(user.to_string()),
        }
    }
    for some in fields.chunks(AT_ONCE / 2) {
        tx.run(&command("HSET", key, some));
    }
    for some in gone.chunks(AT_ONCE) {
        tx.run(&command("HDEL", key, some));
    }
}

/// `812 timeline`, `812 queues`, `812 queues-but-9`
impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { last, last_fanout } = self;
        match last_fanout {
            LastFanout::OnWrite => write!(f, "{last} queues"),
            LastFanout::OnWriteExcept(user) => write!(f, "{last} queues-but-{user}"),
            LastFanout::OnRead => write!(f, "{last} timeline"),
        }
    }
}

impl FromStr for Timeline {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut words = text.split(' ');
        let mut word = || words.next().unwrap_or_default();
        let last = word().parse()?;
        let last_fanout = match word() {
            "queues" => LastFanout::OnWrite,
            "timeline" => LastFanout::OnRead,
            other => {
                LastFanout::OnWriteExcept(UserId(other.trim_start_matches("queues-but-").parse()?))
            }
        };
        Ok(Self { last, last_fanout })
    }
}
