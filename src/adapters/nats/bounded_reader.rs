//! A bounded reader: what the log holds up to a position, and then its end, also where what was to come has expired.

use std::time::Duration;

use tokio::time::timeout;

use super::{
    event_log::EventLog,
    log_error::LogError,
    reader::{Entry, Fetched, Reader, Stored, position_of},
};
use crate::events::Position;

/// How long the log may give nothing before it is asked whether there is nothing left: events expire.
const QUIET: Duration = Duration::from_secs(1);

/// Events of some subjects up to a position, in the order of the log.
pub struct BoundedReader {
    log: EventLog,
    reader: Reader,
    subjects: Vec<String>,
    until: Position,
    at_end: bool,
}

impl EventLog {
    /// Reads what there is of some subjects between two positions, both included.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn read_between(
        &self,
        subjects: &[&str],
        (from, until): (Position, Position),
    ) -> Result<BoundedReader, LogError> {
        let reader = self.read(subjects, from).await?;
        let at_end = reader.pending() == 0;
        let subjects = subjects.iter().map(|&subject| subject.to_owned()).collect();
        Ok(BoundedReader { log: self.clone(), reader, subjects, until, at_end })
    }
}

impl BoundedReader {
    /// The next events, or bytes that are none, at most so many; `None` at the end.
    ///
    /// # Errors
    /// As [`Reader::next_batch`].
    pub async fn next_batch(&mut self, most: usize) -> Result<Option<Vec<Entry>>, LogError> {
        if self.is_over(most).await? {
            return Ok(None);
        }
        let batch = self.reader.next_batch(most).await?;
        Ok(self.within(batch, position_of))
    }

    /// The same as they are stored.
    ///
    /// # Errors
    /// As [`Reader::next_batch`].
    pub async fn next_stored(&mut self, most: usize) -> Result<Option<Vec<Stored>>, LogError> {
        if self.is_over(most).await? {
            return Ok(None);
        }
        let batch = self.reader.next_stored(most).await?;
        Ok(self.within(batch, |stored| stored.position))
    }

    pub(super) async fn fetch(&mut self, most: usize) -> Result<Option<Vec<Fetched>>, LogError> {
        if self.is_over(most).await? {
            return Ok(None);
        }
        let batch = self.reader.fetch(most).await?;
        Ok(self.within(batch, |fetched| position_of(&fetched.entry)))
    }

    /// All up to here was given.
    pub fn done(&self) -> Position {
        Position(self.reader.next().0 - 1).min(self.until)
    }

    /// Waits until more has arrived, or it is known that there is nothing more.
    async fn is_over(&mut self, most: usize) -> Result<bool, LogError> {
        loop {
            let next = self.reader.next();
            if next > self.until {
                return Ok(true);
            }
            if self.at_end {
                let subjects: Vec<&str> = self.subjects.iter().map(String::as_str).collect();
                if self.log.has_none(&subjects, next, self.until).await? {
                    return Ok(true);
                }
            }
            if let Ok(arrived) = timeout(QUIET, self.reader.pull(most)).await {
                self.at_end = self.reader.pending() == 0;
                return arrived.map(|()| false);
            }
            self.at_end = true; // or what was to come has expired
        }
    }

    /// A batch without what is too late in the log.
    fn within<T>(&self, mut batch: Vec<T>, place: impl Fn(&T) -> Position) -> Option<Vec<T>> {
        batch.retain(|read| place(read) <= self.until);
        (!batch.is_empty()).then_some(batch)
    }
}
