//! Look-ups of single entries by their position, for operators: whether one still waits for somebody, and where. They
//! change nothing.

use std::sync::LazyLock;

use super::position_set::PositionSet;
use crate::{
    adapters::redis::{Redis, RedisFailure, keys::RedisKey},
    events::{GroupId, Position, UserId},
    projections::engine::redis::LiveQuery,
};

/// Where an entry is that was somebody's. One of a queue has a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// The queues are not that far.
    NotYet,
    /// In their queue, or in the timeline of their group.
    Waiting(Option<u64>),
    /// It waits, and beyond the quota: `message_history` has it.
    Evicted(Option<u64>),
    /// It waits no more: it was reported as delivered.
    Gone,
}

/// KEYS, after those of every query: the queue and what it has evicted. ARGV, after the generation: position. Positions
/// rise with numbers, so an entry is found by halves.
static IN_QUEUE: LazyLock<LiveQuery> = LazyLock::new(|| {
    let body = "
        local wanted = tonumber(ARGV[2])
        local at = tonumber(redis.call('HGET', KEYS[2], 'position') or '0')
        if at < wanted then return {'not_yet', 0} end
        local function number_of(id) return tonumber(string.match(id, '^%d+')) end
        local function find(key)
          local first = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
          if not first then return end
          local low, high = number_of(first[1]), number_of(redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1][1])
          while low <= high do
            local middle = math.floor((low + high) / 2)
            local entry = redis.call('XRANGE', key, string.format('%.0f', middle), '+', 'COUNT', 1)[1]
            local number, position = number_of(entry[1]), tonumber(entry[2][2])
            if position == wanted then return string.format('%.0f', number) end
            if position < wanted then low = number + 1 else high = middle - 1 end
          end
        end
        local number = find(KEYS[3])
        if number then return {'waiting', number} end
        number = find(KEYS[4])
        if number then return {'evicted', number} end
        return {'gone', 0}";
    LiveQuery::new("offline_queue", body)
});

/// Where the entry of a user's queue is that came from a position.
///
/// # Errors
/// Redis cannot be reached, or has no queues yet.
pub async fn in_queue(
    redis: &Redis,
    user: UserId,
    position: Position,
) -> Result<Held, RedisFailure> {
    let keys = [RedisKey::Queue(user), RedisKey::Evicted(user)];
    let (place, number): (String, u64) = IN_QUEUE.run(redis, &keys, position.0).await?;
    Ok(match place.as_str() {
        "not_yet" => Held::NotYet,
        "waiting" => Held::Waiting(Some(number)),
        "evicted" => Held::Evicted(Some(number)),
        _ => Held::Gone,
    })
}

/// KEYS, after those of every query: the undelivered sets and the timeline. ARGV, after the generation: user, position.
static IN_TIMELINE: LazyLock<LiveQuery> = LazyLock::new(|| {
    let body = "
        local at = redis.call('HGET', KEYS[2], 'position') or '0'
        local id = ARGV[3] .. '-0'
        local there = #redis.call('XRANGE', KEYS[4], id, id)
        return {at, redis.call('HGET', KEYS[3], ARGV[2]) or '', there}";
    LiveQuery::new("offline_queue", body)
});

/// Where the entry of a large group's timeline is that came from a position, for one of its members.
///
/// # Errors
/// Redis cannot be reached, or has no queues yet.
pub async fn in_timeline(
    redis: &Redis,
    group: GroupId,
    user: UserId,
    position: Position,
) -> Result<Held, RedisFailure> {
    let keys = [RedisKey::Undelivered(group), RedisKey::Timeline(group)];
    let (at, undelivered, there): (u64, String, u8) =
        IN_TIMELINE.run(redis, &keys, (user.0, position.0)).await?;
    let undelivered: PositionSet = undelivered.parse().unwrap_or_default();
    Ok(match (undelivered.contains(position.0), there) {
        _ if at < position.0 => Held::NotYet,
        (false, _) => Held::Gone,
        (true, 0) => Held::Evicted(None),
        (true, _) => Held::Waiting(None),
    })
}
