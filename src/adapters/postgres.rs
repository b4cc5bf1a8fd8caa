//! Connections to PostgreSQL, and what differs between a hiccup and a refusal.

use std::{str::FromStr as _, time::Duration};

use anyhow::Context as _;
use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{runtime::Handle, select, sync::oneshot, task::spawn_blocking};

/// Where readers find the tables of the live generations (ADR 0005).
pub const LIVE: &str = "live";

/// A pool that reads the live read models. Connects when first used: the start does not wait.
///
/// # Errors
/// The URL is malformed.
pub fn readers(url: &SecretString, most: u32) -> anyhow::Result<PgPool> {
    pool(url, most, "live,ids")
}

/// A pool for whoever writes read models; each transaction names its generation itself.
///
/// # Errors
/// The URL is malformed.
pub fn writers(url: &SecretString, most: u32) -> anyhow::Result<PgPool> {
    pool(url, most, "hongyan,ids")
}

/// A pool for migrations, whose own table is in the schema `public`.
///
/// # Errors
/// The URL is malformed.
pub fn migrators(url: &SecretString) -> anyhow::Result<PgPool> {
    pool(url, 1, "public")
}

fn pool(url: &SecretString, most: u32, search_path: &str) -> anyhow::Result<PgPool> {
    let options = PgConnectOptions::from_str(url.expose_secret())
        .context(
            "postgres.url is not a PostgreSQL URL (postgres://user:password@host:port/database)",
        )?
        .application_name("hongyan")
        .options([
            ("search_path", search_path),
            ("synchronous_commit", "off"), // the log is the truth
            ("client_min_messages", "warning"),
        ]);
    Ok(PgPoolOptions::new()
        .max_connections(most)
        .acquire_timeout(Duration::from_secs(3))
        .max_lifetime(None) // all of a pool would log in again at once, under whatever load there is
        .connect_lazy_with(options))
}

/// Logs in on a thread of its own if a pool has no idle connection and room for one more.
///
/// The password's hash takes 4,096 rounds, and sqlx yields after every fifth. In a busy runtime each of these 819 turns takes
/// milliseconds: whoever has much to catch up with would not log in within the pool's time-out, and never catch up.
///
/// # Errors
/// PostgreSQL does not answer in time, or refuses.
pub async fn log_in(pool: &PgPool) -> sqlx::Result<()> {
    if pool.num_idle() > 0 || pool.size() >= pool.options().get_max_connections() {
        return Ok(());
    }
    let (pool, runtime) = (pool.clone(), Handle::current());
    let (mut done, logged_in) = oneshot::channel();
    spawn_blocking(move || {
        runtime.block_on(async {
            select! {
                acquired = pool.acquire() => {
                    _ = done.send(acquired.map(drop));
                }
                () = done.closed() => {} // nobody waits any more
            }
        });
    });
    logged_in.await.unwrap_or(Ok(()))
}

/// Would the same statement work a little later?
pub fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            // connection, resources, operator intervention, deadlock and serialization
            ["08", "53", "57", "58", "40"].iter().any(|class| code.starts_with(class))
        }),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}
