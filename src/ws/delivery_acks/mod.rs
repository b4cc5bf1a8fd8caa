//! Delivery acknowledgements, reported to the log a few times a second: entries that were written to connections, once
//! their clients' systems have acknowledged them (clarification 35, ADR 0015).

mod unreported;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Mutex as AsyncMutex, time::sleep};
use tracing::warn;

use self::unreported::{UnreportedAcks, reported};
use super::{place::Place, unacknowledged::Unacknowledged};
use crate::{
    adapters::{
        client_stream::ClientConnection,
        nats::event_log::EventLog,
        nats::log_error::LogError,
        nats::new_event::{Expect, NewEvent},
    },
    events::{Cause, ConnectionId, Event, NodeId, Position, UserId},
};

/// How often deliveries are told.
const TICK: Duration = Duration::from_millis(200);

/// How often a connection that is about to end is asked what has arrived.
const PAUSE: Duration = Duration::from_millis(5);

/// How many connections are asked before others may note what they wrote.
const AT_ONCE: usize = 64;

/// The deliveries of one node.
#[derive(Clone)]
pub struct DeliveryAcks {
    log: EventLog,
    node: NodeId,
    written: Arc<Mutex<Written>>,
    /// The reports that are on their way, kept until the log has them; and where the last one is.
    reports: Arc<AsyncMutex<(VecDeque<NewEvent>, Position)>>,
}

/// What was written and not reported yet.
#[derive(Default)]
struct Written {
    /// To which connections, and not acknowledged. Most connections are idle and not here.
    sockets: HashMap<ConnectionId, Socket>,
    /// Acknowledged.
    delivered: UnreportedAcks,
}

struct Socket {
    user: UserId,
    client: Arc<ClientConnection>,
    outstanding: Unacknowledged,
}

impl DeliveryAcks {
    /// Of `node`.
    pub fn new(log: EventLog, node: NodeId) -> Self {
        Self { log, node, written: Arc::default(), reports: Arc::default() }
    }

    /// Notes that an entry was written to a user's connection, or that there was nothing to write for it.
    pub(super) fn record(
        &self,
        (user, connection): (UserId, ConnectionId),
        client: &Arc<ClientConnection>,
        place: Place,
    ) {
        self.with(|written| {
            let socket = written.sockets.entry(connection).or_insert_with(|| Socket {
                user,
                client: Arc::clone(client),
                outstanding: Unacknowledged::new(),
            });
            socket.outstanding.push(client.written(), place);
        });
    }

    /// Waits, not for long, until all that a connection was given has arrived: it ends, or another one has the rest. If
    /// it does not arrive the connection is aborted, so that it never will, and `false` is the answer.
    pub(super) async fn settle(&self, connection: ConnectionId) -> bool {
        loop {
            let settled = self.with(|written| written.settle(connection));
            match settled {
                Some(settled) => return settled,
                None => sleep(PAUSE).await,
            }
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut Written) -> T) -> T {
        change(&mut self.written.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks what has arrived at all connections that have something outstanding.
    fn check_all(&self) {
        let connections: Vec<_> = self.with(|written| written.sockets.keys().copied().collect());
        for some in connections.chunks(AT_ONCE) {
            self.with(|written| some.iter().for_each(|connection| _ = written.check(*connection)));
        }
        self.with(|written| {
            if written.sockets.is_empty() {
                written.sockets = HashMap::new(); // gives the memory back
            }
        });
    }

    /// Tells the log all that has arrived; answers with the position of the last report.
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
        let delivered = self.with(|written| std::mem::take(&mut written.delivered));
        let (node, cause) = (self.node, Cause::own("delivery"));
        delivered
            .into_reports()
            .into_iter()
            .map(move |report| NewEvent::new(Event::Delivery(node, report), None, &cause))
    }

    /// Tells the log now and then, for ever.
    pub async fn run(self) {
        loop {
            sleep(TICK).await;
            self.check_all();
            if let Err(error) = self.flush().await {
                warn!(%error, "cannot append delivery acknowledgements yet");
            }
        }
    }
}

impl Written {
    /// Moves what has arrived at a connection to what is delivered; `None` if that was all, and otherwise what is left.
    fn check(&mut self, connection: ConnectionId) -> Option<(&Socket, bool)> {
        let socket = self.sockets.get_mut(&connection)?;
        let acknowledged = socket.client.acknowledged();
        for place in socket.outstanding.take_arrived(acknowledged.bytes) {
            match place {
                Place::Queue { number, position } => {
                    self.delivered.add(socket.user, number, position);
                }
                Place::Timeline { group, position, after } => {
                    self.delivered.add_in_group(socket.user, group, (after + 1, position));
                }
            }
        }
        if socket.outstanding.is_empty() {
            self.sockets.remove(&connection);
        }
        let socket = self.sockets.get(&connection)?;
        Some((socket, acknowledged.is_final))
    }

    /// Has all arrived? `None` if it still may.
    fn settle(&mut self, connection: ConnectionId) -> Option<bool> {
        let Some((socket, is_final)) = self.check(connection) else { return Some(true) };
        if !is_final && !socket.outstanding.is_overdue() {
            return None;
        }
        socket.client.abort();
        self.sockets.remove(&connection);
        Some(false)
    }
}
