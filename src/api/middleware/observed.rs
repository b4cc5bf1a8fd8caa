//! What operators see of a request: its id on the answer, a line for each failure, and on demand a line for each answer.
//! Neither has what somebody sent: no query string, body, token or address.

use std::sync::{Arc, OnceLock};

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderName, HeaderValue, Method},
    middleware::Next,
    response::Response,
};
use tokio::time::Instant;
use tracing::{debug, error, warn};

use super::auth;
use crate::events::{Cause, UserId};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request, as far as logs tell of it.
#[derive(Debug, Clone)]
pub(in crate::api) struct Observed(Arc<Facts>);

#[derive(Debug)]
struct Facts {
    cause: Cause,
    method: Method,
    /// With the names of its parameters, and not what they are; empty if there is no such route.
    route: String,
    user: OnceLock<UserId>,
    /// Was its failure logged? An answer may fail twice: where it is made, and where it is judged once more.
    logged: OnceLock<()>,
}

/// Why an answer is a failure: an extension of the answer, for clients are told nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::api) struct Failure(pub(in crate::api) Arc<str>);

/// The outermost layer of every listener.
pub(in crate::api) async fn observe(mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let route = request.extensions().get::<MatchedPath>();
    let observed = Observed(Arc::new(Facts {
        cause: auth::cause(request.headers()),
        method: request.method().clone(),
        route: route.map_or_else(String::new, |path| path.as_str().to_owned()),
        user: OnceLock::new(),
        logged: OnceLock::new(),
    }));
    request.extensions_mut().insert(observed.clone());
    let mut response = next.run(request).await;
    observed.log_failure(&mut response);
    let Facts { cause, method, route, user, .. } = &*observed.0;
    debug!(
        target: "hongyan::access",
        %method, route,
        status = response.status().as_u16(),
        duration_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
        request.id = cause.request,
        user.id = user.get().map(|user| user.0),
        "answered"
    );
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
        _ = self.0.user.set(user);
    }

    /// Logs why an answer is a failure, once: where it is made, for its client may not wait for it.
    pub(in crate::api) fn log_failure(&self, response: &mut Response) {
        let status = response.status();
        let failure = response.extensions_mut().remove::<Failure>();
        let Facts { cause: of, method, route, user, logged } = &*self.0;
        // One route says 200 to everything (rest.md §42).
        let is_failure = status.is_server_error() || failure.is_some();
        if !is_failure || logged.set(()).is_err() {
            return;
        }
        let cause = failure.as_ref().map_or("unknown", |failure| &*failure.0);
        let (status, user) = (status.as_u16(), user.get().map(|user| user.0));
        // What was refused for want of room is nothing that somebody must act on, unless it goes on.
        if status == 503 {
            warn!(status, cause, %method, route, request.id = of.request, user.id = user, "refused a request");
        } else {
            error!(status, cause, %method, route, request.id = of.request, user.id = user, "a request failed");
        }
    }
}
