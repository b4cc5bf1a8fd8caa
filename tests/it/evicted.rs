//! What queues and timelines forget beyond their quota is in `message_history`, and looks as it did (ADR 0016).

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use hongyan::{
    adapters::{
        nats::new_event::{Expect, NewEvent},
        redis::{
            Redis, cmd,
            keys::{self, RedisKey},
        },
    },
    events::{
        Cause, ChatEvent, ChatKey, ConnectionId, Event, GroupId, MessageId, NodeId, Position,
        Recorded, Role, Sent, SessionEvent, Timestamp, TokenId, UserId, UserSummary,
    },
    projections::{
        Projection as _,
        engine::generation::{Generation, Store as _},
        message_history::{self, MessageHistory},
        offline_queue::{
            Bounds, OfflineQueue,
            position_set::PositionSet,
            query::{self, EntryContent, FetchRequest},
        },
        quota::{KEPT, Quota},
    },
};
use proptest::prelude::prop_assert_eq;
use proptest::test_runner::TestCaseResult;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::read_models::{BatchOutcome, Stores, at_once, build, go_live, hold};
use crate::support::{App, User, model::Model, steps::steps, text_of};

/// Nothing is forgotten.
const ALL: Quota = Quota { entries: usize::MAX, bytes: usize::MAX };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_evicted_is_in_the_history() {
    let stores = Stores::start().await;
    hold(12, &steps(100..300), async |steps| {
        let log = Model::of(&steps).log;
        let (history, store) = MessageHistory::open(&stores.parts);
        go_live(&history, &store, &log, &at_once()).await;
        for large in [1, 50] {
            let of = async |quota| {
                let bounds = Bounds { large, quota };
                let queue = OfflineQueue::bounded(stores.parts.pushes.clone(), bounds);
                build(&queue, &stores.in_redis, &log, &at_once()).await
            };
            let (all, few) = (of(ALL).await, of(Quota { entries: 2, bytes: 1_500 }).await);
            for user in Model::people() {
                queues_agree(&stores, user, (&all, &few)).await?;
                timelines_agree(&stores, user, (&all, &few)).await?;
            }
            for generation in [all, few] {
                stores.in_redis.drop(&generation).await.expect("it is not live");
            }
        }
        Ok(())
    });
}

/// A queue that forgets has as many undelivered entries as one that does not, and the history has what they show.
async fn queues_agree(
    stores: &Stores,
    user: UserId,
    (all, few): (&Generation, &Generation),
) -> TestCaseResult {
    let wanted = queue(&stores.redis, all, user).await;
    let kept = queue(&stores.redis, few, user).await;
    let evicted = key(few, RedisKey::Evicted(user));
    let mut left: BTreeMap<u64, u64> = stream(&stores.redis, &evicted)
        .await
        .into_iter()
        .map(|(number, fields)| (number, fields[1].parse().expect("a position")))
        .collect();
    left.extend(kept.iter().map(|(number, (position, _))| (*number, *position)));
    let expected = wanted.iter().map(|(number, (position, _))| (*number, *position)).collect();
    prop_assert_eq!(left, expected, "undelivered entries of {}", user);
    for (number, (_, object)) in &kept {
        prop_assert_eq!(Some(object), wanted.get(number).map(|(_, object)| object));
    }
    let positions: Vec<u64> = wanted.values().map(|(position, _)| *position).collect();
    let found = message_history::for_user(&stores.reader, user, &positions, usize::MAX).await;
    let expected: Vec<(u64, Option<String>)> =
        wanted.into_values().map(|(position, object)| (position, Some(object))).collect();
    prop_assert_eq!(found.expect("the history"), expected);
    Ok(())
}

