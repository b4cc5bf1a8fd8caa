//! A transaction of Redis' read models: reads before it, and commands that one script runs.

use std::sync::LazyLock;

use crate::{
    adapters::redis::{
        self, FromRedisValue, MultiplexedConnection, RedisFailure, Script, ToRedisArgs,
        keys::{self, RedisKey},
    },
    projections::{
        StoreError,
        engine::generation::{CheckpointAdvance, FenceToken, Generation},
    },
};

/// A transaction: commands that one script runs, if the checkpoint is where it should be.
pub struct RedisTx {
    connection: MultiplexedConnection,
    prefix: String,
    /// What the store holds as long as the transaction has not been committed, and then.
    pub(in crate::projections) since: FenceToken,
    pub(in crate::projections) until: FenceToken,
    /// What commits it.
    script: &'static Script,
    /// Per command its keys.
    keys: Words,
    /// Per command how many words and keys it has, and its words.
    args: Words,
}

/// Words one after the other.
#[derive(Default)]
struct Words {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// Runs the commands of a batch and moves the checkpoint, or does neither.
/// KEYS: the checkpoint; then those of the commands. ARGV: owner, expected position, new position, new event; then per
/// command how many words follow, how many of KEYS it has, its name, and the rest of its words.
const COMMIT: &str = "
local at = redis.call('HMGET', KEYS[1], 'owner', 'position')
if at[1] ~= ARGV[1] or at[2] ~= ARGV[2] then return redis.error_reply('FENCED checkpoint moved') end
local i, key = 5, 2
while i <= #ARGV do
  local last, name = i + tonumber(ARGV[i]), ARGV[i + 2]
  local operation = operations[name]
  if operation then
    operation(key, unpack(ARGV, i + 3, last))
  else
    redis.call(name, KEYS[key], unpack(ARGV, i + 3, last))
  end
  i, key = last + 1, key + tonumber(ARGV[i + 1])
end
redis.call('HSET', KEYS[1], 'position', ARGV[3], 'event', ARGV[4])
return redis.status_reply('OK')";

static PLAIN: LazyLock<Script> = LazyLock::new(|| committing(""));

/// A script that commits a transaction and knows more than Redis' commands: `operations` defines Lua functions in a
/// table of that name, each run as a command is, with the index of the first of its KEYS and its words. They see what
/// the commands before them did.
pub fn committing(operations: &str) -> Script {
    Script::new(&format!("local operations = {{}}\n{operations}\n{COMMIT}"))
}

impl RedisTx {
    /// One that will make the step `moved`.
    pub(super) fn new(
        connection: MultiplexedConnection,
        generation: &Generation,
        moved: CheckpointAdvance,
    ) -> Self {
        Self {
            connection,
            prefix: keys::prefix(generation.name, generation.number),
            since: moved.since(generation),
            until: moved.until(generation),
            script: &PLAIN,
            keys: Words::default(),
            args: Words::default(),
        }
    }

    /// Is committed by this script, of [`committing`].
    pub fn commits_by(&mut self, script: &'static Script) {
        self.script = script;
    }

    /// A key of this generation.
    pub fn key(&self, key: RedisKey) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Adds a command on one key to be run at the commit.
    pub fn run(&mut self, command: &redis::Cmd) {
        let mut words = command.args_iter().map(|word| match word {
            redis::Arg::Simple(bytes) => bytes,
            redis::Arg::Cursor => b"0",
            _ => b"",
        });
        let (name, key) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        self.keys.push(key);
        let rest = command.args_iter().count().saturating_sub(2);
        self.begin(name, 1, rest);
        words.for_each(|word| self.args.push(word));
    }

    /// Adds an operation of the script that it is committed by.
    pub fn operate(&mut self, name: &str, keys: &[String], words: impl ToRedisArgs) {
        for key in keys {
            self.keys.push(key.as_bytes());
        }
        let words = words.to_redis_args();
        self.begin(name.as_bytes(), keys.len(), words.len());
        for word in &words {
            self.args.push(word);
        }
    }

    fn begin(&mut self, name: &[u8], keys: usize, rest: usize) {
        self.args.push((rest + 2).to_string().as_bytes());
        self.args.push(keys.to_string().as_bytes());
        self.args.push(name);
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

    /// Does it all, if the checkpoint `at` is where `moved` says.
    pub(super) async fn commit(
        mut self,
        at: &str,
        moved: CheckpointAdvance,
    ) -> Result<(), redis::RedisError> {
        let mut invocation = self.script.prepare_invoke();
        invocation.key(at);
        for key in self.keys.iter() {
            invocation.key(key);
        }
        invocation
            .arg(moved.owner.to_string())
            .arg(moved.from.position.0)
            .arg(moved.to.position.0)
            .arg(moved.to.event.map(|id| id.to_string()).unwrap_or_default());
        for word in self.args.iter() {
            invocation.arg(word);
        }
        invocation.invoke_async(&mut self.connection).await
    }
}

impl Words {
    fn push(&mut self, word: &[u8]) {
        self.bytes.extend_from_slice(word);
        self.ends.push(self.bytes.len());
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }
}

/// A command on a key.
pub fn command(name: &str, key: &str, args: impl ToRedisArgs) -> redis::Cmd {
    let mut command = redis::cmd(name);
    command.arg(key).arg(args);
    command
}

/// For commands that have no arguments but the key.
pub const NONE: &[&str] = &[];
