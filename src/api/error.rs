//! Errors of the API: refusals and failures, each with its status; the texts are `protocol::refusals`'.

use std::{borrow::Cow, sync::Arc};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{middleware::observed::Failure, reply::JSON};
use crate::{
    adapters::{nats::log_error::LogError, redis::RedisFailure},
    executor::{CommandError, accounts::AccountError, authority::Unauthorized},
    protocol::{
        parameters::Invalid,
        refusals::{self, accounts, any, media, messages},
        reply::{CodedReply, Failed, Nothing, TextReply},
    },
};

/// A request refused: `{"msg":"fail","data":"<text>"}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    text: Cow<'static, str>,
    /// What the log is told, and the caller is not.
    failure: Option<Failure>,
}

type Text = Cow<'static, str>;

impl ApiError {
    /// 400: a rule or the caller's standing.
    pub fn rule(text: impl Into<Text>) -> Self {
        Self::with(StatusCode::BAD_REQUEST, text)
    }

    /// 422: a parameter.
    pub fn parameter(text: impl Into<Text>) -> Self {
        Self::with(StatusCode::UNPROCESSABLE_ENTITY, text)
    }

    /// 404: no such route.
    pub fn not_found() -> Self {
        Self::with(StatusCode::NOT_FOUND, any::NOT_FOUND)
    }

    /// 413: the body.
    pub fn too_large() -> Self {
        Self::with(StatusCode::PAYLOAD_TOO_LARGE, any::TOO_LARGE)
    }

    /// 429: too many requests in this minute.
    pub fn too_many() -> Self {
        Self::with(StatusCode::TOO_MANY_REQUESTS, any::TOO_MANY)
    }

    /// 503: there is more to do at once than there is room for.
    pub fn overloaded(cause: &'static str) -> Self {
        Self::for_now(any::OVERLOADED, cause)
    }

    /// 429: too many bytes of files in this day.
    pub fn too_much() -> Self {
        Self::with(StatusCode::TOO_MANY_REQUESTS, media::TOO_MUCH)
    }

    /// 503: the disk is nearly full.
    pub fn no_room() -> Self {
        Self::for_now(any::NO_SPACE, "the disk is nearly full (limits.min_free_bytes)")
    }

    /// 408: the body does not come.
    pub fn too_slow() -> Self {
        Self::with(StatusCode::REQUEST_TIMEOUT, any::TOO_SLOW)
    }

    /// 413: a message (clarification 29).
    pub fn message_too_large() -> Self {
        Self::with(StatusCode::PAYLOAD_TOO_LARGE, messages::TOO_LARGE)
    }

    /// 413: a file.
    pub fn file_too_large() -> Self {
        Self::with(StatusCode::PAYLOAD_TOO_LARGE, media::FILE_TOO_LARGE)
    }

    /// 500: a part is down or broken. The caller learns nothing; the log has the cause.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        let failure = Some(Failure(Arc::from(cause.to_string())));
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self { failure, ..Self::with(status, any::INTERNAL) }
    }

    fn for_now(text: &'static str, cause: &'static str) -> Self {
        let failure = Some(Failure(Arc::from(cause)));
        Self { failure, ..Self::with(StatusCode::SERVICE_UNAVAILABLE, text) }
    }

    fn with(status: StatusCode, text: impl Into<Text>) -> Self {
        Self { status, text: text.into(), failure: None }
    }

    /// 404 in an envelope of questions: there is no such thing.
    pub fn unknown(text: &'static str) -> Self {
        Self::with(StatusCode::NOT_FOUND, text)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = Failed::because(&self.text).json();
        let response = (self.status, [(header::CONTENT_TYPE, JSON)], body).into_response();
        let mut response = Failure::told_to_log(self.failure, response);
        let retry_after = match self.status {
            StatusCode::INTERNAL_SERVER_ERROR | StatusCode::SERVICE_UNAVAILABLE => "1",
            StatusCode::TOO_MANY_REQUESTS => "60",
            _ => return response,
        };
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(retry_after));
        response
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        Self::internal(error)
    }
}

