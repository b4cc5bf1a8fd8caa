//! Authentication: the token of a request, checked before anything else under `/api/chat/` (data.md §4.2). The body is read
//! here too, for the token may be in it.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use axum::{
    body::{Body, HttpBody as _},
    extract::{ConnectInfo, FromRequestParts, Request, State},
    http::{HeaderMap, Method, header, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http_body_util::BodyExt as _;
use tokio::time::timeout;
use tracing::Instrument as _;

use super::{client_address, observed::Observed, serve::Endpoints};
use crate::{
    adapters::{
        body_memory::Lease, client_address::ClientAddress, throttle::Requester, tokens::Claims,
    },
    api::{error::ApiError, reply::TokenEnded, route::Access, upload_form},
    clock,
    commands::user::{Account, User},
    events::{Cause, Role, TraceParent},
    executor::{authority::Authority, running_commands::cut_off},
    protocol::{
        parameters::{Malformed, Parameters},
        refusals::any as refused,
    },
    state::App,
};

/// Somebody with a good token.
#[derive(Debug, Clone)]
pub struct AuthenticatedUser {
    /// The account, as it is now.
    pub account: Account,
    /// What the token says.
    pub claims: Claims,
    /// Names this request in events and logs.
    pub cause: Cause,
}

impl AuthenticatedUser {
    /// On whose behalf their commands run.
    pub fn authority(&self) -> Authority<'_> {
        Authority::of_user(self.account.id, self.claims.jti, &self.cause)
    }
}

/// Where a request comes from, and what it is called.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The client's address.
    pub address: ClientAddress,
    /// Names this request in events and logs.
    pub cause: Cause,
    /// What logs are told of it.
    pub(in crate::api) observed: Observed,
}

impl Origin {
    /// Are there not too many requests from there in this minute?
    pub(in crate::api) fn may_ask(&self, app: &App) -> bool {
        self.address.is_exempt || app.throttle.admit(Requester::Address(self.address.network))
    }
}

/// Who may call a route that needs a token.
#[derive(Debug, Clone, Copy)]
pub struct GuestAccess {
    /// Guests too?
    may_be_guest: bool,
}

/// The innermost layer around every handler: reads the body once, finds out who asks, and refuses early.
pub async fn auth(
    State((app, access)): State<(App, Arc<Access>)>,
    request: Request,
    next: Next,
) -> Response {
    let (request, body_memory) = match admit(&app, &access, request).await {
        Ok(admitted) => admitted,
        Err(refusal) => return refusal.into_response(),
    };
    let silences = app.executor.silences();
    let is_read = request.method() == Method::GET;
    let caller = request.extensions().get::<AuthenticatedUser>();
    let caller = caller.map(|caller| caller.claims.clone());
    let observed = request.extensions().get::<Observed>().cloned();
    let run = async move {
        let mut response = next.run(request).await;
        drop(body_memory);
        if let Some(observed) = observed {
            observed.log_failure(&mut response);
        }
        response
    };
    let response = if is_read {
        run.await
    } else {
        // A command of several steps is finished, also if its caller hangs up; and so is what is said of its failure.
        match app.requests.spawn(run.in_current_span()).await {
            Ok(response) => response,
            Err(failure) => ApiError::internal(failure).into_response(),
        }
    };
    let is_not_judged_again = response.status().is_server_error() // whoever may not be served any more learns nothing by it
        || response.extensions().get::<TokenEnded>().is_some();
    if is_not_judged_again {
        return response;
    }
    match still_served(&app, caller, (is_read, silences)).await {
        Ok(()) => response,
        Err(refusal) => refusal.into_response(),
    }
}

/// What was read for somebody whose token has ended meanwhile is not shown to them. What a command did is judged where it
/// is appended; after a silence its caller is judged, too, for a call with a body may be one that reads.
async fn still_served(
    app: &App,
    caller: Option<Claims>,
    (is_read, silences): (bool, u64),
) -> Result<(), ApiError> {
    let was_silent = !app.executor.has_served_since(silences);
    app.executor.may_serve().await?;
    let Some(claims) = caller.filter(|_| is_read || was_silent) else { return Ok(()) };
    match judge(app, claims).await {
        // It may be done: a refusal would say that it is not.
        Err(_) if !is_read => Err(cut_off().into()),
        judged => judged.map(drop),
    }
}

