//! Connections to Redis. Scripts do what must happen whole.

pub mod keys;
pub mod memory;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use futures_util::FutureExt as _;
use redis::{
    AsyncConnectionConfig, Client, Pipeline, RedisFuture,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
};
// What speaking to Redis takes. Who needs it takes it from here.
pub use redis::{
    Arg, AsyncCommands, Cmd, FromRedisValue, RedisError, Script, ToRedisArgs, Value,
    aio::MultiplexedConnection, cmd, pipe, streams::StreamInfoStreamReply,
};
use secrecy::{ExposeSecret, SecretString};

/// Redis as this process uses it.
#[derive(Clone)]
pub struct Redis {
    client: Client,
    shared: SharedConnection,
    live: Arc<Mutex<HashMap<&'static str, i32>>>,
}

/// The connection that all tasks of a process share. Redis, or something on the way to it, may close it while nobody
/// uses it, which only the next call notices; so a call whose connection has ended is made once more, on a new one.
/// The first may have been executed all the same: whatever goes over this connection may happen twice. That holds for
/// reads, for setting and removing keys, and for counters of what is limited, which then count one too many.
#[derive(Clone)]
pub struct SharedConnection(ConnectionManager);

impl ConnectionLike for SharedConnection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        async move {
            match self.0.send_packed_command(command).await {
                Err(error) if has_ended(&error) => self.0.send_packed_command(command).await,
                answer => answer,
            }
        }
        .boxed()
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        async move {
            match self.0.send_packed_commands(pipeline, offset, count).await {
                Err(error) if has_ended(&error) => {
                    self.0.send_packed_commands(pipeline, offset, count).await
                }
                answer => answer,
            }
        }
        .boxed()
    }

    fn get_db(&self) -> i64 {
        self.0.get_db()
    }
}

/// Was there a connection, and is it gone? Where none can be made, another attempt would only take longer to fail.
fn has_ended(error: &RedisError) -> bool {
    error.is_connection_dropped() && !error.is_connection_refusal()
}

/// Why Redis did not do it.
#[derive(Debug, thiserror::Error)]
#[error("redis: {0}")]
pub struct RedisFailure(#[from] RedisError);

impl RedisFailure {
    /// The word that one of our scripts refused with.
    pub fn code(&self) -> Option<&str> {
        self.0.code()
    }

    /// What that script said beside its word.
    pub fn detail(&self) -> Option<&str> {
        self.0.detail()
    }

    /// Would the same call work a little later? Everything but a script's own refusal.
    pub fn is_transient(&self) -> bool {
        use redis::{ErrorKind, ServerErrorKind};
        !matches!(
            self.0.kind(),
            ErrorKind::Server(ServerErrorKind::ResponseError) | ErrorKind::UnexpectedReturnType
        )
    }
}

impl Redis {
    /// Connects when first used: the start does not wait.
    ///
    /// # Errors
    /// The URL is malformed.
    pub fn open(url: &SecretString) -> anyhow::Result<Self> {
        let client = Client::open(url.expose_secret())
            .context("redis.url is not a Redis URL (redis://user:password@host:port/db)")?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(2)))
            .set_response_timeout(Some(Duration::from_secs(5)))
            .set_number_of_retries(1)
            .set_max_delay(Duration::from_millis(500));
        let shared = ConnectionManager::new_lazy_with_config(client.clone(), config)?;
        Ok(Self { client, shared: SharedConnection(shared), live: Arc::default() })
    }

    /// A connection that all tasks share, for what may be executed twice.
    pub fn shared(&self) -> SharedConnection {
        self.shared.clone()
    }

    /// The generation of a read model that was live when somebody here last asked; 0 if nobody has.
    pub fn last_live(&self, read_model: &str) -> i32 {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.get(read_model).copied().unwrap_or_default()
    }

    /// Notes that this generation is live now.
    pub fn note_live(&self, read_model: &'static str, generation: i32) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.insert(read_model, generation);
    }

    /// A connection of one's own, for long scripts that nobody should wait behind.
    ///
    /// # Errors
    /// Redis cannot be reached.
    pub async fn own(&self) -> Result<MultiplexedConnection, RedisFailure> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(2)))
            .set_response_timeout(Some(Duration::from_mins(1)));
        let connection = self.client.get_multiplexed_async_connection_with_config(&config);
        Ok(connection.await?)
    }

    /// Is it there?
    ///
    /// # Errors
    /// It is not.
    pub async fn ping(&self) -> Result<(), RedisFailure> {
        Ok(redis::cmd("PING").query_async(&mut self.shared()).await?)
    }

    /// What it is.
    ///
    /// # Errors
    /// It is not there, or our user may not ask.
    pub async fn version(&self) -> Result<String, RedisFailure> {
        let info: String = redis::cmd("INFO").arg("server").query_async(&mut self.shared()).await?;
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
        Ok(version.unwrap_or_default().trim().to_owned())
    }
}
