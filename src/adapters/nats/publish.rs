//! Publishing into a stream on the connection that repeats nothing, and why the stream says no.

use std::time::Duration;

use async_nats::jetstream::message::StreamMessage;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::{
    envelope::EXPECTED,
    log_error::{LogError, unavailable},
    protocol::Headers,
    unbuffered_client::{RequestError, UnbufferedClient},
};
use crate::events::Position;

/// How long one attempt waits for its answer.
pub(super) const ANSWER: Duration = Duration::from_millis(1500);

/// How long something is put again that was not answered.
const PATIENCE: Duration = Duration::from_secs(5);

/// From one attempt to the next.
const PAUSE: Duration = Duration::from_millis(50);

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
    /// Another append that the same is expected of is in process.
    #[error("concurrency conflict: somebody is appending")]
    Contended,
    /// There is no answer that says so.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// JetStream says no.
    #[error("JetStream refuses it: {0} ({1})")]
    Refused(String, u64),
}

/// What has become of something that was put in the place of a subject's last message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PutOutcome {
    /// It is there.
    At(u64),
    /// It was not put there: another was, or it may not be sent any more.
    Not,
    /// Another is there, in its place or after it.
    Unknown,
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

    /// Puts something in the place of a subject's last message if that is at `revision`, and if it may be sent. What was not
    /// answered is repeated, and whoever then comes too late looks at what `last` finds.
    ///
    /// # Errors
    /// It may be there, and will perhaps be.
    pub(super) async fn put(
        &self,
        subject: &str,
        (mut headers, value): (Headers, &[u8]),
        revision: u64,
        may_send: impl Fn() -> bool,
        last: impl AsyncFnOnce() -> Result<Option<StreamMessage>, LogError>,
    ) -> Result<PutOutcome, LogError> {
        headers.add(EXPECTED, revision);
        let (deadline, mut is_perhaps_there) = (Instant::now() + PATIENCE, false);
        loop {
            let answer = deadline.min(Instant::now() + ANSWER);
            let error = match self.publish_if(subject, &headers, value, answer, &may_send).await {
                Ok((position, _)) => return Ok(PutOutcome::At(position.0)),
                Err(
                    PublishError::Conflict
                    | PublishError::Contended
                    | PublishError::Request(RequestError::Withdrawn),
                ) if !is_perhaps_there => return Ok(PutOutcome::Not),
                Err(PublishError::Conflict) => {
                    let own = last().await?.filter(|last| last.payload == value);
                    return Ok(own.map_or(PutOutcome::Unknown, |own| PutOutcome::At(own.sequence)));
                }
                Err(error) => error,
            };
            let may_repeat = match error {
                PublishError::Request(RequestError::Unanswered) => {
                    is_perhaps_there = true;
                    true
                }
                PublishError::Request(RequestError::NotSent | RequestError::NoResponders)
                | PublishError::Contended => true,
                _ => false,
            };
            if !may_repeat || Instant::now() + PAUSE >= deadline {
                return Err(unavailable(error));
            }
            sleep(PAUSE).await;
        }
    }

    /// The same as [`Self::publish`], if it may still be sent once there is a connection.
    pub(super) async fn publish_if(
        &self,
        subject: &str,
        headers: &Headers,
        payload: &[u8],
        deadline: Instant,
        may_send: impl Fn() -> bool,
    ) -> Result<(Position, bool), PublishError> {
        const CONFLICT: u64 = 10071;
        const CONTENDED: u64 = 10164;
        const TOO_LARGE: u64 = 10054;
        let answer = self.request(subject, headers, payload, deadline, may_send).await?;
        let ack: Ack = serde_json::from_slice(&answer)
            .map_err(|error| PublishError::Refused(error.to_string(), 0))?;
        match ack.error {
            None => Ok((Position(ack.seq), ack.duplicate)),
            Some(no) if no.err_code == CONFLICT => Err(PublishError::Conflict),
            Some(no) if no.err_code == CONTENDED => Err(PublishError::Contended),
            Some(no) if no.err_code == TOO_LARGE => Err(RequestError::TooLarge.into()),
            Some(no) => Err(PublishError::Refused(no.description, no.err_code)),
        }
    }
}
