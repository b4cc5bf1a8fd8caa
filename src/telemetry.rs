//! Telemetry is the logs, what the start waits for, and what `/health` and `/metrics` say.

use std::{
    collections::BTreeMap,
    io::{IsTerminal as _, stderr},
    str::FromStr as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, bail};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use serde::Serialize;
use tokio::time::Instant;
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

/// What the start of this process waits for, and why: each part at most once.
#[derive(Clone, Default)]
pub struct StartWaits(Arc<Mutex<BTreeMap<&'static str, String>>>);

impl StartWaits {
    /// It waits for a part. `false` if that was known, with the same reason.
    pub fn note(&self, part: &'static str, why: &str) -> bool {
        let mut waits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waits.insert(part, why.to_owned()).as_deref() != Some(why)
    }

    /// The part is there. `false` if nobody waited for it.
    pub fn over(&self, part: &'static str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(part).is_some()
    }

    /// All of it.
    pub fn all(&self) -> BTreeMap<&'static str, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A projection whose store or log has not let it go on for this long is somebody's business.
pub const STALLED_AFTER: Duration = Duration::from_secs(30);

/// One that is well says so more often than this.
const SAYS_SO_WITHIN: Duration = Duration::from_secs(8);

/// How the projections of this process are.
#[derive(Clone, Default)]
pub struct ProjectionHealth {
    states: Arc<Mutex<BTreeMap<&'static str, ProjectionState>>>,
    progress: Arc<Mutex<BTreeMap<&'static str, Progress>>>,
}

/// When a projection was last let go on by its store and the log.
#[derive(Debug, Clone, Copy)]
struct Progress {
    last: Instant,
    /// Was it said that it waits for too long?
    alarmed: bool,
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

    fn goes_on(&self, name: &'static str) {
        let now = Progress { last: Instant::now(), alarmed: false };
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).insert(name, now);
    }

    /// How long it has waited at `now` for its store or the log; nothing as long as it may just have nothing to say.
    pub fn waited(&self, name: &'static str, now: Instant) -> Duration {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let known = progress.entry(name).or_insert(Progress { last: now, alarmed: false });
        Some(now - known.last).filter(|waited| *waited >= SAYS_SO_WITHIN).unwrap_or_default()
    }

    /// How long it has waited, once that is [`STALLED_AFTER`]: each time that it comes to that, once.
    pub fn is_stalled(&self, name: &'static str, now: Instant) -> Option<Duration> {
        let waited = self.waited(name, now);
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let known = progress.get_mut(name).filter(|_| waited >= STALLED_AFTER)?;
        (!std::mem::replace(&mut known.alarmed, true)).then_some(waited)
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
        self.goes_on(name);
        self.with(name, |state| {
            state.state = "live";
            state.reason = None;
        });
    }

    /// It is at `position`, with `lag` events to go.
    pub fn at(&self, name: &'static str, position: Position, lag: u64) {
        self.goes_on(name);
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
        self.goes_on(name);
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
        self.goes_on(name);
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
    waiting: Family<ProjectionLabel, Gauge>,
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
        let waiting = Family::default();
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
        registry.register(
            "projection_waiting_seconds",
            "how long its store or the log has not let it go on",
            waiting.clone(),
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
            waiting,
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
            let waited = health.waited(projection, Instant::now()).as_secs();
            self.waiting.get_or_create(&label).set(waited.cast_signed());
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
    fn a_projection_that_waits_too_long_is_told_of_once_each_time() {
        let health = ProjectionHealth::default();
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let stalled = |seconds| health.is_stalled("sessions", after(seconds));
        assert_eq!(health.waited("sessions", begun), Duration::ZERO);
        assert_eq!(health.waited("sessions", after(5)), Duration::ZERO, "it had nothing to say");
        assert_eq!(health.waited("sessions", after(20)).as_secs(), 20);
        assert_eq!(stalled(29), None);
        assert!(stalled(31).is_some_and(|waited| waited.as_secs() == 31));
        assert_eq!(stalled(300), None, "that is known");
        health.waiting("sessions", "no store");
        health.begun("sessions");
        assert!(health.waited("sessions", after(301)).as_secs() >= 300, "trying is not going on");
        health.at("sessions", Position(1), 0);
        assert_eq!(health.waited("sessions", Instant::now()), Duration::ZERO);
        assert!(stalled(400).is_some());
    }

    #[test]
    fn what_the_start_waits_for_is_news_once() {
        let waits = StartWaits::default();
        assert!(!waits.over("nats"));
        assert!(waits.note("nats", "away") && !waits.note("nats", "away"));
        assert!(waits.note("nats", "wrong password"));
        assert_eq!(waits.all()["nats"], "wrong password");
        assert!(waits.over("nats") && waits.all().is_empty());
    }

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
