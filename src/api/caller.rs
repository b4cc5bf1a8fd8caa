//! Who asks: the token, checked before anything else under `/api/chat/` (data.md §4.2).

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody as _},
    extract::{ConnectInfo, FromRequestParts, Request, State},
    http::{HeaderMap, Method, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use super::{
    client_address,
    observed::Observed,
    params::{Malformed, Params},
    refusal::Refusal,
    serve::Endpoints,
    upload_form,
};
use crate::{
    adapters::{
        body_memory::Lease, client_address::ClientAddress, throttle::Requester, tokens::Claims,
    },
    clock,
    commands::user::{Account, User},
    events::{Cause, Role, TraceParent},
    executor::{authority::Authority, running_commands::cut_off},
    state::App,
};

/// Somebody with a good token.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The account, as it is now.
    pub account: Account,
    /// What the token says.
    pub claims: Claims,
    /// Names this request in events and logs.
    pub cause: Cause,
}

impl Caller {
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
    pub(super) observed: Observed,
}

impl Origin {
    /// Are there not too many requests from there in this minute?
    pub(super) fn may_ask(&self, app: &App) -> bool {
        self.address.is_exempt || app.throttle.admit(Requester::Address(self.address.network))
    }
}

const NO_TOKEN: &str = "您没有权限访问即时通讯接口";
const BAD_TOKEN: &str = "Token 令牌不合法！";
const GONE: &str = "当前用户不存在或者已被禁用";
const NO_GUESTS: &str = "您没有权限访问，请先注册或登录";

/// Why somebody is not let in (data.md §4.2).
pub(super) const REFUSALS: &[&str] = &[NO_TOKEN, BAD_TOKEN, GONE, NO_GUESTS];

/// What guests may do: method and path (data.md §5.2).
const FOR_VISITORS: &[(Method, &str)] = &[
    (Method::POST, "/api/chat/socket/sendmessage"),
    (Method::POST, "/api/chat/chatGetmessageOffLine"),
    (Method::GET, "/api/chat/grouplist"),
    (Method::GET, "/api/chat/groupinfo"),
    (Method::GET, "/api/chat/groupQrcode"),
    (Method::POST, "/api/chat/groupnickname"),
    (Method::POST, "/api/chat/groupDeleteOrQuit"),
    (Method::POST, "/api/chat/groupInviteUser"),
    (Method::POST, "/api/chat/uploadStreamSingleToServerDiy"),
    (Method::POST, "/api/chat/uploadAliyun"),
    (Method::POST, "/api/chat/getVideoScreenshot"),
    (Method::POST, "/api/chat/revokeMessage"),
    (Method::POST, "/api/chat/updateUserinfo"),
    (Method::POST, "/api/chat/getUserSetInfo"),
    (Method::POST, "/api/chat/userset"),
    (Method::POST, "/api/chat/applyfriend"),
    (Method::POST, "/api/chat/autoAddFriendAndAgree"),
    (Method::POST, "/api/chat/ismygoodfriend"),
    (Method::POST, "/api/chat/deletegoodfriend"),
];

/// Does it need a token?
pub(super) fn is_protected(path: &str) -> bool {
    path.starts_with("/api/chat/")
}

