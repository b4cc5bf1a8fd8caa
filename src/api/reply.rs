//! Replies over HTTP: JSON, and what the document tells of it.

use axum::{
    Extension,
    http::header,
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Serialize;

use super::route::{Answers, Envelope, ReplyShape};
use crate::protocol::reply::{CodedReply, Reply, TextReply};

/// What every JSON answer says it is.
pub(super) const JSON: &str = "application/json; charset=utf-8";

/// An answer as JSON.
pub(super) fn json(answer: &impl Serialize) -> Response {
    let body = serde_json::to_vec(answer).expect("answers are plain data");
    ([(header::CONTENT_TYPE, JSON)], body).into_response()
}

macro_rules! answers {
    ($($envelope:ident),*) => {$(
        impl<T: Serialize> IntoResponse for $envelope<T> {
            fn into_response(self) -> Response {
                json(&self)
            }
        }

        impl<T: JsonSchema> Answers for $envelope<T> {
            fn answer(generator: &mut schemars::SchemaGenerator) -> ReplyShape {
                ReplyShape::Json(Envelope::$envelope, generator.subschema_for::<Self>())
            }
        }
    )*};
}

answers!(Reply, TextReply, CodedReply);

/// The answer to a call that has ended the token it came with, so that it is not judged by that once more.
pub(super) struct EndsToken<T>(pub(super) T);

/// In the extensions of a response: the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct TokenEnded;

impl<T: IntoResponse> IntoResponse for EndsToken<T> {
    fn into_response(self) -> Response {
        (Extension(TokenEnded), self.0).into_response()
    }
}

impl<T: Answers> Answers for EndsToken<T> {
    fn answer(generator: &mut schemars::SchemaGenerator) -> ReplyShape {
        T::answer(generator)
    }
}
