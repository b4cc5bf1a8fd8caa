//! The configuration is every setting, typed; `config/default.toml` says what each means.

mod sections;

use std::{net::IpAddr, time::Duration};

use anyhow::{Context as _, ensure};
use config::{Environment, File, FileFormat};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

pub use self::sections::{
    AnalyticsSettings, Auth, Durability, LimitSettings, Log, MediaSettings, NatsSettings,
    ObjectStore, Postgres, Projections, RedisSettings, RetentionSettings, ServerSettings,
    Telemetry,
};
use crate::events::{Disclosure, Redaction};

/// The settings, read once.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "config/default.toml documents each setting")]
pub struct Config {
    pub server: ServerSettings,
    pub nats: NatsSettings,
    pub log: Log,
    pub postgres: Postgres,
    pub redis: RedisSettings,
    pub auth: Auth,
    pub limits: LimitSettings,
    pub media: MediaSettings,
    pub projections: Projections,
    pub analytics: AnalyticsSettings,
    pub retention: RetentionSettings,
    pub telemetry: Telemetry,
}

impl Config {
    /// Defaults, then a file, then the environment.
    ///
    /// # Errors
    /// A setting is unknown, or has the wrong type; the message names it.
    pub fn read(file: Option<&std::path::Path>) -> anyhow::Result<Self> {
        let defaults = include_str!("../../config/default.toml");
        let mut builder =
            config::Config::builder().add_source(File::from_str(defaults, FileFormat::Toml));
        if let Some(file) = file {
            builder = builder.add_source(File::from(file).format(FileFormat::Toml));
        }
        let environment = Environment::with_prefix("HONGYAN")
            .prefix_separator("__")
            .separator("__")
            .list_separator(",")
            .with_list_parse_key("server.admin_hosts")
            .with_list_parse_key("projections.verify_at")
            .with_list_parse_key("limits.exempt")
            .with_list_parse_key("limits.trusted_proxies")
            .try_parsing(true);
        builder
            .add_source(environment)
            .build()
            .and_then(config::Config::try_deserialize)
            .context("the configuration is wrong; config/default.toml lists every setting")
    }

    /// What every role needs before it may start.
    ///
    /// # Errors
    /// The admin listener would be open to others.
    pub fn check_admin(&self) -> anyhow::Result<()> {
        let ServerSettings { admin_listen, admin_token, .. } = &self.server;
        let length = admin_token.expose_secret().len();
        ensure!(
            length >= 16 || length == 0 && admin_listen.ip().to_canonical().is_loopback(),
            "server.admin_listen = {admin_listen} is open to other machines, or has a token that can be guessed: set \
             HONGYAN__SERVER__ADMIN_TOKEN to 16 bytes or more (`openssl rand -hex 16`), or listen on a loopback address"
        );
        Ok(())
    }

    /// What a gateway needs before it may start.
    ///
    /// # Errors
    /// A secret is missing or too short, or the durability cannot be had.
    pub fn check_gateway(&self) -> anyhow::Result<()> {
        let length = |secret: &SecretString| secret.expose_secret().len();
        ensure!(
            length(&self.auth.token_secret) >= 32,
            "auth.token_secret needs at least 32 bytes; set HONGYAN__AUTH__TOKEN_SECRET (`openssl rand -hex 32`)"
        );
        ensure!(
            length(&self.auth.password_pepper) >= 16,
            "auth.password_pepper needs at least 16 bytes; set HONGYAN__AUTH__PASSWORD_PEPPER (`openssl rand -hex 16`)"
        );
        ensure!(
            [1, 3, 5].contains(&self.log.replicas),
            "log.replicas is {}; a stream has 1, 3 or 5",
            self.log.replicas
        );
        ensure!(
            self.log.durability != Durability::Replicated || self.log.is_replicated(),
            "log.durability = replicated needs log.replicas = 3 or 5"
        );
        let store = &self.media.object_store;
        ensure!(
            store.bucket.is_empty() || !(store.endpoint.is_empty() || store.public_url.is_empty()),
            "media.object_store.bucket needs media.object_store.endpoint and .public_url"
        );
        Ok(())
    }

