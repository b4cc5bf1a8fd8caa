//! The reader of the log, in its order: batches of what is there, then events as they come.

use std::{sync::Arc, time::Duration};

use async_nats::jetstream::{
    Message,
    consumer::{
        AckPolicy, DeliverPolicy,
        pull::{self, MessagesErrorKind},
    },
    stream::Stream,
};
use futures_util::{FutureExt as _, StreamExt as _};
use time::OffsetDateTime;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tracing::{debug, warn};

use super::{
    content_keys::ContentKeys,
    envelope,
    log_error::{LogError, unavailable},
};
use crate::events::{DecodeError, Event, Position, Recorded};

/// A consumer that has been silent for this long is made anew: pull consumers have been seen to
/// stop without a word (`docs/design/jetstream-pitfalls.md`), and a new one costs a millisecond.
const SILENCE: Duration = Duration::from_secs(30);

/// With several filters the server goes through the subjects of a block to find each next event: 20 to 200 times the
/// work of sending it. So where at least one in so many events is wanted, and not only so few in all, all are fetched and
/// filtered here.
const FETCH_ALL_BELOW_EVENTS_PER_MATCH: u64 = 8;
/// Wanted events that the server finds.
const MOST_MATCHES_FILTERED_BY_SERVER: u64 = 500;

/// What one pull request asks for. The server cuts a connection off when more than `max_pending` (`nats.conf`: 64 MB)
/// waits in it, and a reader has two requests open at most, of which each has to hold the largest event: so a process
/// with ten readers is far from that. Three requests fit into a subscription (`nats::connect`), which drops the rest.
const PULL_MESSAGES: usize = 300;
/// Also where the server takes less now: it may have taken more before.
const PULL_BYTES: usize = 2 << 20;
/// Subject, headers of the delivery, and the place to answer to count as well.
const PULL_SLACK: usize = 64 << 10;

/// How large a batch grows, in bytes of bodies: one event more, if it began smaller.
pub(super) const BATCH_BYTES: usize = 4 << 20;

/// Events of some subjects, in the order of the log.
pub struct Reader {
    stream: Stream<()>,
    /// None where nothing is sealed.
    keys: Option<ContentKeys>,
    reconnects: watch::Receiver<u64>,
    subjects: Vec<String>,
    pull_bytes: usize,
    messages: pull::Stream,
    /// How many messages of this consumer have arrived.
    delivered: u64,
    /// What has arrived of the next batch. It stays here if whoever waits for the batch gives up.
    pulled: Vec<Pulled>,
    /// One was lost on the way, so those behind it are no use.
    broken: bool,
    next: Position,
    pending: u64,
    /// The consumer has all subjects, and the others are left out here.
    client_side_filter: bool,
    /// With more events to come it has to be seen whether that would be better.
    judged: u64,
    /// When the consumer was made, or sent something.
    heard: Instant,
}

/// One place of the log: an event, or bytes that this version cannot read.
pub type Entry = Result<Recorded<Event>, Unreadable>;

/// Where it is.
pub fn position_of(entry: &Entry) -> Position {
    match entry {
        Ok(event) => event.position,
        Err(unreadable) => unreadable.position,
    }
}

/// An entry as others may want it too.
pub(super) struct Fetched {
    pub(super) subject: Box<str>,
    /// Of the body.
    pub(super) bytes: usize,
    pub(super) entry: Entry,
}

impl Fetched {
    fn read(Pulled { position, stored_at, message, damage, .. }: Pulled) -> Self {
        let empty = async_nats::HeaderMap::new();
        let headers = message.headers.as_ref().unwrap_or(&empty);
        let (subject, body) = (message.subject.as_str(), &message.payload);
        let entry = match damage {
            Some(damage) => Err(damage),
            None => envelope::read(subject, (position, stored_at), headers, body).map_err(Arc::new),
        };
        let entry = entry.map_err(|source| Unreadable { position, source });
        Self { subject: subject.into(), bytes: body.len(), entry }
    }
}

/// A message that has arrived.
struct Pulled {
    position: Position,
    stored_at: OffsetDateTime,
    message: Message,
    /// What was sealed in it has been looked at.
    is_unsealed: bool,
    /// Why it cannot be read.
    damage: Option<Arc<DecodeError>>,
}

/// One place of the log as it is stored, for whoever passes it on: whether it is an event is not looked at.
pub struct Stored {
    /// Where.
    pub position: Position,
    message: Message,
}

impl Stored {
    /// Which aggregate it is of.
    pub fn subject(&self) -> &str {
        &self.message.subject
    }

    /// One of its headers.
    pub fn header(&self, name: &str) -> Option<&str> {
        envelope::header(self.message.headers.as_ref()?, name)
    }

    /// What is in it.
    pub fn body(&self) -> &[u8] {
        &self.message.payload
    }
}

