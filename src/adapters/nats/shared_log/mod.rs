//! The shared subscription to the log: its end is read once for all in this process who follow it.
//!
//! A consumer for each follower would have the server look for the subjects of each, event by event, through all
//! subjects of a block, and the same event sent and decoded again and again.

use std::{
    collections::{HashMap, VecDeque},
    future::ready,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::sleep};
use tracing::debug;

use super::{
    event_log::EventLog,
    log_error::LogError,
    reader::{BATCH_BYTES, Entry, Fetched, Reader, matches_any, position_of},
};
use crate::events::Position;

/// What is kept for followers who lag: events, and bytes as they are in the log. Who lags more reads by themselves.
const MOST: usize = 4096;
const MOST_BYTES: usize = 16 << 20;

/// The end of the log, as far as it was read.
#[derive(Clone)]
pub struct SharedLogSubscription {
    log: EventLog,
    subjects: &'static [&'static str],
    recent: Arc<Mutex<Recent>>,
}

#[derive(Default)]
struct Recent {
    /// Counts the connections to the log; after each loss subscribers begin anew.
    run_number: u64,
    /// All events after this position and up to `end` are here; `None` while there is no connection.
    after: Option<Position>,
    end: Position,
    events: VecDeque<Arc<Fetched>>,
    bytes: usize,
    /// Those who wait, by a number of each.
    waiting: HashMap<u64, Waiting>,
    last_number: u64,
}

/// One who waits for more. Only what concerns it wakes it: most events concern a few of ten followers.
struct Waiting {
    subjects: &'static [&'static str],
    /// It is also woken once the tail has been read up to here.
    goal: Option<Position>,
    /// It has, or nothing concerned it, all up to here.
    clear_to: Position,
    arrived: Arc<Notify>,
    is_notified: bool,
}

impl SharedLogSubscription {
    /// Of the events of `subjects`, once [`SharedLogSubscription::run`] runs.
    pub fn new(log: EventLog, subjects: &'static [&'static str]) -> Self {
        Self { log, subjects, recent: Arc::default() }
    }

    /// Reads the end of the log, for ever.
    pub async fn run(self) {
        loop {
            if let Err(error) = self.read().await {
                debug!(%error, "the end of the log is out of reach");
            }
            self.recent().begin_anew();
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn read(&self) -> Result<(), LogError> {
        let end = self.log.end().await?.last;
        let mut reader = self.log.read(self.subjects, Position(end.0 + 1)).await?;
        self.recent().begin(end);
        loop {
            let batch = reader.fetch(512).await?;
            self.recent().take(batch);
        }
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the events that it keeps, as they were read: what was erased meanwhile is read as such from now on.
    pub fn forget(&self) {
        self.recent().forget();
    }

    /// Follows the events of `subjects`, which are among the tail's, from a position on.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn follow(
        &self,
        subjects: &'static [&'static str],
        from: Position,
    ) -> Result<Subscriber, LogError> {
        let mut follower = Subscriber {
            tail: self.clone(),
            number: self.recent().next_number(),
            arrived: Arc::default(),
            subjects,
            next: Position(from.0.max(1)),
            run_number: 0,
            own: None,
            asked: false,
            pending: 0,
        };
        follower.catch_up_or_join().await?;
        Ok(follower)
    }
}

impl Recent {
    /// The connection is lost: everybody begins anew.
    fn begin_anew(&mut self) {
        let (run_number, last_number) = (self.run_number + 1, self.last_number);
        let before = std::mem::replace(self, Self { run_number, last_number, ..Self::default() });
        before.waiting.values().for_each(|waiting| waiting.arrived.notify_one());
    }

    /// The log is read from behind `end` on.
    fn begin(&mut self, end: Position) {
        (self.after, self.end) = (Some(end), end);
        self.waiting.drain().for_each(|(_, waiting)| waiting.arrived.notify_one());
    }

    /// Who lags reads by themselves.
    fn forget(&mut self) {
        self.after = self.after.map(|_| self.end);
        self.events.clear();
        self.bytes = 0;
    }

    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    fn take(&mut self, batch: Vec<Fetched>) {
        let end = batch.last().map_or(self.end, |last| position_of(&last.entry));
        for waiting in self.waiting.values_mut().filter(|waiting| !waiting.is_notified) {
            let concerns = |event: &Fetched| matches_any(waiting.subjects, &event.subject);
            waiting.is_notified =
                waiting.goal.is_some_and(|goal| end >= goal) || batch.iter().any(concerns);
            if waiting.is_notified {
                waiting.arrived.notify_one();
            } else {
                waiting.clear_to = end;
            }
        }
        for event in batch {
            self.end = position_of(&event.entry);
            self.bytes += event.bytes;
            self.events.push_back(Arc::new(event));
        }
        while self.events.len() > MOST || self.bytes > MOST_BYTES {
            let Some(oldest) = self.events.pop_front() else { return };
            self.bytes -= oldest.bytes;
            self.after = Some(position_of(&oldest.entry));
        }
    }

    fn has(&self, next: Position) -> bool {
        self.after.is_some_and(|after| next > after)
    }

    /// The next events of `subjects`, and where to go on.
    fn find(
        &self,
        subjects: &[&str],
        next: Position,
        most: usize,
    ) -> (Vec<Arc<Fetched>>, Position) {
        let begin = self.events.partition_point(|event| position_of(&event.entry) < next);
        let wanted = |event: &&Arc<Fetched>| matches_any(subjects, &event.subject);
        let (mut found, mut bytes, mut seen) = (Vec::new(), 0, self.end);
        for event in self.events.range(begin..).filter(wanted) {
            bytes += event.bytes;
            found.push(Arc::clone(event));
            if found.len() == most || bytes >= BATCH_BYTES {
                seen = position_of(&event.entry);
                break;
            }
        }
        (found, next.max(Position(seen.0 + 1)))
    }
}

