//! The groups as the queue needs them: who is in each at an event's position, and where what is said to all of it
//! goes (ADR 0011). In Redis, beside the queues.
//!
//! A projection reads no other, so the queue folds `evt.group.>` itself. `group_{id}` is a hash: `row`, `timeline`,
//! `version`, and a membership by each user's number. A message to many thousands must not read them all, so what was
//! read is kept in the process; the version tells whether it still holds.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    str::FromStr,
    sync::{Mutex, PoisonError},
};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    StoreError,
    in_redis::{NONE, RedisTx, VERSION, command},
};
use crate::{
    commands::group::{ActiveGroup, Group, GroupRow, Member},
    events::{Event, GroupEvent, GroupId, Recorded, Subject, UserId},
};

/// Words of one command, which Lua keeps on its stack.
pub(super) const AT_ONCE: usize = 1000;

/// Groups as they were after the last batch.
#[derive(Default)]
pub(super) struct Known(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// By key: version and group.
    groups: HashMap<String, (String, Group)>,
    /// How many memberships they have.
    memberships: usize,
}

/// With more memberships all groups are forgotten, and read again as they are needed.
const MOST_KNOWN: usize = 1_000_000;

/// The groups that a batch touches.
#[derive(Default)]
pub(super) struct Groups {
    now: HashMap<GroupId, Held>,
}

#[derive(Default)]
struct Held {
    group: Group,
    /// The last event about it.
    version: Option<String>,
    timeline: Option<Timeline>,
    stored: Option<Timeline>,
    /// If something of it has to be written: whose memberships changed.
    changed: Option<BTreeSet<UserId>>,
    /// Was it given an event that it had taken in before? Then the batch was applied already.
    repeated: bool,
}

/// The timeline of a group that was large at least once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timeline {
    /// Where in the log its newest entry is; 0 if it has none.
    pub(super) last: u64,
    /// How many it was given.
    pub(super) entries: u64,
    /// Where members have to look before they are shown more.
    pub(super) told: Told,
}

/// Where what was last said to all of a group went. Whoever then hears of something in the other place has to look
/// into both, or he could be shown it too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// To everybody's queue.
    Queues,
    /// To the queues of all but him, who said it.
    QueuesBut(UserId),
    /// To the timeline.
    Timeline,
}

impl Groups {
    /// As they are before the batch.
    pub(super) async fn load(
        tx: &mut RedisTx,
        known: &Known,
        batch: &[Recorded<Event>],
    ) -> Result<Self, StoreError> {
        let touched = batch.iter().filter_map(|recorded| match recorded.subject {
            Subject::Group(id) | Subject::GroupChat(id) => Some(id),
            _ => None,
        });
        let touched: BTreeSet<GroupId> = touched.collect();
        let fields = &[VERSION, "timeline"];
        let commands: Vec<_> =
            touched.iter().map(|id| command("HMGET", &key(tx, *id), fields)).collect();
        let heads: Vec<(Option<String>, Option<String>)> = tx.read(commands).await?;
        let mut now = HashMap::new();
        let mut unknown = Vec::new();
        for (id, (version, timeline)) in touched.into_iter().zip(heads) {
            let timeline = timeline.map(|text| text.parse().map_err(malformed)).transpose()?;
            let group = version.as_ref().map(|version| known.take(&key(tx, id), version));
            if matches!(group, Some(None)) {
                unknown.push(id);
            }
            let group = group.flatten().unwrap_or_default();
            let held = Held { group, version, timeline, stored: timeline, ..Held::default() };
            now.insert(id, held);
        }
        let commands: Vec<_> =
            unknown.iter().map(|id| command("HGETALL", &key(tx, *id), NONE)).collect();
        let hashes: Vec<HashMap<String, String>> = tx.read(commands).await?;
        for (id, hash) in unknown.into_iter().zip(hashes) {
            now.entry(id).or_default().group = read(&hash)?;
        }
        Ok(Self { now })
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
        let none = Timeline { last: 0, entries: 0, told: Told::Queues };
        self.now.entry(id).or_default().timeline.get_or_insert(none)
    }

    /// Takes a fact in; a dissolved group stays as it was until [`Groups::end`].
    pub(super) fn take(&mut self, id: GroupId, recorded: &Recorded<Event>, event: &GroupEvent) {
        let held = self.now.entry(id).or_default();
        let version = recorded.position.to_string();
        let before = held.version.replace(version).and_then(|before| before.parse().ok());
        held.repeated |= before.is_some_and(|before: u64| before >= recorded.position.0);
        let changed = held.changed.get_or_insert_default();
        match event {
            GroupEvent::Dissolved { .. } => return,
            GroupEvent::Created { members, .. } => {
                changed.extend(members.iter().map(|member| member.user));
            }
            event => changed.extend(user_of(event)),
        }
        held.group.evolve(event);
    }

    /// Takes in that it is no more.
    pub(super) fn end(&mut self, id: GroupId, event: &GroupEvent) {
        self.now.entry(id).or_default().group.evolve(event);
    }