/// Of what a member has not received, a timeline that forgets has the end, and the history has all of it.
async fn timelines_agree(
    stores: &Stores,
    user: UserId,
    (all, few): (&Generation, &Generation),
) -> TestCaseResult {
    let mut redis = stores.redis.shared();
    let large = key(all, RedisKey::LargeGroups(user));
    let groups: BTreeSet<i64> =
        cmd("SMEMBERS").arg(large).query_async(&mut redis).await.expect("Redis answers");
    for group in groups {
        let lane = async |generation| -> PositionSet {
            let lane: String = cmd("HGET")
                .arg(key(generation, RedisKey::Undelivered(GroupId(group))))
                .arg(user.0)
                .query_async(&mut stores.redis.shared())
                .await
                .expect("Redis answers");
            lane.parse().expect("stretches")
        };
        let (lane, same) = (lane(all).await, lane(few).await);
        prop_assert_eq!(&lane, &same);
        let whole = stream(&stores.redis, &key(all, RedisKey::Timeline(GroupId(group)))).await;
        let Some(first) = whole.first().map(|(position, _)| *position) else { continue };
        let kept = stream(&stores.redis, &key(few, RedisKey::Timeline(GroupId(group)))).await;
        prop_assert_eq!(&whole[whole.len() - kept.len()..], &kept[..]);
        let expected = whole.into_iter().filter(|(position, _)| lane.contains(*position));
        let expected: Vec<_> = expected
            .map(|(position, fields)| {
                let author = fields[3].parse().ok().map(UserId);
                message_history::HistoryEntry { position, author, object: fields[5].clone() }
            })
            .collect();
        let mut found = Vec::new();
        let mut from = first;
        while let Some((start, end)) = lane.first_within(from, u64::MAX) {
            let stretch = (start, end);
            let (group, most) = (GroupId(group), 1000);
            let some =
                message_history::in_group(&stores.reader, group, stretch, most, usize::MAX).await;
            found.extend(some.expect("the history"));
            let Some(next) = end.checked_add(1) else { break };
            from = next;
        }
        prop_assert_eq!(found, expected, "what {} has not received of {}", user, group);
    }
    Ok(())
}

fn key(generation: &Generation, key: RedisKey) -> String {
    format!("{}{key}", keys::prefix(generation.name, generation.number))
}

type Entries = Vec<(u64, Vec<String>)>;

async fn stream(redis: &Redis, key: &str) -> Entries {
    let entries: Vec<(String, Vec<String>)> = cmd("XRANGE")
        .arg(key)
        .arg("-")
        .arg("+")
        .query_async(&mut redis.shared())
        .await
        .expect("Redis answers");
    let number = |id: &str| id.trim_end_matches("-0").parse().expect("a number");
    entries.into_iter().map(|(id, fields)| (number(&id), fields)).collect()
}

/// By number the position and the object of each entry that has one.
async fn queue(
    redis: &Redis,
    generation: &Generation,
    user: UserId,
) -> BTreeMap<u64, (u64, String)> {
    let mut queue = BTreeMap::new();
    let queue_key = key(generation, RedisKey::Queue(user));
    for (number, fields) in stream(redis, &queue_key).await {
        let (position, mut object) = (&fields[1], fields[3].clone());
        if object == "@" {
            object = cmd("HGET")
                .arg(key(generation, RedisKey::Objects))
                .arg(position)
                .query_async(&mut redis.shared())
                .await
                .expect("a shared object is kept as long as a queue has it");
        }
        if !object.is_empty() {
            queue.insert(number, (position.parse().expect("a position"), object));
        }
    }
    queue
}

const US: UserId = UserId(1);

/// So many bytes that begin with a number.
fn text(number: u128, bytes: usize) -> String {
    let number = format!("{number} ");
    let padding = "x".repeat(bytes - number.len());
    number + &padding
}

/// A message of so many bytes.
fn message(number: u128, (from, to): (UserId, UserId), bytes: usize) -> Event {
    let person = |id| UserSummary { id, name: format!("user {id}"), avatar: String::new() };
    let sent = Sent {
        id: MessageId(Uuid::from_u128(number)),
        from: person(from),
        from_uuid: Uuid::nil(),
        to: person(to),
        kind: "text".into(),
        data: text(number, bytes),
        options: None,
        sent_at: Timestamp(1_758_675_907_004),
    };
    Event::Chat(ChatKey::of(from, to), ChatEvent::Sent(sent.into()))
}

/// So many messages of so many bytes to somebody whose socket is open.
fn messages(count: u128, bytes: usize) -> (ConnectionId, Vec<Recorded<Event>>) {
    let connection = ConnectionId(Uuid::from_u128(1));
    let (node, token) = (NodeId(Uuid::from_u128(2)), TokenId(Uuid::from_u128(3)));
    let connected = SessionEvent::Connected { connection, node, token, role: Role::User };
    let mut events = vec![Event::Session(US, connected)];
    events.extend((0..count).map(|number| message(number, (UserId(2), US), bytes)));
    let recorded = events.into_iter().zip(1..).map(|(event, position)| Recorded {
        event,
        position: Position(position),
        id: Uuid::from_u128(u128::from(position) + 1_000_000),
        at: Timestamp(1_758_675_907_004),
        stored_at: Timestamp(1_758_675_907_004),
        actor: None,
        cause: Cause::own("a test"),
    });
    (connection, recorded.collect())
}

