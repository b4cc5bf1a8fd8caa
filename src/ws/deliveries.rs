//! What this node has delivered, told to the log a few times a second.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Mutex as AsyncMutex, time::sleep};
use tracing::warn;

use super::delivery_reports::{Unreported, reported};
use crate::{
    adapters::event_log::{EventLog, Expect, LogError, NewEvent},
    events::{Cause, Event, GroupId, NodeId, Position, Subject, UserId},
};

/// How often deliveries are told.
const TICK: Duration = Duration::from_millis(200);

/// The deliveries of one node.
#[derive(Clone)]
pub struct Deliveries {
    log: EventLog,
    node: NodeId,
    unreported: Arc<Mutex<Unreported>>,
    /// The reports that are on their way, kept until the log has them; and where the last one is.
    reports: Arc<AsyncMutex<(VecDeque<NewEvent>, Position)>>,
}

impl Deliveries {
    /// Of `node`.
    pub fn new(log: EventLog, node: NodeId) -> Self {
        Self { log, node, unreported: Arc::default(), reports: Arc::default() }
    }

    /// Notes that a queue entry was written to the user's socket.
    pub fn note(&self, user: UserId, number: u64) {
        self.with(|unreported| unreported.add(user, number));
    }

    /// Notes that the user has received what a group's timeline has there.
    pub fn note_said(&self, user: UserId, group: GroupId, range: (u64, u64)) {
        self.with(|unreported| unreported.add_in_group(user, group, range));
    }

    fn with<T>(&self, change: impl FnOnce(&mut Unreported) -> T) -> T {
        change(&mut self.unreported.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells the log all that was noted before; answers with the position of the last report.
    ///
    /// # Errors
    /// The log cannot be reached; what was noted is kept and told later.
    pub async fn flush(&self) -> Result<Position, LogError> {
        let mut held = self.reports.lock().await;
        let (reports, last) = &mut *held;
        // Reports that failed before go first, as they are; then all that was noted since. No
        // more: under traffic there is always something new.
        for fresh in [false, true] {
            if fresh {
                reports.extend(self.next_reports());
            }
            while let Some(report) = reports.front_mut() {
                let answer = self.log.append_unsynced(report, Expect::Anything).await;
                *last = reported(answer)?.unwrap_or(*last);
                reports.pop_front();
            }
        }
        Ok(*last)
    }

    fn next_reports(&self) -> impl Iterator<Item = NewEvent> {
        let reports = self.with(std::mem::take).into_reports();
        let (subject, cause) = (Subject::Delivery(self.node), Cause::own("delivery"));
        reports
            .into_iter()
            .map(move |report| NewEvent::new(subject, Event::Delivery(report), None, &cause))
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
