//! The layout of queues and timelines in Redis: they keep entries, and forget the oldest beyond their quota (ADR 0016).
//!
//! An object for several queues is kept once, and counts the queues that have it. A queue remembers the number and the
//! position of each undelivered entry that it has forgotten. Of a timeline nothing has to be remembered but where it
//! begins: what was said to all of the group before that is in `message_history`.

use std::sync::LazyLock;

use crate::{
    adapters::redis::{
        Script,
        keys::{RedisKey, SHARED},
    },
    events::{GroupId, Position, UserId},
    projections::{
        engine::redis::{NONE, RedisTx, command, committing},
        quota::Quota,
    },
};

/// What is done at the commit beside plain commands: whatever depends on what is there then. `$SHARED` is [`SHARED`].
const OPERATIONS: &str = "
local function let_go(objects, position)
  local queues = position .. ':queues'
  if redis.call('HINCRBY', objects, queues, -1) <= 0 then redis.call('HDEL', objects, position, queues) end
end

function operations.ENQUEUE(key, most, id, position, object)
  local queue, evicted, objects = KEYS[key], KEYS[key + 1], KEYS[key + 2]
  redis.call('XADD', queue, id, 'p', position, 'm', object)
  local over = redis.call('XLEN', queue) - tonumber(most)
  if over <= 0 then return end
  for _, entry in ipairs(redis.call('XRANGE', queue, '-', '+', 'COUNT', over)) do
    local id, position, object = entry[1], entry[2][2], entry[2][4]
    redis.call('XDEL', queue, id)
    if object == '$SHARED' then let_go(objects, position) end
    -- An entry without an object only says that there is something in a timeline.
    if object ~= '' then redis.call('XADD', evicted, id, 'p', position) end
  end
end

function operations.ACKNOWLEDGE(key, from, to)
  local queue, evicted, objects = KEYS[key], KEYS[key + 1], KEYS[key + 2]
  local function take_out(key, let_go_of)
    repeat
      local some = redis.call('XRANGE', key, from, to, 'COUNT', 500)
      local ids = {}
      for i, entry in ipairs(some) do
        ids[i] = entry[1]
        if let_go_of and entry[2][4] == '$SHARED' then let_go(objects, entry[2][2]) end
      end
      if #ids > 0 then redis.call('XDEL', key, unpack(ids)) end
    until #some < 500
  end
  take_out(queue, true)
  if redis.call('EXISTS', evicted) == 1 then
    take_out(evicted, false)
    if redis.call('XLEN', evicted) == 0 then redis.call('DEL', evicted) end
  end
end

function operations.APPEND(key, most, id, after, author, object)
  local timeline, group = KEYS[key], KEYS[key + 1]
  redis.call('XADD', timeline, id, 'q', after, 'a', author, 'm', object)
  local over = redis.call('XLEN', timeline) - tonumber(most)
  if over <= 0 then return end
  local evicted = redis.call('XRANGE', timeline, '-', '+', 'COUNT', over)
  redis.call('XTRIM', timeline, 'MAXLEN', '=', most)
  redis.call('HSET', group, 'floor', string.match(evicted[#evicted][1], '^%d+'))
end";

/// The script that commits a transaction of the queues.
pub(super) static COMMIT: LazyLock<Script> =
    LazyLock::new(|| committing(&OPERATIONS.replace("$SHARED", SHARED)));

/// Adds an entry to a queue: an object, [`SHARED`], or nothing where there is something in another place to look at.
/// `size` is that of the object.
pub(super) fn enqueue(
    tx: &mut RedisTx,
    quota: Quota,
    (user, number): (UserId, u64),
    at: Position,
    (object, size): (&str, usize),
) {
    let words = (quota.after(size), format!("{number}-0"), at.0, object);
    tx.operate("ENQUEUE", &keys(tx, user), words);
}

/// Keeps an object for entries of several queues.
pub(super) fn share(tx: &mut RedisTx, at: Position, object: &str, queues: usize) {
    let fields = (at.0, object, format!("{at}:queues"), queues);
    tx.run(&command("HSET", &tx.key(RedisKey::Objects), fields));
}

/// Takes delivered entries out. Naming one that is gone already does no harm.
pub(super) fn acknowledge(tx: &mut RedisTx, user: UserId, ranges: &[(u64, u64)]) {
    let keys = keys(tx, user);
    for (from, to) in ranges {
        tx.operate("ACKNOWLEDGE", &keys, (format!("{from}-0"), format!("{to}-0")));
    }
}

/// Adds an entry to a timeline: where the one before it is, who wrote it, and what.
pub(super) fn append_to_timeline(
    tx: &mut RedisTx,
    quota: Quota,
    (group, at): (GroupId, Position),
    (after, author): (u64, Option<UserId>),
    object: &str,
) {
    let keys = [RedisKey::Timeline(group), RedisKey::Group(group)].map(|key| tx.key(key));
    let author = author.map(|author| author.to_string()).unwrap_or_default();
    let words = (quota.after(object.len()), format!("{at}-0"), after, author, object);
    tx.operate("APPEND", &keys, words);
}

/// Drops a timeline. `last` is its last entry, as long as there is the group.
pub(super) fn drop_timeline(tx: &mut RedisTx, group: GroupId, last: Option<u64>) {
    tx.run(&command("DEL", &tx.key(RedisKey::Timeline(group)), NONE));
    if let Some(last) = last {
        tx.run(&command("HSET", &tx.key(RedisKey::Group(group)), ("floor", last)));
    }
}

/// Of a queue, of what it has evicted, and of shared objects.
fn keys(tx: &RedisTx, user: UserId) -> [String; 3] {
    [RedisKey::Queue(user), RedisKey::Evicted(user), RedisKey::Objects].map(|key| tx.key(key))
}