/// 250 messages of 100 KB are not read at once: everybody's log-in would wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_at_once_is_bounded_in_bytes() {
    const LARGE_BYTES: usize = 100_000;
    let stores = Stores::start().await;
    let (connection, log) = messages(250, LARGE_BYTES);
    let bounds = Bounds { large: 50, quota: ALL };
    let queue = OfflineQueue::bounded(stores.parts.pushes.clone(), bounds);
    go_live(&queue, &stores.in_redis, &log, &vec![(8, BatchOutcome::Smooth)]).await;
    let wanted = |from| FetchRequest {
        groups: Vec::new(),
        queue: (from, u64::MAX),
        timelines: Vec::new(),
        most: 200,
        bytes: 256 * 1024,
    };
    let look = async |wanted| {
        let seen = query::fetch(&stores.redis, US, connection, &wanted).await;
        seen.expect("Redis answers").queue
    };
    let mut next = 1;
    while next <= 250 {
        let part = look(wanted(next)).await;
        assert!(part.entries.len() <= 3, "at least one, and one beyond the bound at most");
        assert_eq!(part.entries[0].number, next);
        assert!(part.entries.iter().all(|entry| matches!(entry.content, EntryContent::Object(_))));
        next += part.entries.len() as u64;
    }
    let part = look(FetchRequest { bytes: 1, ..wanted(1) }).await;
    assert_eq!((part.entries.len(), part.up_to), (1, 2), "one, whatever the bound");

    // With the quota of every day nearly all of it is in the history; which is bounded as well.
    let bounds = Bounds { large: 50, quota: KEPT };
    let queue = OfflineQueue::bounded(stores.parts.pushes.clone(), bounds);
    go_live(&queue, &stores.in_redis, &log, &at_once()).await;
    let (history, store) = MessageHistory::open(&stores.parts);
    go_live(&history, &store, &log, &at_once()).await;
    let part = look(wanted(1)).await;
    assert_eq!(part.entries.len(), 200);
    assert!(part.entries.iter().all(|entry| entry.content == EntryContent::Evicted));
    let positions: Vec<u64> = part.entries.iter().map(|entry| entry.position).collect();
    let found = message_history::for_user(&stores.reader, US, &positions, 256 * 1024).await;
    assert_eq!(found.expect("the history").len(), 3);
    let found = message_history::for_user(&stores.reader, US, &positions, 1).await;
    assert_eq!(found.expect("the history").len(), 1);
    assert_eq!(look(wanted(249)).await.entries.len(), 2, "the newest are kept");
}