/// Bytes in the log that are no event of this version.
#[derive(Debug, Clone)]
pub struct Unreadable {
    /// Where.
    pub position: Position,
    /// Why.
    pub source: Arc<DecodeError>,
}

impl From<Unreadable> for LogError {
    fn from(Unreadable { position, source }: Unreadable) -> Self {
        Self::Corrupt { position, source }
    }
}

impl Reader {
    pub(super) async fn open(
        stream: Stream<()>,
        keys: Option<ContentKeys>,
        mut reconnects: watch::Receiver<u64>,
        max_payload: usize,
        subjects: &[&str],
        from: Position,
    ) -> Result<Self, LogError> {
        reconnects.mark_unchanged();
        let pull_bytes = PULL_BYTES.max(max_payload) + PULL_SLACK;
        let subjects: Vec<String> = subjects.iter().map(|&subject| subject.to_owned()).collect();
        let next = Position(from.0.max(1));
        let (messages, pending) = consume(&stream, &subjects, next, pull_bytes).await?;
        let heard = Instant::now();
        Ok(Self {
            stream,
            keys,
            pulled: Vec::new(),
            reconnects,
            subjects,
            pull_bytes,
            messages,
            delivered: 0,
            broken: false,
            next,
            pending,
            client_side_filter: false,
            judged: MOST_MATCHES_FILTERED_BY_SERVER,
            heard,
        })
    }

    /// Sees whether it is better to fetch all events; also when it has fallen behind, or it would do so more and more.
    async fn judge(&mut self) -> Result<(), LogError> {
        if self.client_side_filter || self.subjects.len() < 2 || self.pending <= self.judged {
            return Ok(());
        }
        let last = self.stream.get_info().await.map_err(unavailable)?.state.last_sequence;
        if last.saturating_sub(self.next.0)
            < self.pending.saturating_mul(FETCH_ALL_BELOW_EVENTS_PER_MATCH)
        {
            self.restart_with(true).await?;
        }
        self.judged = self.pending.saturating_mul(2);
        Ok(())
    }

    /// How many events the server still had for us when it sent the last one.
    pub fn pending(&self) -> u64 {
        self.pending
    }

    /// All of its events before this position were given.
    pub fn next(&self) -> Position {
        self.pulled.first().map_or(self.next, |pulled| pulled.position)
    }

