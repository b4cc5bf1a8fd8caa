//! Single messages of the stream, as whoever decides must see them.

use std::{pin::pin, sync::atomic::Ordering, time::Duration};

use async_nats::{
    Client, HeaderValue, Message, StatusCode,
    jetstream::{
        message::StreamMessage,
        stream::{
            DirectGetError, DirectGetErrorKind, RawMessageError, RawMessageErrorKind, Stream,
        },
    },
};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use tokio::time::timeout;

use super::log_error::{LogError, STREAM, unavailable};
use crate::events::Timestamp;

/// Asks for one message at a time.
#[derive(Clone)]
pub(super) struct Lookup {
    stream: Stream<()>,
    answered_by: AnsweredBy,
    client: Client,
}

/// Who answers for a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnsweredBy {
    /// The only server that has it.
    Only,
    /// The leader, which has all that was acknowledged: any replica answers a direct get, also one that lags.
    Leader,
    /// Any replica.
    Any,
}

impl AnsweredBy {
    /// What was acknowledged is found.
    pub(super) fn all(replicated: bool) -> Self {
        if replicated { Self::Leader } else { Self::Only }
    }

    /// What was acknowledged a moment ago may be missing.
    pub(super) fn perhaps_late(replicated: bool) -> Self {
        if replicated { Self::Any } else { Self::Only }
    }
}

type Found = Result<Option<StreamMessage>, LogError>;

impl Lookup {
    pub(super) fn new(stream: Stream<()>, client: Client, answered_by: AnsweredBy) -> Self {
        Self { stream, answered_by, client }
    }

    /// The last message on a subject. Not on a wildcard: that costs the server a look at each of its subjects.
    pub(super) async fn last(&self, subject: &str) -> Found {
        if self.answered_by == AnsweredBy::Leader {
            let ask = || self.stream.get_last_raw_message_by_subject(subject);
            return of_leader(self.until_answered(ask).await?);
        }
        direct(self.until_answered(|| self.stream.direct_get_last_for_subject(subject)).await?)
    }

    /// The first message on a subject at `from` or later.
    pub(super) async fn next(&self, subject: &str, from: u64) -> Found {
        if self.answered_by == AnsweredBy::Leader {
            let ask = || self.stream.get_first_raw_message_by_subject(subject, from);
            return of_leader(self.until_answered(ask).await?);
        }
        let ask = || self.stream.direct_get_next_for_subject(subject, Some(from));
        direct(self.until_answered(ask).await?)
    }

    /// The last message on a subject at `until` or before. Of a replicated log as any replica says: that is the past.
    pub(super) async fn last_until(&self, subject: &str, until: u64) -> Found {
        if until == 0 {
            return Ok(None);
        }
        let body = serde_json::json!({ "multi_last": [subject], "up_to_seq": until }).to_string();
        self.direct(body).await
    }

    /// The first message on a subject that was stored at `time` or later, or a little before: clocks differ.
    pub(super) async fn first_since(&self, subject: &str, time: Timestamp) -> Found {
        const MARGIN_MS: i64 = 120_000;
        let since = Timestamp(time.0 - MARGIN_MS).iso_text();
        let body = serde_json::json!({ "start_time": since, "next_by_subj": subject }).to_string();
        self.direct(body).await
    }

    /// The first `most` messages on a subject, or on all that a wildcard means, at `from` or later, up to some MiB of
    /// them; and whether there are more. It takes one question and no consumer, of which there may be only so many and
    /// each stays for a while. Of a replicated log as any replica says.
    pub(super) async fn next_batch(
        &self,
        subject: &str,
        from: u64,
        most: usize,
    ) -> Result<(Vec<StreamMessage>, bool), LogError> {
        const PATIENCE: Duration = Duration::from_secs(10);
        const MAX_BYTES: usize = 4 << 20;
        const END_OF_BATCH: u16 = 204;
        let inbox = self.client.new_inbox();
        let mut answers = self.client.subscribe(inbox.clone()).await.map_err(unavailable)?;
        let body = serde_json::json!({
            "seq": from.max(1), "next_by_subj": subject, "batch": most, "max_bytes": MAX_BYTES,
        });
        let (request, body) = (direct_get(), body.to_string().into());
        let asked = self.client.publish_with_reply(request, inbox, body).await;
        asked.map_err(unavailable)?;
        let mut found = Vec::new();
        loop {
            let answer = timeout(PATIENCE, answers.next()).await.map_err(unavailable)?;
            let answer = answer.ok_or_else(|| unavailable("the connection was closed"))?;
            match answer.status {
                None => found.push(StreamMessage::try_from(answer).map_err(unavailable)?),
                Some(StatusCode::NOT_FOUND) => return Ok((found, false)),
                Some(status) if status.as_u16() == END_OF_BATCH => {
                    let headers = answer.headers.unwrap_or_default();
                    let pending = headers.get("Nats-Num-Pending").map(HeaderValue::as_str);
                    return Ok((found, pending.is_some_and(|pending| pending != "0")));
                }
                Some(_) => return Err(unavailable(answer.description.unwrap_or_default())),
            }
        }
    }

