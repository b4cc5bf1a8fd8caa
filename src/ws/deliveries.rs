//! What this node has written to sockets, told to the log a few times a second.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Mutex as AsyncMutex, time::sleep};
use tracing::warn;

use crate::{
    adapters::event_log::{EventLog, Expect, LogError, NewEvent},
    events::{Cause, Delivered, DeliveryEvent, Event, NodeId, Position, Subject, UserId},
};

/// How often deliveries are told.
const TICK: Duration = Duration::from_millis(200);

/// Ranges of queue numbers, both ends included.
type Written = BTreeMap<UserId, Vec<(u64, u64)>>;

/// The deliveries of one node.
#[derive(Clone)]
pub struct Deliveries {
    log: EventLog,
    node: NodeId,
    written: Arc<Mutex<Written>>,
    /// The report that is on its way, kept until the log has it; and where the last one is.
    report: Arc<AsyncMutex<(Option<NewEvent>, Position)>>,
}

impl Deliveries {
    /// Of `node`.
    pub fn new(log: EventLog, node: NodeId) -> Self {
        Self { log, node, written: Arc::default(), report: Arc::default() }
    }

    /// Notes that a queue entry was written to the user's socket.
    pub fn note(&self, user: UserId, number: u64) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let ranges = written.entry(user).or_default();
        match ranges.last_mut() {
            Some((_, to)) if *to + 1 == number => *to = number,
            _ => ranges.push((number, number)),
        }
    }

    /// Tells the log all that was noted before; answers with the position of the last report.
    ///
    /// # Errors
    /// The log cannot be reached; what was noted is kept and told later.
    pub async fn flush(&self) -> Result<Position, LogError> {
        let mut report = self.report.lock().await;
        // A report that failed before goes first, as it is; then all that was noted since. No
        // more: under traffic there is always something new.
        for fresh in [false, true] {
            if fresh {
                report.0 = self.next_report();
            }
            if let (Some(event), _) = &*report {
                let appended = self.log.append_unsynced(event, Expect::Anything).await?;
                *report = (None, appended.position);
            }
        }
        Ok(report.1)
    }

    fn next_report(&self) -> Option<NewEvent> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let users: Vec<Delivered> = std::mem::take(&mut *written)
            .into_iter()
            .map(|(user, ranges)| Delivered { user, ranges })
            .collect();
        let event = Event::Delivery(DeliveryEvent::Written { users: users.clone() });
        (!users.is_empty()).then(|| {
            NewEvent::new(Subject::Delivery(self.node), event, None, &Cause::own("delivery"))
        })
    }

    /// Tells the log now and then, for ever.
    pub async fn run(self) {
        loop {
            sleep(TICK).await;
            if let Err(error) = self.flush().await {
                warn!(%error, "deliveries cannot be told yet");
            }
        }
    }
}