/// `ws.md` §7.3: what waited comes oldest first, once and unchanged, however much it is.
#[tokio::test]
async fn a_long_queue_arrives_whole() {
    let app = App::start().await;
    let [ann, bob, cat, dan] = app.users(["ann", "bob", "cat", "dan"]).await;
    ann.befriend(&bob).await;
    let mut socket = bob.listen().await;
    socket.close().await;
    let mut waits = Vec::new();
    for round in 0..8 {
        for number in 0..80 {
            waits.push(ann.send(&bob, &format!("number {round}.{number}")).await.ok());
        }
        match round {
            1 => {
                let body = json!({ "friend_id": bob.id, "nickname": "dan" });
                dan.post("/api/chat/applyfriend", body).await.done();
                waits.push(json!(format!("用户[{}]申请添加您为好友，请尽快处理", dan.username)));
            }
            2 => {
                let group = app.group(&ann, &[&bob, &cat]).await;
                let began = format!("{}创建了一个群，大家可以开始聊天了", ann.username);
                waits.push(json!(began));
                waits.push(cat.say(group, "in a group").await.ok());
                cat.rename_in(group, "Kitty").await.ok();
                waits.push(cat.say(group, "by another name").await.ok());
            }
            _ => {}
        }
    }
    // Whether the queue has it or has forgotten it: what was taken back comes with its content, and then that.
    let (early, late) = (5, waits.len() - 5);
    for message in [early, late] {
        let message = waits[message].clone();
        waits.push(ann.post("/api/chat/revokeMessage", message).await.ok());
    }
    app.settle().await;
    let mut redis = app.servers.redis.connect().await;
    let key = format!("offline_queue:g1:chat_getmessage_{}", bob.id);
    let kept: usize = redis::cmd("XLEN").arg(&key).query_async(&mut redis).await.expect("Redis");
    assert_eq!(kept, KEPT.entries);

    socket = bob.connect().await;
    bob.drain().await;
    for expected in &waits {
        let push = socket.next_push().await;
        match expected {
            Value::String(text) => assert_eq!(&text_of(&push), text),
            object => assert_eq!(&push, object),
        }
    }
    nothing_is_left(&ann, &bob, socket).await;
    app.settle().await;
    let of = |name: &str| format!("offline_queue:g1:{name}");
    let evicted: Vec<String> =
        redis::cmd("KEYS").arg(of("evicted_*")).query_async(&mut redis).await.expect("Redis");
    assert_eq!(evicted, [""; 0]);
    let objects: BTreeMap<String, String> =
        redis::cmd("HGETALL").arg(of("objects")).query_async(&mut redis).await.expect("Redis");
    // Ann has received nothing of the group yet: how it began, and what Cat said twice, each with its count.
    assert!(objects.len() <= 6, "{objects:?}");
    app.verify().await;
}

/// Neither for this socket nor for the next.
async fn nothing_is_left(other: &User, user: &User, mut socket: crate::support::Socket) {
    for text in ["mark", "another mark"] {
        user.drain().await;
        let mark = other.send(user, text).await.ok();
        assert_eq!(socket.next_push().await, mark);
        socket.close().await;
        socket = user.connect().await;
    }
    socket.close().await;
}

/// Redis keeps what a queue keeps, however much waits: of 10,000 messages of 1 KB not half, also while they are drained.
/// (100,000 by hand: ADR 0016.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_messages_leave_redis_as_it_is() {
    const COUNT: u128 = 10_000;
    const MOST: u64 = 4_000_000;
    let app = App::start().await;
    let [ann, bob] = app.users(["ann", "bob"]).await;
    bob.let_strangers_send(2).await;
    app.settle().await;
    let mut redis = app.servers.redis.connect().await;
    let mut used = async || -> u64 {
        let about: String =
            redis::cmd("INFO").arg("memory").query_async(&mut redis).await.expect("Redis tells");
        let bytes = |name: &str| -> u64 {
            let found = about.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            found.and_then(|bytes| bytes.trim().parse().ok()).expect("a number")
        };
        bytes("used_memory") - bytes("mem_aof_buffer") // what a slow disk has yet to take
    };
    let before = used().await;
    let id = |user: &User| UserId(i64::try_from(user.id).expect("ids are small"));
    let (log, chat) = (app.log().await, (id(&ann), id(&bob)));
    let mut events: Vec<NewEvent> = (0..COUNT)
        .map(|number| message(number, chat, 1000))
        .map(|event| NewEvent::new(event, None, &Cause::own("a test")))
        .collect();
    // Many at once come into the log in any order.
    let mut order = Vec::new();
    for (some, numbers) in events.chunks_mut(100).zip((0..COUNT).step_by(100)) {
        let appended = some.iter_mut().map(|event| log.append_unsynced(event, Expect::Anything));
        let appended = join_all(appended).await.into_iter();
        let positions = appended.map(|appended| appended.expect("the log takes it").position);
        order.extend(positions.zip(numbers..));
    }
    order.sort_unstable();
    app.settle().await;
    let waiting = used().await;
    assert!(waiting < before + MOST, "{before} before, {waiting} with all that waits");

    let mut socket = bob.connect().await;
    bob.drain().await;
    let mut most = waiting;
    for (_, number) in order {
        let push = socket.next_push().await;
        assert_eq!(push["data"].as_str(), Some(&*text(number, 1000)));
        if number % 1000 == 0 {
            most = most.max(used().await);
        }
    }
    assert!(most < before + MOST, "{before} before, {most} while it was drained");
    eprintln!(
        "used_memory: {before} before, {waiting} with all that waits, {most} while it was drained"
    );
    nothing_is_left(&ann, &bob, socket).await;
    app.verify().await;
}
