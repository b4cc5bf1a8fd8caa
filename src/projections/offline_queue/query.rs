//! Queries of queues and timelines by connections: one fetch shows all of it as of one position.

use std::sync::LazyLock;

use super::position_set::{ENDLESS, PositionSet};
use crate::{
    adapters::redis::{
        Redis, RedisFailure,
        keys::{RedisKey, SHARED},
    },
    events::{ConnectionId, GroupId, Position, UserId},
    projections::engine::redis::LiveQuery,
};

/// Where a connection opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionStart {
    /// The last number that its user's queue had given.
    pub number: u64,
    /// Where in the log that was.
    pub position: Position,
}

/// What a connection wants to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchRequest {
    /// The large groups that the user is known to have something in; which others there are is found out.
    pub groups: Vec<GroupId>,
    /// Numbers of the queue, both ends included.
    pub queue: (u64, u64),
    /// Of some timelines: places in the log, both ends included.
    pub timelines: Vec<(GroupId, (u64, u64))>,
    /// Of each, the first so many entries.
    pub most: usize,
    /// Of all, about so many bytes: each has its part of it, and is read up to the entry that exceeds that.
    pub bytes: usize,
}

impl FetchRequest {
    /// How many bytes of each place.
    pub fn bytes_of_each(&self) -> usize {
        self.bytes / (self.timelines.len() + 1)
    }
}

/// What there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchResult {
    /// Up to which event.
    pub at: Position,
    /// Is it this connection that receives? If not, the rest is empty.
    pub is_receiving: bool,
    /// Of the user's large groups: the positions of entries that they may not have received.
    pub undelivered: Vec<(GroupId, PositionSet)>,
    /// Entries of the queue.
    pub queue: Part<QueueEntry>,
    /// Entries of the timelines, in the order in which they were asked for.
    pub timelines: Vec<Part<TimelineEntry>>,
}

/// The first entries of a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part<T> {
    /// They.
    pub entries: Vec<T>,
    /// Where in the log the last one is, if there may be more; else [`ENDLESS`].
    pub up_to: u64,
    /// Up to where the place has forgotten what was wanted of it: then this is all that was read. Only of timelines;
    /// a queue has an entry for each that it has forgotten.
    pub evicted: Option<u64>,
}

/// An entry of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueEntry {
    /// Its number.
    pub number: u64,
    /// Where in the log it came from.
    pub position: u64,
    /// What is in it.
    pub content: EntryContent,
}

/// What an entry of a queue has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryContent {
    /// A message object.
    Object(String),
    /// Nothing: it only says that there is something in a timeline.
    Nothing,
    /// Nothing any more: the message object is in `message_history`.
    Evicted,
}

/// An entry of a timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineEntry {
    /// Where in the log it came from.
    pub position: u64,
    /// Where the entry before it did; 0 if there is none.
    pub after: u64,
    /// Who does not get it, for they wrote it.
    pub author: Option<UserId>,
    /// The message object.
    pub object: String,
}

static OPENED_AT: LazyLock<LiveQuery> = LazyLock::new(|| {
    let body = "
        local at = redis.call('HGET', KEYS[2], 'position')
        if not at or tonumber(at) < tonumber(ARGV[2]) then
          return redis.error_reply('NOTREADY the queues are being built')
        end
        return redis.call('HMGET', KEYS[3], 'connection', 'from', 'position')";
    LiveQuery::new("offline_queue", body)
});

/// Where `connection` opened; `None` if it is not the user's connection. As the queues are at `since` or later: while
/// they are built anew, they do not know what has come since, nor who has opened one.
///
/// # Errors
/// Redis cannot be reached, or its queues are not that far.
pub async fn opened_at(
    redis: &Redis,
    user: UserId,
    connection: ConnectionId,
    since: Position,
) -> Result<Option<ConnectionStart>, RedisFailure> {
    let (current, number, position): (Option<String>, Option<String>, Option<String>) =
        OPENED_AT.run(redis, &[RedisKey::Cursor(user)], since.0).await?;
    let parse = |text: Option<String>| text.and_then(|text| text.parse().ok());
    let opened = parse(number).zip(parse(position));
    let opened = opened.filter(|_| current == Some(connection.to_string()));
    Ok(opened.map(|(number, position)| ConnectionStart { number, position: Position(position) }))
}

