//! HTTP: translates between the contract (rest.md) and commands or queries.

mod accounts;
mod address_book;
pub mod admin;
mod askanswer;
mod caller;
mod complaints;
mod files;
mod friends;
mod groups;
mod memberships;
mod messages;
mod params;
mod passwords;
mod qr_code;
mod refusal;
mod reply;
mod sections;
pub mod serve;
mod upload_form;
mod uploads;
mod users;
mod videos;

use axum::{
    Router,
    extract::{Request, State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use params::Params;
use refusal::Refusal;

use crate::{app::App, telemetry::StatusLabel, ws::connection};

/// Everything that clients see: REST and `/ws` on one port.
pub fn router(app: App) -> Router {
    let routes = Router::new()
        .route("/api/loginChat", post(accounts::log_in))
        .route("/api/regChat", post(accounts::register))
        .route("/api/visitorRegister", post(accounts::visitor_register))
        .route("/api/visitorregChat", post(accounts::visitor_upgrade))
        .route("/api/visitorloginChat", post(accounts::visitor_log_in))
        .route("/api/userinfo/{uuid}", get(users::profile))
        .route("/api/chat/logout", post(accounts::log_out))
        .route("/api/chat/setPassword", post(passwords::set))
        .route("/api/chat/searchUser", post(users::search))
        .route("/api/chat/userset", post(users::set_userset))
        .route("/api/chat/updateUserinfo", post(users::update))
        .route("/api/chat/getUserSetInfo", post(users::settings))
        .route("/api/chat/applyfriend", post(friends::apply))
        .route("/api/chat/handleapply/{id}", post(friends::answer))
        .route("/api/chat/setblackgoodfriend/{id}", post(friends::toggle_blacklist))
        .route("/api/chat/setstargoodfriend/{id}", post(friends::toggle_star))
        .route("/api/chat/setmeOrfriendCanSee/{id}", post(friends::set_visibility))
        .route("/api/chat/isApplyfriend/{uuid}", post(address_book::has_asked))
        .route("/api/chat/listapplyfriend/{page}", get(address_book::requests))
        .route("/api/chat/goodfriendlist/{page}", get(address_book::list))
        .route("/api/chat/getgoodfriendinfo/{id}", get(address_book::friend))
        .route("/api/chat/ismygoodfriend/{id}", post(address_book::is_mine))
        .route("/api/chat/deletegoodfriend/{id}", post(friends::end))
        .route("/api/chat/autoAddFriendAndAgree", post(friends::befriend))
        .route("/api/chat/group/create", post(groups::create))
        .route("/api/chat/grouplist/{page}", get(groups::list))
        .route("/api/chat/groupinfo/{id}", get(groups::info))
        .route("/api/chat/groupUpdateName", post(groups::rename))
        .route("/api/chat/groupremark", post(groups::announce))
        .route("/api/chat/groupAddUserSet", post(groups::set_policy))
        .route("/api/chat/groupDeleteUser", post(memberships::remove))
        .route("/api/chat/groupAgreeOrNo", post(memberships::decide))
        .route("/api/chat/groupInviteUser", post(memberships::join))
        .route("/api/chat/groupnickname", post(memberships::set_nickname))
        .route("/api/chat/groupDeleteOrQuit", post(memberships::leave))
        .route("/api/chat/chatGetmessageOffLine", post(messages::drain))
        .route("/api/chat/revokeMessage", post(messages::revoke))
        .route("/api/chat/socket/sendmessage", post(messages::send))
        .route("/api/chat/groupQrcode/{id}", get(qr_code::picture))
        .route("/api/chat/uploadStreamSingleToServerDiy/{diydir}", post(uploads::to_folder))
        .route("/api/chat/uploadAliyun", post(uploads::to_object_store))
        .route("/api/chat/getVideoScreenshot", post(videos::screenshot))
        .route("/api/chat/askanswer/create", post(askanswer::create))
        .route("/api/chat/askanswer/update", post(askanswer::update))
        .route("/api/chat/askanswer/delete", post(askanswer::delete))
        .route("/api/chat/askanswer/list", post(askanswer::list))
        .route("/api/chat/askanswer/detail", post(askanswer::detail))
        .route("/api/chat/askanswer/search", post(askanswer::search))
        .route("/api/chat/complaint/create", post(complaints::create))
        .route("/api/chat/complaint/list", get(complaints::list))
        .route("/api/chat/complaint/detail/{id}", get(complaints::detail))
        .route("/api/chat/complaint/update/{id}", post(complaints::update))
        .route("/api/chat/complaint/delete/{id}", post(complaints::delete))
        .route("/public/uploads/{*path}", get(files::serve))
        .fallback(async || Refusal::not_found())
        .method_not_allowed_fallback(async || Refusal::not_found())
        .layer(middleware::from_fn_with_state(app.clone(), caller::edge))
        .route("/ws", get(socket).fallback(async || Refusal::not_found()))
        .layer(middleware::from_fn_with_state(app.clone(), cors_and_count));
    routes.with_state(app)
}

/// The upgrade is always accepted; refusals come as frames (ws.md §1).
async fn socket(
    State(app): State<App>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    request: Request,
) -> Response {
    let Ok(upgrade) = upgrade else { return Refusal::not_found().into_response() };
    let token = Params::of_query(request.uri().query()).in_query("token").map(str::to_owned);
    let origin = caller::origin(&app, &request.into_parts().0);
    let admitted = if origin.may_ask(&app) {
        Box::pin(connection::admit(&app, token.as_deref(), origin.cause)).await
    } else {
        Err(connection::Refused::Later) // without a close frame, which would log people out
    };
    let frame = app.config.limits.frame_bytes;
    upgrade
        .read_buffer_size(4 * 1024) // the library's default is 128 KiB
        .write_buffer_size(0)
        .max_write_buffer_size(usize::MAX)
        .max_message_size(frame)
        .max_frame_size(frame)
        .on_upgrade(async move |socket| Box::pin(connection::serve(app, socket, admitted)).await)
}

/// CORS as the clients need it (data.md §9), also on refusals; and the count of answers.
async fn cors_and_count(State(app): State<App>, request: Request, next: Next) -> Response {
    let requested = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let mut response = if *request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    let status = u32::from(response.status().as_u16());
    app.metrics.requests.get_or_create(&StatusLabel { status }).inc();
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
