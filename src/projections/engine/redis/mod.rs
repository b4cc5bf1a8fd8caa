//! Read models in Redis: a key prefix per generation, and one key that names the live one.

mod query;
mod rows;
mod tx;

use std::collections::BTreeSet;

use tokio::sync::Mutex;
use uuid::Uuid;

use super::generation::{
    BuildPurpose, CheckpointAdvance, Digests, FenceToken, Generation, ListedGeneration,
    RowContents, Store,
};
use crate::{
    adapters::redis::{
        self, AsyncCommands as _, MultiplexedConnection, Redis, RedisFailure, Script, keys,
    },
    events::Position,
    projections::{Checkpoint, StoreError},
};

pub use query::LiveQuery;
pub use rows::KeyPage;
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

/// Position, creation time of the log, shape, and purpose.
type CheckpointFields = (Option<u64>, Option<i64>, Option<String>, Option<String>);

/// KEYS: what names the live generation, its checkpoint, that of the new one. ARGV: which is live, who has claimed it,
/// where, the new number.
const SWITCH: &str = "
local at = redis.call('HMGET', KEYS[2], 'owner', 'position')
if redis.call('GET', KEYS[1]) ~= ARGV[1] or at[1] ~= ARGV[2] or at[2] ~= ARGV[3] then
  return redis.error_reply('FENCED the live generation went on')
end
if redis.call('EXISTS', KEYS[3]) == 0 then
  return redis.error_reply('FENCED the new generation was dropped')
end
redis.call('HSET', KEYS[3], 'built_for', '')
redis.call('SET', KEYS[1], ARGV[4])
return redis.status_reply('OK')";

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
}

impl Store for RedisStore {
    type Tx = RedisTx;
    type Part = KeyPage;

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
                .arg(&beginning(log_created, None))
                .invoke_async(&mut connection)
                .await;
            if self.check(begun).await? {
                return Ok(Generation { name, number, log_created, outdated: false });
            }
        }
    }

    async fn add(
        &self,
        name: &'static str,
        log_created: i64,
        purpose: BuildPurpose,
    ) -> Result<Generation, StoreError> {
        let number = self.allocate(name).await?;
        let mut connection = self.connection().await?;
        let checkpoint = keys::checkpoint(name, number);
        let added: Result<(), _> =
            connection.hset_multiple(checkpoint, &beginning(log_created, Some(purpose))).await;
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

    async fn complete(&self, _: &Generation) -> Result<(), StoreError> {
        Ok(()) // everything is there from the beginning
    }

    async fn switch(&self, held: FenceToken, to: &Generation) -> Result<(), StoreError> {
        let mut connection = self.connection().await?;
        let done: Result<(), _> = Script::new(SWITCH)
            .key(keys::live(to.name))
            .key(keys::checkpoint(to.name, held.generation()))
            .key(keys::checkpoint(to.name, to.number))
            .arg(held.generation())
            .arg(held.owner().to_string())
            .arg(held.position().0)
            .arg(to.number)
            .invoke_async(&mut connection)
            .await;
        self.check(done).await
    }

    async fn drop(&self, generation: &Generation) -> Result<(), StoreError> {
        let mut connection = self.connection().await?;
        let live: Result<Option<i32>, _> = connection.get(keys::live(generation.name)).await;
        if self.check(live).await? == Some(generation.number) {
            return Ok(()); // made live meanwhile
        }
        let keys: Vec<String> = self.keys(generation).await?.into_iter().collect();
        for keys in keys.chunks(500) {
            let done: Result<(), _> = connection.unlink(keys).await;
            self.check(done).await?;
        }
        let done: Result<(), _> =
            connection.del(keys::checkpoint(generation.name, generation.number)).await;
        self.check(done).await
    }

    async fn parts(&self, generations: &[Generation]) -> Result<Vec<KeyPage>, StoreError> {
        self.pages(generations).await
    }

    async fn digests(
        &self,
        generation: &Generation,
        page: &KeyPage,
    ) -> Result<(Position, Digests), StoreError> {
        let (position, rows) = self.read(generation, page).await?;
        Ok((position, rows::digests(&rows)))
    }

    async fn rows(
        &self,
        generation: &Generation,
        page: &KeyPage,
        _: i32,
    ) -> Result<(Position, RowContents), StoreError> {
        self.read(generation, page).await
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
            let fields = &["position", "created", "shape", "built_for"];
            let about: Result<CheckpointFields, _> =
                connection.hmget(keys::checkpoint(name, number), fields).await;
            if let (Some(position), created, shape, built_for) = self.check(about).await? {
                listed.push(ListedGeneration {
                    generation: number,
                    live: live == Some(number),
                    position,
                    outdated: shape.as_deref() != Some(SHAPE),
                    log_created: created.unwrap_or_default(),
                    built_for: built_for.as_deref().and_then(BuildPurpose::of),
                });
            }
        }
        Ok(listed)
    }
}

/// The checkpoint of a generation that has nothing yet.
fn beginning(log_created: i64, purpose: Option<BuildPurpose>) -> [(&'static str, String); 5] {
    let (position, event) = ("0".to_owned(), String::new());
    let (created, shape) = (log_created.to_string(), SHAPE.to_owned());
    let purpose = purpose.map_or_else(String::new, |purpose| purpose.name().to_owned());
    [
        ("position", position),
        ("event", event),
        ("created", created),
        ("shape", shape),
        ("built_for", purpose),
    ]
}
