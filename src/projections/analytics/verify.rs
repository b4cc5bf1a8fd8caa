//! The comparison of the analysts' stream with the log, message by message: nothing stands still meanwhile.

use std::time::Duration;

use tokio::time::timeout;

use super::{Analytics, StreamStore};
use crate::{
    adapters::nats::{
        bounded_reader::BoundedReader,
        event_log::EventLog,
        log_error::{LogError, unavailable},
        reader::{Reader, Stored, position_of},
    },
    events::{Event, Position, Recorded},
    projections::Projection as _,
};

const BATCH: usize = 1000;
const PATIENCE: Duration = Duration::from_secs(10);
/// How many positions that differ are told.
const MOST: usize = 5;

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Compared {
    /// The last position that was compared.
    pub position: Position,
    /// How many messages.
    pub messages: u64,
    /// The first positions that differ.
    pub differ: Vec<Position>,
}

impl Analytics {
    /// Compares what the stream holds now with what the log says. What its retention has removed is not missed.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn compare(&self, store: &StreamStore, log: &EventLog) -> Result<Compared, LogError> {
        let held = store.stream().held().await?;
        let mut compared = Compared { position: Position(0), messages: 0, differ: Vec::new() };
        let Some((until, _)) = held.and_then(|held| held.checkpoint) else { return Ok(compared) };
        compared.position = until;
        let mut stream = Messages { reader: store.stream().read().await?, read: Vec::new() };
        let mut found = stream.next().await?;
        let mut wanted = Events {
            skipped: log.skipped(Self::NAME).await?,
            reader: log.read_between(Self::SUBJECTS, (position(&found), until)).await?,
            read: Vec::new(),
            log,
        };
        loop {
            let event = wanted.next().await?;
            let Some(event) = event else { break };
            let at = position(&found);
            if at == event.position {
                compared.messages += 1;
                if !self.is_message(&found, &event) {
                    compared.differ.push(at);
                }
                if at >= until {
                    break;
                }
                found = stream.next().await?;
            } else {
                // A connect or disconnect has expired in the log by now.
                if at > event.position || !has_expired(&found) {
                    compared.differ.push(event.position.min(at));
                }
                if at < event.position {
                    found = stream.next().await?;
                    wanted.read.push(event);
                }
            }
            if compared.differ.len() >= MOST {
                break;
            }
        }
        Ok(compared)
    }

    fn is_message(&self, found: &Stored, event: &Recorded<Event>) -> bool {
        let wanted = self.message(event);
        found.subject() == wanted.subject
            && found.body() == wanted.body
            && wanted.headers.iter().all(|(name, value)| found.header(name) == Some(value))
    }
}

fn position(found: &Stored) -> Position {
    let position = found.header("hy-position").and_then(|text| text.parse().ok());
    Position(position.unwrap_or(0))
}

fn has_expired(found: &Stored) -> bool {
    let kind = found.header("ce-type");
    matches!(kind, Some("session.connected.v1" | "session.disconnected.v1"))
}

struct Messages {
    reader: Reader,
    read: Vec<Stored>,
}

impl Messages {
    async fn next(&mut self) -> Result<Stored, LogError> {
        loop {
            if let Some(next) = self.read.pop() {
                return Ok(next);
            }
            // There is one more, unless the stream is begun anew meanwhile.
            let read = timeout(PATIENCE, self.reader.next_stored(BATCH)).await;
            self.read = read.map_err(|_| unavailable("ANALYTICS does not go on"))??;
            self.read.reverse();
        }
    }
}

/// The events that belong into the stream.
struct Events<'a> {
    log: &'a EventLog,
    reader: BoundedReader,
    read: Vec<Recorded<Event>>,
    skipped: std::collections::BTreeSet<Position>,
}

impl Events<'_> {
    async fn next(&mut self) -> Result<Option<Recorded<Event>>, LogError> {
        loop {
            if let Some(next) = self.read.pop() {
                return Ok(Some(next));
            }
            let Some(batch) = self.reader.next_batch(BATCH).await? else { return Ok(None) };
            for entry in batch {
                let is_skipped = self.skipped.contains(&position_of(&entry));
                let Some(event) = entry.ok().filter(|_| !is_skipped) else { continue };
                if !event.may_be_repeat() || !self.log.is_repeat(&event).await? {
                    self.read.push(event);
                }
            }
            self.read.reverse();
        }
    }
}
