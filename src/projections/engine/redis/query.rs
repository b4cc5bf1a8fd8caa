//! Queries of the live generation: one script that reads only if the keys that it was given are of that generation.

use crate::adapters::redis::{
    FromRedisValue, Redis, RedisFailure, Script, ToRedisArgs,
    keys::{self, RedisKey},
};

/// A script that reads the live generation of a read model. Its `KEYS` are what names that generation, the checkpoint,
/// and, from the third on, those that it is run with; its `ARGV` are the generation whose keys these are and, from the
/// second on, its arguments.
pub struct LiveQuery {
    read_model: &'static str,
    script: Script,
}

const CHECK: &str = "
local live = redis.call('GET', KEYS[1])
if not live then return redis.error_reply('NOTREADY no live generation') end
if live ~= ARGV[1] then return redis.error_reply('SWITCHED ' .. live) end";

impl LiveQuery {
    /// That returns what `body` does.
    pub fn new(read_model: &'static str, body: &str) -> Self {
        Self { read_model, script: Script::new(&format!("{CHECK}\n{body}")) }
    }

    /// Runs it on these keys of the generation that is live.
    ///
    /// # Errors
    /// Redis cannot be reached, there is no such generation yet, or the script says no.
    pub async fn run<T: FromRedisValue>(
        &self,
        redis: &Redis,
        keys: &[RedisKey],
        arguments: impl ToRedisArgs,
    ) -> Result<T, RedisFailure> {
        let read_model = self.read_model;
        loop {
            let generation = redis.last_live(read_model);
            let prefix = keys::prefix(read_model, generation);
            let mut call = self.script.prepare_invoke();
            call.key(keys::live(read_model)).key(keys::checkpoint(read_model, generation));
            for key in keys {
                call.key(format!("{prefix}{key}"));
            }
            call.arg(generation).arg(&arguments);
            let answer = call.invoke_async(&mut redis.shared()).await.map_err(RedisFailure::from);
            // Another generation is live than the one that this process knew of.
            let switched = answer.as_ref().err().filter(|error| error.code() == Some("SWITCHED"));
            match switched.and_then(|error| error.detail()?.parse().ok()) {
                Some(live) => redis.note_live(read_model, live),
                None => return answer,
            }
        }
    }
}
