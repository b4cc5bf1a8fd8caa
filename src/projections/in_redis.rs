//! Read models in Redis: a key prefix per generation, and one key that names the live one.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use tokio::sync::Mutex;
use uuid::Uuid;

use super::{
    Checkpoint, StoreError,
    generation::{Digest, Generation, Listed, Move, Store},
};
use crate::{
    adapters::redis::{
        self, AsyncCommands as _, FromRedisValue, MultiplexedConnection, Redis, RedisFailure,
        Script, ToRedisArgs, Value,
    },
    events::Position,
};

/// Redis as a store of read models.
#[derive(Clone)]
pub struct InRedis {
    redis: Redis,
    /// The writers' connection, made anew after an error.
    own: std::sync::Arc<Mutex<Option<MultiplexedConnection>>>,
}

/// A transaction: commands that one script runs, if the checkpoint is where it should be.
pub struct RedisTx {
    connection: MultiplexedConnection,
    prefix: String,
    args: Vec<Vec<u8>>,
    /// Words that many commands end with, sent once.
    shared: Vec<Vec<u8>>,
}

/// A word that many commands of a transaction end with.
#[derive(Debug, Clone, Copy)]
pub struct Shared(usize);

/// Bumped when keys change their meaning, so that old generations are known as such.
const SHAPE: &str = "3";

/// The field that says which event a hash was changed by last. It is where a reader goes on from, and not what the
/// read model says: that event may have expired since, and then a rebuild has an earlier one.
pub const VERSION: &str = "version";

/// Runs the commands of a batch and moves the checkpoint, or does neither.
/// ARGV: owner, expected position, new position, new event; the number of shared words, and they; then per
/// command its length and words. A negative length says that the last word is the number of a shared one.
const COMMIT: &str = "
local at = redis.call('HMGET', KEYS[1], 'owner', 'position')
if at[1] ~= ARGV[1] or at[2] ~= ARGV[2] then return redis.error_reply('FENCED checkpoint moved') end
local i = 6 + tonumber(ARGV[5])
while i <= #ARGV do
  local n = tonumber(ARGV[i])
  if n > 0 then
    redis.call(unpack(ARGV, i + 1, i + n))
  else
    n = -n
    local words = {unpack(ARGV, i + 1, i + n)}
    words[n] = ARGV[5 + tonumber(words[n])]
    redis.call(unpack(words))
  end
  i = i + n + 1
end
redis.call('HSET', KEYS[1], 'position', ARGV[3], 'event', ARGV[4])
return redis.status_reply('OK')";

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

impl InRedis {
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
                if matches!(error, StoreError::Passing(_)) {
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
            "stream" => connection.xrange_all(key).await,
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

impl RedisTx {
    /// A key of this generation.
    pub fn key(&self, name: impl std::fmt::Display) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Adds a command to be run at the commit.
    pub fn run(&mut self, command: &redis::Cmd) {
        let words = command.args_iter().map(|word| match word {
            redis::Arg::Simple(bytes) => bytes.to_vec(),
            redis::Arg::Cursor => b"0".to_vec(),
            _ => Vec::new(),
        });
        let at = self.args.len();
        self.args.push(Vec::new());
        self.args.extend(words);
        self.args[at] = (self.args.len() - at - 1).to_string().into_bytes();
    }

    /// Keeps a word that many commands end with: a message for everybody in a group is sent once.
    pub fn share(&mut self, word: &[u8]) -> Shared {
        self.shared.push(word.to_vec());
        Shared(self.shared.len())
    }

    /// The same as [`RedisTx::run`] for a command that ends with a shared word.
    pub fn run_with(&mut self, command: &redis::Cmd, last: Shared) {
        let at = self.args.len();
        self.run(command);
        self.args.push(last.0.to_string().into_bytes());
        let words = self.args.len() - at - 1;
        self.args[at] = format!("-{words}").into_bytes();
    }

    /// Reads many keys as they are before the transaction, in one round trip.
    ///
    /// # Errors
    /// Redis cannot be reached.
    pub async fn read<T: FromRedisValue>(
        &mut self,
        commands: impl IntoIterator<Item = redis::Cmd>,
    ) -> Result<Vec<T>, StoreError> {
        let mut pipe = redis::pipe();
        let mut any = false;
        for command in commands {
            pipe.add_command(command);
            any = true;
        }
        if !any {
            return Ok(Vec::new());
        }
        Ok(pipe.query_async(&mut self.connection).await.map_err(RedisFailure::from)?)
    }
}

impl Store for InRedis {
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

    async fn begin(&self, generation: &Generation) -> Result<RedisTx, StoreError> {
        Ok(RedisTx {
            connection: self.connection().await?,
            prefix: prefix(generation),
            args: Vec::new(),
            shared: Vec::new(),
        })
    }

    async fn commit(
        &self,
        tx: RedisTx,
        generation: &Generation,
        moved: Move,
    ) -> Result<(), StoreError> {
        let script = Script::new(COMMIT);
        let mut invocation = script.prepare_invoke();
        invocation
            .key(meta_key(generation.name, generation.number))
            .arg(moved.owner.to_string())
            .arg(moved.from.position.0)
            .arg(moved.to.position.0)
            .arg(moved.to.event.map(|id| id.to_string()).unwrap_or_default())
            .arg(tx.shared.len());
        for word in tx.shared.iter().chain(&tx.args) {
            invocation.arg(word.as_slice());
        }
        let mut connection = tx.connection;
        let done: Result<(), _> = invocation.invoke_async(&mut connection).await;
        self.check(done).await
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

    async fn generations(&self, name: &'static str) -> Result<Vec<Listed>, StoreError> {
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
                listed.push(Listed {
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

/// A command on a key.
pub fn command(name: &str, key: &str, args: impl ToRedisArgs) -> redis::Cmd {
    let mut command = redis::cmd(name);
    command.arg(key).arg(args);
    command
}

/// For commands that have no arguments but the key.
pub const NONE: &[&str] = &[];