    /// What is taken out of events before others see them.
    ///
    /// # Errors
    /// There is no secret to make pseudonyms with, or one that can be guessed.
    pub fn redaction(&self) -> anyhow::Result<Redaction> {
        let AnalyticsSettings { content, pseudonym_secret, .. } = &self.analytics;
        let secret = pseudonym_secret.expose_secret().as_bytes();
        ensure!(
            secret.len() >= 32 || *content == Disclosure::Full,
            "analytics.pseudonym_secret needs at least 32 bytes, or ids of people could be guessed; set \
             HONGYAN__ANALYTICS__PSEUDONYM_SECRET (`openssl rand -hex 32`)"
        );
        Ok(Redaction::new(*content, secret))
    }

    /// What readers connect to PostgreSQL with.
    pub fn reader_url(&self) -> &SecretString {
        if self.postgres.reader_url.expose_secret().is_empty() {
            &self.postgres.url
        } else {
            &self.postgres.reader_url
        }
    }

    /// How long one frame may take to be written.
    pub fn write_timeout(&self) -> Duration {
        Duration::from_millis(self.limits.write_timeout_ms)
    }

    /// How old a connect may get before it is told again: it must not expire while the socket lives.
    pub fn renewal(&self) -> Duration {
        Duration::from_secs(self.log.fact_ttl_s) / 2
    }

    /// How long an answer waits for its effect.
    pub fn wait(&self) -> Duration {
        Duration::from_millis(self.projections.wait_ms)
    }
}

/// A network in CIDR form: `10.0.0.0/8`, `::1/128`, or a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network {
    address: u128,
    mask: u128,
}

impl Network {
    /// Is `address` in it? IPv4 counts as mapped into IPv6.
    pub fn contains(&self, address: IpAddr) -> bool {
        mapped(address) & self.mask == self.address
    }
}

fn mapped(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().into(),
        IpAddr::V6(address) => address.into(),
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no network such as 10.0.0.0/8 or ::1/128");
        let (address, bits) = match text.trim().split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().map_err(|_| wrong())?)),
            None => (text.trim(), None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(width);
        if bits > width {
            return Err(wrong());
        }
        let mask = u128::MAX.checked_shl(width - bits).unwrap_or(0);
        Ok(Self { address: mapped(address) & mask, mask })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_complete() {
        let config = Config::read(None).expect("the defaults are valid");
        assert_eq!(config.server.listen.port(), 7001);
        assert!(config.server.listen.ip().is_loopback());
        assert!(config.check_gateway().is_err(), "secrets have no default");
    }

    #[test]
    fn an_admin_listener_that_others_reach_needs_a_token() {
        let mut config = Config::read(None).expect("the defaults are valid");
        config.check_admin().expect("it is on loopback");
        config.server.admin_listen = "0.0.0.0:7002".parse().expect("an address");
        let error = config.check_admin().expect_err("anybody reaches it").to_string();
        assert!(error.contains("HONGYAN__SERVER__ADMIN_TOKEN"), "{error}");
        config.server.admin_token = "0123456789abcdef".into();
        config.check_admin().expect("it has a token");
        config.server.admin_token = "0123".into();
        assert!(config.check_admin().is_err(), "it can be guessed");
    }

    #[test]
    fn an_object_store_without_an_address_stops_the_start() {
        let mut config = Config::read(None).expect("the defaults are valid");
        config.auth.token_secret = "x".repeat(32).into();
        config.auth.password_pepper = "x".repeat(16).into();
        config.check_gateway().expect("nothing is missing");
        config.media.object_store.bucket = "files".into();
        let error = config.check_gateway().expect_err("an endpoint is missing").to_string();
        assert!(error.contains("media.object_store.endpoint"), "{error}");
    }

    #[test]
    fn networks_contain_what_they_should() {
        let net = |text: &str| Network::try_from(text.to_owned()).expect("a network");
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert!(net("127.0.0.0/8").contains(ip("127.8.9.1")));
        assert!(!net("127.0.0.0/8").contains(ip("128.0.0.1")));
        assert!(net("::1/128").contains(ip("::1")) && !net("::1/128").contains(ip("::2")));
        assert!(net("0.0.0.0/0").contains(ip("8.8.8.8")) && !net("0.0.0.0/0").contains(ip("::1")));
        assert!(Network::try_from("10.0.0.0/33".to_owned()).is_err());
        assert!(Network::try_from("ten".to_owned()).is_err());
    }
}
