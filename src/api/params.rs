//! The parameters of a request, read and checked for its handler.

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
};

use super::error::ApiError;
use crate::protocol::parameters::{ParameterSet, Parameters};

/// What a handler takes.
#[derive(Debug)]
pub struct Params<R>(pub R);

impl<R: ParameterSet, S: Send + Sync> FromRequestParts<S> for Params<R> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let parameters = take(parts, state).await?;
        Ok(Self(R::read(&parameters)?))
    }
}

/// What was read of the request before its handler, with the path of the route at hand.
///
/// # Errors
/// The path is no text.
pub(super) async fn take(
    parts: &mut Parts,
    state: &(impl Send + Sync),
) -> Result<Parameters, ApiError> {
    let mut parameters = parts.extensions.remove::<Parameters>().unwrap_or_default();
    let path = RawPathParams::from_request_parts(parts, state).await;
    let path = path.map_err(|_| ApiError::not_found())?;
    for (name, value) in &path {
        parameters.add_to_path(name.to_owned(), value.to_owned());
    }
    Ok(parameters)
}
