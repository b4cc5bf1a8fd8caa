//! Publishing into a stream on the connection that repeats nothing, and why the stream says no.

use serde::Deserialize;
use tokio::time::Instant;

use super::{
    protocol::Headers,
    unbuffered_client::{RequestError, UnbufferedClient},
};
use crate::events::Position;

/// What JetStream answers to something that was published into a stream.
#[derive(Deserialize)]
struct Ack {
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    duplicate: bool,
    error: Option<Refused>,
}

#[derive(Deserialize)]
struct Refused {
    err_code: u64,
    #[serde(default)]
    description: String,
}

/// Why something was not stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum PublishError {
    /// What was expected of a subject's last message is not so.
    #[error("concurrency conflict: somebody appended first")]
    Conflict,
    /// There is no answer that says so.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// JetStream says no.
    #[error("JetStream refuses it: {0} ({1})")]
    Refused(String, u64),
}

impl UnbufferedClient {
    /// Publishes into a stream; the position and whether it was there before, under the same identity.
    pub(super) async fn publish(
        &self,
        subject: &str,
        headers: &Headers,
        payload: &[u8],
        deadline: Instant,
    ) -> Result<(Position, bool), PublishError> {
        self.publish_if(subject, headers, payload, deadline, || true).await
    }

    /// The same, if it may still be sent once there is a connection.
    pub(super) async fn publish_if(
        &self,
        subject: &str,
        headers: &Headers,
        payload: &[u8],
        deadline: Instant,
        may_send: impl Fn() -> bool,
    ) -> Result<(Position, bool), PublishError> {
        /// The server has two codes for a conflict: the second while another append is in process.
        const CONFLICT: [u64; 2] = [10071, 10164];
        const TOO_LARGE: u64 = 10054;
        let answer = self.request(subject, headers, payload, deadline, may_send).await?;
        let ack: Ack = serde_json::from_slice(&answer)
            .map_err(|error| PublishError::Refused(error.to_string(), 0))?;
        match ack.error {
            None => Ok((Position(ack.seq), ack.duplicate)),
            Some(no) if CONFLICT.contains(&no.err_code) => Err(PublishError::Conflict),
            Some(no) if no.err_code == TOO_LARGE => Err(RequestError::TooLarge.into()),
            Some(no) => Err(PublishError::Refused(no.description, no.err_code)),
        }
    }
}
