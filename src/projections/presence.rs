//! Presence: who is connected where. In Redis.

use std::{
    collections::{BTreeMap, HashMap},
    sync::LazyLock,
};

use super::{
    Projection, ProjectionParts, StoreError,
    engine::redis::{LiveQuery, NONE, RedisStore, RedisTx, command},
};
use crate::{
    adapters::redis::{Redis, RedisFailure, keys::RedisKey},
    events::{ConnectionId, Event, NodeId, Position, Recorded, SessionEvent, UserId},
};

/// The read model.
pub struct Presence;

impl Projection for Presence {
    type Store = RedisStore;
    type Effect = ();
    const NAME: &'static str = "presence";
    const SUBJECTS: &'static [&'static str] = &["evt.session.>"];

    fn open(parts: &ProjectionParts) -> (Self, RedisStore) {
        (Self, RedisStore::new(parts.redis.clone()))
    }

    async fn apply(
        &self,
        tx: &mut RedisTx,
        batch: &[Recorded<Event>],
    ) -> Result<Vec<()>, StoreError> {
        let mut places = known_places(tx, batch).await?;
        let mut changes: BTreeMap<NodeId, i64> = BTreeMap::new();
        for (user, event) in sessions(batch) {
            match *event {
                SessionEvent::Connected { connection, node, .. } => {
                    // A connection that is told of again, because the first event expires, counts once.
                    if places.insert(connection, node).is_none() {
                        *changes.entry(node).or_default() += 1;
                        add(tx, user, connection, node);
                    }
                }
                SessionEvent::Disconnected { connection, .. } => {
                    if let Some(node) = places.remove(&connection) {
                        *changes.entry(node).or_default() -= 1;
                        remove(tx, user, connection, node);
                    }
                }
                SessionEvent::LoggedIn { .. }
                | SessionEvent::LoggedOut { .. }
                | SessionEvent::Revoked { .. } => {}
            }
        }
        count(tx, changes).await?;
        Ok(Vec::new())
    }
}

fn sessions(batch: &[Recorded<Event>]) -> impl Iterator<Item = (UserId, &SessionEvent)> {
    batch.iter().filter_map(|recorded| match &recorded.event {
        Event::Session(user, event) => Some((*user, event)),
        _ => None,
    })
}

/// The nodes of the connections that a batch tells of, as they are before it.
async fn known_places(
    tx: &mut RedisTx,
    batch: &[Recorded<Event>],
) -> Result<HashMap<ConnectionId, NodeId>, StoreError> {
    let told: Vec<(UserId, ConnectionId)> = sessions(batch)
        .filter_map(|(user, event)| match event {
            SessionEvent::Connected { connection, .. }
            | SessionEvent::Disconnected { connection, .. } => Some((user, *connection)),
            SessionEvent::LoggedIn { .. }
            | SessionEvent::LoggedOut { .. }
            | SessionEvent::Revoked { .. } => None,
        })
        .collect();
    let commands: Vec<_> = told
        .iter()
        .map(|(user, connection)| {
            let key = tx.key(RedisKey::Online(*user));
            command("HGET", &key, connection.to_string())
        })
        .collect();
    let nodes: Vec<Option<String>> = tx.read(commands).await?;
    let pairs = told.into_iter().zip(nodes);
    Ok(pairs.filter_map(|((_, connection), node)| Some((connection, node_id(&node?)?))).collect())
}

fn node_id(text: &str) -> Option<NodeId> {
    Some(NodeId(text.parse().ok()?))
}

fn add(tx: &mut RedisTx, user: UserId, connection: ConnectionId, node: NodeId) {
    let key = tx.key(RedisKey::Online(user));
    tx.run(&command("HSET", &key, (connection.to_string(), node.to_string())));
    let key = tx.key(RedisKey::Node(node));
    tx.run(&command("SADD", &key, format!("{user} {connection}")));
}