    /// Everybody in groups so small that each is told apart, or who may come into one within the batch.
    pub(super) fn users(&self, batch: &[Recorded<Event>], most: usize) -> Vec<UserId> {
        let small = self.now.values().filter_map(|held| held.group.active());
        let known = small.filter(|group| group.count() <= most).flat_map(ActiveGroup::memberships);
        let known = known.map(|member| member.user);
        let new = batch.iter().flat_map(|recorded| match &recorded.event {
            Event::Group(GroupEvent::Created { members, .. }) => {
                members.iter().map(|member| member.user).collect()
            }
            Event::Group(event) => user_of(event).into_iter().collect(),
            _ => Vec::new(),
        });
        known.chain(new).collect()
    }

    /// Writes what changed, and keeps the groups for the next batch.
    pub(super) fn store(self, tx: &mut RedisTx, known: &Known) {
        for (id, held) in self.now {
            let key = key(tx, id);
            let Some(group) = held.group.active() else {
                if held.changed.is_some() {
                    tx.run(&command("DEL", &key, NONE));
                }
                continue;
            };
            if let Some(changed) = &held.changed {
                write(tx, &key, group, held.version.as_deref(), changed);
            }
            if let Some(timeline) = held.timeline.filter(|now| Some(*now) != held.stored) {
                tx.run(&command("HSET", &key, ("timeline", timeline.to_string())));
            }
            if let Some(version) = held.version.filter(|_| !held.repeated) {
                known.keep(key, version, held.group);
            }
        }
    }
}

impl Known {
    /// What is kept under `key`, if it is of that version.
    fn take(&self, key: &str, version: &str) -> Option<Group> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, group) = kept.groups.remove(key)?;
        kept.memberships -= memberships(&group);
        (known == version).then_some(group)
    }

    fn keep(&self, key: String, version: String, group: Group) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.memberships >= MOST_KNOWN {
            *kept = Kept::default();
        }
        kept.memberships += memberships(&group);
        if let Some((_, before)) = kept.groups.insert(key, (version, group)) {
            kept.memberships -= memberships(&before);
        }
    }
}

fn memberships(group: &Group) -> usize {
    group.active().map_or(0, |group| group.memberships().len())
}

/// Whose membership an event is about.
fn user_of(event: &GroupEvent) -> Option<UserId> {
    match event {
        GroupEvent::Joined { entry, .. } | GroupEvent::Applied { entry, .. } => Some(entry.user.id),
        GroupEvent::Approved { user, .. } => Some(user.id),
        GroupEvent::Refused { user, .. }
        | GroupEvent::MemberRemoved { user, .. }
        | GroupEvent::NicknameSet { user, .. } => Some(*user),
        GroupEvent::Left { by, .. } => Some(by.id),
        GroupEvent::Created { .. }
        | GroupEvent::Renamed { .. }
        | GroupEvent::Announced { .. }
        | GroupEvent::PolicySet { .. }
        | GroupEvent::Dissolved { .. } => None,
    }
}

fn key(tx: &RedisTx, id: GroupId) -> String {
    tx.key(format_args!("group_{id}"))
}

fn malformed(error: impl fmt::Display) -> StoreError {
    StoreError::Refused(format!("a stored group: {error}"))
}

fn read(hash: &HashMap<String, String>) -> Result<Group, StoreError> {
    fn parse<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
        serde_json::from_str(text).map_err(malformed)
    }
    let Some(row) = hash.get("row") else { return Ok(Group::default()) };
    let row: GroupRow = parse(row)?;
    let members: Result<Vec<Member>, _> = hash
        .iter()
        .filter(|(field, _)| field.starts_with(|first: char| first.is_ascii_digit()))
        .map(|(_, member)| parse(member))
        .collect();
    Ok(Group::from_rows(row, members?))
}

fn write(
    tx: &mut RedisTx,
    key: &str,
    group: &ActiveGroup,
    version: Option<&str>,
    changed: &BTreeSet<UserId>,
) {
    fn json<T: Serialize>(value: &T) -> String {
        serde_json::to_string(value).expect("groups are plain data")
    }
    let mut fields = vec![
        ("row".to_owned(), json(&group.row)),
        (VERSION.to_owned(), version.unwrap_or_default().to_owned()),
    ];
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

/// `812 40 timeline`, `812 40 queues`, `812 40 queues-but-9`
impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { last, entries, told } = self;
        match told {
            Told::Queues => write!(f, "{last} {entries} queues"),
            Told::QueuesBut(user) => write!(f, "{last} {entries} queues-but-{user}"),
            Told::Timeline => write!(f, "{last} {entries} timeline"),
        }
    }
}

impl FromStr for Timeline {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut words = text.split(' ');
        let mut word = || words.next().unwrap_or_default();
        let (last, entries) = (word().parse()?, word().parse()?);
        let told = match word() {
            "queues" => Told::Queues,
            "timeline" => Told::Timeline,
            other => Told::QueuesBut(UserId(other.trim_start_matches("queues-but-").parse()?)),
        };
        Ok(Self { last, entries, told })
    }
}
