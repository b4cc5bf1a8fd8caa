//! Who is connected where. In Redis.

use std::collections::HashMap;

use super::{
    Projection, StoreError,
    in_redis::{InRedis, RedisTx, command, reading},
};
use crate::{
    adapters::redis::{Redis, RedisFailure},
    events::{ConnectionId, Event, NodeId, Recorded, SessionEvent, Subject, UserId},
};

/// The read model.
pub struct Presence;

impl Projection for Presence {
    type Store = InRedis;
    type Effect = ();
    const NAME: &'static str = "presence";
    const SUBJECTS: &'static [&'static str] = &["evt.session.>"];

    async fn apply(
        &self,
        tx: &mut RedisTx,
        batch: &[Recorded<Event>],
    ) -> Result<Vec<()>, StoreError> {
        let mut nodes = known_nodes(tx, batch).await?;
        for recorded in batch {
            let (Event::Session(event), Subject::Session(user)) =
                (&recorded.event, recorded.subject)
            else {
                continue;
            };
            match *event {
                SessionEvent::Connected { connection, node, .. } => {
                    nodes.insert(connection, node.to_string());
                    add(tx, user, connection, node);
                }
                SessionEvent::Disconnected { connection, .. } => {
                    if let Some(node) = nodes.remove(&connection) {
                        remove(tx, user, connection, &node);
                    }
                }
                SessionEvent::LoggedIn { .. } | SessionEvent::LoggedOut { .. } => {}
            }
        }
        Ok(Vec::new())
    }
}

/// The nodes of the connections that a batch ends.
async fn known_nodes(
    tx: &mut RedisTx,
    batch: &[Recorded<Event>],
) -> Result<HashMap<ConnectionId, String>, StoreError> {
    let ended: Vec<(UserId, ConnectionId)> = batch
        .iter()
        .filter_map(|recorded| match (&recorded.event, recorded.subject) {
            (
                Event::Session(SessionEvent::Disconnected { connection, .. }),
                Subject::Session(user),
            ) => Some((user, *connection)),
            _ => None,
        })
        .collect();
    let commands: Vec<_> = ended
        .iter()
        .map(|(user, connection)| {
            let key = tx.key(format_args!("online_{user}"));
            command("HGET", &key, connection.to_string())
        })
        .collect();
    let nodes: Vec<Option<String>> = tx.read(commands).await?;
    let pairs = ended.into_iter().zip(nodes);
    Ok(pairs.filter_map(|((_, connection), node)| Some((connection, node?))).collect())
}

fn add(tx: &mut RedisTx, user: UserId, connection: ConnectionId, node: NodeId) {
    let key = tx.key(format_args!("online_{user}"));
    tx.run(&command("HSET", &key, (connection.to_string(), node.to_string())));
    let key = tx.key(format_args!("node_{node}"));
    tx.run(&command("SADD", &key, format!("{user} {connection}")));
    let key = tx.key("nodes");
    tx.run(&command("HINCRBY", &key, (node.to_string(), 1)));
}

fn remove(tx: &mut RedisTx, user: UserId, connection: ConnectionId, node: &str) {
    let key = tx.key(format_args!("online_{user}"));
    tx.run(&command("HDEL", &key, connection.to_string()));
    let key = tx.key(format_args!("node_{node}"));
    tx.run(&command("SREM", &key, format!("{user} {connection}")));
    let key = tx.key("nodes");
    tx.run(&command("HINCRBY", &key, (node, -1)));
}

/// Every node that has connections, and how many.
///
/// # Errors
/// Redis cannot be reached, or has no presence yet.
pub async fn nodes(redis: &Redis) -> Result<HashMap<NodeId, u64>, RedisFailure> {
    let counts: HashMap<String, i64> =
        reading("presence", "return redis.call('HGETALL', p .. 'nodes')")
            .invoke_async(&mut redis.shared())
            .await?;
    Ok(counts
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .filter_map(|(node, count)| Some((NodeId(node.parse().ok()?), count.unsigned_abs())))
        .collect())
}

/// The connections of a node.
///
/// # Errors
/// Redis cannot be reached, or has no presence yet.
pub async fn connections_of(
    redis: &Redis,
    node: NodeId,
) -> Result<Vec<(UserId, ConnectionId)>, RedisFailure> {
    let body = "return redis.call('SMEMBERS', p .. 'node_' .. ARGV[1])";
    let members: Vec<String> =
        reading("presence", body).arg(node.to_string()).invoke_async(&mut redis.shared()).await?;
    Ok(members
        .iter()
        .filter_map(|member| {
            let (user, connection) = member.split_once(' ')?;
            Some((UserId(user.parse().ok()?), ConnectionId(connection.parse().ok()?)))
        })
        .collect())
}

/// How many connections a user has, superseded ones included.
///
/// # Errors
/// Redis cannot be reached, or has no presence yet.
pub async fn connections(redis: &Redis, user: UserId) -> Result<u64, RedisFailure> {
    let body = "return redis.call('HLEN', p .. 'online_' .. ARGV[1])";
    Ok(reading("presence", body).arg(user.0).invoke_async(&mut redis.shared()).await?)
}
