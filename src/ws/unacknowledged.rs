//! Unacknowledged entries: written to a connection, and not yet acknowledged by its client's system (clarification 35).

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::place::Place;

/// How long what was just written may stay unacknowledged before its client counts as gone. A host may hold an
/// acknowledgement back for up to half a second (RFC 1122 §4.2.3.2).
pub(super) const PATIENCE: Duration = Duration::from_millis(500);

/// Entries in the order in which they were written, each with the number of bytes that the connection had carried then.
#[derive(Debug)]
pub(super) struct Unacknowledged {
    entries: VecDeque<(u64, Place)>,
    /// When the last one was written.
    since: Instant,
}

impl Unacknowledged {
    pub(super) fn new() -> Self {
        Self { entries: VecDeque::new(), since: Instant::now() }
    }

    /// An entry that ended when so many bytes were written.
    pub(super) fn push(&mut self, end: u64, place: Place) {
        self.entries.push_back((end, place));
        self.since = Instant::now();
    }

    /// The entries that have arrived, now that so many bytes are acknowledged.
    pub(super) fn take_arrived(&mut self, bytes: u64) -> impl Iterator<Item = Place> {
        let arrived = self.entries.partition_point(|(end, _)| *end <= bytes);
        self.entries.drain(..arrived).map(|(_, place)| place)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Has the client had time enough to acknowledge it all?
    pub(super) fn is_overdue(&self) -> bool {
        self.since.elapsed() >= PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{GroupId, Position};

    fn queued(number: u64) -> Place {
        Place::Queue { number, position: Position(number) }
    }

    fn arrived(outstanding: &mut Unacknowledged, bytes: u64) -> Vec<Place> {
        outstanding.take_arrived(bytes).collect()
    }

    #[test]
    fn an_entry_has_arrived_when_its_last_byte_has() {
        let mut outstanding = Unacknowledged::new();
        let said = Place::Timeline { group: GroupId(3), position: 9, after: 7 };
        // 150 bytes of greetings came before; a heartbeat of 20 is between the second and the third.
        for (end, place) in [(250, queued(1)), (350, queued(2)), (470, said), (470, queued(3))] {
            outstanding.push(end, place); // the last one was passed over: nothing was written
        }
        assert_eq!(arrived(&mut outstanding, 249), []);
        assert_eq!(arrived(&mut outstanding, 250), [queued(1)]);
        assert_eq!(arrived(&mut outstanding, 250), []);
        assert_eq!(arrived(&mut outstanding, 469), [queued(2)]);
        assert!(!outstanding.is_empty());
        assert_eq!(arrived(&mut outstanding, 600), [said, queued(3)]);
        assert!(outstanding.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_has_half_a_second_from_the_last_entry_on() {
        let mut outstanding = Unacknowledged::new();
        outstanding.push(1, queued(1));
        tokio::time::advance(PATIENCE).await;
        outstanding.push(2, queued(2));
        assert!(!outstanding.is_overdue());
        tokio::time::advance(PATIENCE).await;
        assert!(outstanding.is_overdue());
    }
}
