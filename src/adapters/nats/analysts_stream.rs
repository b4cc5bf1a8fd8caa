//! The analysts' stream, `ANALYTICS`: what it holds, how messages are added in one order, and how it begins anew.
//!
//! It is in an account of its own, and so is this connection (`nats.conf`).

use std::{collections::HashMap, time::Duration};

use async_nats::{
    HeaderMap,
    jetstream::{
        ErrorCode,
        context::{CreateStreamErrorKind, GetStreamErrorKind, PublishErrorKind},
        message::StreamMessage,
        stream::{Config, Info, RawMessageErrorKind, StorageType, Stream},
    },
};

use super::{
    connect::Nats,
    envelope,
    log_error::{LogError, unavailable},
    reader::Reader,
};
use crate::events::Position;

const STREAM: &str = "ANALYTICS";
/// What analysts had before: a copy that tells everything.
const OLD_COPY: &str = "EVENTS_COPY";
/// Where an event is in the log.
const POSITION: &str = "hy-position";
const EXPECTED: &str = "Nats-Expected-Last-Sequence";

const GENERATION: &str = "hy-generation";
const SHAPE: &str = "hy-shape";
const LOG_CREATED: &str = "hy-log-created";
/// The last sequence number before the generation.
const BEGINS_AFTER: &str = "hy-begins-after";

/// How much the stream keeps; what is older goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Since a message was stored there; zero: for ever.
    pub age: Duration,
    /// Of all messages; zero: any number.
    pub bytes: u64,
}

/// Which build of the stream it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamBuild {
    /// 1, 2, 3 …
    pub generation: i32,
    /// What was taken out of its events, and how.
    pub shape: String,
    /// The log that it was built from, by the second it was created.
    pub log_created: i64,
}

/// What the stream holds.
#[derive(Debug, Clone)]
pub struct StreamContent {
    /// Which build it is.
    pub build: StreamBuild,
    /// The sequence number of the last message, whether it is still there or not.
    pub last: u64,
    /// The event of the last message: its position and its identity.
    pub checkpoint: Option<(Position, Option<uuid::Uuid>)>,
    /// It had messages, and all of them are too old by now: nothing says how far it was.
    pub is_emptied: bool,
}

/// A message for the stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    /// Its subject.
    pub subject: String,
    /// Headers beside the position.
    pub headers: Vec<(&'static str, String)>,
    /// Where the event is in the log.
    pub position: Position,
    /// What is in it.
    pub body: Vec<u8>,
}

/// Why messages were not added.
#[derive(Debug, thiserror::Error)]
pub enum NotAdded {
    /// Somebody else has added some, or begun the stream anew.
    #[error("the stream ANALYTICS is not as it was left")]
    Fenced,
    /// It is unknown how many were added.
    #[error(transparent)]
    Unavailable(#[from] LogError),
}

/// A connection to it.
#[derive(Clone)]
pub struct AnalystsStream {
    pub(super) nats: Nats,
    retention: Retention,
    replicas: usize,
}

impl AnalystsStream {
    /// Over a connection of the user that owns it.
    pub fn new(nats: Nats, retention: Retention, replicas: usize) -> Self {
        Self { nats, retention, replicas }
    }

    /// Removes the copy that was there before. False if it was not.
    ///
    /// # Errors
    /// The server refuses, or cannot be reached.
    pub async fn remove_old_copy(&self) -> Result<bool, LogError> {
        match self.nats.jetstream.delete_stream(OLD_COPY).await {
            Ok(_) => Ok(true),
            Err(error) if error.to_string().contains("stream not found") => Ok(false),
            Err(error) => Err(unavailable(error)),
        }
    }

    fn wanted(&self, build: &StreamBuild, begins_after: u64) -> Config {
        let metadata = HashMap::from([
            (GENERATION.to_owned(), build.generation.to_string()),
            (SHAPE.to_owned(), build.shape.clone()),
            (LOG_CREATED.to_owned(), build.log_created.to_string()),
            (BEGINS_AFTER.to_owned(), begins_after.to_string()),
        ]);
        Config {
            name: STREAM.into(),
            description: Some("the events, as far as analysts may see them".into()),
            subjects: vec!["evt.>".into()],
            storage: StorageType::File,
            num_replicas: self.replicas,
            max_age: self.retention.age,
            max_bytes: i64::try_from(self.retention.bytes).unwrap_or(i64::MAX),
            deny_delete: true,
            metadata,
            ..Config::default()
        }
    }

    async fn info(&self) -> Result<Option<Info>, LogError> {
        match self.nats.jetstream.get_stream(STREAM).await {
            Ok(stream) => Ok(Some(stream.cached_info().clone())),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(refusal)
                    if refusal.error_code() == ErrorCode::STREAM_NOT_FOUND =>
                {
                    Ok(None)
                }
                _ => Err(unavailable(error)),
            },
        }
    }

    async fn stream(&self) -> Result<Stream<()>, LogError> {
        self.nats.jetstream.get_stream_no_info(STREAM).await.map_err(unavailable)
    }

