//! Connections to Redis. Scripts do what must happen whole.

use std::time::Duration;

use anyhow::Context as _;
use redis::{
    AsyncConnectionConfig, Client,
    aio::{ConnectionManager, ConnectionManagerConfig},
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
    shared: ConnectionManager,
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

    /// Would the same call work a little later? Everything but a script's own refusal.
    pub fn is_passing(&self) -> bool {
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
        Ok(Self { client, shared })
    }

    /// A connection that all tasks share.
    pub fn shared(&self) -> ConnectionManager {
        self.shared.clone()
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
