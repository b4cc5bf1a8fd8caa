//! What sockets ask of the queues and timelines: one look shows all of it as of one position.

use super::{
    in_redis::reading,
    stretches::{ENDLESS, Stretches},
};
use crate::{
    adapters::redis::{Redis, RedisFailure},
    events::{ConnectionId, GroupId, Position, UserId},
};

/// Where a socket opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// The last number that its user's queue had given.
    pub number: u64,
    /// Where in the log that was.
    pub position: Position,
}

/// What a socket wants to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Numbers of the queue, both ends included.
    pub queue: (u64, u64),
    /// Of some timelines: places in the log, both ends included.
    pub timelines: Vec<(GroupId, (u64, u64))>,
    /// Of each, the first so many entries.
    pub most: usize,
}

/// What there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Up to which event.
    pub at: Position,
    /// Is it this socket that receives? If not, the rest is empty.
    pub is_receiving: bool,
    /// The user's lanes: where entries may be that he has not received.
    pub lanes: Vec<(GroupId, Stretches)>,
    /// Entries of the queue.
    pub queue: Vec<Queued>,
    /// Entries of the timelines, in the order in which they were asked for.
    pub timelines: Vec<Vec<Said>>,
}

/// An entry of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// Its number.
    pub number: u64,
    /// Where in the log it came from.
    pub position: u64,
    /// The message object; empty where the entry only says that there is a lane to look into.
    pub object: String,
}

/// An entry of a timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Where in the log it came from.
    pub position: u64,
    /// Where the entry before it did; 0 if there is none.
    pub after: u64,
    /// Who does not get it, for he wrote it.
    pub author: Option<UserId>,
    /// The message object.
    pub object: String,
}

/// Where `connection` opened; `None` if it is not the user's socket. As the queues are at `since` or later: while they are
/// built anew, they do not know what has come since, nor who has opened one.
///
/// # Errors
/// Redis cannot be reached, or its queues are not that far.
pub async fn opened_at(
    redis: &Redis,
    user: UserId,
    connection: ConnectionId,
    since: Position,
) -> Result<Option<Opened>, RedisFailure> {
    let body = "
        local at = redis.call('HGET', 'hy:offline_queue:g' .. g, 'position')
        if not at or tonumber(at) < tonumber(ARGV[2]) then
          return redis.error_reply('NOTREADY the queues are being built')
        end
        return redis.call('HMGET', p .. 'queue_' .. ARGV[1], 'connection', 'from', 'position')";
    let (current, number, position): (Option<String>, Option<String>, Option<String>) =
        reading("offline_queue", body)
            .arg(user.0)
            .arg(since.0)
            .invoke_async(&mut redis.shared())
            .await?;
    let parse = |text: Option<String>| text.and_then(|text| text.parse().ok());
    let opened = parse(number).zip(parse(position));
    let opened = opened.filter(|_| current == Some(connection.to_string()));
    Ok(opened.map(|(number, position)| Opened { number, position: Position(position) }))
}

/// ARGV: user, connection, how many; of the queue from, to; then per timeline group, from, to.
const LOOK: &str = "
local at = redis.call('HGET', 'hy:offline_queue:g' .. g, 'position') or '0'
local lanes, queue, timelines = {}, {}, {}
local ours = redis.call('HGET', p .. 'queue_' .. ARGV[1], 'connection') == ARGV[2]
if ours then
  for _, group in ipairs(redis.call('SMEMBERS', p .. 'large_' .. ARGV[1])) do
    lanes[#lanes + 1] = {group, redis.call('HGET', p .. 'lanes_' .. group, ARGV[1]) or ''}
  end
  if tonumber(ARGV[4]) > 0 then
    queue = redis.call('XRANGE', p .. 'chat_getmessage_' .. ARGV[1], ARGV[4], ARGV[5], 'COUNT', ARGV[3])
  end
  for i = 6, #ARGV, 3 do
    timelines[#timelines + 1] =
      redis.call('XRANGE', p .. 'timeline_' .. ARGV[i], ARGV[i + 1], ARGV[i + 2], 'COUNT', ARGV[3])
  end
end
return {at, ours and 1 or 0, lanes, queue, timelines}";

/// As Redis answers: names and values in turn.
type Entry = (String, Vec<String>);

/// Position, is it ours?, lanes, entries of the queue, entries of timelines.
type Answer = (u64, u8, Vec<(i64, String)>, Vec<Entry>, Vec<Vec<Entry>>);

/// Looks into the user's queue and the timelines of his groups.
///
/// # Errors
/// Redis cannot be reached, or has no queues yet.
pub async fn look(
    redis: &Redis,
    user: UserId,
    connection: ConnectionId,
    wanted: &Wanted,
) -> Result<Seen, RedisFailure> {
    let end = |to: u64| if to == ENDLESS { "+".to_owned() } else { format!("{to}-0") };
    let script = reading("offline_queue", LOOK);
    let mut call = script.arg(user.0);
    call.arg(connection.to_string()).arg(wanted.most);
    let (from, to) = wanted.queue;
    // From 0 on Redis would be asked for nothing: an empty range has no entries either way.
    let empty = from > to;
    call.arg(if empty { 0 } else { from.max(1) }).arg(end(to));
    for (group, (from, to)) in &wanted.timelines {
        call.arg(group.0).arg(*from).arg(end(*to));
    }
    let (at, ours, lanes, queue, timelines): Answer =
        call.invoke_async(&mut redis.shared()).await?;
    Ok(Seen {
        at: Position(at),
        is_receiving: ours == 1,
        lanes: lanes
            .into_iter()
            .filter_map(|(group, lane)| Some((GroupId(group), lane.parse().ok()?)))
            .collect(),
        queue: queue.into_iter().filter_map(queued).collect(),
        timelines: timelines
            .into_iter()
            .map(|entries| entries.into_iter().filter_map(said).collect())
            .collect(),
    })
}

fn place(id: &str) -> Option<u64> {
    id.strip_suffix("-0")?.parse().ok()
}

/// `p` position `m` object.
fn queued((id, fields): Entry) -> Option<Queued> {
    let [_, position, _, object] = <[String; 4]>::try_from(fields).ok()?;
    Some(Queued { number: place(&id)?, position: position.parse().ok()?, object })
}

/// `q` the entry before `a` author `m` object.
fn said((id, fields): Entry) -> Option<Said> {
    let [_, after, _, author, _, object] = <[String; 6]>::try_from(fields).ok()?;
    Some(Said {
        position: place(&id)?,
        after: after.parse().ok()?,
        author: author.parse().ok().map(UserId),
        object,
    })
}