    /// The number of its last message; `None` if there is no stream.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn last(&self) -> Result<Option<u64>, LogError> {
        Ok(self.info().await?.map(|info| info.state.last_sequence))
    }

    /// What it holds; `None` if there is no stream. Its retention becomes the wanted one.
    ///
    /// # Errors
    /// The server cannot be reached, or holds what is no event of ours.
    pub async fn held(&self) -> Result<Option<StreamContent>, LogError> {
        let Some(info) = self.info().await? else { return Ok(None) };
        let said = |name: &str| info.config.metadata.get(name).map(String::as_str);
        let number = |name| said(name).and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
        let build = StreamBuild {
            generation: i32::try_from(number(GENERATION)).unwrap_or(0),
            shape: said(SHAPE).unwrap_or_default().to_owned(),
            log_created: number(LOG_CREATED),
        };
        let begins_after = number(BEGINS_AFTER).unsigned_abs();
        let wanted = self.wanted(&build, begins_after);
        let limits = |config: &Config| (config.max_age, config.max_bytes.max(0));
        if limits(&wanted) != limits(&info.config) {
            self.nats.jetstream.update_stream(wanted).await.map_err(unavailable)?;
        }
        let (last, messages) = (info.state.last_sequence, info.state.messages);
        let found = match messages {
            0 => None,
            _ => self.at(last).await?,
        };
        let checkpoint = found.as_ref().map(checkpoint).transpose()?;
        let is_emptied = checkpoint.is_none() && last > begins_after;
        Ok(Some(StreamContent { build, last, checkpoint, is_emptied }))
    }

    async fn at(&self, sequence: u64) -> Result<Option<StreamMessage>, LogError> {
        match self.stream().await?.get_raw_message(sequence).await {
            Ok(message) => Ok(Some(message)),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// Makes the stream, empty; one that is there stays.
    ///
    /// # Errors
    /// The server refuses, or cannot be reached.
    pub async fn create(&self, build: &StreamBuild) -> Result<(), LogError> {
        match self.nats.jetstream.create_stream(self.wanted(build, 0)).await {
            Ok(_) => Ok(()),
            Err(error) => match error.kind() {
                CreateStreamErrorKind::JetStream(refusal)
                    if refusal.error_code() == ErrorCode::STREAM_NAME_EXIST =>
                {
                    Ok(())
                }
                _ => Err(unavailable(error)),
            },
        }
    }

    /// Empties the stream, for another build. Numbers go on, and one is left out: so whoever still adds to the build before
    /// finds that the last number is not the one that they expect.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn begin(&self, build: &StreamBuild) -> Result<(), LogError> {
        loop {
            let last = self.last().await?.unwrap_or(0);
            let stream = self.stream().await?;
            stream.purge().sequence(last + 2).await.map_err(unavailable)?;
            let wanted = self.wanted(build, last + 1);
            self.nats.jetstream.update_stream(wanted).await.map_err(unavailable)?;
            let state = self.info().await?.map(|info| info.state);
            if state.is_some_and(|it| (it.last_sequence, it.messages) == (last + 1, 0)) {
                return Ok(());
            }
        }
    }

    /// Adds messages after the one with the number `last`, and says which is the last one now. Each is added if the one
    /// before it was, so only the last is acknowledged: that costs a fraction.
    ///
    /// # Errors
    /// Some may have been added: the stream says how many.
    pub async fn add(&self, messages: Vec<Outgoing>, mut last: u64) -> Result<u64, NotAdded> {
        let mut left = messages.len();
        for Outgoing { subject, headers: others, position, body } in messages {
            let mut headers = HeaderMap::new();
            for (name, value) in others {
                headers.insert(name, value);
            }
            headers.insert(POSITION, position.to_string());
            headers.insert(EXPECTED, last.to_string());
            (last, left) = (last + 1, left - 1);
            if left > 0 {
                let sent = self.nats.client.publish_with_headers(subject, headers, body.into());
                sent.await.map_err(unavailable)?;
                continue;
            }
            let context = &self.nats.jetstream;
            let sent = context.publish_with_headers(subject, headers, body.into()).await;
            sent.map_err(unavailable)?.await.map_err(|error| match error.kind() {
                PublishErrorKind::WrongLastSequence => NotAdded::Fenced,
                // Another one is on its way (10164).
                _ if error.to_string().contains("10164") => NotAdded::Fenced,
                _ => unavailable(error).into(),
            })?;
        }
        Ok(last)
    }

    /// Reads it from its first message on.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn read(&self) -> Result<Reader, LogError> {
        let largest = self.nats.client.server_info().max_payload;
        let reconnects = self.nats.reconnects.clone();
        Reader::open(self.stream().await?, None, reconnects, largest, &[], Position(1)).await
    }
}

fn checkpoint(message: &StreamMessage) -> Result<(Position, Option<uuid::Uuid>), LogError> {
    let header = |name| envelope::header(&message.headers, name);
    let position = header(POSITION).and_then(|text| text.parse().ok()).map(Position);
    let foreign = || unavailable("the last message of ANALYTICS has no position: it is not ours");
    let id = header("ce-id").and_then(|id| id.parse().ok());
    Ok((position.ok_or_else(foreign)?, id))
}