/// Whole path segments: `/api/chat/grouplist/1`, not `/api/chat/grouplistX`.
pub(super) fn open_to_visitors(method: &Method, path: &str) -> bool {
    FOR_VISITORS.iter().any(|(allowed, prefix)| {
        allowed == method
            && path
                .strip_prefix(prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// The edge of every request: reads the body once, finds out who asks, and refuses early.
pub async fn edge(State(app): State<App>, request: Request, next: Next) -> Response {
    let (request, body_memory) = match admit(&app, request).await {
        Ok(admitted) => admitted,
        Err(refusal) => return refusal.into_response(),
    };
    let is_read = request.method() == Method::GET;
    let caller = request.extensions().get::<Caller>().filter(|_| is_read).cloned();
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
        match app.requests.spawn(run).await {
            Ok(response) => response,
            Err(failure) => Refusal::internal(failure).into_response(),
        }
    };
    // What was read for somebody whose token has ended meanwhile is not shown to them. What a command did is judged where
    // it is appended.
    match still_served(&app, caller).await {
        Ok(()) => response,
        Err(refusal) => refusal.into_response(),
    }
}

async fn still_served(app: &App, caller: Option<Caller>) -> Result<(), Refusal> {
    if let Some(caller) = caller {
        judge(app, caller.claims).await?;
    } else if !app.executor.is_live() {
        return Err(cut_off().into());
    }
    Ok(())
}

async fn admit(app: &App, request: Request) -> Result<(Request, Lease), Refusal> {
    let (mut parts, body) = request.into_parts();
    let origin = origin(app, &parts)?;
    if !origin.may_ask(app) {
        return Err(Refusal::too_many());
    }
    let protected = is_protected(parts.uri.path());
    let mut params = Params::of_query(parts.uri.query());
    let in_query = || params.in_query("token").map(str::trim); // rest.md §32: it may end a line
    let in_head = text(&parts.headers, "token").or_else(in_query).map(str::to_owned);

    // A token that is where it should be is judged before the body is even read.
    let mut caller = None;
    if protected && let Some(token) = &in_head {
        caller = Some(identify(app, token, &parts.method, parts.uri.path(), &origin).await?);
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
        let headers = parts.headers.clone();
        let parse = move |body| (params.read_body(&headers, body).err(), params);
        (malformed, params) = app.bodies.parse(body, parse).await;
    }
    if let Some(Caller { claims, account, .. }) = &mut caller {
        *account = judge(app, claims.clone()).await?.1; // the body may have taken a while
    } else if protected {
        let token = params.in_body("token").ok_or_else(nobody)?;
        caller = Some(identify(app, token, &parts.method, parts.uri.path(), &origin).await?);
    }
    match malformed {
        Some(Malformed::Syntax) => return Err(Refusal::rule("请求内容不是有效的 JSON")),
        Some(Malformed::TooManyMembers) => return Err(Refusal::too_large()),
        None => {}
    }
    parts.extensions.insert(origin);
    parts.extensions.insert(params);
    if let Some(caller) = caller {
        parts.extensions.insert(caller);
    }
    Ok((Request::from_parts(parts, Body::empty()), memory))
}

async fn read(app: &App, mut body: Body, memory: &mut Lease) -> Result<Vec<u8>, Refusal> {
    let limits = &app.config.limits;
    let most = limits.body_bytes;
    if body.size_hint().lower() > most as u64 {
        return Err(Refusal::too_large());
    }
    let read = async {
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Refusal::rule("请求内容不完整"))?;
            bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
            if bytes.len() > most {
                return Err(Refusal::too_large());
            }
            if !memory.grow_to(bytes.len()) {
                return Err(Refusal::overloaded(
                    "request bodies fill their memory (limits.bodies_bytes)",
                ));
            }
        }
        Ok(bytes)
    };
    let in_time = timeout(Duration::from_millis(limits.body_timeout_ms), read).await;
    in_time.unwrap_or_else(|_| Err(Refusal::too_slow()))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).filter(|text| !text.is_empty())
}

/// data.md §4.2, step 1.
pub(super) fn nobody() -> Refusal {
    Refusal::rule(NO_TOKEN)
}

/// data.md §4.2, steps 2 to 4.
pub(super) async fn identify(
    app: &App,
    token: &str,
    method: &Method,
    path: &str,
    origin: &Origin,
) -> Result<Caller, Refusal> {
    let claims = app.tokens.read(token).ok_or_else(|| Refusal::rule(BAD_TOKEN))?;
    let (claims, account) = judge(app, claims).await?;
    if claims.role == Role::Visitor && !open_to_visitors(method, path) {
        return Err(Refusal::rule(NO_GUESTS));
    }
    origin.observed.is_of(account.id);
    if !app.throttle.admit(Requester::User(account.id)) {
        return Err(Refusal::too_many());
    }
    Ok(Caller { account, claims, cause: origin.cause.clone() })
}

/// Is the token its account's current one, and the account there?
async fn judge(app: &App, claims: Claims) -> Result<(Claims, Account), Refusal> {
    let claims = app.current(claims).await?.ok_or_else(|| Refusal::rule(BAD_TOKEN))?;
    let user = app.executor.state::<User>(claims.id).await?;
    let account = user.state.active().cloned();
    Ok((claims, account.ok_or_else(|| Refusal::rule(GONE))?))
}

pub(super) fn origin(app: &App, parts: &Parts) -> Result<Origin, Refusal> {
    let observed = parts.extensions.get::<Observed>().cloned();
    let observed = observed.ok_or_else(|| Refusal::internal("a request that nobody observes"))?;
    let peer = parts.extensions.get::<ConnectInfo<Endpoints>>().map(|info| info.0.peer.ip());
    let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let address = client_address::of(peer, &parts.headers, &app.config.limits);
    Ok(Origin { address, cause: observed.cause().clone(), observed })
}

/// The request by the name and in the trace that the caller gave it, or by new ones.
pub(super) fn cause(headers: &HeaderMap) -> Cause {
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

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(nobody)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Origin {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Refusal::internal("no origin"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_visitor_list_is_by_method_and_whole_segments() {
        assert!(open_to_visitors(&Method::GET, "/api/chat/grouplist/1"));
        assert!(open_to_visitors(&Method::POST, "/api/chat/userset"));
        assert!(!open_to_visitors(&Method::POST, "/api/chat/usersetX"));
        assert!(!open_to_visitors(&Method::POST, "/api/chat/logout"));
        assert!(!open_to_visitors(&Method::POST, "/api/chat/grouplist/1"));
    }
}
