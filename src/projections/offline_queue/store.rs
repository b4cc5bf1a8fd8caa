//! The layout of queues and timelines in Redis: they keep entries, and forget the oldest beyond their quota (ADR 0016).
//!
//! `chat_getmessage_{user}` is a stream by queue number; an entry has its position in the log (`p`) and the message
//! object (`m`). An object for several queues is kept once, in `object_{position}`, which counts the queues that have
//! it. `evicted_{user}` is a stream too: the number and the position of each undelivered entry that the queue has
//! forgotten. Of a timeline nothing has to be remembered but where it begins (`floor` of `group_{id}`): what was said
//! to all of the group before that is in `message_history`.

use std::sync::LazyLock;

use crate::{
    adapters::redis::Script,
    events::{GroupId, Position, UserId},
    projections::{
        engine::redis::{NONE, RedisTx, command, committing},
        quota::Quota,
    },
};

/// The beginning of the keys of queues; the user's number follows.
pub(super) const QUEUE: &str = "chat_getmessage_";

/// What stands in an entry for an object that several queues have.
pub(super) const SHARED: &str = "@";

/// What is done at the commit beside plain commands: whatever depends on what is there then.
const OPERATIONS: &str = "
local function let_go(objects, position)
  local key = objects .. position
  if redis.call('HINCRBY', key, 'queues', -1) <= 0 then redis.call('DEL', key) end
end

function operations.ENQUEUE(queue, evicted, objects, most, id, position, object)
  redis.call('XADD', queue, id, 'p', position, 'm', object)
  local over = redis.call('XLEN', queue) - tonumber(most)
  if over <= 0 then return end
  for _, entry in ipairs(redis.call('XRANGE', queue, '-', '+', 'COUNT', over)) do
    local id, position, object = entry[1], entry[2][2], entry[2][4]
    redis.call('XDEL', queue, id)
    if object == '@' then let_go(objects, position) end
    -- An entry without an object only says that there is something in a timeline.
    if object ~= '' then redis.call('XADD', evicted, id, 'p', position) end
  end
end

function operations.ACKNOWLEDGE(queue, evicted, objects, from, to)
  local function take_out(key, let_go_of)
    repeat
      local some = redis.call('XRANGE', key, from, to, 'COUNT', 500)
      local ids = {}
      for i, entry in ipairs(some) do
        ids[i] = entry[1]
        if let_go_of and entry[2][4] == '@' then let_go(objects, entry[2][2]) end
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

function operations.APPEND(timeline, group, most, id, after, author, object)
  redis.call('XADD', timeline, id, 'q', after, 'a', author, 'm', object)
  local over = redis.call('XLEN', timeline) - tonumber(most)
  if over <= 0 then return end
  local evicted = redis.call('XRANGE', timeline, '-', '+', 'COUNT', over)
  redis.call('XTRIM', timeline, 'MAXLEN', '=', most)
  redis.call('HSET', group, 'floor', string.match(evicted[#evicted][1], '^%d+'))
end";

/// The script that commits a transaction of the queues.
pub(super) static COMMIT: LazyLock<Script> = LazyLock::new(|| committing(OPERATIONS));

/// Adds an entry to a queue: an object, [`SHARED`], or nothing where there is something in another place to look at.
/// `size` is that of the object.
pub(super) fn enqueue(
    tx: &mut RedisTx,
    quota: Quota,
    (user, number): (UserId, u64),
    at: Position,
    (object, size): (&str, usize),
) {
    let (queue, evicted, objects) = keys(tx, user);
    let words = (evicted, objects, quota.after(size), format!("{number}-0"), at.0, object);
    tx.run(&command("ENQUEUE", &queue, words));
}

/// Keeps an object for entries of several queues.
pub(super) fn share(tx: &mut RedisTx, at: Position, object: &str, queues: usize) {
    let key = tx.key(format_args!("{OBJECT}{at}"));
    tx.run(&command("HSET", &key, ("queues", queues, "object", object)));
}

/// Takes delivered entries out. Naming one that is gone already does no harm.
pub(super) fn acknowledge(tx: &mut RedisTx, user: UserId, ranges: &[(u64, u64)]) {
    let (queue, evicted, objects) = keys(tx, user);
    for (from, to) in ranges {
        let words = (&evicted, &objects, format!("{from}-0"), format!("{to}-0"));
        tx.run(&command("ACKNOWLEDGE", &queue, words));
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
    let (key, of) = (timeline(tx, group), self::group(tx, group));
    let author = author.map(|author| author.to_string()).unwrap_or_default();
    let words = (of, quota.after(object.len()), format!("{at}-0"), after, author, object);
    tx.run(&command("APPEND", &key, words));
}

/// Drops a timeline. `last` is its last entry, as long as there is the group.
pub(super) fn drop_timeline(tx: &mut RedisTx, group: GroupId, last: Option<u64>) {
    tx.run(&command("DEL", &timeline(tx, group), NONE));
    if let Some(last) = last {
        tx.run(&command("HSET", &self::group(tx, group), ("floor", last)));
    }
}

const OBJECT: &str = "object_";

/// Of a queue, of what it has evicted, and the beginning of those of shared objects.
fn keys(tx: &RedisTx, user: UserId) -> (String, String, String) {
    let queue = tx.key(format_args!("{QUEUE}{user}"));
    (queue, tx.key(format_args!("evicted_{user}")), tx.key(OBJECT))
}

/// Where what was said to all of a large group is.
fn timeline(tx: &RedisTx, group: GroupId) -> String {
    tx.key(format_args!("timeline_{group}"))
}

/// Where a group is.
pub(super) fn group(tx: &RedisTx, id: GroupId) -> String {
    tx.key(format_args!("group_{id}"))
}
