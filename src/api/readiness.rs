//! The readiness of a process: what its admin listener looks at, and what keeps the process from being ready.

#![expect(missing_docs, reason = "a field whose name says what it is needs no comment")]

use std::{
    collections::BTreeMap,
    fmt::Display,
    sync::{Arc, OnceLock},
};

use axum::extract::FromRef;
use serde::Serialize;
use tokio::time::{Duration, timeout};

use super::live_feed::LiveFeed;
use crate::{
    adapters::{
        nats::{
            checkpoints::{Checkpoints, LOST_AFTER},
            event_log::{EventLog, LogEnd},
            log_error::LogError,
        },
        redis::Redis,
    },
    delivery_audit::DeliveryAudit,
    events::{NodeId, Position},
    executor::inspection::Inspection,
    projections::{self, engine::redis::RedisStore},
    telemetry::{
        FileSystems, Metrics, ProjectionHealth, ProjectionState, RecentErrors, StartWaits,
    },
};

/// What the admin listener looks at.
#[derive(Clone)]
pub struct Admin {
    /// What is there once the start has come to its end.
    pub opened: Arc<OnceLock<OpenedLog>>,
    /// What it waits for until then.
    pub waits: StartWaits,
    pub pool: sqlx::PgPool,
    pub redis: Redis,
    /// The projections of this process.
    pub projections: ProjectionHealth,
    /// The projections' subjects, of those that run here.
    pub subjects: &'static [(&'static str, &'static [&'static str])],
    pub metrics: Arc<Metrics>,
    pub recent_errors: RecentErrors,
    pub live: LiveFeed,
    /// Where read models in Redis say how far they are.
    pub generations_in_redis: RedisStore,
    pub node: NodeId,
    /// What the log and the uploads fill.
    pub file_systems: FileSystems,
    /// `log.durability`, shown so that nobody has to guess.
    pub durability: String,
    /// `server.public_url`, or where clients are listened to.
    pub clients_at: String,
}

/// What a process that has started works with.
pub struct OpenedLog {
    pub log: EventLog,
    /// What projections of other processes were heard to say.
    pub checkpoints: Checkpoints,
}

impl FromRef<Admin> for Option<Inspection> {
    /// `None` until the start has come to its end.
    fn from_ref(Admin { opened, pool, .. }: &Admin) -> Self {
        let OpenedLog { log, .. } = opened.get()?;
        Some(Inspection { log: log.clone(), pool: pool.clone() })
    }
}

impl FromRef<Admin> for Option<DeliveryAudit> {
    /// `None` until the start has come to its end.
    fn from_ref(Admin { opened, pool, redis, durability, .. }: &Admin) -> Self {
        let OpenedLog { log, .. } = opened.get()?;
        let (log, pool, redis) = (log.clone(), pool.clone(), redis.clone());
        Some(DeliveryAudit { log, pool, redis, durability: durability.clone() })
    }
}

impl Admin {
    /// How every projection is: one that this process works on as it knows, the others as they were heard to say.
    /// Whoever serves requests depends on all of them.
    fn all_projections(
        &self,
        checkpoints: &Checkpoints,
    ) -> BTreeMap<&'static str, ProjectionState> {
        let mut all = self.projections.all();
        for (name, _) in projections::ALL.iter() {
            let is_here = || all.contains_key(name) || checkpoints.last_heartbeat(name).is_some();
            if !projections::serves_clients(name) && !is_here() {
                continue;
            }
            let known = all.entry(name).or_default();
            if matches!(known.state, "" | "standby") {
                let (state, position, reason) = heard(checkpoints, name);
                let is_standby = known.state == "standby" && state == "running";
                let state = if is_standby { "standby" } else { state };
                *known = ProjectionState { state, position, reason, ..ProjectionState::default() };
            }
        }
        all
    }
}

fn heard(checkpoints: &Checkpoints, name: &str) -> (&'static str, u64, Option<String>) {
    let Some(heartbeat) = checkpoints.last_heartbeat(name) else {
        let reason = format!("no projector was heard for {} s", LOST_AFTER.as_secs());
        return ("silent", 0, Some(reason));
    };
    let why = |event| format!("event {event}: its projector says why");
    let state = if heartbeat.stopped_at.is_some() { "stopped" } else { "running" };
    (state, heartbeat.position.0, heartbeat.stopped_at.map(why))
}

/// How ready a process is to serve, as `/health/ready` says it.
#[derive(Debug, Serialize)]
pub(super) struct Readiness {
    pub(super) ready: bool,
    started: bool,
    pub(super) waiting_for: Vec<NotReady>,
    pub(super) parts: BTreeMap<&'static str, bool>,
    durability: String,
    pub(super) sync_failure: Option<String>,
    versions: Versions,
    pub(super) projections: BTreeMap<&'static str, ProjectionState>,
    /// Where the log ends.
    #[serde(skip)]
    pub(super) end: Option<Position>,
}

