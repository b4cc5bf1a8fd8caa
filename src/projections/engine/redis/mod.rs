//! Read models in Redis: a key prefix per generation, and one key that names the live one.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

mod query;
mod tx;

use tokio::sync::Mutex;
use uuid::Uuid;

use super::generation::{CheckpointAdvance, Digest, Generation, ListedGeneration, Store};
use crate::{
    adapters::redis::{
        self, AsyncCommands as _, MultiplexedConnection, Redis, RedisFailure, Script,
        StreamInfoStreamReply, Value, keys,
    },
    events::Position,
    projections::{Checkpoint, StoreError},
};

pub use query::LiveQuery;
pub use tx::{NONE, RedisTx, command, committing};

/// Redis as a store of read models.
#[derive(Clone)]
pub struct RedisStore {
    redis: Redis,
    /// The writers' connection, made anew after an error.
    own: std::sync::Arc<Mutex<Option<MultiplexedConnection>>>,
}

/// Bumped when keys change their meaning, so that old generations are known as such.
const SHAPE: &str = "7";

/// The field that says which event a hash was changed by last. It is where a reader goes on from, and not what the
/// read model says: that event may have expired since, and then a rebuild has an earlier one.
pub const VERSION: &str = "version";

/// ARGV: owner. Fails if the generation is gone.
const CLAIM: &str = "
if redis.call('EXISTS', KEYS[1]) == 0 then return redis.error_reply('FENCED no such generation') end
redis.call('HSET', KEYS[1], 'owner', ARGV[1])
return redis.call('HMGET', KEYS[1], 'position', 'event')";

/// KEYS: what names the live generation, the checkpoint of the new one. ARGV: which was live, the new number, the fields
/// of the checkpoint. Makes it live if that is so still, and says whether it has.
const BEGIN_LIVE: &str = "
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[2], unpack(ARGV, 3))
redis.call('SET', KEYS[1], ARGV[2])
return 1";

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

    /// A number that no generation ever had.
    async fn allocate(&self, name: &str) -> Result<i32, StoreError> {
        let mut connection = self.connection().await?;
        let number: Result<i32, _> = connection.incr(keys::generations(name), 1).await;
        self.check(number).await
    }

    /// A generation that is there; `None` if it is not.
    async fn find(
        &self,
        name: &'static str,
        number: i32,
    ) -> Result<Option<Generation>, StoreError> {
        let mut connection = self.connection().await?;
        let about: Result<(Option<i64>, Option<String>), _> =
            connection.hmget(keys::checkpoint(name, number), &["created", "shape"]).await;
        let (created, shape) = self.check(about).await?;
        let outdated = shape.as_deref() != Some(SHAPE);
        Ok(created.map(|log_created| Generation { name, number, log_created, outdated }))
    }

    async fn keys(&self, generation: &Generation) -> Result<BTreeSet<String>, StoreError> {
        let mut connection = self.connection().await?;
        let mut scan = redis::cmd("SCAN");
        let pattern = format!("{}*", keys::prefix(generation.name, generation.number));
        scan.cursor_arg(0).arg("MATCH").arg(pattern).arg("COUNT").arg(1000);
        let mut found = self.check(scan.iter_async(&mut connection).await).await?;
        let mut keys = BTreeSet::new(); // a scan may return a key twice
        while let Some(key) = found.next_item().await {
            keys.insert(self.check(key).await?);
        }
        Ok(keys)
    }

    /// What a key holds, as rows. One that is of nobody in particular is a table of its own: a field is a row, however
    /// many there are.
    async fn each_row(
        &self,
        name: &str,
        key: &str,
        mut take: impl FnMut((String, String)),
    ) -> Result<(), StoreError> {
        let mut connection = self.connection().await?;
        let kind: Result<String, _> =
            redis::cmd("TYPE").arg(key).query_async(&mut connection).await;
        let kind = self.check(kind).await?;
        if kind != "hash" || name.contains(|any: char| any.is_ascii_digit()) {
            take((name.to_owned(), self.content(key, &kind).await?));
            return Ok(());
        }
        let mut scan = redis::cmd("HSCAN");
        scan.arg(key).cursor_arg(0).arg("COUNT").arg(1000);
        let mut found = self.check(scan.iter_async(&mut connection).await).await?;
        let mut seen = BTreeSet::new();
        while let Some(row) = found.next_item().await {
            let (field, value): (String, String) = self.check(row).await?;
            // A scan may return a field twice.
            if field != VERSION && seen.insert(field.clone()) {
                take((format!("{name} {field}"), value));
            }
        }
        Ok(())
    }

    /// A key's content as text that does not depend on how Redis orders or encodes it.
    async fn content(&self, key: &str, kind: &str) -> Result<String, StoreError> {
        let mut connection = self.connection().await?;
        let value: Result<Value, _> = match kind {
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
                let members: Result<BTreeSet<String>, _> = connection.smembers(key).await;
                return Ok(format!("{:?}", self.check(members).await?));
            }
        };
        Ok(format!("{:?}", self.check(value).await?))
    }
}

