//! What operators see of a request: its id on the answer, a line for each failure, and on demand a line for each answer.
//! Neither has what somebody sent: no query string, body, token or address.

use std::sync::{Arc, Once, OnceLock};

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use tokio::time::Instant;
use tracing::{Instrument as _, Span, debug, error, error_span, field, warn};

use super::auth;
use crate::events::{Cause, UserId};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request, as far as logs tell of it.
#[derive(Debug, Clone)]
pub(in crate::api) struct Observed(Arc<Facts>);

#[derive(Debug)]
struct Facts {
    cause: Cause,
    /// What each log line of the request says of it.
    span: Span,
    known: Once,
    /// Was its failure logged? An answer may fail twice: where it is made, and where it is judged once more.
    logged: OnceLock<()>,
}

/// Why an answer is a failure: an extension of the answer, for clients are told nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::api) struct Failure(pub(in crate::api) Arc<str>);

/// The target of what is logged of each answer.
const ACCESS: &str = "hongyan::access";

/// The outermost layer of every listener. Its span is of level `ERROR`: a failure that is logged without it would not say
/// whose it is.
pub(in crate::api) async fn observe(mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let cause = auth::cause(request.headers());
    // With the names of its parameters, and not what they are; empty if there is no such route.
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let span = error_span!(
        target: ACCESS, "request", method = %request.method(), route, request.id = cause.request,
        user.id = field::Empty
    );
    let facts = Facts { cause, span, known: Once::new(), logged: OnceLock::new() };
    let observed = Observed(Arc::new(facts));
    request.extensions_mut().insert(observed.clone());
    let Facts { cause, span, .. } = &*observed.0;
    let mut response = next.run(request).instrument(span.clone()).await;
    span.in_scope(|| {
        observed.log_failure(&mut response);
        let duration_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        debug!(target: ACCESS, status = response.status().as_u16(), duration_us, "answered");
    });
    if let Ok(id) = HeaderValue::from_str(&cause.request) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

impl Failure {
    /// An answer that says why it is one, to whoever logs it.
    pub(in crate::api) fn told_to_log(failure: Option<Self>, mut response: Response) -> Response {
        if let Some(failure) = failure {
            response.extensions_mut().insert(failure);
        }
        response
    }
}

impl Observed {
    /// By which name events and logs know it.
    pub(in crate::api) fn cause(&self) -> &Cause {
        &self.0.cause
    }

    /// It is known who asks.
    pub(in crate::api) fn is_of(&self, user: UserId) {
        self.0.known.call_once(|| _ = self.0.span.record("user.id", user.0));
    }

    /// Logs why an answer is a failure, once: where it is made, for its client may not wait for it.
    pub(in crate::api) fn log_failure(&self, response: &mut Response) {
        let status = response.status();
        let failure = response.extensions_mut().remove::<Failure>();
        // One route says 200 to everything (rest.md §42).
        let is_failure = status.is_server_error() || failure.is_some();
        if !is_failure || self.0.logged.set(()).is_err() {
            return;
        }
        let cause = failure.as_ref().map_or("unknown", |failure| &*failure.0);
        let status = status.as_u16();
        // What was refused for want of room is nothing that somebody must act on, unless it goes on.
        if status == 503 {
            warn!(status, cause, "refused a request");
        } else {
            error!(status, cause, "a request failed");
        }
    }
}
