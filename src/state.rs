//! The state that handlers and connections are handed: the parts of a gateway, opened by `boot`.

use std::{ops::Deref, sync::Arc};

use axum::extract::FromRef;
use sqlx::PgPool;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::{
    adapters::{
        body_memory::BodyMemory,
        media::Media,
        nats::{log_error::LogError, push::Pushes},
        rate_limit::RateLimit,
        redis::memory::RedisMemory,
        throttle::Throttle,
        tokens::{Claims, Tokens},
    },
    commands::session::Session,
    config::Config,
    events::{Event, Recorded},
    executor::{Executor, accounts::Accounts, aggregates::Aggregate, running_commands::cut_off},
    telemetry::Metrics,
};

/// The parts of a gateway. Handlers and layers clone it several times for each request, so a clone is one count and not
/// one for each part.
#[derive(Clone)]
pub struct App(Arc<Parts>);

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl From<Parts> for App {
    fn from(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl App {
    /// For what only reads.
    pub fn readers(&self) -> Readers {
        Readers(self.clone())
    }

    /// What a token says, if it is its account's current one (data.md §4).
    ///
    /// # Errors
    /// The log cannot be reached, or this gateway may not serve.
    pub async fn current(&self, claims: Claims) -> Result<Option<Claims>, LogError> {
        if !self.executor.is_live() {
            return Err(cut_off());
        }
        let session = self.executor.state::<Session>(claims.id).await?;
        Ok(session.state.is_current(claims.jti).then_some(claims))
    }
}

/// What handlers that only read are handed: read models and the states of aggregates, and no way to append.
#[derive(Clone)]
pub struct Readers(App);

impl FromRef<App> for Readers {
    fn from_ref(app: &App) -> Self {
        app.readers()
    }
}

impl Readers {
    /// The read models in PostgreSQL.
    pub fn pool(&self) -> &PgPool {
        &self.0.executor.pool
    }

    /// An aggregate as it is now.
    ///
    /// # Errors
    /// The log cannot be reached.
    pub async fn state<A: Aggregate>(&self, id: A::Id) -> Result<Arc<A>, LogError> {
        Ok(self.0.executor.state::<A>(id).await?.state)
    }

    /// The event that made what has this id.
    ///
    /// # Errors
    /// The log cannot be reached.
    pub async fn made(&self, id: i64) -> Result<Option<Recorded<Event>>, LogError> {
        self.0.executor.log.made(id).await
    }
}

/// The parts themselves.
pub struct Parts {
    /// The settings.
    pub config: Arc<Config>,
    /// Executes commands.
    pub executor: Executor,
    /// Requests that are finished whether their clients wait or not.
    pub requests: TaskTracker,
    /// Makes and opens accounts.
    pub accounts: Accounts,
    /// Makes and reads tokens.
    pub tokens: Tokens,
    /// Counts failed log-ins and the like, on all nodes together.
    pub rate_limit: RateLimit,
    /// The memory that request bodies share.
    pub bodies: BodyMemory,
    /// Whether messages still find room in Redis.
    pub redis_memory: RedisMemory,
    /// Counts all requests.
    pub throttle: Throttle,
    /// Pushes to connections, wherever they are.
    pub pushes: Pushes,
    /// What users upload.
    pub media: Media,
    /// So many downloads whose clients pause may be waited for; the others are cut off.
    pub patient_downloads: Arc<Semaphore>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}
