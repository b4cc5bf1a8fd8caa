//! A replay: one reading of the log for several who want different events of it.
//!
//! Ten readers would have the server look up, and this process decode, most events several times.

use std::{collections::BTreeSet, num::NonZeroU32, sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{
    event_log::EventLog,
    log_error::LogError,
    reader::{BATCH_BYTES, Entry, Fetched, matches_any, position_of},
};
use crate::events::Position;

/// Events that are handed on at once.
const PORTION: usize = 1000;

/// Portions that wait for one reader. The slowest holds up the others: memory is bounded.
const PORTIONS: usize = 8;

/// A reading that has not begun.
pub struct Replay {
    log: EventLog,
    from: Option<Position>,
    until: Position,
    subjects: BTreeSet<&'static str>,
    readers: Vec<mpsc::Sender<Portion>>,
}

enum Portion {
    Events(Arc<Vec<Fetched>>),
    /// There is nothing left up to where the reading ends.
    End,
}

/// One who reads.
pub struct ReplayReader {
    subjects: &'static [&'static str],
    from: Position,
    until: Position,
    portions: mpsc::Receiver<Portion>,
    current: Option<Arc<Vec<Fetched>>>,
    /// How many of it were looked at.
    taken: usize,
    at_end: bool,
}

impl Replay {
    /// Of the log up to a position.
    pub fn new(log: EventLog, until: Position) -> Self {
        Self { log, from: None, until, subjects: BTreeSet::new(), readers: Vec::new() }
    }

    /// Adds one who reads the events of `subjects` from a position on, up to another, or to the end of the replay if that
    /// comes first.
    pub fn reader(
        &mut self,
        subjects: &'static [&'static str],
        (from, until): (Position, Position),
    ) -> ReplayReader {
        let (sender, portions) = mpsc::channel(PORTIONS);
        self.readers.push(sender);
        self.subjects.extend(subjects);
        self.from = Some(self.from.map_or(from, |earliest| earliest.min(from)));
        let until = until.min(self.until);
        ReplayReader { subjects, from, until, portions, current: None, taken: 0, at_end: false }
    }

    /// Reads, at most `max_rate` events a second, until all readers have what they want.
    ///
    /// # Errors
    /// The server cannot be reached; then the readers get an error, too.
    pub async fn run(self, max_rate: Option<NonZeroU32>) -> Result<(), LogError> {
        let Some(from) = self.from else { return Ok(()) };
        let subjects: Vec<&str> = self.subjects.into_iter().collect();
        let mut reader = self.log.read_between(&subjects, (from, self.until)).await?;
        let (begun, mut events) = (Instant::now(), 0);
        let most = max_rate.map_or(PORTION, |rate| PORTION.min(rate.get() as usize));
        while let Some(portion) = reader.fetch(most).await? {
            let portion = Arc::new(portion);
            events += portion.len();
            if let Some(rate) = max_rate {
                #[expect(clippy::cast_precision_loss, reason = "an event more or less")]
                let due = Duration::from_secs_f64(events as f64 / f64::from(rate.get()));
                sleep_until(begun + due).await;
            }
            let mut is_wanted = false;
            for reader in &self.readers {
                // One that has all it wants is gone.
                is_wanted |= reader.send(Portion::Events(Arc::clone(&portion))).await.is_ok();
            }
            if !is_wanted {
                return Ok(());
            }
        }
        for reader in &self.readers {
            _ = reader.send(Portion::End).await;
        }
        Ok(())
    }
}

impl ReplayReader {
    /// Where it begins.
    pub fn from(&self) -> Position {
        self.from
    }

    /// The next events, `most` and some MiB; fewer only at the end, where there are none.
    ///
    /// # Errors
    /// The reading was broken off.
    pub async fn next_batch(&mut self, most: usize) -> Result<Vec<Entry>, LogError> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < most && bytes < BATCH_BYTES && !self.at_end {
            let Some(fetched) = self.current.as_ref().and_then(|current| current.get(self.taken))
            else {
                (self.current, self.taken) = (self.next_portion().await?, 0);
                self.at_end = self.current.is_none();
                continue;
            };
            let at = position_of(&fetched.entry);
            if at > self.until {
                self.at_end = true;
            } else if at >= self.from && matches_any(self.subjects, &fetched.subject) {
                batch.push(fetched.entry.clone());
                bytes += fetched.bytes;
            }
            self.taken += 1;
        }
        Ok(batch)
    }

    async fn next_portion(&mut self) -> Result<Option<Arc<Vec<Fetched>>>, LogError> {
        match self.portions.recv().await {
            Some(Portion::Events(events)) => Ok(Some(events)),
            Some(Portion::End) => Ok(None),
            None => Err(LogError::Unavailable("the log was not read to the end".into())),
        }
    }
}
