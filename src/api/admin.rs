//! The admin listener: health, metrics, positions, past states, the operators' page, and the documentation of the routes.
//! Loopback by default, never for clients; who may use it is `admin_access`'s.

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    middleware,
    response::{IntoResponse as _, Response},
    routing::get,
};
use serde_json::json;

use super::{
    admin_access::{self, AdminAccess},
    asyncapi, explain, inspection, live, openapi,
    page::page,
    readiness::{Admin, NotReady, OpenedLog, Readiness, lag},
};
use crate::{events::Position, projections};

/// Its routes, for those whom `access` knows.
pub fn router(admin: Admin, access: AdminAccess) -> Router {
    Router::new()
        .route("/health/live", get(async || "ok"))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/positions", get(positions))
        .route("/state/{kind}/{id}", get(inspection::state))
        .route("/history/{kind}/{id}", get(inspection::history))
        .route("/explain", get(explain::judge_send))
        .route("/explain/{message}", get(explain::explain))
        .route(
            "/openapi.json",
            get(async |State(admin): State<Admin>| Json(openapi::document(&admin.clients_at))),
        )
        .route(
            "/asyncapi.json",
            get(async |State(admin): State<Admin>| Json(asyncapi::document(&admin.clients_at))),
        )
        .route("/docs", page(include_str!("docs.html")))
        .route("/", page(include_str!("operators.html")))
        .route("/live", get(live::live))
        .layer(middleware::from_fn_with_state(access, admin_access::check))
        .with_state(admin)
}

/// What Prometheus scrapes: `OpenMetrics` 1.0.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// 200 when requests will be served, 503 with what is waited for, and why; as text a line for each of these.
async fn ready(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    let readiness = admin.readiness().await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if wants_text(&headers) {
        let lines = readiness.waiting_for.iter();
        let lines = lines.map(|NotReady { part, why }| format!("{part} {why}\n"));
        return (status, lines.collect::<String>()).into_response();
    }
    (status, Json(readiness)).into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let (readiness, looked) = tokio::join!(admin.readiness(), admin.file_systems.look());
    let Readiness { ready, parts, sync_failure, .. } = &readiness;
    admin.metrics.readiness(*ready, parts, sync_failure.is_some());
    admin.metrics.file_systems(&looked);
    if let Some(opened) = admin.opened.get() {
        admin.metrics.gateways(opened.checkpoints.gateways().len());
    }
    ([(header::CONTENT_TYPE, OPEN_METRICS)], admin.metrics.text(&admin.projections)).into_response()
}

fn wants_text(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).is_some_and(|accept| accept == "text/plain")
}

/// Where the log ends, and how far each projection is, whichever process works on it.
async fn positions(State(admin): State<Admin>) -> Response {
    let Some(OpenedLog { log, .. }) = admin.opened.get() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let Ok(end) = log.end().await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let states = admin.projections.all();
    let mut told = serde_json::Map::new();
    for (name, subjects) in admin.subjects {
        if !projections::serves_clients(name) && !states.contains_key(name) {
            continue; // there is none here
        }
        let position = states.get(name).map_or(0, |state| state.position);
        let Ok(lag) = lag(log, subjects, Position(position), end.last).await else {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        };
        told.insert((*name).to_owned(), json!({"position": position, "lag": lag}));
    }
    Json(json!({"log": {"last": end.last}, "projections": told})).into_response()
}