    async fn direct(&self, body: String) -> Found {
        let answer = self.request(direct_get(), body).await?;
        match answer.status {
            Some(StatusCode::NOT_FOUND) => Ok(None),
            _ => StreamMessage::try_from(answer).map(Some).map_err(unavailable),
        }
    }

    /// Asks again if there is no answer: a question is lost with its connection. One of several servers is asked again
    /// anyway: a question is lost with its server, and while they elect a leader, which takes seconds.
    async fn until_answered<Asked: Future>(
        &self,
        ask: impl Fn() -> Asked,
    ) -> Result<Asked::Output, LogError> {
        const ANSWERS_S: [u64; 5] = [1, 1, 1, 2, 5];
        let connects = || self.client.statistics().connects.load(Ordering::Relaxed);
        for seconds in ANSWERS_S {
            let (connection, mut answer) = (connects(), pin!(ask()));
            loop {
                match timeout(Duration::from_secs(seconds), &mut answer).await {
                    Ok(answer) => return Ok(answer),
                    Err(_) if self.answered_by != AnsweredBy::Only || connects() != connection => {
                        break;
                    }
                    Err(_) => {} // it is on its way, or the client gives it up
                }
            }
        }
        Err(unavailable("nats does not answer"))
    }

    async fn request(&self, subject: String, body: String) -> Result<Message, LogError> {
        let body = Bytes::from(body);
        let ask = || self.client.request(subject.clone(), body.clone());
        self.until_answered(ask).await?.map_err(unavailable)
    }

    /// The position of the first message that was stored at `time` or later.
    pub(super) async fn first_at(&self, time: Timestamp) -> Result<Option<u64>, LogError> {
        /// That there is no such message.
        const NONE: u64 = 404;
        #[derive(Deserialize)]
        struct Answer {
            message: Option<Stored>,
            error: Option<Refused>,
        }
        #[derive(Deserialize)]
        struct Stored {
            seq: u64,
        }
        #[derive(Deserialize)]
        struct Refused {
            code: u64,
            #[serde(default)]
            description: String,
        }
        // The leader, who has all that was acknowledged.
        let body = serde_json::json!({ "start_time": time.iso_text(), "no_hdr": true }).to_string();
        let request = format!("$JS.API.STREAM.MSG.GET.{STREAM}");
        let answer = self.request(request, body).await?;
        let answer: Answer = serde_json::from_slice(&answer.payload).map_err(unavailable)?;
        match answer.error {
            Some(Refused { code: NONE, .. }) => Ok(None),
            Some(refused) => Err(unavailable(refused.description)),
            None => Ok(answer.message.map(|stored| stored.seq)),
        }
    }

    /// How many messages a subject has.
    pub(super) async fn count(&self, subject: &str) -> Result<u64, LogError> {
        let counts = self.stream.info_with_subjects(subject).await.map_err(unavailable)?;
        let counts = counts.try_collect::<Vec<_>>().await.map_err(unavailable)?;
        Ok(counts.iter().map(|(_, count)| *count as u64).sum())
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
        if self.answered_by == AnsweredBy::Leader {
            return of_leader(self.until_answered(|| self.stream.get_raw_message(position)).await?);
        }
        direct(self.until_answered(|| self.stream.direct_get(position)).await?)
    }
}

fn direct_get() -> String {
    format!("$JS.API.DIRECT.GET.{STREAM}")
}

fn direct(found: Result<StreamMessage, DirectGetError>) -> Found {
    match found {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
        Err(error) => Err(unavailable(error)),
    }
}

fn of_leader(found: Result<StreamMessage, RawMessageError>) -> Found {
    match found {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(unavailable(error)),
    }
}
