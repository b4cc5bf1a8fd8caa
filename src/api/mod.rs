//! HTTP: translates between the contract (rest.md) and commands or queries.

mod accounts;
mod address_book;
pub mod admin;
pub mod admin_access;
mod askanswer;
pub mod asyncapi;
mod byte_range;
mod complaints;
mod error;
mod explain;
mod files;
mod form_part;
mod friends;
mod groups;
mod inspection;
mod letter_sections;
mod live;
pub mod live_feed;
mod memberships;
mod messages;
mod middleware;
pub mod openapi;
mod page;
mod params;
mod passwords;
mod problem;
mod qr_code;
pub mod readiness;
mod reply;
mod rosters;
pub mod route;
mod upload_form;
mod uploads;
mod users;
mod videos;

use std::sync::Arc;

use axum::{
    RequestExt as _, Router,
    extract::{MatchedPath, Request, State, WebSocketUpgrade},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse as _, Response},
    routing::get,
};
use error::ApiError;
pub use middleware::serve;
use middleware::{auth, observed};
use route::{Access, Route};
use tokio::time::Instant;

use crate::{
    adapters::client_stream::ClientConnection,
    protocol::parameters::Parameters,
    state::App,
    ws::{connection, opening, sockets::Sockets},
};

/// Routes that belong together.
pub struct Chapter {
    /// Its name.
    pub name: &'static str,
    /// What its routes are about.
    pub about: &'static str,
    /// The routes, by their part of the contract.
    pub routes: Vec<Route>,
}

/// All that clients may call, but for `/ws`.
pub fn chapters() -> Vec<Chapter> {
    let chapter = |name, about, routes: Vec<Vec<Route>>| {
        let mut routes: Vec<Route> = routes.into_iter().flatten().collect();
        routes.sort_by_key(|route| route.section);
        Chapter { name, about, routes }
    };
    vec![
        chapter(
            "accounts",
            "Registered users and guests, and their tokens",
            vec![accounts::routes(), passwords::routes()],
        ),
        chapter("people", "Who others are, and what I say of myself", vec![users::routes()]),
        chapter(
            "friends",
            "Requests, and the address book",
            vec![friends::routes(), address_book::routes()],
        ),
        chapter(
            "groups",
            "Making, ruling, joining and leaving them",
            vec![groups::routes(), rosters::routes(), memberships::routes()],
        ),
        chapter("messages", "Sending, taking back, and what waited", vec![messages::routes()]),
        chapter(
            "media",
            "Files, posters of videos, QR codes",
            vec![qr_code::routes(), uploads::routes(), videos::routes(), files::routes()],
        ),
        chapter(
            "questions",
            "Answered beforehand. Once somebody is let in the status is always 200, and `code` says how it went",
            vec![askanswer::routes()],
        ),
        chapter(
            "complaints",
            "About people and groups. `msg` has the text, on yes and on no",
            vec![complaints::routes()],
        ),
    ]
}

fn routes() -> Vec<Route> {
    chapters().into_iter().flat_map(|chapter| chapter.routes).collect()
}

/// Everything that clients see: the routes of all chapters and `/ws`, on one port.
pub fn router(app: App, sockets: Sockets) -> Router {
    let routes = routes();
    let access = Arc::new(Access::of(routes.iter()));
    let mut router = Router::new();
    for route in routes {
        router = router.route(route.path, route.handler);
    }
    let router = router
        .fallback(async || ApiError::not_found())
        .method_not_allowed_fallback(async || ApiError::not_found())
        .layer(from_fn_with_state((app.clone(), access), auth::auth))
        .layer(from_fn(refuse_upgrades))
        .merge(socket_route(sockets))
        .layer(from_fn_with_state(app.clone(), cors_and_count))
        .layer(from_fn(observed::observe));
    router.with_state(app)
}

/// Only `/ws` has sockets (clarification 34).
async fn refuse_upgrades(request: Request, next: Next) -> Response {
    let is_socket = |protocol: &str| protocol.eq_ignore_ascii_case("websocket");
    if !list(request.headers(), &header::UPGRADE).any(is_socket) {
        return next.run(request).await;
    }
    let mut response = ApiError::not_found().into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The items of a header that is a list, in however many lines it came (RFC 9110 §5.3).
fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|item| !item.is_empty())
}

fn socket_route(sockets: Sockets) -> Router<App> {
    let route = get(socket).fallback(async || ApiError::not_found());
    Router::new().route("/ws", route).with_state(sockets)
}

/// The upgrade is always accepted; refusals come as frames (ws.md §1).
async fn socket(State(sockets): State<Sockets>, mut request: Request) -> Response {
    let app = &sockets.app;
    for name in [header::CONNECTION, header::UPGRADE] {
        let line = list(request.headers(), &name).collect::<Vec<_>>().join(", ");
        if let Ok(line) = HeaderValue::from_str(&line) {
            request.headers_mut().insert(name, line); // the extractor reads one line
        }
    }
    let protocol = list(request.headers(), &header::SEC_WEBSOCKET_PROTOCOL).next();
    let protocol = protocol.map(str::to_owned);
    let upgrade = request.extract_parts::<WebSocketUpgrade>().await;
    let Ok(upgrade) = upgrade else { return ApiError::not_found().into_response() };
    let Some(client) = request.extensions().get::<Arc<ClientConnection>>().cloned() else {
        return ApiError::internal("a socket over no connection of ours").into_response();
    };
    let token = Parameters::of_query(request.uri().query()).in_query("token").map(str::to_owned);
    let origin = match auth::origin(app, &request.into_parts().0) {
        Ok(origin) => origin,
        Err(refusal) => return refusal.into_response(),
    };
    let admitted = if origin.may_ask(app) {
        Box::pin(opening::admit(&sockets, token.as_deref(), origin.cause.clone())).await
    } else {
        Err(opening::Refused::Later) // without a close frame, which would log people out
    };
    if let Ok(admitted) = &admitted {
        origin.observed.is_of(admitted.account.id);
    }
    let frame = app.config.limits.frame_bytes;
    upgrade
        .protocols(protocol) // clarification 28
        // Each socket keeps one. Clients say little; what is longer is read in pieces.
        .read_buffer_size(512)
        .write_buffer_size(0)
        // Far above any frame, escapes and all: what a client that reads nothing makes us answer stays within it.
        .max_write_buffer_size(app.config.limits.body_bytes.saturating_mul(8).max(4 << 20))
        .max_message_size(frame)
        .max_frame_size(frame)
        .on_upgrade(async move |socket| connection::serve(sockets, socket, client, admitted))
}

/// CORS as the clients need it (data.md §9), also on refusals; and the count of answers.
async fn cors_and_count(State(app): State<App>, request: Request, next: Next) -> Response {
    let requested = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let begun = Instant::now();
    let (route, mut response) = if *request.method() == Method::OPTIONS {
        (None, StatusCode::NO_CONTENT.into_response())
    } else {
        (request.extensions().get::<MatchedPath>().cloned(), next.run(request).await)
    };
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    app.metrics.answered(route, response.status().as_u16(), begun.elapsed());
    let headers = response.headers_mut();
    let default = HeaderValue::from_static("content-type,token,x-security-sign");
    let mut set = |name: HeaderName, value: HeaderValue| _ = headers.insert(name, value);
    set(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    let methods = HeaderValue::from_static("GET,HEAD,PUT,POST,DELETE,PATCH,OPTIONS");
    set(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    set(header::ACCESS_CONTROL_ALLOW_HEADERS, requested.unwrap_or(default));
    set(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