    /// Where the first event is that is there already.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn first(mut self) -> Result<Option<Position>, LogError> {
        if self.pending == 0 {
            return Ok(None);
        }
        Ok(self.next_batch(1).await?.first().map(position_of))
    }

    /// The next events: at least one, at most `most` and some MiB, no more than are there already.
    ///
    /// # Errors
    /// The server cannot be reached, or was away. Then whoever reads begins anew and compares what it
    /// has with what the log holds: after a power loss the log may end before the reader's place.
    pub async fn next_batch(&mut self, most: usize) -> Result<Vec<Entry>, LogError> {
        Ok(self.fetch(most).await?.into_iter().map(|fetched| fetched.entry).collect())
    }

    /// The same as they are stored.
    ///
    /// # Errors
    /// As [`Reader::next_batch`].
    pub async fn next_stored(&mut self, most: usize) -> Result<Vec<Stored>, LogError> {
        self.fetch_as(most, |Pulled { position, message, .. }| Stored { position, message }).await
    }

    pub(super) async fn fetch(&mut self, most: usize) -> Result<Vec<Fetched>, LogError> {
        self.fetch_as(most, Fetched::read).await
    }

    async fn fetch_as<T>(
        &mut self,
        most: usize,
        read: impl Fn(Pulled) -> T,
    ) -> Result<Vec<T>, LogError> {
        self.pull(most).await?;
        if let Some(keys) = self.keys.clone() {
            self.unseal_pulled(&keys).await?;
        }
        Ok(self.pulled.drain(..).map(read).collect())
    }

    async fn unseal_pulled(&mut self, keys: &ContentKeys) -> Result<(), LogError> {
        for at in 0..self.pulled.len() {
            let Pulled { message, is_unsealed: false, .. } = &self.pulled[at] else { continue };
            let headers = message.headers.as_ref();
            let id = headers.and_then(|headers| envelope::header(headers, "ce-id"));
            let bodies = self.pulled[at..].iter().map(|pulled| &pulled.message.payload);
            let clear = keys.unseal_first(id, bodies).await?;
            let pulled = &mut self.pulled[at];
            match clear {
                Ok(clear) => pulled.message.message.payload = clear,
                Err(error) => pulled.damage = Some(Arc::new(error)),
            }
            pulled.is_unsealed = true;
        }
        Ok(())
    }

    /// Waits until something has arrived: a batch of so many gives it then.
    pub(super) async fn pull(&mut self, most: usize) -> Result<(), LogError> {
        self.judge().await?;
        let mut bytes = 0;
        while self.pulled.is_empty() {
            if self.broken {
                self.restart().await?;
            }
            let next = tokio::select! {
                biased;
                Ok(()) = self.reconnects.changed() => {
                    return Err(LogError::Unavailable("the connection was lost meanwhile".into()));
                }
                // Callers give up waiting and come back, so the silence is measured across calls.
                next = timeout_at(self.heard + SILENCE, self.messages.next()) => next,
            };
            match next {
                Ok(Some(Ok(message))) => {
                    bytes += message.payload.len();
                    self.take(message)?;
                }
                Ok(Some(Err(error))) if error.kind() == MessagesErrorKind::MissingHeartbeat => {
                    debug!("the consumer is silent, making it anew");
                    self.restart().await?;
                }
                Ok(Some(Err(error))) => {
                    warn!(%error, "reading the log failed, starting again at {}", self.next);
                    self.restart().await?;
                }
                Ok(None) => self.restart().await?,
                Err(_) => {
                    debug!("no event for a while, making the consumer anew");
                    self.restart().await?;
                }
            }
        }
        while self.pulled.len() < most && bytes < BATCH_BYTES && !self.broken {
            match self.messages.next().now_or_never() {
                Some(Some(Ok(message))) => {
                    bytes += message.payload.len();
                    self.take(message)?;
                }
                _ => break, // an error comes again at the next call
            }
        }
        Ok(())
    }

    fn take(&mut self, message: Message) -> Result<(), LogError> {
        let info = message.info().map_err(unavailable)?;
        let position = Position(info.stream_sequence);
        if info.consumer_sequence != self.delivered + 1 {
            warn!("the log sent something that did not arrive, starting again at {}", self.next);
            self.broken = true; // what was read before it is handed on first
            return Ok(());
        }
        self.delivered += 1;
        if position < self.next {
            return Ok(()); // a consumer that began a step too early
        }
        let stored_at = info.published;
        self.next = Position(position.0 + 1);
        self.heard = Instant::now();
        self.pending = info.pending;
        if !self.client_side_filter || matches_any(&self.subjects, &message.subject) {
            let (is_unsealed, damage) = (false, None);
            self.pulled.push(Pulled { position, stored_at, message, is_unsealed, damage });
        }
        Ok(())
    }

    async fn restart(&mut self) -> Result<(), LogError> {
        self.restart_with(self.client_side_filter).await
    }

    async fn restart_with(&mut self, client_side_filter: bool) -> Result<(), LogError> {
        let subjects = if client_side_filter { &[][..] } else { &self.subjects };
        (self.messages, self.pending) =
            consume(&self.stream, subjects, self.next, self.pull_bytes).await?;
        (self.client_side_filter, self.delivered, self.broken) = (client_side_filter, 0, false);
        self.heard = Instant::now();
        Ok(())
    }
}

/// A consumer of its own, without acknowledgements, in memory: the reader knows where it is. The library's ordered one
/// does not bound its pull requests by bytes.
async fn consume(
    stream: &Stream<()>,
    subjects: &[String],
    from: Position,
    pull_bytes: usize,
) -> Result<(pull::Stream, u64), LogError> {
    let config = pull::Config {
        // A name puts the creation on a subject of its own, which is all that the users may use.
        name: Some(crate::clock::random_id().simple().to_string()),
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: from.0 },
        filter_subjects: subjects.to_vec(),
        ack_policy: AckPolicy::None,
        max_deliver: 1,
        inactive_threshold: SILENCE,
        num_replicas: 1,
        memory_storage: true,
        ..pull::Config::default()
    };
    let consumer = stream.create_consumer(config).await.map_err(unavailable)?;
    let pending = consumer.cached_info().num_pending;
    let messages = consumer
        .stream()
        .max_messages_per_batch(PULL_MESSAGES)
        .max_bytes_per_batch(pull_bytes)
        .expires(SILENCE)
        .heartbeat(SILENCE / 2)
        .messages()
        .await
        .map_err(unavailable)?;
    Ok((messages, pending))
}

/// Is a subject one of those that `patterns` mean? A pattern is a subject, or ends with `>` for all below.
pub(super) fn matches_any(patterns: &[impl AsRef<str>], subject: &str) -> bool {
    patterns.iter().map(AsRef::as_ref).any(|pattern| match pattern.strip_suffix('>') {
        Some(above) => subject.starts_with(above),
        None => subject == pattern,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_a_subject_or_all_below() {
        let patterns = ["evt.user.>", "evt.operations"];
        for (subject, wanted) in [
            ("evt.user.3", true),
            ("evt.users.3", false),
            ("evt.operations", true),
            ("evt.operations.3", false),
            ("evt.group.3", false),
        ] {
            assert_eq!(matches_any(&patterns, subject), wanted, "{subject}");
        }
    }
}
