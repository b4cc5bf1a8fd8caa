//! Logs, and what `/health` and `/metrics` say.

use std::{
    collections::BTreeMap,
    io::{IsTerminal as _, stderr},
    str::FromStr as _,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, bail};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use serde::Serialize;
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use crate::events::Position;

/// Whose log lines there are: this program's, and those of the libraries that write some.
const LOGGING: &[&str] = &[
    "async_nats",
    "h2",
    "hongyan",
    "hyper_util",
    "log",
    "object_store",
    "reqwest",
    "rustls_platform_verifier",
    "sqlx",
    "sqlx_core",
    "sqlx_postgres",
    "tokio_tungstenite",
    "tracing",
    "tungstenite",
];

/// Starts logging to standard error.
///
/// # Errors
/// `telemetry.log` is no filter.
pub fn init(filter: &str, json: bool) -> anyhow::Result<()> {
    check_filter(filter)?;
    let filter = EnvFilter::try_new(filter).with_context(|| bad_filter(filter))?;
    let mut logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    if !stderr().is_terminal() {
        logs = logs.with_ansi(false); // whoever searches a file does not search for colours
    }
    if json {
        logs.json().init();
    } else {
        logs.init();
    }
    Ok(())
}

/// A word that is no level is a target to the library, also one that is mistyped: `inof` would silence everything but
/// what nobody writes.
fn check_filter(filter: &str) -> anyhow::Result<()> {
    for directive in filter.split(',').map(str::trim).filter(|directive| !directive.is_empty()) {
        let target = directive.split(['=', '[']).next().unwrap_or_default();
        let is_level = target == directive && LevelFilter::from_str(directive).is_ok();
        let krate = target.split("::").next().unwrap_or_default();
        // `[span]=level` is about spans of whatever target.
        if !is_level && !target.is_empty() && !LOGGING.contains(&krate) {
            bail!(
                "{}: `{target}` is no level (off, error, warn, info, debug, trace), and nothing of that name writes \
                 log lines; those that do are {}",
                bad_filter(filter),
                LOGGING.join(", ")
            );
        }
    }
    Ok(())
}

fn bad_filter(filter: &str) -> String {
    format!("telemetry.log = `{filter}` is no filter for log lines")
}

/// How the projections of this process are.
#[derive(Clone, Default)]
pub struct ProjectionHealth {
    states: Arc<Mutex<BTreeMap<&'static str, ProjectionState>>>,
}

/// How one projection is.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ProjectionState {
    /// `catching_up`, `live`, `standby`, `waiting`, `stopped`; of another process: `running`, `stopped`, `silent`.
    pub state: &'static str,
    /// The last event that counts.
    pub position: u64,
    /// Events that the server had for it when it last looked.
    pub lag: u64,
    /// What it waits for, or why it stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl ProjectionHealth {
    fn with(&self, name: &'static str, change: impl FnOnce(&mut ProjectionState)) {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        change(states.entry(name).or_default());
    }

    /// It has begun, and may have to build what it has from nothing.
    pub fn begun(&self, name: &'static str) {
        self.with(name, |state| state.state = "catching_up");
    }

    /// Has it caught up?
    pub fn is_live(&self, name: &'static str) -> bool {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.get(name).is_some_and(|state| state.state == "live")
    }

    /// It has caught up.
    pub fn live(&self, name: &'static str) {
        self.with(name, |state| {
            state.state = "live";
            state.reason = None;
        });
    }

    /// It is at `position`, with `lag` events to go.
    pub fn at(&self, name: &'static str, position: Position, lag: u64) {
        self.with(name, |state| {
            if state.state != "live" {
                state.state = "catching_up";
            }
            state.position = position.0;
            state.lag = lag;
        });
    }

    /// Another process works on it and is at `position`; we are there if that one goes.
    pub fn standby(&self, name: &'static str, position: Position) {
        self.with(name, |state| {
            state.state = "standby";
            state.position = position.0;
            state.lag = 0; // the other one tells it
            state.reason = None;
        });
    }

    /// Its store or the log is away.
    pub fn waiting(&self, name: &'static str, why: &str) {
        self.with(name, |state| {
            state.state = "waiting";
            state.reason = Some(why.to_owned());
        });
    }

    /// It met an event that it cannot apply.
    pub fn stopped(&self, name: &'static str, position: Position, reason: &str) {
        self.with(name, |state| {
            state.state = "stopped";
            state.reason = Some(format!("event {position}: {reason}"));
        });
    }

    /// All of them.
    pub fn all(&self) -> BTreeMap<&'static str, ProjectionState> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What is counted.
