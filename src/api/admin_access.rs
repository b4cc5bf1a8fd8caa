//! Who may use the admin listener: whoever reaches it under a name of its own, and knows `server.admin_token` if there is one.

use std::net::IpAddr;

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

use super::serve::Endpoints;
use crate::config::ServerSettings;

/// What callers must name and know.
#[derive(Debug, Clone)]
pub struct AdminAccess {
    hosts: Vec<String>,
    token: SecretString,
}

impl AdminAccess {
    /// As configured.
    pub fn new(server: &ServerSettings) -> Self {
        Self { hosts: server.admin_hosts.clone(), token: server.admin_token.clone() }
    }

    /// A web page elsewhere can have its own name resolve to an address of ours, and then read answers (DNS rebinding). It
    /// cannot leave out the name, and no page has a loopback name.
    fn knows_host(&self, headers: &HeaderMap, connected_to: IpAddr) -> bool {
        let Some(host) = headers.get(header::HOST) else { return true };
        let authority = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
        let Some(authority) = authority else { return false };
        let host = authority.host();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        host.eq_ignore_ascii_case("localhost")
            || address.is_ok_and(|address| address.is_loopback() || address == connected_to)
            || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(host))
    }

    fn knows_token(&self, headers: &HeaderMap) -> bool {
        let token = self.token.expose_secret().as_bytes();
        let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        let given = given.and_then(|value| value.strip_prefix(b"Bearer ")).unwrap_or_default();
        token.is_empty() || given.ct_eq(token).into()
    }
}

/// What needs no token: an answer that tells nothing but that there is one, and the page that asks for the token.
const OPEN: [&str; 2] = ["/health/live", "/"];

/// Refuses strangers.
pub(super) async fn check(
    State(access): State<AdminAccess>,
    ConnectInfo(endpoints): ConnectInfo<Endpoints>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let mut response = if !access.knows_host(headers, endpoints.local.ip()) {
        let why = "not a name of this listener; add it to server.admin_hosts\n";
        (StatusCode::MISDIRECTED_REQUEST, why).into_response()
    } else if !OPEN.contains(&request.uri().path()) && !access.knows_token(headers) {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        (StatusCode::UNAUTHORIZED, challenge, "needs server.admin_token as a Bearer token\n")
            .into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_the_own_address_and_configured_names_are_known() {
        let access = AdminAccess { hosts: vec!["ops.example".to_owned()], token: "".into() };
        let knows = |host: &str| {
            let headers = HeaderMap::from_iter([(
                header::HOST,
                HeaderValue::from_str(host).expect("a header's value"),
            )]);
            access.knows_host(&headers, IpAddr::from([10, 0, 0, 5]))
        };
        for own in [
            "localhost",
            "LOCALHOST:7002",
            "127.0.0.1:7002",
            "127.9.9.9",
            "[::1]:7002",
            "10.0.0.5:7002",
            "ops.example",
            "Ops.Example:443",
        ] {
            assert!(knows(own), "{own}");
        }
        for strange in [
            "",
            "rebind.example",
            "localhost.rebind.example",
            "127.0.0.1.rebind.example",
            "10.0.0.6:7002",
            "0.0.0.0",
            "localhost:7002@rebind.example",
            "rebind.example#localhost",
        ] {
            assert!(!knows(strange), "{strange}");
        }
        assert!(access.knows_host(&HeaderMap::new(), IpAddr::from([10, 0, 0, 5])), "no browser");
    }

    #[test]
    fn a_token_is_needed_once_there_is_one() {
        let access = AdminAccess { hosts: Vec::new(), token: "0123456789abcdef".into() };
        let knows = |value: &'static str| {
            let headers =
                HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))]);
            access.knows_token(&headers)
        };
        assert!(knows("Bearer 0123456789abcdef"));
        for wrong in ["", "Bearer ", "0123456789abcdef", "Bearer 0123456789abcdeX", "Bearer 0"] {
            assert!(!knows(wrong), "{wrong}");
        }
        assert!(!access.knows_token(&HeaderMap::new()));
    }
}
