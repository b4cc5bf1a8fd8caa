//! Connections to nats-server, one per role, and what the server must be.

use std::time::Duration;

use anyhow::{Context as _, bail};
use async_nats::{Client, ConnectOptions, Event, jetstream};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::{nats_wire::Servers, unbuffered_client::UnbufferedClient};

/// Older servers ignore fields and headers that we rely on, or lose data (`jetstream.md` §0–2).
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
        let connected = connected.clone();
        async move {
            match event {
                Event::Connected => {
                    connected.send_if_modified(|times| {
                        *times += 1;
                        *times > 1 // the first one is no return
                    });
                    info!("connected to nats");
                }
                // We closed it ourselves, at the end; hints were dropped, which come again.
                Event::Closed | Event::SlowConsumer(_) => {}
                other => warn!("nats: {other}"),
            }
        }
    })
    .connect(servers)
    .await
    .with_context(|| {
        format!(
            "cannot connect to nats at {url} as `{user}`; is it running, and is the password right?"
        )
    })?;
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

/// As [`connect`], but waits for a server that is not there yet: parts start in any order.
///
/// # Errors
/// The server is there and refuses.
pub async fn connect_patiently(
    url: &str,
    user: &str,
    password: &SecretString,
) -> anyhow::Result<Nats> {
    loop {
        match connect(url, user, password).await {
            Err(error) if is_absence(&error) => {
                warn!("{error:#}; trying again");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            result => return result,
        }
    }
}

fn is_absence(error: &anyhow::Error) -> bool {
    use async_nats::ConnectErrorKind::{Dns, Io, TimedOut};
    error
        .downcast_ref::<async_nats::ConnectError>()
        .is_some_and(|error| matches!(error.kind(), Io | TimedOut | Dns))
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