#[derive(Clone)]
pub struct Metrics {
    /// Requests by status.
    pub requests: Family<StatusLabel, Counter>,
    /// Messages accepted.
    pub sent: Counter,
    /// Frames written to sockets.
    pub delivered: Counter,
    /// Sockets open.
    pub sockets: Gauge,
    /// Memory that Redis uses, in bytes.
    pub redis_used: Gauge,
    /// Its `maxmemory`; 0: none.
    pub redis_most: Gauge,
    lag: Family<ProjectionLabel, Gauge>,
    position: Family<ProjectionLabel, Gauge>,
    stopped: Family<ProjectionLabel, Gauge>,
    registry: Arc<Registry>,
}

/// A status code.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StatusLabel {
    /// 200, 400 ….
    pub status: u32,
}

/// A projection.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ProjectionLabel {
    /// Its name.
    pub projection: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("hongyan");
        let requests = Family::default();
        let sent = Counter::default();
        let delivered = Counter::default();
        let sockets = Gauge::default();
        let (redis_used, redis_most) = (Gauge::default(), Gauge::default());
        let (lag, position, stopped) = (Family::default(), Family::default(), Family::default());
        registry.register("requests", "HTTP requests by status", requests.clone());
        registry.register("messages_sent", "messages accepted", sent.clone());
        registry.register("frames_delivered", "messages written to sockets", delivered.clone());
        registry.register("sockets", "open sockets", sockets.clone());
        let help = "memory that Redis uses, as this gateway last heard";
        registry.register("redis_memory_used_bytes", help, redis_used.clone());
        let help = "Redis' maxmemory, 0 if it has none";
        registry.register("redis_memory_max_bytes", help, redis_most.clone());
        registry.register("projection_lag", "events not yet applied", lag.clone());
        registry.register("projection_position", "last event applied", position.clone());
        registry.register(
            "projection_stopped",
            "1 if it met an event it cannot apply",
            stopped.clone(),
        );
        Self {
            requests,
            sent,
            delivered,
            sockets,
            redis_used,
            redis_most,
            lag,
            position,
            stopped,
            registry: Arc::new(registry),
        }
    }
}

impl Metrics {
    /// In the Prometheus text format.
    pub fn text(&self, health: &ProjectionHealth) -> String {
        for (projection, state) in health.all() {
            let label = ProjectionLabel { projection };
            self.lag.get_or_create(&label).set(state.lag.cast_signed());
            self.position.get_or_create(&label).set(state.position.cast_signed());
            self.stopped.get_or_create(&label).set(i64::from(state.state == "stopped"));
        }
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_names_nothing_known_is_refused() {
        for good in [
            "",
            "info",
            "INFO, async_nats=warn",
            "off,hongyan=debug",
            "hongyan::access",
            "warn,hongyan::projections::runner=trace,sqlx=info",
            "[request]=debug",
        ] {
            check_filter(good).unwrap_or_else(|error| panic!("{good}: {error}"));
        }
        for (bad, word) in [
            ("inof", "inof"),
            ("info,asnyc_nats=warn", "asnyc_nats"),
            ("hongyan=debug,dbug", "dbug"),
            ("hongyanx", "hongyanx"),
        ] {
            let error = check_filter(bad).expect_err(bad).to_string();
            assert!(error.contains(bad) && error.contains(&format!("`{word}`")), "{error}");
        }
    }
}
