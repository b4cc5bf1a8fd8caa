//! The past of one aggregate: its events up to a position, and the position of a moment, without reading the log
//! (ADR 0033).

use async_nats::HeaderMap;

use super::{envelope, event_log::EventLog, log_error::LogError};
use crate::events::{Event, NodeId, Position, Recorded, Subject, Timestamp};

/// Reading on in the log costs the server that much less for an event than finding one for a position does: beyond that,
/// an aggregate with one of so many events is read on and not back.
const READ_ON_BELOW_EVENTS_PER_MATCH: u64 = 250;

/// How many events before a position say what was so then, at most.
const MOST_EARLIER: usize = 16;

/// How many events are read from the log at once.
const BATCH: usize = 500;

impl EventLog {
    /// The last position that the log had at a moment; 0 before the first event.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn position_at(&self, moment: Timestamp) -> Result<Position, LogError> {
        let later = Timestamp(moment.0.saturating_add(1));
        Ok(match self.lookup.first_at(later).await? {
            Some(first) => Position(first - 1),
            None => self.end().await?.last,
        })
    }

    /// All events of a subject up to a position, in their order.
    ///
    /// The server finds the next event of a subject only by going through all blocks of the log between the two, which
    /// takes seconds. So this goes back from the last one: each event was appended on condition that a certain one was
    /// the last, and says which. What has no such condition, or followed on one that has expired, is read on.
    ///
    /// # Errors
    /// The server cannot be reached, or holds bytes that are no event.
    pub async fn events_until(
        &self,
        subject: Subject,
        until: Position,
    ) -> Result<Vec<Recorded<Event>>, LogError> {
        let name = subject.to_string();
        let (mut earlier, mut events) = (Vec::new(), Vec::new());
        let mut found = self.lookup.last(&name).await?;
        let Some(last) = found.as_ref().map(|last| last.sequence) else { return Ok(events) };
        let count = self.lookup.count(&name).await?;
        if count.saturating_mul(READ_ON_BELOW_EVENTS_PER_MATCH) > last {
            let last = until.min(Position(last));
            return self.read_on(&[&name], (Position(1), last), usize::MAX).await;
        }
        while let Some(message) = found {
            let at = Position(message.sequence);
            let before = follows_on(&message.headers, &name);
            if at <= until {
                events.push(self.recorded(&message).await?);
            }
            found = match before {
                Some(before) if before > 0 => self.lookup.at(before).await?,
                _ => None,
            };
            if found.is_none() && before != Some(0) {
                let last = until.min(Position(at.0 - 1));
                earlier = self.read_on(&[&name], (Position(1), last), usize::MAX).await?;
            }
        }
        earlier.extend(events.into_iter().rev());
        Ok(earlier)
    }

    /// The events of a subject after a position, and of those up to it the last few, back to one that `begins`.
    ///
    /// Where nothing says what an event followed on, what came before is read on as far as the position, and found one by
    /// one before it.
    ///
    /// # Errors
    /// The server cannot be reached, or holds bytes that are no event.
    pub async fn events_around(
        &self,
        subject: Subject,
        position: Position,
        begins: impl Fn(&Event) -> bool,
    ) -> Result<Vec<Recorded<Event>>, LogError> {
        let name = subject.to_string();
        let mut events = Vec::new();
        let mut earlier = 0;
        let mut found = self.lookup.last(&name).await?;
        while let Some(message) = found {
            let (event, at) = (self.recorded(&message).await?, message.sequence);
            let is_earlier = at <= position.0;
            earlier += usize::from(is_earlier);
            let is_enough = is_earlier && (earlier == MOST_EARLIER || begins(&event.event));
            events.push(event);
            found = match follows_on(&message.headers, &name) {
                _ if is_enough => None,
                Some(0) => None,
                Some(before) => self.lookup.at(before).await?,
                None if is_earlier => self.lookup.last_until(&name, at - 1).await?,
                None => {
                    let range = (Position(position.0 + 1), Position(at - 1));
                    let between = self.look_up(&name, range, usize::MAX).await?;
                    events.extend(between.into_iter().rev());
                    self.lookup.last_until(&name, position.0).await?
                }
            };
        }
        events.reverse();
        Ok(events)
    }

    /// The first `most` delivery reports of a gateway, or of all, from a position on.
    ///
    /// # Errors
    /// The server cannot be reached, or holds bytes that are no event.
    pub async fn delivery_reports(
        &self,
        gateway: Option<NodeId>,
        from: Position,
        most: usize,
    ) -> Result<Vec<Recorded<Event>>, LogError> {
        let of = gateway.map(|gateway| Subject::Delivery(gateway).to_string());
        let subject = of.as_deref().unwrap_or("evt.delivery.>");
        self.look_up(subject, (from, Position(u64::MAX)), most).await
    }

    /// The events of a subject between two positions, both included, where few are expected: without a consumer.
    ///
    /// # Errors
    /// The server cannot be reached, or holds bytes that are no event.
    pub async fn few_between(
        &self,
        subject: Subject,
        range: (Position, Position),
    ) -> Result<Vec<Recorded<Event>>, LogError> {
        self.look_up(&subject.to_string(), range, usize::MAX).await
    }

    async fn look_up(
        &self,
        subject: &str,
        (mut from, to): (Position, Position),
        most: usize,
    ) -> Result<Vec<Recorded<Event>>, LogError> {
        let mut events = Vec::new();
        while from <= to && events.len() < most {
            let at_once = BATCH.min(most - events.len());
            let (batch, more) = self.lookup.next_batch(subject, from.0, at_once).await?;
            for message in &batch {
                if message.sequence > to.0 {
                    return Ok(events);
                }
                events.push(self.recorded(message).await?);
                from = Position(message.sequence + 1);
            }
            if !more || batch.is_empty() {
                break;
            }
        }
        Ok(events)
    }

    /// The first `most` events of some subjects between two positions, both included.
    ///
    /// # Errors
    /// The server cannot be reached, or holds bytes that are no event.
    pub async fn events_between(
        &self,
        subjects: &[Subject],
        (from, to): (Position, Position),
        most: usize,
    ) -> Result<Vec<Recorded<Event>>, LogError> {
        let mut last = Position(0);
        for subject in subjects {
            last = last.max(self.last_of(*subject).await?);
        }
        let last = last.min(to);
        if last < from || last == Position(0) {
            return Ok(Vec::new());
        }
        let names: Vec<String> = subjects.iter().map(ToString::to_string).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.read_on(&names, (from, last), most).await
    }

    /// The first `most` events of some subjects from a position on, up to `last`; one of theirs is there or behind it.
    async fn read_on(
        &self,
        subjects: &[&str],
        (from, last): (Position, Position),
        most: usize,
    ) -> Result<Vec<Recorded<Event>>, LogError> {
        let mut events = Vec::new();
        let mut reader = self.read_between(subjects, (from, last)).await?;
        while events.len() < most
            && let Some(batch) = reader.next_batch(BATCH.min(most - events.len())).await?
        {
            for entry in batch {
                events.push(entry.map_err(LogError::from)?);
            }
        }
        Ok(events)
    }
}

/// Which event of its own subject a message follows on, as the server checked: 0 if it is the first one. `None` if the
/// server was not asked to.
fn follows_on(headers: &HeaderMap, subject: &str) -> Option<u64> {
    let on = envelope::header(headers, envelope::EXPECTED_ON);
    let expected = envelope::header(headers, envelope::EXPECTED)?;
    on.is_none_or(|on| on == subject).then(|| expected.parse().ok())?
}
