//! A transaction of Redis' read models: reads before it, and commands that one script runs.

use std::sync::LazyLock;

use crate::{
    adapters::redis::{
        self, FromRedisValue, MultiplexedConnection, RedisFailure, Script, ToRedisArgs,
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
    /// Per command its length and words.
    args: Words,
}

/// Words one after the other.
#[derive(Default)]
struct Words {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// Runs the commands of a batch and moves the checkpoint, or does neither.
/// ARGV: owner, expected position, new position, new event; then per command its length and words.
const COMMIT: &str = "
local at = redis.call('HMGET', KEYS[1], 'owner', 'position')
if at[1] ~= ARGV[1] or at[2] ~= ARGV[2] then return redis.error_reply('FENCED checkpoint moved') end
local i = 5
while i <= #ARGV do
  local n = tonumber(ARGV[i])
  local operation = operations[ARGV[i + 1]]
  if operation then
    operation(unpack(ARGV, i + 2, i + n))
  else
    redis.call(unpack(ARGV, i + 1, i + n))
  end
  i = i + n + 1
end
redis.call('HSET', KEYS[1], 'position', ARGV[3], 'event', ARGV[4])
return redis.status_reply('OK')";

static PLAIN: LazyLock<Script> = LazyLock::new(|| committing(""));

/// A script that commits a transaction and knows more than Redis' commands: `operations` defines Lua functions in a
/// table of that name, each run as a command is. They see what the commands before them did.
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
            prefix: super::prefix(generation),
            since: moved.since(generation),
            until: moved.until(generation),
            script: &PLAIN,
            args: Words::default(),
        }
    }

    /// Is committed by this script, of [`committing`].
    pub fn commits_by(&mut self, script: &'static Script) {
        self.script = script;
    }

    /// A key of this generation.
    pub fn key(&self, name: impl std::fmt::Display) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Adds a command to be run at the commit.
    pub fn run(&mut self, command: &redis::Cmd) {
        self.args.push(command.args_iter().count().to_string().as_bytes());
        for word in command.args_iter() {
            match word {
                redis::Arg::Simple(bytes) => self.args.push(bytes),
                redis::Arg::Cursor => self.args.push(b"0"),
                _ => self.args.push(b""),
            }
        }
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
        invocation
            .key(at)
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
