//! Yes: the envelope of success (rest.md §0.1).

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// What every JSON answer says it is.
pub(super) const JSON: &str = "application/json; charset=utf-8";

/// `{"msg":"ok","data":…}`.
#[derive(Debug)]
pub struct Reply<T>(pub T);

#[derive(Serialize)]
struct Envelope<T> {
    msg: &'static str,
    data: T,
}

impl<T: Serialize> Reply<T> {
    /// As it is sent.
    pub(super) fn text(self) -> Vec<u8> {
        let body = serde_json::to_vec(&Envelope { msg: "ok", data: self.0 });
        body.expect("replies are plain data")
    }
}

impl<T: Serialize> IntoResponse for Reply<T> {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, JSON)], self.text()).into_response()
    }
}

/// The answer of many routes.
pub const OK: Reply<&str> = Reply("ok");
