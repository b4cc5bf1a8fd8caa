//! The admin listener: health, metrics, positions, and the documentation of the routes. Loopback by default, never for clients;
//! who may use it is `admin_access`'s.

use std::{collections::BTreeMap, sync::LazyLock};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    middleware,
    response::{Html, IntoResponse as _, Response},
    routing::get,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::time::{Duration, timeout};

use super::{
    admin_access::{self, AdminAccess},
    openapi,
};
use crate::{
    adapters::{
        checkpoints::{Checkpoints, LEASE},
        event_log::EventLog,
        redis::Redis,
    },
    events::Position,
    projections,
    telemetry::{Metrics, ProjectionHealth, ProjectionState},
};

/// What the admin listener looks at.
#[derive(Clone)]
pub struct Admin {
    /// The log.
    pub log: EventLog,
    /// PostgreSQL.
    pub pool: sqlx::PgPool,
    /// Redis.
    pub redis: Redis,
    /// The projections of this process.
    pub projections: ProjectionHealth,
    /// What those of other processes were heard to say.
    pub checkpoints: Checkpoints,
    /// The projections' subjects, of those that run here.
    pub subjects: &'static [(&'static str, &'static [&'static str])],
    /// The counters.
    pub metrics: Metrics,
    /// `log.durability`, shown so that nobody has to guess.
    pub durability: String,
    /// `server.public_url`, or where clients are listened to.
    pub clients_at: String,
}

/// Its routes, for those whom `access` knows.
pub fn router(admin: Admin, access: AdminAccess) -> Router {
    Router::new()
        .route("/health/live", get(async || "ok"))
        .route("/health/ready", get(ready))
        .route(
            "/metrics",
            get(async |State(admin): State<Admin>| admin.metrics.text(&admin.projections)),
        )
        .route("/positions", get(positions))
        .route(
            "/openapi.json",
            get(async |State(admin): State<Admin>| Json(openapi::document(&admin.clients_at))),
        )
        .route(
            "/docs",
            get(async || ([(header::CONTENT_SECURITY_POLICY, &**DOCS_POLICY)], Html(DOCS))),
        )
        .layer(middleware::from_fn_with_state(access, admin_access::check))
        .with_state(admin)
}

const DOCS: &str = include_str!("docs.html");

/// The page runs its own script and shows the document beside it, in no frame of anybody's.
static DOCS_POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash_of = |element: &str| {
        let (_, rest) = DOCS.split_once(&format!("<{element}>")).expect("the page has one");
        let (text, _) = rest.split_once(&format!("</{element}>")).expect("it is closed");
        BASE64_STANDARD.encode(Sha256::digest(text))
    };
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash_of("script"),
        hash_of("style")
    )
});

impl Admin {
    /// How every projection is: one that this process works on as it knows, the others as they were heard to say. Whoever
    /// serves requests depends on all of them.
    fn all_projections(&self) -> BTreeMap<&'static str, ProjectionState> {
        let mut all = self.projections.all();
        for (name, _) in projections::ALL {
            let known = all.entry(name).or_default();
            if matches!(known.state, "" | "standby") {
                let (state, position, reason) = self.heard(name);
                let is_standby = known.state == "standby" && state == "running";
                let state = if is_standby { "standby" } else { state };
                *known = ProjectionState { state, position, lag: 0, reason };
            }
        }
        all
    }

    fn heard(&self, name: &str) -> (&'static str, u64, Option<String>) {
        let Some(beat) = self.checkpoints.last_heartbeat(name) else {
            let reason = format!("no projector was heard for {} s", LEASE.as_secs());
            return ("silent", 0, Some(reason));
        };
        let why = |event| format!("event {event}: its projector says why");
        let state = if beat.stopped_at.is_some() { "stopped" } else { "running" };
        (state, beat.position.0, beat.stopped_at.map(why))
    }
}

/// 200 when requests will be served, 503 with the parts that are down; as text a line for each of these.
async fn ready(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    const LIMIT: Duration = Duration::from_secs(2);
    let (log, postgres, redis, redis_version) = tokio::join!(
        timeout(LIMIT, admin.log.end()),
        timeout(
            LIMIT,
            sqlx::query_scalar!(r#"select current_setting('server_version') as "version!""#)
                .fetch_one(&admin.pool)
        ),
        timeout(LIMIT, admin.redis.ping()),
        timeout(LIMIT, admin.redis.version()),
    );
    let projections = admin.all_projections();
    let is_well = |state: &ProjectionState| matches!(state.state, "live" | "standby" | "running");
    let caught_up = projections.values().all(is_well);
    let parts = json!({
        "log": matches!(log, Ok(Ok(_))) && admin.log.sync_failure().is_none(),
        "postgres": matches!(postgres, Ok(Ok(_))),
        "redis": matches!(redis, Ok(Ok(()))),
        "projections": caught_up,
        "gateway": admin.checkpoints.is_live(),
    });
    let ready =
        parts.as_object().is_some_and(|parts| parts.values().all(|up| up == &Value::Bool(true)));
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if wants_text(&headers) {
        let names = ["log", "postgres", "redis"].into_iter();
        let down = names.filter(|name| parts[*name] == false);
        let down = down.map(|name| format!("{name} does not answer\n"));
        let deaf = (parts["gateway"] == false).then(|| {
            "the gateway serves nobody: it does not hear its own heartbeat, or lags\n".to_owned()
        });
        let not_well = projections.iter().filter(|(_, state)| !is_well(state));
        let not_well = not_well.map(|(name, ProjectionState { state, reason, .. })| match reason {
            Some(reason) => format!("{name} is {state}: {reason}\n"),
            None => format!("{name} is {state}\n"),
        });
        return (status, down.chain(deaf).chain(not_well).collect::<String>()).into_response();
    }
    let body = json!({
        "ready": ready,
        "parts": parts,
        "durability": admin.durability,
        "sync_failure": admin.log.sync_failure(),
        "versions": {
            "hongyan": env!("CARGO_PKG_VERSION"),
            "nats": admin.log.server_version(),
            "postgres": postgres.ok().and_then(Result::ok),
            "redis": redis_version.ok().and_then(Result::ok),
        },
        "projections": projections,
    });
    (status, Json(body)).into_response()
}

fn wants_text(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).is_some_and(|accept| accept == "text/plain")
}

/// Where the log ends, and how far each projection is, whichever process works on it. `lag` is 0 if it has
/// all that concerns it, else the distance to the end.
async fn positions(State(admin): State<Admin>) -> Response {
    let Ok(end) = admin.log.end().await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let states = admin.projections.all();
    let mut projections = serde_json::Map::new();
    for (name, subjects) in admin.subjects {
        let position = states.get(name).map_or(0, |state| state.position);
        let Ok(has_all) = admin.log.has_none(subjects, Position(position + 1), end.last).await
        else {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        };
        let lag = if has_all { 0 } else { end.last.0.saturating_sub(position) };
        projections.insert((*name).to_owned(), json!({"position": position, "lag": lag}));
    }
    Json(json!({"log": {"last": end.last}, "projections": projections})).into_response()
}
