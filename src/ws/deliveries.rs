//! What this node has written to sockets, told to the log a few times a second.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Mutex as AsyncMutex, time::sleep};
use tracing::warn;

use crate::{
    adapters::event_log::{EventLog, Expect, LogError, NewEvent},
    events::{
        Cause, Delivered, DeliveredInGroup, DeliveryEvent, Event, GroupId, NodeId, Position,
        Subject, UserId,
    },
};

/// How often deliveries are told.
const TICK: Duration = Duration::from_millis(200);

/// How many members one report names: it has to be smaller than what the log takes.
const MOST: usize = 20_000;

/// Ranges, both ends included.
type Ranges = Vec<(u64, u64)>;

/// What was written and not told yet.
#[derive(Default)]
struct Written {
    /// Of queues, by number.
    queues: BTreeMap<UserId, Ranges>,
    /// Of timelines, by place in the log.
    timelines: HashMap<GroupId, HashMap<UserId, Ranges>>,
}

/// The deliveries of one node.
#[derive(Clone)]
pub struct Deliveries {
    log: EventLog,
    node: NodeId,
    written: Arc<Mutex<Written>>,
    /// The reports that are on their way, kept until the log has them; and where the last one is.
    reports: Arc<AsyncMutex<(VecDeque<NewEvent>, Position)>>,
}

impl Deliveries {
    /// Of `node`.
    pub fn new(log: EventLog, node: NodeId) -> Self {
        Self { log, node, written: Arc::default(), reports: Arc::default() }
    }

    /// Notes that a queue entry was written to the user's socket.
    pub fn note(&self, user: UserId, number: u64) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        extend(written.queues.entry(user).or_default(), (number, number));
    }

    /// Notes that the user has received what a group's timeline has there.
    pub fn note_said(&self, user: UserId, group: GroupId, range: (u64, u64)) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        extend(written.timelines.entry(group).or_default().entry(user).or_default(), range);
    }

    /// Tells the log all that was noted before; answers with the position of the last report.
    ///
    /// # Errors
    /// The log cannot be reached; what was noted is kept and told later.
    pub async fn flush(&self) -> Result<Position, LogError> {
        let mut reports = self.reports.lock().await;
        // Reports that failed before go first, as they are; then all that was noted since. No
        // more: under traffic there is always something new.
        for fresh in [false, true] {
            if fresh {
                reports.0 = self.next_reports();
            }
            while let Some(event) = reports.0.front_mut() {
                reports.1 = self.log.append_unsynced(event, Expect::Anything).await?.position;
                reports.0.pop_front();
            }
        }
        Ok(reports.1)
    }

    fn next_reports(&self) -> VecDeque<NewEvent> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let Written { queues, timelines } = std::mem::take(&mut *written);
        drop(written);
        let row = |(user, ranges)| Delivered { user, ranges };
        let mut users: Vec<Delivered> = queues.into_iter().map(row).collect();
        let mut groups = alike(timelines).into_iter().peekable();
        let mut reports = VecDeque::new();
        while !users.is_empty() || groups.peek().is_some() {
            let mut named = 0;
            let some = std::iter::from_fn(|| {
                let next = groups.next_if(|next| named == 0 || named + next.users.len() <= MOST)?;
                named += next.users.len();
                Some(next)
            });
            let groups = some.collect();
            let event = DeliveryEvent::Written { users: std::mem::take(&mut users), groups };
            let (subject, cause) = (Subject::Delivery(self.node), Cause::own("delivery"));
            reports.push_back(NewEvent::new(subject, Event::Delivery(event), None, &cause));
        }
        reports
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

fn extend(ranges: &mut Ranges, (from, to): (u64, u64)) {
    match ranges.last_mut() {
        Some((_, end)) if *end + 1 == from => *end = to,
        _ => ranges.push((from, to)),
    }
}

/// Those who have received the same of a group are named together.
fn alike(timelines: HashMap<GroupId, HashMap<UserId, Ranges>>) -> Vec<DeliveredInGroup> {
    let mut groups = Vec::new();
    for (group, members) in timelines {
        let mut same: BTreeMap<Ranges, Vec<UserId>> = BTreeMap::new();
        for (user, ranges) in members {
            same.entry(ranges).or_default().push(user);
        }
        for (ranges, mut users) in same {
            users.sort_unstable();
            let some = users.chunks(MOST).map(<[UserId]>::to_vec);
            groups.extend(some.map(|users| DeliveredInGroup {
                group,
                ranges: ranges.clone(),
                users,
            }));
        }
    }
    groups
}
