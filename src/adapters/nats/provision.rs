//! The provision of stream and bucket: they are created, and compared with what they must be.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, anyhow, bail};
use async_nats::jetstream::{
    self, ErrorCode,
    context::GetStreamErrorKind,
    kv,
    stream::{self, RetentionPolicy, StorageType},
};

use super::{
    connect::Nats,
    content_keys::KEYS,
    credential_store::BUCKET,
    log_error::{STREAM, unavailable},
};

/// The stream as it must be.
pub fn wanted(replicas: usize) -> stream::Config {
    stream::Config {
        name: STREAM.into(),
        description: Some("every user action; the one source of truth".into()),
        subjects: vec!["evt.>".into()],
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        num_replicas: replicas,
        duplicate_window: Duration::from_mins(2),
        allow_direct: true,
        allow_message_ttl: true,
        deny_purge: true,
        ..stream::Config::default()
    }
}

/// A setting that the server has otherwise than asked for.
#[derive(Debug, serde::Serialize)]
pub struct Drift {
    /// Which.
    pub setting: &'static str,
    /// As it must be.
    pub wanted: String,
    /// As it is.
    pub found: String,
    /// What follows from the difference.
    pub why: &'static str,
}

/// Creates what is missing; changes nothing that is there.
///
/// # Errors
/// The server refuses, or cannot be reached.
pub async fn create(nats: &Nats, replicas: usize) -> anyhow::Result<()> {
    if nats.jetstream.get_stream(STREAM).await.is_err() {
        nats.jetstream
            .create_stream(wanted(replicas))
            .await
            .context("cannot create the stream EVENTS; has the `ops` user the right to?")?;
    }
    if nats.jetstream.get_key_value(BUCKET).await.is_err() {
        nats.jetstream
            .create_key_value(kv::Config {
                bucket: BUCKET.into(),
                description: "credentials and claims; never leaves the server".into(),
                history: 1,
                storage: StorageType::File,
                num_replicas: replicas,
                ..kv::Config::default()
            })
            .await
            .context("cannot create the bucket VAULT; has the `ops` user the right to?")?;
    }
    if nats.jetstream.get_stream(KEYS).await.is_err() {
        nats.jetstream
            .create_stream(stream::Config {
                name: KEYS.into(),
                description: Some("keys by which texts and names in EVENTS are sealed".into()),
                subjects: vec!["key.>".into()],
                // A key is overwritten once there is a newer one, and not just left out: so no bucket, of which nothing
                // can be deleted.
                max_messages_per_subject: -1,
                storage: StorageType::File,
                num_replicas: replicas,
                allow_direct: true,
                deny_purge: true,
                ..stream::Config::default()
            })
            .await
            .context("cannot create the stream KEYS; has the `ops` user the right to?")?;
    }
    Ok(())
}

/// Compares the stream with what was asked for: old servers drop what they do not know.
///
/// # Errors
/// There is no stream, or the server cannot be reached.
pub async fn drift(nats: &Nats, replicas: usize) -> anyhow::Result<Vec<Drift>> {
    let stream = stream(nats).await?;
    Ok(differences(&wanted(replicas), &stream.cached_info().config))
}

/// The stream; that it is not there is told from a server that does not answer.
async fn stream(nats: &Nats) -> anyhow::Result<stream::Stream> {
    nats.jetstream.get_stream(STREAM).await.map_err(|error| match error.kind() {
        GetStreamErrorKind::JetStream(refusal)
            if refusal.error_code() == ErrorCode::STREAM_NOT_FOUND =>
        {
            anyhow!("there is no stream EVENTS; run `hongyan migrate`")
        }
        _ => unavailable(error).into(),
    })
}

fn differences(wanted: &stream::Config, found: &stream::Config) -> Vec<Drift> {
    let mut drift = Vec::new();
    macro_rules! compare {
        ($($field:ident: $why:literal),* $(,)?) => {$(
            if wanted.$field != found.$field {
                drift.push(Drift {
                    setting: stringify!($field),
                    wanted: format!("{:?}", wanted.$field),
                    found: format!("{:?}", found.$field),
                    why: $why,
                });
            }
        )*};
    }
    compare! {
        subjects: "events would be refused, or foreign messages would be in the log",
        retention: "events would vanish once read",
        storage: "the log would not survive a restart",
        num_replicas: "log.replicas and log.durability promise another number of copies",
        duplicate_window: "a repeated append would be stored twice",
        allow_direct: "single events could not be read",
        allow_message_ttl: "connects and disconnects would stay for ever",
        deny_purge: "the log could be emptied by one call",
        max_age: "old events would vanish",
        max_bytes: "old events would vanish",
        max_messages: "old events would vanish",
        max_messages_per_subject: "old events would vanish",
    }
    drift.retain(|found| !is_unlimited(found));
    drift
}

/// 0 is asked for and -1 is answered where there is no limit.
fn is_unlimited(drift: &Drift) -> bool {
    drift.wanted == "0" && drift.found == "-1"
}

/// Is `directory` the store of the server that we talk to? Group commit syncs what is there.
///
/// # Errors
/// It is not, or it is not on this machine.
pub async fn check_store(nats: &Nats, directory: &Path) -> anyhow::Result<()> {
    if directory.as_os_str().is_empty() {
        bail!(
            "log.durability = synced needs log.store_dir, nats-server's store directory on this \
             machine; for a server elsewhere use log.durability = replicated (or acked, for data \
             that may be lost)"
        );
    }
    let created = stream(nats).await?.cached_info().created;
    let metas = glob_meta(directory);
    for meta in &metas {
        let Ok(text) = std::fs::read(meta) else { continue };
        let Ok(stored) = serde_json::from_slice::<StoredMeta>(&text) else { continue };
        if stored.created == created {
            return Ok(());
        }
    }
    bail!(
        "log.store_dir = {} is not the store of the nats-server at hand ({}); \
         log.durability = synced works only beside the server",
        directory.display(),
        if metas.is_empty() {
            "it holds no stream EVENTS, or may not be read"
        } else {
            "its stream was created at another time"
        },
    )
}

#[derive(serde::Deserialize)]
struct StoredMeta {
    #[serde(rename = "Created", with = "time::serde::rfc3339")]
    created: time::OffsetDateTime,
}

/// `<store>/jetstream/<account>/streams/EVENTS/meta.inf`, for whatever account.
fn glob_meta(directory: &Path) -> Vec<std::path::PathBuf> {
    let accounts = directory.join("jetstream");
    let Ok(entries) = std::fs::read_dir(accounts) else { return Vec::new() };
    entries
        .flatten()
        .map(|account| account.path().join("streams").join(STREAM).join("meta.inf"))
        .filter(|meta| meta.is_file())
        .collect()
}

/// The account's limits are not set, so that errors name the real cause.
///
/// # Errors
/// JetStream is off for this account.
pub async fn check_account(nats: &Nats) -> anyhow::Result<jetstream::account::Account> {
    nats.jetstream
        .query_account()
        .await
        .context("JetStream does not answer; is it enabled for the account APP (nats.conf)?")
}
