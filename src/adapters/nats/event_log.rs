//! The log: compare-and-append on JetStream, and what the log says when asked.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::jetstream::{message::StreamMessage, stream::Stream};
use tracing::warn;
use uuid::Uuid;

use super::{
    connect::Nats,
    content_keys::ContentKeys,
    envelope,
    group_commit::GroupCommit,
    log_error::{LogError, STREAM, unavailable},
    lookup::{AnsweredBy, Lookup},
    reader::Reader,
};
use crate::{
    events::{AggregateEvent, Event, NodeId, OperationsEvent, Position, Recorded, Subject},
    telemetry::Metrics,
};

/// The event log.
#[derive(Clone)]
pub struct EventLog {
    pub(super) nats: Nats,
    stream: Stream<()>,
    pub(super) lookup: Lookup,
    /// By which its texts and names are sealed.
    pub keys: ContentKeys,
    pub(super) settings: Arc<Settings>,
}

pub(super) struct Settings {
    pub(super) source: String,
    pub(super) commit: Option<GroupCommit>,
    pub(super) timeout: Duration,
    pub(super) fact_ttl: Duration,
    pub(super) expires: bool,
    /// The highest position that this process was told of.
    pub(super) seen: AtomicU64,
    pub(super) metrics: Arc<Metrics>,
}

/// What the configuration asks of a log.
#[derive(Debug, Clone, Copy)]
pub struct Promises {
    /// Has the stream several replicas?
    pub replicated: bool,
    /// How long an append may take.
    pub timeout: Duration,
    /// How long connects and disconnects stay.
    pub fact_ttl: Duration,
    /// Are messages kept for so many days only?
    pub expires: bool,
}

