//! The sections of the settings; `config/default.toml` says what each means.

#![allow(missing_docs, reason = "config/default.toml documents each setting")]

use std::{fmt, net::SocketAddr, path::PathBuf};

use secrecy::SecretString;
use serde::Deserialize;

use super::Network;
use crate::events::Disclosure;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSettings {
    pub listen: SocketAddr,
    pub admin_listen: SocketAddr,
    pub admin_hosts: Vec<String>,
    pub admin_token: SecretString,
    pub public_url: String,
    pub asset_base: String,
    pub shutdown_grace_s: u64,
}

impl ServerSettings {
    /// Where clients find the service: `server.public_url`, or where they are listened to.
    pub fn clients_at(&self) -> String {
        match self.public_url.trim_end_matches('/') {
            "" => format!("http://{}", self.listen),
            public => public.to_owned(),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NatsSettings {
    pub url: String,
    pub gateway_user: String,
    pub gateway_password: SecretString,
    pub projector_user: String,
    pub projector_password: SecretString,
    pub ops_user: String,
    pub ops_password: SecretString,
    pub analytics_user: String,
    pub analytics_password: SecretString,
}

/// When a command is acknowledged (`docs/design/log-and-group-commit.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// After a `syncfs` that began after the append.
    Synced,
    /// After a quorum of servers that sync each write.
    Replicated,
    /// After the append.
    Acked,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_lowercase()) // as settings have it
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub durability: Durability,
    pub store_dir: PathBuf,
    pub replicas: usize,
    pub fact_ttl_s: u64,
    pub append_timeout_ms: u64,
}

impl Log {
    /// Do several servers keep the log?
    pub fn is_replicated(&self) -> bool {
        self.replicas > 1
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Postgres {
    pub url: SecretString,
    pub reader_url: SecretString,
    pub max_connections: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisSettings {
    pub url: SecretString,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    pub token_secret: SecretString,
    pub password_pepper: SecretString,
    pub signing_salt: String,
    pub argon2_memory_kib: u32,
    pub argon2_passes: u32,
    pub argon2_parallel: usize,
    pub password_wait_ms: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitSettings {
    pub exempt: Vec<Network>,
    pub trusted_proxies: Vec<Network>,
    pub client_ip_header: String,
    pub body_bytes: usize,
    pub bodies_bytes: usize,
    pub login_failures: u32,
    pub login_failures_per_address: u32,
    pub login_window_s: u64,
    pub signed_calls_per_hour: u32,
    pub requests_per_user: u64,
    pub requests_per_address: u64,
    pub sockets_per_user: usize,
    pub group_members: usize,
    pub questions: usize,
    pub complaints: i64,
    pub handshake_timeout_ms: u64,
    pub body_timeout_ms: u64,
    pub peer_timeout_ms: u32,
    pub download_pause_ms: u32,
    pub patient_downloads: usize,
    pub posters_per_hour: u64,
    pub upload_bytes_per_user_day: u64,
    pub min_free_bytes: u64,
    pub write_timeout_ms: u64,
    pub frame_bytes: usize,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MediaSettings {
    pub root: PathBuf,
    pub upload_bytes: u64,
    pub upload_idle_ms: u64,
    pub strip_location: bool,
    pub ffmpeg: PathBuf,
    pub poster_timeout_ms: u64,
    pub poster_memory_mib: u64,
    pub object_store: ObjectStore,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectStore {
    pub bucket: String,
    pub endpoint: String,
    pub region: String,
    pub access_key_id: String,
    pub secret_access_key: SecretString,
    pub virtual_host: bool,
    pub public_url: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Projections {
    pub batch: usize,
    pub chat_log_length: usize,
    pub wait_ms: u64,
    pub verify_every_s: u32,
    pub verify_at: Vec<u8>,
    pub verify_max_rate: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnalyticsSettings {
    pub content: Disclosure,
    pub pseudonym_secret: SecretString,
    pub max_age_days: u64,
    pub max_bytes: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionSettings {
    pub messages_days: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    pub log: String,
    pub format: String,
}