fn remove(tx: &mut RedisTx, user: UserId, connection: ConnectionId, node: NodeId) {
    let key = tx.key(RedisKey::Online(user));
    tx.run(&command("HDEL", &key, connection.to_string()));
    let key = tx.key(RedisKey::Node(node));
    tx.run(&command("SREM", &key, format!("{user} {connection}")));
}

/// Counts the connections of nodes. A node without any leaves no trace, or a rebuild from a log that has forgotten
/// it would differ.
async fn count(tx: &mut RedisTx, changes: BTreeMap<NodeId, i64>) -> Result<(), StoreError> {
    let key = tx.key(RedisKey::Nodes);
    let commands: Vec<_> =
        changes.keys().map(|node| command("HGET", &key, node.to_string())).collect();
    let counts: Vec<Option<i64>> = tx.read(commands).await?;
    for ((node, change), count) in changes.into_iter().zip(counts) {
        match count.unwrap_or(0) + change {
            0 => tx.run(&command("HDEL", &key, node.to_string())),
            count => tx.run(&command("HSET", &key, (node.to_string(), count))),
        }
    }
    Ok(())
}

static NODES: LazyLock<LiveQuery> = LazyLock::new(|| {
    let body = "return {redis.call('HGET', KEYS[2], 'position'), redis.call('HGETALL', KEYS[3])}";
    LiveQuery::new("presence", body)
});

static CONNECTIONS_OF: LazyLock<LiveQuery> = LazyLock::new(|| {
    let body = "local page = redis.call('SSCAN', KEYS[3], ARGV[2], 'COUNT', ARGV[3])
                return {redis.call('HGET', KEYS[2], 'position'), page[1], page[2]}";
    LiveQuery::new("presence", body)
});

static CONNECTIONS: LazyLock<LiveQuery> =
    LazyLock::new(|| LiveQuery::new("presence", "return redis.call('HLEN', KEYS[3])"));

/// Every node that has connections, and how many; and the position at which that is so.
///
/// # Errors
/// Redis cannot be reached, or has no presence yet.
pub async fn nodes(redis: &Redis) -> Result<(Position, HashMap<NodeId, u64>), RedisFailure> {
    let (position, counts): (u64, HashMap<String, i64>) =
        NODES.run(redis, &[RedisKey::Nodes], NONE).await?;
    let counts = counts
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .filter_map(|(node, count)| Some((node_id(&node)?, count.unsigned_abs())))
        .collect();
    Ok((Position(position), counts))
}

/// Some of the connections of a node.
#[derive(Debug)]
pub struct ConnectionPage {
    /// The position at which they were there.
    pub position: Position,
    /// They.
    pub connections: Vec<(UserId, ConnectionId)>,
    /// Where to go on; 0 if these were the last.
    pub next: u64,
}

/// About `count` connections of a node, from a place on that a page named, or 0.
///
/// # Errors
/// Redis cannot be reached, or has no presence yet.
pub async fn connections_of(
    redis: &Redis,
    node: NodeId,
    from: u64,
    count: usize,
) -> Result<ConnectionPage, RedisFailure> {
    let (position, next, members): (u64, u64, Vec<String>) =
        CONNECTIONS_OF.run(redis, &[RedisKey::Node(node)], (from, count)).await?;
    let connections = members
        .iter()
        .filter_map(|member| {
            let (user, connection) = member.split_once(' ')?;
            Some((UserId(user.parse().ok()?), ConnectionId(connection.parse().ok()?)))
        })
        .collect();
    Ok(ConnectionPage { position: Position(position), connections, next })
}

/// How many connections a user has, superseded ones included.
///
/// # Errors
/// Redis cannot be reached, or has no presence yet.
pub async fn connections(redis: &Redis, user: UserId) -> Result<u64, RedisFailure> {
    CONNECTIONS.run(redis, &[RedisKey::Online(user)], NONE).await
}
