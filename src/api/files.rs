//! Uploaded files, as anybody may read them (rest.md §33).

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use schemars::SchemaGenerator;
use tower::ServiceExt as _;
use tower_http::services::ServeFile;

use super::{
    byte_range::ByteRange,
    error::ApiError,
    params::Params,
    route::{Answers, ReplyShape, Route, get},
};
use crate::{
    adapters::{client_stream::ClientConnection, media::StoredPath},
    protocol::media::UploadedFile,
    state::App,
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        get(33, "/public/uploads/{*path}", serve, "An uploaded file")
            .about("As it was uploaded, without the position of a picture; ranges are served. The path has slashes in it."),
    ]
}

/// A file, or a part of it.
struct File(Response);

impl IntoResponse for File {
    fn into_response(self) -> Response {
        self.0
    }
}

impl Answers for File {
    fn answer(_: &mut SchemaGenerator) -> ReplyShape {
        ReplyShape::File
    }
}

/// A file, or a range of it. Its kind comes from our list alone, so no browser ever sees a page or a script.
async fn serve(
    State(app): State<App>,
    Params(UploadedFile { path }): Params<UploadedFile>,
    request: Request,
) -> Result<File, ApiError> {
    let stored = StoredPath::parse(&path).ok_or_else(ApiError::not_found)?;
    let (file, bytes) = app.media.folder.find(&stored).await.ok_or_else(ApiError::not_found)?;
    let kind = stored.kind();
    let media_type = kind.media_type.parse().map_err(ApiError::internal)?;
    let client = request.extensions().get::<Arc<ClientConnection>>().cloned();
    let file = ServeFile::new_with_mime(file, &media_type);
    let mut response = answer(&file, request, bytes).await;
    if response.status() == StatusCode::NOT_FOUND {
        return Err(ApiError::not_found());
    }
    let headers = response.headers_mut();
    let mut set =
        |name: HeaderName, value| _ = headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox");
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(HeaderName::from_static("cross-origin-resource-policy"), "cross-origin");
    if !kind.is_shown() {
        set(header::CONTENT_DISPOSITION, "attachment");
    }
    if response.status().is_success() {
        wait_for(&app, client);
        // A name is given once, so what it means never changes.
        let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
        response.headers_mut().insert(header::CACHE_CONTROL, forever);
    }
    Ok(File(response))
}

/// Who reads a file may pause: a player that has enough for now, a browser whose tab is behind others. So many may at
/// once, since each holds what the system keeps of a connection.
fn wait_for(app: &App, client: Option<Arc<ClientConnection>>) {
    let limits = &app.config.limits;
    let permit = Arc::clone(&app.patient_downloads).try_acquire_owned();
    if let (Some(client), Ok(permit), 1..) = (client, permit, limits.peer_timeout_ms) {
        client.be_patient(permit, limits.download_pause_ms);
    }
}

/// The whole file, or the part of it that a GET asks for; no other method has ranges (RFC 9110 §14.2).
async fn answer(file: &ServeFile, request: Request, bytes: u64) -> Response {
    let (mut parts, _) = request.into_parts();
    let range = (parts.method == Method::GET).then(|| ByteRange::of(&parts.headers, bytes));
    parts.headers.remove(header::RANGE);
    let ask = async |range: Option<HeaderValue>| {
        let mut request = Request::from_parts(parts.clone(), Body::empty());
        request.headers_mut().extend(range.map(|range| (header::RANGE, range)));
        match file.clone().oneshot(request).await {
            Ok(response) => response.into_response(),
            Err(never) => match never {},
        }
    };
    let Some(range) = range.and_then(|range| range.header()) else { return ask(None).await };
    let response = ask(Some(range)).await;
    let holds = parts.headers.get(header::IF_RANGE).is_none_or(|it| is_of(it, response.headers()));
    if holds { response } else { ask(None).await }
}

/// Is it the version that somebody has a part of already (RFC 9110 §13.1.5)?
fn is_of(version: &HeaderValue, headers: &HeaderMap) -> bool {
    [header::ETAG, header::LAST_MODIFIED].iter().any(|name| headers.get(name) == Some(version))
}