async fn admit(app: &App, access: &Access, request: Request) -> Result<(Request, Lease), ApiError> {
    let (mut parts, body) = request.into_parts();
    let origin = origin(app, &parts)?;
    if !origin.may_ask(app) {
        return Err(ApiError::too_many());
    }
    app.executor.may_serve().await?;
    let protected = Access::needs_token(parts.uri.path());
    let may = GuestAccess { may_be_guest: access.is_for_guests(&parts.method, parts.uri.path()) };
    parts.extensions.insert(may);
    let mut params = Parameters::of_query(parts.uri.query());
    let in_query = || params.in_query("token").map(str::trim); // rest.md §32: it may end a line
    let in_head = text(&parts.headers, "token").or_else(in_query).map(str::to_owned);

    // A token that is where it should be is judged before the body is even read.
    let mut caller = None;
    if protected && let Some(token) = &in_head {
        caller = Some(authenticate(app, token, may, &origin).await?);
    }
    let requester = match &caller {
        Some(caller) => Requester::User(caller.account.id),
        None => Requester::Address(origin.address.network),
    };
    let mut memory = app.bodies.lease(requester);
    if upload_form::is_one(&parts) {
        // Streamed, not read here. Without a token so far, its reader looks for one before the file.
        parts.extensions.insert(origin);
        parts.extensions.insert(params);
        if let Some(caller) = caller {
            parts.extensions.insert(caller);
        }
        return Ok((Request::from_parts(parts, body), memory));
    }
    let body = read(app, body, &mut memory).await?;
    let mut malformed = None;
    if parts.method != Method::GET {
        let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = kind.map(str::to_owned);
        let parse = move |body| (params.read_body(kind.as_deref(), body).err(), params);
        (malformed, params) = app.bodies.parse(body, parse).await;
    }
    if let Some(AuthenticatedUser { claims, account, .. }) = &mut caller {
        *account = judge(app, claims.clone()).await?.1; // the body may have taken a while
    } else if protected {
        let token = params.in_body("token").ok_or_else(nobody)?;
        caller = Some(authenticate(app, token, may, &origin).await?);
    }
    match malformed {
        Some(Malformed::Syntax) => return Err(ApiError::rule(refused::NOT_JSON)),
        Some(Malformed::TooManyMembers) => return Err(ApiError::too_large()),
        None => {}
    }
    parts.extensions.insert(origin);
    parts.extensions.insert(params);
    if let Some(caller) = caller {
        parts.extensions.insert(caller);
    }
    Ok((Request::from_parts(parts, Body::empty()), memory))
}

async fn read(app: &App, mut body: Body, memory: &mut Lease) -> Result<Vec<u8>, ApiError> {
    let limits = &app.config.limits;
    let most = limits.body_bytes;
    if body.size_hint().lower() > most as u64 {
        return Err(ApiError::too_large());
    }
    let read = async {
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| ApiError::rule(refused::INCOMPLETE))?;
            bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
            if bytes.len() > most {
                return Err(ApiError::too_large());
            }
            if !memory.grow_to(bytes.len()) {
                return Err(ApiError::overloaded(
                    "request bodies fill their memory (limits.bodies_bytes)",
                ));
            }
        }
        Ok(bytes)
    };
    let in_time = timeout(Duration::from_millis(limits.body_timeout_ms), read).await;
    in_time.unwrap_or_else(|_| Err(ApiError::too_slow()))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).filter(|text| !text.is_empty())
}

/// data.md §4.2, step 1.
pub(in crate::api) fn nobody() -> ApiError {
    ApiError::rule(refused::NO_TOKEN)
}

/// data.md §4.2, steps 2 to 4.
pub(in crate::api) async fn authenticate(
    app: &App,
    token: &str,
    may: GuestAccess,
    origin: &Origin,
) -> Result<AuthenticatedUser, ApiError> {
    let claims = app.tokens.read(token).ok_or_else(|| ApiError::rule(refused::BAD_TOKEN))?;
    let (claims, account) = judge(app, claims).await?;
    if claims.role == Role::Visitor && !may.may_be_guest {
        return Err(ApiError::rule(refused::NO_GUESTS));
    }
    origin.observed.is_of(account.id);
    if !app.throttle.admit(Requester::User(account.id)) {
        return Err(ApiError::too_many());
    }
    Ok(AuthenticatedUser { account, claims, cause: origin.cause.clone() })
}

/// Is the token its account's current one, and the account there?
async fn judge(app: &App, claims: Claims) -> Result<(Claims, Account), ApiError> {
    app.executor.may_serve().await?;
    let claims = app.current(claims).await?.ok_or_else(|| ApiError::rule(refused::BAD_TOKEN))?;
    let user = app.executor.state::<User>(claims.id).await?;
    let account = user.state.active().cloned();
    Ok((claims, account.ok_or_else(|| ApiError::rule(refused::ACCOUNT_UNAVAILABLE))?))
}

pub(in crate::api) fn origin(app: &App, parts: &Parts) -> Result<Origin, ApiError> {
    let observed = parts.extensions.get::<Observed>().cloned();
    let observed = observed.ok_or_else(|| ApiError::internal("a request that nobody observes"))?;
    let peer = parts.extensions.get::<ConnectInfo<Endpoints>>().map(|info| info.0.peer.ip());
    let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let address = client_address::of(peer, &parts.headers, &app.config.limits);
    Ok(Origin { address, cause: observed.cause().clone(), observed })
}

/// The request by the name and in the trace that the caller gave it, or by new ones.
pub(in crate::api) fn cause(headers: &HeaderMap) -> Cause {
    let request = text(headers, "x-request-id")
        .filter(|id| id.len() <= 64 && id.chars().all(|c| c.is_ascii_graphic()))
        .map_or_else(|| clock::event_id().to_string(), str::to_owned);
    let trace = text(headers, "traceparent").and_then(TraceParent::parse);
    let trace = trace.unwrap_or_else(|| {
        let span = clock::random_id().as_u64_pair().1; // its variant bits keep it from being zero
        TraceParent::begin(clock::random_id().as_u128(), span)
    });
    Cause { request, trace: Some(trace), operator: None }
}

impl<S: Send + Sync> FromRequestParts<S> for AuthenticatedUser {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(nobody)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for GuestAccess {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let may = parts.extensions.get::<Self>().copied();
        may.ok_or_else(|| ApiError::internal("it is not known who may call"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Origin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| ApiError::internal("no origin"))
    }
}
