//! Single messages of the stream, as whoever decides must see them.

use async_nats::jetstream::{
    message::StreamMessage,
    stream::{DirectGetErrorKind, RawMessageErrorKind, Stream},
};

use super::event_log::{LogError, unavailable};

/// Asks for one message at a time.
#[derive(Clone)]
pub(super) struct Lookup {
    stream: Stream<()>,
    /// Any replica answers a direct get, also one that lags; then the leader is asked, which has
    /// all that was acknowledged.
    replicated: bool,
}

type Found = Result<Option<StreamMessage>, LogError>;

impl Lookup {
    pub(super) fn new(stream: Stream<()>, replicated: bool) -> Self {
        Self { stream, replicated }
    }

    /// The last message on a subject, wildcards allowed.
    pub(super) async fn last(&self, subject: &str) -> Found {
        if self.replicated {
            return by_leader(self.stream.get_last_raw_message_by_subject(subject).await);
        }
        direct(self.stream.direct_get_last_for_subject(subject).await)
    }

    /// The first message on a subject at `from` or later.
    pub(super) async fn next(&self, subject: &str, from: u64) -> Found {
        if self.replicated {
            return by_leader(self.stream.get_first_raw_message_by_subject(subject, from).await);
        }
        direct(self.stream.direct_get_next_for_subject(subject, Some(from)).await)
    }

    /// Is there nothing on any of `subjects`, wildcards allowed, from one position up to another?
    pub(super) async fn has_none(
        &self,
        subjects: &[&str],
        (from, to): (u64, u64),
    ) -> Result<bool, LogError> {
        if from > to {
            return Ok(true);
        }
        for subject in subjects {
            if self.next(subject, from).await?.is_some_and(|found| found.sequence <= to) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The message at a position, unless it has expired or never was.
    pub(super) async fn at(&self, position: u64) -> Found {
        if self.replicated {
            return by_leader(self.stream.get_raw_message(position).await);
        }
        direct(self.stream.direct_get(position).await)
    }
}

fn direct(found: Result<StreamMessage, async_nats::jetstream::stream::DirectGetError>) -> Found {
    match found {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
        Err(error) => Err(unavailable(error)),
    }
}

fn by_leader(
    found: Result<StreamMessage, async_nats::jetstream::stream::RawMessageError>,
) -> Found {
    match found {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(unavailable(error)),
    }
}