impl Store for RedisStore {
    type Tx = RedisTx;

    async fn live(&self, name: &'static str, log_created: i64) -> Result<Generation, StoreError> {
        loop {
            let mut connection = self.connection().await?;
            let live: Result<Option<i32>, _> = connection.get(keys::live(name)).await;
            let live = self.check(live).await?;
            if let Some(number) = live
                && let Some(found) = self.find(name, number).await?
            {
                return Ok(found);
            }
            // There is none, or what was said to be live is gone.
            let number = self.allocate(name).await?;
            let begun: Result<bool, _> = Script::new(BEGIN_LIVE)
                .key(keys::live(name))
                .key(keys::checkpoint(name, number))
                .arg(live.map(|live| live.to_string()).unwrap_or_default())
                .arg(number)
                .arg(&beginning(log_created))
                .invoke_async(&mut connection)
                .await;
            if self.check(begun).await? {
                return Ok(Generation { name, number, log_created, outdated: false });
            }
        }
    }

    async fn add(&self, name: &'static str, log_created: i64) -> Result<Generation, StoreError> {
        let number = self.allocate(name).await?;
        let mut connection = self.connection().await?;
        let checkpoint = keys::checkpoint(name, number);
        let added: Result<(), _> =
            connection.hset_multiple(checkpoint, &beginning(log_created)).await;
        self.check(added).await?;
        Ok(Generation { name, number, log_created, outdated: false })
    }

    async fn claim(&self, generation: &Generation, owner: Uuid) -> Result<Checkpoint, StoreError> {
        let mut connection = self.connection().await?;
        let claimed: Result<(u64, String), _> = Script::new(CLAIM)
            .key(keys::checkpoint(generation.name, generation.number))
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
        self.check(tx.commit(&keys::checkpoint(generation.name, generation.number), moved).await)
            .await
    }

    async fn switch(&self, to: &Generation) -> Result<(), StoreError> {
        let mut connection = self.connection().await?;
        let done: Result<(), _> = connection.set(keys::live(to.name), to.number).await;
        self.check(done).await
    }

    async fn drop(&self, generation: &Generation) -> Result<(), StoreError> {
        let mut connection = self.connection().await?;
        let keys: Vec<String> = self.keys(generation).await?.into_iter().collect();
        for keys in keys.chunks(500) {
            let done: Result<(), _> = connection.unlink(keys).await;
            self.check(done).await?;
        }
        let done: Result<(), _> =
            connection.del(keys::checkpoint(generation.name, generation.number)).await;
        self.check(done).await
    }

    async fn digests(
        &self,
        generation: &Generation,
    ) -> Result<BTreeMap<String, Digest>, StoreError> {
        let mut digests: BTreeMap<String, Digest> = BTreeMap::new();
        for key in self.keys(generation).await? {
            let name = bare(generation, &key);
            let digest = digests.entry(family(&name)).or_default();
            self.each_row(&name, &key, |row| {
                let mut hasher = DefaultHasher::new();
                row.hash(&mut hasher);
                digest.rows += 1;
                digest.sum ^= hasher.finish();
            })
            .await?;
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
                self.each_row(&name, &key, |(row, content)| _ = rows.insert(row, content)).await?;
            }
        }
        Ok(rows)
    }

    async fn generations(&self, name: &'static str) -> Result<Vec<ListedGeneration>, StoreError> {
        let mut connection = self.connection().await?;
        let known: Result<(Option<i32>, Option<i32>), _> = redis::pipe()
            .get(keys::live(name))
            .get(keys::generations(name))
            .query_async(&mut connection)
            .await;
        let (live, newest) = self.check(known).await?;
        let mut listed = Vec::new();
        for number in 1..=newest.unwrap_or(0) {
            let meta: Result<(Option<u64>, Option<String>), _> =
                connection.hmget(keys::checkpoint(name, number), &["position", "shape"]).await;
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

/// The checkpoint of a generation that has nothing yet.
fn beginning(log_created: i64) -> [(&'static str, String); 4] {
    let (position, event) = ("0".to_owned(), String::new());
    let (created, shape) = (log_created.to_string(), SHAPE.to_owned());
    [("position", position), ("event", event), ("created", created), ("shape", shape)]
}

fn bare(generation: &Generation, key: &str) -> String {
    key.strip_prefix(&keys::prefix(generation.name, generation.number)).unwrap_or(key).to_owned()
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
