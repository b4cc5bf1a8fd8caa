//! Connections to nats-server, one per role, and what the server must be.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::bail;
use async_nats::{Client, ConnectError, ConnectErrorKind, ConnectOptions, Event, jetstream};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::{connection::Servers, log_error::LogError, unbuffered_client::UnbufferedClient};

/// Older servers ignore fields and headers that we rely on, or lose data (`docs/design/jetstream-pitfalls.md`).
pub const OLDEST_SERVER: (u64, u64, u64) = (2, 14, 6);

/// A connection, and counters of when it was not to be relied on.
#[derive(Clone)]
pub struct Nats {
    /// The connection.
    pub client: Client,
    /// JetStream over it.
    pub jetstream: jetstream::Context,
    /// The connection for what must not be sent after it was given up.
    pub(super) appends: UnbufferedClient,
    /// Changes whenever the connection was lost and found again: what was sent meanwhile is gone,
    /// and the server may be another one.
    pub reconnects: watch::Receiver<u64>,
}

/// Connects as `user`.
///
/// # Errors
/// The server refuses the user, or is too old.
pub async fn connect(url: &str, user: &str, password: &SecretString) -> anyhow::Result<Nats> {
    let (connected, reconnects) = watch::channel(0_u64);
    let told = Arc::new(Mutex::new(String::new()));
    let name = format!("hongyan-{user}");
    let servers: Vec<String> = url.split(',').map(|part| part.trim().to_owned()).collect();
    let client = ConnectOptions::with_user_and_password(
        user.to_owned(),
        password.expose_secret().to_owned(),
    )
    .name(&name)
    .custom_inbox_prefix(format!("_INBOX_{user}"))
    .subscription_capacity(1024)
    .ping_interval(Duration::from_secs(10))
    .request_timeout(Some(Duration::from_secs(5)))
    .reconnect_delay_callback(|attempts| {
        Duration::from_millis((attempts as u64 * 50).clamp(10, 500))
    })
    .event_callback(move |event| {
        let (connected, told) = (connected.clone(), Arc::clone(&told));
        async move {
            match event {
                Event::Connected => {
                    connected.send_if_modified(|times| {
                        *times += 1;
                        *times > 1 // the first one is no return
                    });
                    told.lock().unwrap_or_else(PoisonError::into_inner).clear();
                    info!("connected to nats");
                }
                // We closed it ourselves, at the end; hints were dropped, which come again.
                Event::Closed | Event::SlowConsumer(_) => {}
                other => {
                    let news = other.to_string();
                    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                    if *told != news {
                        warn!("nats: {news}"); // once, and not for every attempt
                        *told = news;
                    }
                }
            }
        }
    })
    .connect(servers)
    .await
    .map_err(|error| why_not(error, url, user))?;
    check_version(&client.server_info().version)?;
    let jetstream = jetstream::context::ContextBuilder::new()
        .timeout(Duration::from_secs(5))
        .build(client.clone());
    let servers =
        Servers { urls: url.to_owned(), user: user.to_owned(), password: password.clone() };
    let (appends, keep_connected) = UnbufferedClient::start(servers);
    TaskTracker::new().spawn(keep_connected); // ends with the last clone of it
    Ok(Nats { client, jetstream, appends, reconnects })
}

/// Why there is no connection, in words that say what to do, and without a password.
fn why_not(error: ConnectError, url: &str, user: &str) -> anyhow::Error {
    let servers = url.split(',').map(|server| server.rsplit('@').next().unwrap_or_default().trim());
    let servers = servers.collect::<Vec<_>>().join(", ");
    let why = match error.kind() {
        ConnectErrorKind::AuthorizationViolation => {
            format!("nats at {servers} refuses the user `{user}`: wrong password, or no such user")
        }
        _ => format!("cannot connect to nats at {servers} as `{user}`; is it running?"),
    };
    anyhow::Error::new(error).context(why)
}

/// Would the same attempt to work with the server do a little later? So it would if the server is away, hangs, or is
/// told of our password; not if it is another one than we need.
pub fn is_transient(error: &anyhow::Error) -> bool {
    use ConnectErrorKind::{AuthorizationViolation, Dns, Io, TimedOut};
    let connecting = error.chain().find_map(|cause| cause.downcast_ref::<ConnectError>());
    let log = error.chain().find_map(|cause| cause.downcast_ref::<LogError>());
    connecting
        .is_some_and(|error| matches!(error.kind(), AuthorizationViolation | Dns | Io | TimedOut))
        || matches!(log, Some(LogError::Unavailable(_)))
}

fn check_version(version: &str) -> anyhow::Result<()> {
    let mut numbers = version.split(['.', '-']).map(|part| part.parse::<u64>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    let found = (next(), next(), next());
    if found < OLDEST_SERVER {
        let (major, minor, patch) = OLDEST_SERVER;
        bail!(
            "nats-server {version} is too old: {major}.{minor}.{patch} or later is needed; \
             set NATS_SERVER_BIN to a newer one or let `./run` fetch it"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_before_2_14_6_are_refused() {
        for old in ["2.9.10", "2.14.5", "1.0", ""] {
            assert!(check_version(old).is_err(), "{old}");
        }
        for good in ["2.14.6", "2.15.1", "2.15.0-dev", "3.0.0"] {
            assert!(check_version(good).is_ok(), "{good}");
        }
    }
}
