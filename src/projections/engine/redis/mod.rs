//! Read models in Redis: a key prefix per generation, and one key that names the live one.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

mod tx;

use tokio::sync::Mutex;
use uuid::Uuid;

use super::generation::{CheckpointAdvance, Digest, Generation, ListedGeneration, Store};
use crate::{
    adapters::redis::{
        self, AsyncCommands as _, MultiplexedConnection, Redis, RedisFailure, Script,
        StreamInfoStreamReply, Value,
    },
    events::Position,
    projections::{Checkpoint, StoreError},
};

pub use tx::{NONE, RedisTx, command, committing};

/// Redis as a store of read models.
#[derive(Clone)]
pub struct RedisStore {
    redis: Redis,
    /// The writers' connection, made anew after an error.
    own: std::sync::Arc<Mutex<Option<MultiplexedConnection>>>,
}

/// Bumped when keys change their meaning, so that old generations are known as such.
const SHAPE: &str = "6";

/// The field that says which event a hash was changed by last. It is where a reader goes on from, and not what the
/// read model says: that event may have expired since, and then a rebuild has an earlier one.
pub const VERSION: &str = "version";

/// ARGV: owner. Fails if the generation is gone.
const CLAIM: &str = "
if redis.call('EXISTS', KEYS[1]) == 0 then return redis.error_reply('FENCED no such generation') end
redis.call('HSET', KEYS[1], 'owner', ARGV[1])
return redis.call('HMGET', KEYS[1], 'position', 'event')";

/// KEYS: active, numbers. ARGV: name, creation of the log, shape, make it live?
/// Returns the number of the live generation that is there already, or of the new one.
const CREATE: &str = "
if ARGV[4] == '1' then
  local live = redis.call('GET', KEYS[1])
  if live and redis.call('EXISTS', 'hy:' .. ARGV[1] .. ':g' .. live) == 1 then return tonumber(live) end
end
local number = redis.call('INCR', KEYS[2])
redis.call('HSET', 'hy:' .. ARGV[1] .. ':g' .. number, 'position', '0', 'event', '', 'created', ARGV[2], 'shape', ARGV[3])
if ARGV[4] == '1' then redis.call('SET', KEYS[1], number) end
return number";

impl RedisStore {
    /// Over `redis`.
    pub fn new(redis: Redis) -> Self {
        Self { redis, own: std::sync::Arc::default() }
    }

    async fn connection(&self) -> Result<MultiplexedConnection, StoreError> {
        let mut own = self.own.lock().await;
        if let Some(connection) = &*own {
            return Ok(connection.clone());
        }
        let connection = self.redis.own().await?;
        *own = Some(connection.clone());
        Ok(connection)
    }

    /// Forgets the connection after a failure that a new one may mend.
    async fn check<T>(&self, result: Result<T, redis::RedisError>) -> Result<T, StoreError> {
        match result {
            Ok(value) => Ok(value),
            Err(error) => {
                let error = StoreError::from(RedisFailure::from(error));
                if matches!(error, StoreError::Transient(_)) {
                    *self.own.lock().await = None;
                }
                Err(error)
            }
        }
    }

    async fn create(
        &self,
        name: &'static str,
        log_created: i64,
        live: bool,
    ) -> Result<Generation, StoreError> {
        let mut connection = self.connection().await?;
        let created: Result<i32, _> = Script::new(CREATE)
            .key(active_key(name))
            .key(format!("hy:{name}:generations"))
            .arg(name)
            .arg(log_created)
            .arg(SHAPE)
            .arg(u8::from(live))
            .invoke_async(&mut connection)
            .await;
        let number = self.check(created).await?;
        let meta: Result<(Option<i64>, Option<String>), _> =
            connection.hmget(meta_key(name, number), &["created", "shape"]).await;
        let (created, shape) = self.check(meta).await?;
        Ok(Generation {
            name,
            number,
            log_created: created.unwrap_or(log_created),
            outdated: shape.as_deref() != Some(SHAPE),
        })
    }

    async fn keys(&self, generation: &Generation) -> Result<Vec<String>, StoreError> {
        let mut connection = self.connection().await?;
        let pattern = format!("{}*", prefix(generation));
        let mut keys = Vec::new();
        let mut cursor = 0_u64;
        loop {
            let page: Result<(u64, Vec<String>), _> = redis::cmd("SCAN")
                .arg(cursor)
                .arg("MATCH")
                .arg(&pattern)
                .arg("COUNT")
                .arg(1000)
                .query_async(&mut connection)
                .await;
            let (next, found) = self.check(page).await?;
            keys.extend(found);
            cursor = next;
            if cursor == 0 {
                keys.sort_unstable();
                keys.dedup(); // a scan may return a key twice
                return Ok(keys);
            }
        }
    }

    /// A key's content as text that does not depend on how Redis orders or encodes it.
    async fn content(&self, key: &str) -> Result<String, StoreError> {
        let mut connection = self.connection().await?;
        let kind: Result<String, _> =
            redis::cmd("TYPE").arg(key).query_async(&mut connection).await;
        let value: Result<Value, _> = match self.check(kind).await?.as_str() {
            "string" => connection.get(key).await,
            "list" => connection.lrange(key, 0, -1).await,
            "stream" => {
                let entries: Result<Value, _> = connection.xrange_all(key).await;
                let about: Result<StreamInfoStreamReply, _> = connection.xinfo_stream(key).await;
                let last = self.check(about).await?.last_generated_id;
                return Ok(format!("{last} {:?}", self.check(entries).await?));
            }
            "hash" => {
                let fields: Result<BTreeMap<String, String>, _> = connection.hgetall(key).await;
                let mut fields = self.check(fields).await?;
                fields.remove(VERSION);
                return Ok(format!("{fields:?}"));
            }
            _ => {
                let members: Result<std::collections::BTreeSet<String>, _> =
                    connection.smembers(key).await;
                return Ok(format!("{:?}", self.check(members).await?));
            }
        };
        Ok(format!("{:?}", self.check(value).await?))
    }
}