/// What keeps a process from being ready: a part, and why.
#[derive(Debug, Serialize)]
pub(super) struct NotReady {
    pub(super) part: &'static str,
    pub(super) why: String,
}

#[derive(Debug, Serialize)]
struct Versions {
    hongyan: &'static str,
    nats: Option<String>,
    postgres: Option<String>,
    redis: Option<String>,
}

/// What a part answers within two seconds.
pub(super) async fn ask<T, E: Display>(
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    const LIMIT: Duration = Duration::from_secs(2);
    match timeout(LIMIT, answer).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("nothing is heard of it within {} s", LIMIT.as_secs())),
    }
}

impl Admin {
    /// How ready this process is to serve.
    pub(super) async fn readiness(&self) -> Readiness {
        let opened = self.opened.get();
        let log = async {
            match opened {
                Some(opened) => Some(ask(opened.log.end()).await),
                None => None,
            }
        };
        let version =
            sqlx::query_scalar!(r#"select current_setting('server_version') as "version!""#);
        let (log, postgres, redis, redis_version) = tokio::join!(
            log,
            ask(version.fetch_one(&self.pool)),
            ask(self.redis.ping()),
            ask(self.redis.version()),
        );
        let answers = [postgres.as_ref().err(), redis.as_ref().err()];
        let waiting_for = self.waiting_for(log.as_ref(), answers);
        let projections = opened.map(|opened| self.all_projections(&opened.checkpoints));
        let is_waited_for = |part| waiting_for.iter().any(|waiting| waiting.part == part);
        let mut all = projections.iter().flatten();
        let caught_up =
            all.all(|(name, state)| is_well(state) || !projections::serves_clients(name));
        let sync_failure = opened.and_then(|opened| opened.log.sync_failure()).map(str::to_owned);
        let log_is_well = opened.is_some() && !is_waited_for("nats") && sync_failure.is_none();
        Readiness {
            ready: waiting_for.is_empty(),
            started: opened.is_some(),
            parts: BTreeMap::from([
                ("log", log_is_well),
                ("postgres", postgres.is_ok()),
                ("redis", redis.is_ok()),
                ("projections", opened.is_some() && caught_up),
                ("gateway", opened.is_some_and(|opened| opened.checkpoints.is_live())),
            ]),
            waiting_for,
            durability: self.durability.clone(),
            sync_failure,
            versions: Versions {
                hongyan: env!("CARGO_PKG_VERSION"),
                nats: opened.map(|opened| opened.log.server_version()),
                postgres: postgres.ok(),
                redis: redis_version.ok(),
            },
            projections: projections.unwrap_or_default(),
            end: log.and_then(Result::ok).map(|end| end.last),
        }
    }
}

fn is_well(state: &ProjectionState) -> bool {
    matches!(state.state, "live" | "standby" | "running")
}

impl Admin {
    /// All that keeps this process from being ready.
    fn waiting_for(
        &self,
        log: Option<&Result<LogEnd, String>>,
        [postgres, redis]: [Option<&String>; 2],
    ) -> Vec<NotReady> {
        let mut waiting = Vec::new();
        let mut wait = |part, why: String| waiting.push(NotReady { part, why });
        let at_start = self.waits.all();
        for (part, why) in &at_start {
            wait(part, format!("is waited for: {why}"));
        }
        for (part, why) in [
            ("nats", log.and_then(|log| log.as_ref().err())),
            ("postgres", postgres),
            ("redis", redis),
        ] {
            if let Some(why) = why.filter(|_| !at_start.contains_key(part)) {
                wait(part, format!("does not answer: {why}"));
            }
        }
        let Some(OpenedLog { log, checkpoints }) = self.opened.get() else {
            if waiting.is_empty() {
                waiting.push(NotReady { part: "start", why: "is under way".into() });
            }
            return waiting;
        };
        if let Some(why) = log.sync_failure() {
            wait("log", format!("failed to sync: {why}"));
        }
        if !checkpoints.is_live() {
            let why = "serves nobody: it does not hear its own heartbeat, or lags";
            wait("gateway", why.into());
        }
        for (name, ProjectionState { state, reason, .. }) in self
            .all_projections(checkpoints)
            .into_iter()
            .filter(|(name, state)| projections::serves_clients(name) && !is_well(state))
        {
            let reason = reason.map(|reason| format!(": {reason}"));
            wait(name, format!("is {state}{}", reason.unwrap_or_default()));
        }
        waiting
    }
}

/// How far behind a read model of these subjects is whose position is `at`, in a log that ends at `last`: 0 if it has all
/// that concerns it, else the distance to the end.
pub(super) async fn lag(
    log: &EventLog,
    subjects: &[&str],
    at: Position,
    last: Position,
) -> Result<u64, LogError> {
    let has_all = log.has_none(subjects, Position(at.0 + 1), last).await?;
    Ok(if has_all { 0 } else { last.0.saturating_sub(at.0) })
}