/// One who follows: on their own until they are where the shared subscription is.
pub struct Subscriber {
    tail: SharedLogSubscription,
    number: u64,
    arrived: Arc<Notify>,
    subjects: &'static [&'static str],
    next: Position,
    run_number: u64,
    own: Option<Reader>,
    /// Since their own reader gave something, the log was asked whether that was the last before the tail.
    asked: bool,
    pending: u64,
}

impl Subscriber {
    /// How many events were still to come when the last batch was given, at most.
    pub fn pending(&self) -> u64 {
        self.pending
    }

    /// All events of its subjects up to here were given.
    pub fn reached(&self) -> Position {
        Position(self.next.0 - 1)
    }

    /// The next events: at least one, at most `most` and some MiB, no more than are there already. A wait that is given
    /// up loses none.
    ///
    /// # Errors
    /// As [`Reader::next_batch`].
    pub async fn next_batch(&mut self, most: usize) -> Result<Vec<Entry>, LogError> {
        self.next_before(most, None, ready(())).await
    }

    /// The same, or no event once there is none left up to `goal`. Once there is something at the end of the log, more
    /// has until `gathered` to come with it.
    ///
    /// # Errors
    /// As [`Reader::next_batch`].
    pub async fn next_before(
        &mut self,
        most: usize,
        goal: Option<Position>,
        gathered: impl Future<Output = ()>,
    ) -> Result<Vec<Entry>, LogError> {
        let (mut gathered, mut is_gathered) = (pin!(gathered), false);
        loop {
            if goal.is_some_and(|goal| self.reached() >= goal) {
                return Ok(Vec::new());
            }
            if self.own.is_some() && self.join().await? {
                continue;
            }
            // Whatever comes, and nothing is known of what it has.
            let waiting = self.waiting(Some(Position(0)), Position(0));
            if let Some(reader) = &mut self.own {
                // The tail was not read when we looked. Nothing else is worth an interruption of the reader.
                let may_join = reader.pending() == 0 && !self.asked;
                if may_join {
                    self.tail.recent().waiting.insert(self.number, waiting);
                }
                let batch = tokio::select! {
                    biased;
                    batch = reader.next_batch(most) => batch?,
                    () = self.arrived.notified(), if may_join => continue,
                };
                (self.next, self.pending, self.asked) = (reader.next(), reader.pending(), false);
                return Ok(batch);
            }
            let found = {
                let mut recent = self.tail.recent();
                if recent.run_number != self.run_number {
                    return Err(LogError::Unavailable("the connection was lost meanwhile".into()));
                }
                // Where it waited nothing concerned it, even if that is not kept any more.
                if let Some(waited) = recent.waiting.remove(&self.number) {
                    self.next = self.next.max(Position(waited.clear_to.0 + 1));
                }
                let found = recent.has(self.next).then(|| {
                    let (found, next) = recent.find(self.subjects, self.next, most);
                    (found, next, (recent.end.0 + 1).saturating_sub(next.0))
                });
                if let Some((found, ..)) = &found
                    && found.is_empty()
                {
                    let waiting = self.waiting(goal, recent.end);
                    recent.waiting.insert(self.number, waiting);
                }
                found
            };
            match found {
                None => self.catch_up_or_join().await?, // it was too long ago
                Some((found, ..)) if !found.is_empty() && !is_gathered => {
                    gathered.as_mut().await;
                    is_gathered = true;
                }
                Some((found, next, pending)) => {
                    (self.next, self.pending) = (next, pending);
                    if !found.is_empty() {
                        return Ok(found.iter().map(|event| event.entry.clone()).collect());
                    }
                    if goal.is_some_and(|goal| self.reached() >= goal) {
                        continue;
                    }
                    self.arrived.notified().await;
                }
            }
        }
    }

    fn waiting(&self, goal: Option<Position>, clear_to: Position) -> Waiting {
        let (subjects, arrived) = (self.subjects, Arc::clone(&self.arrived));
        Waiting { subjects, goal, clear_to, arrived, is_notified: false }
    }

    /// Joins the tail, or reads by themselves what is there of our subjects before that.
    async fn catch_up_or_join(&mut self) -> Result<(), LogError> {
        if !self.join().await? {
            let reader = self.tail.log.read(self.subjects, self.next).await?;
            (self.pending, self.asked) = (reader.pending(), false);
            self.own = Some(reader);
        }
        Ok(())
    }

    /// Goes over to the tail if that has what comes next, or there is nothing of ours before what it has. What their
    /// own reader has pending is a hint when to ask, and no answer: the replica that it reads from may lag behind the
    /// tail.
    async fn join(&mut self) -> Result<bool, LogError> {
        let end = {
            let recent = self.tail.recent();
            if recent.has(self.next) {
                (self.own, self.run_number) = (None, recent.run_number);
                return Ok(true);
            }
            recent.after.map(|_| (recent.end, recent.run_number))
        };
        let Some((end, run_number)) = end else { return Ok(false) };
        if self.asked || self.own.as_ref().is_some_and(|reader| reader.pending() > 0) {
            return Ok(false);
        }
        self.asked = !self.tail.log.has_none(self.subjects, self.next, end).await?;
        if self.asked {
            return Ok(false);
        }
        self.next = self.next.max(Position(end.0 + 1));
        (self.own, self.run_number, self.pending) = (None, run_number, 0);
        Ok(true)
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.tail.recent().waiting.remove(&self.number);
    }
}

#[cfg(test)]
mod tests;