impl Store for RedisStore {
    type Tx = RedisTx;

    async fn live(&self, name: &'static str, log_created: i64) -> Result<Generation, StoreError> {
        self.create(name, log_created, true).await
    }

    async fn add(&self, name: &'static str, log_created: i64) -> Result<Generation, StoreError> {
        self.create(name, log_created, false).await
    }

    async fn claim(&self, generation: &Generation, owner: Uuid) -> Result<Checkpoint, StoreError> {
        let mut connection = self.connection().await?;
        let claimed: Result<(u64, String), _> = Script::new(CLAIM)
            .key(meta_key(generation.name, generation.number))
            .arg(owner.to_string())
            .invoke_async(&mut connection)
            .await;
        let (position, event) = self.check(claimed).await?;
        Ok(Checkpoint { position: Position(position), event: event.parse().ok() })
    }

    async fn begin(
        &self,
        generation: &Generation,
        moved: CheckpointAdvance,
    ) -> Result<RedisTx, StoreError> {
        Ok(RedisTx::new(self.connection().await?, generation, moved))
    }

    async fn commit(
        &self,
        tx: RedisTx,
        generation: &Generation,
        moved: CheckpointAdvance,
    ) -> Result<(), StoreError> {
        self.check(tx.commit(&meta_key(generation.name, generation.number), moved).await).await
    }

    async fn switch(&self, to: &Generation) -> Result<(), StoreError> {
        let mut connection = self.connection().await?;
        let done: Result<(), _> = connection.set(active_key(to.name), to.number).await;
        self.check(done).await
    }

    async fn drop(&self, generation: &Generation) -> Result<(), StoreError> {
        let mut connection = self.connection().await?;
        for keys in self.keys(generation).await?.chunks(500) {
            let done: Result<(), _> = connection.unlink(keys).await;
            self.check(done).await?;
        }
        let done: Result<(), _> =
            connection.del(meta_key(generation.name, generation.number)).await;
        self.check(done).await
    }

    async fn digests(
        &self,
        generation: &Generation,
    ) -> Result<BTreeMap<String, Digest>, StoreError> {
        let mut digests: BTreeMap<String, Digest> = BTreeMap::new();
        for key in self.keys(generation).await? {
            let name = bare(generation, &key);
            let mut hasher = DefaultHasher::new();
            (&name, self.content(&key).await?).hash(&mut hasher);
            let digest = digests.entry(family(&name)).or_default();
            digest.rows += 1;
            digest.sum ^= hasher.finish();
        }
        Ok(digests)
    }

    async fn rows(
        &self,
        generation: &Generation,
        table: &str,
    ) -> Result<BTreeMap<String, String>, StoreError> {
        let mut rows = BTreeMap::new();
        for key in self.keys(generation).await? {
            let name = bare(generation, &key);
            if family(&name) == table {
                rows.insert(name, self.content(&key).await?);
            }
        }
        Ok(rows)
    }

    async fn generations(&self, name: &'static str) -> Result<Vec<ListedGeneration>, StoreError> {
        let mut connection = self.connection().await?;
        let known: Result<(Option<i32>, Option<i32>), _> = redis::pipe()
            .get(active_key(name))
            .get(format!("hy:{name}:generations"))
            .query_async(&mut connection)
            .await;
        let (live, newest) = self.check(known).await?;
        let mut listed = Vec::new();
        for number in 1..=newest.unwrap_or(0) {
            let meta: Result<(Option<u64>, Option<String>), _> =
                connection.hmget(meta_key(name, number), &["position", "shape"]).await;
            if let (Some(position), shape) = self.check(meta).await? {
                listed.push(ListedGeneration {
                    generation: number,
                    live: live == Some(number),
                    position,
                    outdated: shape.as_deref() != Some(SHAPE),
                });
            }
        }
        Ok(listed)
    }
}

/// The key that names the live generation of a read model.
pub fn active_key(name: &str) -> String {
    format!("hy:{name}:active")
}

fn meta_key(name: &str, number: i32) -> String {
    format!("hy:{name}:g{number}")
}

/// Each read model has its own prefixes, so that generations can be dropped apart.
fn prefix(generation: &Generation) -> String {
    format!("{}:g{}:", generation.name, generation.number)
}

fn bare(generation: &Generation, key: &str) -> String {
    key.strip_prefix(&prefix(generation)).unwrap_or(key).to_owned()
}

/// `chat_user_7` → `chat_user`, `chatlog:chatlog_7_single_9` → `chatlog:chatlog`.
fn family(name: &str) -> String {
    let numbered = name
        .match_indices('_')
        .map(|(at, _)| at)
        .find(|at| name[at + 1..].starts_with(|next: char| next.is_ascii_digit()));
    let end = numbered.or_else(|| name.rfind('_')).unwrap_or(name.len());
    name[..end].to_owned()
}

/// Prefixes a read script with what finds the live generation's keys: `p .. 'chat_user_7'`.
pub fn reading(name: &str, body: &str) -> Script {
    Script::new(&format!(
        "local g = redis.call('GET', 'hy:{name}:active')
         if not g then return redis.error_reply('NOTREADY no live generation') end
         local p = '{name}:g' .. g .. ':'
         {body}"
    ))
}
