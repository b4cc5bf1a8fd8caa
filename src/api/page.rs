//! Pages of the admin listener: one file each, with a style and a script that alone may run in it.

use axum::{
    http::{HeaderValue, header},
    response::Html,
    routing::{MethodRouter, get},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha2::{Digest as _, Sha256};

/// Answers with a page, which asks its own origin and nobody else, in no frame of anybody's.
pub(super) fn page<S: Clone + Send + Sync + 'static>(html: &'static str) -> MethodRouter<S> {
    let policy = HeaderValue::try_from(policy(html)).expect("hashes are ASCII");
    get(async move || ([(header::CONTENT_SECURITY_POLICY, policy.clone())], Html(html)))
}

fn policy(html: &str) -> String {
    let hash_of = |element: &str| {
        let (_, rest) = html.split_once(&format!("<{element}>")).expect("the page has one");
        let (text, _) = rest.split_once(&format!("</{element}>")).expect("it is closed");
        BASE64_STANDARD.encode(Sha256::digest(text))
    };
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash_of("script"),
        hash_of("style")
    )
}