impl EventLog {
    /// The log as `node` uses it. `commit` is there for `log.durability = synced`.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn open(
        nats: Nats,
        node: NodeId,
        commit: Option<GroupCommit>,
        config: &Promises,
        metrics: Arc<Metrics>,
    ) -> Result<Self, LogError> {
        let stream = nats.jetstream.get_stream_no_info(STREAM).await.map_err(unavailable)?;
        let end = stream.get_info().await.map_err(unavailable)?.state.last_sequence;
        let keys = ContentKeys::open(&nats, commit.clone(), config.replicated).await?;
        Ok(Self {
            keys,
            lookup: Lookup::new(
                stream.clone(),
                nats.client.clone(),
                AnsweredBy::all(config.replicated),
            ),
            nats,
            stream,
            settings: Arc::new(Settings {
                source: format!("/hongyan/{node}"),
                commit,
                timeout: config.timeout,
                fact_ttl: config.fact_ttl,
                expires: config.expires,
                seen: AtomicU64::new(end),
                metrics,
            }),
        })
    }

    /// The log is known to reach up to here: what is appended from now on comes after it.
    pub fn has_seen(&self, position: Position) {
        self.settings.seen.fetch_max(position.0, Ordering::Relaxed);
    }

    /// Why nothing is appended that somebody would be promised, if that is so (ADR 0017).
    pub fn sync_failure(&self) -> Option<&str> {
        self.settings.commit.as_ref()?.failure()
    }

    /// The position of a subject's last event, 0 if it has none.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn last_of(&self, subject: Subject) -> Result<Position, LogError> {
        let found = self.lookup.last(&subject.to_string()).await?;
        Ok(Position(found.map_or(0, |message| message.sequence)))
    }

    /// Is there nothing on any of `subjects` from one position up to another? As the leader of a replicated log says: the
    /// replica that a consumer is on may lag, and that nothing is pending there says nothing.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn has_none(
        &self,
        subjects: &[&str],
        from: Position,
        to: Position,
    ) -> Result<bool, LogError> {
        self.lookup.has_none(subjects, (from.0.max(1), to.0)).await
    }

    /// The first event of a subject at `from` or later.
    ///
    /// # Errors
    /// The server cannot be reached, or holds bytes that are no event.
    pub async fn next_of(
        &self,
        subject: Subject,
        from: Position,
    ) -> Result<Option<Recorded<Event>>, LogError> {
        match self.raw_next(subject, from).await? {
            Some(stored) => self.recorded(&stored).await.map(Some),
            None => Ok(None),
        }
    }

    /// The first event of one aggregate at `from` or later.
    ///
    /// # Errors
    /// As [`EventLog::next_of`].
    pub async fn next<E: AggregateEvent>(
        &self,
        id: E::Id,
        from: Position,
    ) -> Result<Option<Recorded<E>>, LogError> {
        let recorded = self.next_of(E::subject(id), from).await?;
        Ok(recorded.map(|recorded| recorded.typed().expect("a subject has events of its own kind")))
    }

    pub(super) async fn raw_next(
        &self,
        subject: Subject,
        from: Position,
    ) -> Result<Option<StreamMessage>, LogError> {
        self.lookup.next(&subject.to_string(), from.0.max(1)).await
    }

    /// The event at a position, unless it has expired or never was.
    ///
    /// # Errors
    /// The server cannot be reached, or holds bytes that are no event.
    pub async fn at(&self, position: Position) -> Result<Option<Recorded<Event>>, LogError> {
        match self.lookup.at(position.0).await? {
            Some(stored) => self.recorded(&stored).await.map(Some),
            None => Ok(None),
        }
    }

    /// Does the log hold the same fact at an earlier place? An append that was held back for longer than the server
    /// remembers identities, and repeated meanwhile, may be there twice (ADR 0019).
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn is_repeat(&self, recorded: &Recorded<Event>) -> Result<bool, LogError> {
        let (subject, Recorded { id, position, .. }) = (recorded.subject(), recorded);
        let first = self.lookup.first_since(&subject.to_string(), recorded.at).await?;
        let found = self.find(subject, *id, first, *position).await?;
        if found.is_some() {
            warn!(event.id = %id, %position, "the log holds an event twice, which counts once");
        }
        Ok(found.is_some())
    }

    /// Where the fact of this identity is on a subject, from the message `next` on and before a position.
    pub(super) async fn find(
        &self,
        subject: Subject,
        id: Uuid,
        mut next: Option<StreamMessage>,
        before: Position,
    ) -> Result<Option<Position>, LogError> {
        let id = id.to_string();
        while let Some(stored) = next.filter(|stored| stored.sequence < before.0) {
            if envelope::header(&stored.headers, "ce-id") == Some(id.as_str()) {
                return Ok(Some(Position(stored.sequence)));
            }
            next = self.raw_next(subject, Position(stored.sequence + 1)).await?;
        }
        Ok(None)
    }

    /// The event that made what has this id, if it is the first such thing of an event (ADR 0014).
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn made(&self, id: i64) -> Result<Option<Recorded<Event>>, LogError> {
        let position = Position::of_id(id);
        if position == Position(0) || id != position.numbered(0) {
            return Ok(None);
        }
        match self.at(position).await {
            Err(LogError::Corrupt { .. }) => Ok(None),
            found => found,
        }
    }

    /// The events that operators told a read model to leave out.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn skipped(&self, read_model: &str) -> Result<BTreeSet<Position>, LogError> {
        let mut skipped = BTreeSet::new();
        let mut from = Position(1);
        loop {
            let decided = match self.next_of(Subject::Operations, from).await {
                Ok(Some(decided)) => decided,
                Ok(None) => return Ok(skipped),
                Err(LogError::Corrupt { position, .. }) => {
                    from = Position(position.0 + 1); // a decision of a newer version
                    continue;
                }
                Err(error) => return Err(error),
            };
            from = Position(decided.position.0 + 1);
            match decided.event {
                Event::Operations(OperationsEvent::EventSkipped {
                    projection, position, ..
                }) if projection == read_model => {
                    skipped.insert(position);
                }
                _ => {}
            }
        }
    }

    /// The event that a message of the stream is.
    pub(super) async fn recorded(
        &self,
        message: &StreamMessage,
    ) -> Result<Recorded<Event>, LogError> {
        let position = Position(message.sequence);
        let id = envelope::header(&message.headers, "ce-id");
        let body = self.keys.unseal(id, message.payload.clone()).await?;
        let place = (position, message.time);
        body.and_then(|body| envelope::read(&message.subject, place, &message.headers, &body))
            .map_err(|source| LogError::Corrupt { position, source: Arc::new(source) })
    }

    /// Reads events of some subjects in order, from a position on, and then as they come.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn read(&self, subjects: &[&str], from: Position) -> Result<Reader, LogError> {
        let (reconnects, largest) =
            (self.nats.reconnects.clone(), self.nats.client.server_info().max_payload);
        let (stream, keys) = (self.stream.clone(), Some(self.keys.clone()));
        Reader::open(stream, keys, reconnects, largest, subjects, from).await
    }

    /// The version of the server that we are connected to.
    pub fn server_version(&self) -> String {
        self.nats.client.server_info().version
    }

    /// The end of the log and when it was created.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn end(&self) -> Result<LogEnd, LogError> {
        let info = self.stream.get_info().await.map_err(unavailable)?;
        Ok(LogEnd {
            last: Position(info.state.last_sequence),
            messages: info.state.messages,
            bytes: info.state.bytes,
            created: info.created.unix_timestamp(),
        })
    }
}

/// Where the log ends, and which log it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEnd {
    /// The last position given.
    pub last: Position,
    /// Events held.
    pub messages: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// When the stream was created, in seconds: another value is another log.
    pub created: i64,
}