impl From<RedisFailure> for ApiError {
    fn from(error: RedisFailure) -> Self {
        Self::internal(error)
    }
}

impl From<Unauthorized> for ApiError {
    fn from(error: Unauthorized) -> Self {
        Self::rule(match error {
            Unauthorized::Token => any::BAD_TOKEN,
            Unauthorized::Account => any::ACCOUNT_UNAVAILABLE,
        })
    }
}

impl From<LogError> for ApiError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::TooLarge => Self::too_large(),
            other => Self::internal(other),
        }
    }
}

impl<R: std::error::Error + Into<ApiError>> From<CommandError<R>> for ApiError {
    fn from(error: CommandError<R>) -> Self {
        match error {
            CommandError::Rejected(rejection) => rejection.into(),
            CommandError::Log(error) => error.into(),
            CommandError::Unauthorized(error) => error.into(),
            other => Self::internal(other),
        }
    }
}

impl From<AccountError> for ApiError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Taken => Self::rule(accounts::TAKEN),
            AccountError::NoSuchAccount => Self::rule(accounts::UNAVAILABLE),
            AccountError::WrongPassword => Self::rule(accounts::WRONG_PASSWORD),
            AccountError::Overloaded(_) => {
                Self::overloaded("more passwords wait to be hashed than can be in time")
            }
            AccountError::Log(error) => error.into(),
            AccountError::Unauthorized(error) => error.into(),
            other => Self::internal(other),
        }
    }
}

/// A rule's no, in the contract's words; what has none is a fault of ours.
impl<R: refusals::Refusal + std::error::Error> From<R> for ApiError {
    fn from(rejection: R) -> Self {
        rejection.text().map_or_else(|| Self::internal(&rejection), Self::rule)
    }
}

impl From<Invalid> for ApiError {
    fn from(invalid: Invalid) -> Self {
        match invalid {
            Invalid::Parameter(text) => Self::parameter(text),
            Invalid::Rule(text) => Self::rule(text),
        }
    }
}

/// An error of complaints: `msg` has the text and `data` is `{}`, with the usual status (rest.md §42).
#[derive(Debug)]
pub struct TextReplyError(ApiError);

impl IntoResponse for TextReplyError {
    fn into_response(self) -> Response {
        let ApiError { status, text, failure } = self.0;
        Failure::told_to_log(failure, (status, TextReply::new(text, Nothing {})).into_response())
    }
}

/// An error of questions: the status is 200, and `code` is one of those that clients know (rest.md §42).
#[derive(Debug)]
pub struct CodedReplyError(ApiError);

impl IntoResponse for CodedReplyError {
    fn into_response(self) -> Response {
        let ApiError { status, text, failure } = self.0;
        let code = match status {
            StatusCode::NOT_FOUND => 404,
            status if status.is_server_error() => 500,
            _ => 400,
        };
        Failure::told_to_log(failure, CodedReply::new(code, text, ()).into_response())
    }
}

macro_rules! enveloped {
    ($($error:ident),*) => {$(
        impl From<ApiError> for $error {
            fn from(error: ApiError) -> Self {
                Self(error)
            }
        }

        impl From<Invalid> for $error {
            fn from(invalid: Invalid) -> Self {
                Self(invalid.into())
            }
        }

        impl From<sqlx::Error> for $error {
            fn from(error: sqlx::Error) -> Self {
                Self(error.into())
            }
        }

        impl From<LogError> for $error {
            fn from(error: LogError) -> Self {
                Self(error.into())
            }
        }

        impl<R: std::error::Error + Into<ApiError>> From<CommandError<R>> for $error {
            fn from(error: CommandError<R>) -> Self {
                Self(error.into())
            }
        }
    )*};
}

enveloped!(TextReplyError, CodedReplyError);