/// KEYS, after those of every query: cursor, large groups, evicted, queue, objects; the undelivered sets of the groups
/// that are known; per timeline the group and the timeline. ARGV, after the generation: user, connection, how many,
/// bytes of each place; of the queue from, to; how many groups are known, and which; per timeline from, to. `$SHARED`
/// is [`SHARED`]. Entries are read a few at a time, for there may be large ones among them.
const FETCH: &str = "
local at = redis.call('HGET', KEYS[2], 'position') or '0'
local user, most, budget, few = ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[5]), 10
local function read(key, from, to, found, object_of)
  local bytes = 0
  while true do
    local some = redis.call('XRANGE', key, from, to, 'COUNT', few)
    for _, entry in ipairs(some) do
      found[#found + 1] = entry
      bytes = bytes + object_of(entry[2])
      if #found >= most or bytes >= budget then return 1 end
    end
    if #some < few then return 0 end
    from = '(' .. some[#some][1]
  end
end
local function queued(fields)
  if fields[4] == '$SHARED' then
    fields[4] = redis.call('HGET', KEYS[7], fields[2]) or '$SHARED'
  end
  return #fields[4]
end
local function evicted(fields)
  fields[3], fields[4] = 'm', '$SHARED'
  return 0
end
local function said(fields) return #fields[6] end

local undelivered, queue, timelines = {}, {0, {}}, {}
if redis.call('HGET', KEYS[3], 'connection') ~= ARGV[3] then
  return {at, 0, undelivered, queue, timelines}
end

local known, key_of, all_known = tonumber(ARGV[8]), {}, true
for i = 1, known do key_of[ARGV[8 + i]] = KEYS[7 + i] end
for _, group in ipairs(redis.call('SMEMBERS', KEYS[4])) do
  local key = key_of[group]
  all_known = all_known and key
  undelivered[#undelivered + 1] = {group, key and redis.call('HGET', key, user) or ''}
end
if not all_known then return {at, 2, undelivered, queue, timelines} end

if tonumber(ARGV[6]) > 0 then
  -- What was evicted is older than all that is there.
  read(KEYS[5], ARGV[6], ARGV[7], queue[2], evicted)
  queue[1] = #queue[2] > 0 and 1 or read(KEYS[6], ARGV[6], ARGV[7], queue[2], queued)
end
local key = 8 + known
for i = 9 + known, #ARGV, 2 do
  local group = redis.call('HMGET', KEYS[key], 'row', 'floor')
  -- Of a group that is no more there is no timeline.
  local floor = group[1] and (group[2] or '0') or string.match(ARGV[i + 1], '^%d+') or '0'
  local entries, more = {}, 0
  if tonumber(floor) < tonumber(ARGV[i]) then
    more = read(KEYS[key + 1], ARGV[i], ARGV[i + 1], entries, said)
  end
  timelines[#timelines + 1] = {tonumber(floor), more, entries}
  key = key + 2
end
return {at, 1, undelivered, queue, timelines}";

static FETCH_QUERY: LazyLock<LiveQuery> =
    LazyLock::new(|| LiveQuery::new("offline_queue", &FETCH.replace("$SHARED", SHARED)));

/// As Redis answers: names and values in turn.
type Entry = (String, Vec<String>);

/// Position, is it ours? (2: yes, and there are groups that were not known), undelivered sets, of the queue: is there
/// more? and entries, of timelines: where they begin, is there more?, entries.
type Answer = (u64, u8, Vec<(i64, String)>, (u8, Vec<Entry>), Vec<(u64, u8, Vec<Entry>)>);

/// Looks into the user's queue and the timelines of their groups.
///
/// # Errors
/// Redis cannot be reached, or has no queues yet.
pub async fn fetch(
    redis: &Redis,
    user: UserId,
    connection: ConnectionId,
    wanted: &FetchRequest,
) -> Result<FetchResult, RedisFailure> {
    let end = |to: u64| if to == ENDLESS { "+".to_owned() } else { format!("{to}-0") };
    let (from, to) = wanted.queue;
    // From 0 on Redis would be asked for nothing: an empty range has no entries either way.
    let from = if from > to { 0 } else { from.max(1) };
    let ranges = wanted.timelines.iter();
    let ranges: Vec<(u64, String)> = ranges.map(|(_, (from, to))| (*from, end(*to))).collect();
    let mut known = wanted.groups.clone();
    let (at, ours, undelivered, queue, timelines) = loop {
        let own = [
            RedisKey::Cursor(user),
            RedisKey::LargeGroups(user),
            RedisKey::Evicted(user),
            RedisKey::Queue(user),
            RedisKey::Objects,
        ];
        let undelivered = known.iter().map(|group| RedisKey::Undelivered(*group));
        let timelines = wanted.timelines.iter();
        let timelines =
            timelines.flat_map(|(group, _)| [RedisKey::Group(*group), RedisKey::Timeline(*group)]);
        let keys: Vec<RedisKey> = own.into_iter().chain(undelivered).chain(timelines).collect();
        let groups: Vec<i64> = known.iter().map(|group| group.0).collect();
        let asked = (user.0, connection.to_string(), wanted.most, wanted.bytes_of_each());
        let words = (asked, (from, end(to)), (groups.len(), groups, &ranges));
        let answer: Answer = FETCH_QUERY.run(redis, &keys, words).await?;
        if answer.1 != 2 {
            break answer;
        }
        known = answer.2.iter().map(|(group, _)| GroupId(*group)).collect();
    };
    let (more, entries) = queue;
    let queue: Vec<QueueEntry> = entries.into_iter().filter_map(queued).collect();
    let up_to = queue.last().filter(|_| more == 1).map_or(ENDLESS, |last| last.position);
    let queue = Part { entries: queue, up_to, evicted: None };
    let timelines = wanted.timelines.iter().zip(timelines).map(|((_, (from, to)), read)| {
        let (floor, more, entries) = read;
        let entries: Vec<TimelineEntry> = entries.into_iter().filter_map(said).collect();
        let up_to = entries.last().filter(|_| more == 1).map_or(ENDLESS, |last| last.position);
        Part { entries, up_to, evicted: (floor >= *from).then_some(floor.min(*to)) }
    });
    Ok(FetchResult {
        at: Position(at),
        is_receiving: ours == 1,
        undelivered: undelivered
            .into_iter()
            .filter_map(|(group, undelivered)| Some((GroupId(group), undelivered.parse().ok()?)))
            .collect(),
        queue,
        timelines: timelines.collect(),
    })
}

fn place(id: &str) -> Option<u64> {
    id.strip_suffix("-0")?.parse().ok()
}

/// `p` position `m` object.
fn queued((id, fields): Entry) -> Option<QueueEntry> {
    let [_, position, _, object] = <[String; 4]>::try_from(fields).ok()?;
    let content = match object.as_str() {
        "" => EntryContent::Nothing,
        SHARED => EntryContent::Evicted,
        _ => EntryContent::Object(object),
    };
    Some(QueueEntry { number: place(&id)?, position: position.parse().ok()?, content })
}

/// `q` the entry before `a` author `m` object.
fn said((id, fields): Entry) -> Option<TimelineEntry> {
    let [_, after, _, author, _, object] = <[String; 6]>::try_from(fields).ok()?;
    Some(TimelineEntry {
        position: place(&id)?,
        after: after.parse().ok()?,
        author: author.parse().ok().map(UserId),
        object,
    })
}
