//! Says for a dead gateway what it cannot say itself: that its sockets ended.

use std::{collections::HashMap, time::Duration};

use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::{execute::Aggregate as _, session::Session};
use crate::{
    adapters::{
        checkpoints::{Checkpoints, LEASE},
        event_log::{EventLog, Expect, LogError, NewEvent},
        redis::Redis,
    },
    events::{Cause, ConnectionId, DisconnectReason, Event, NodeId, SessionEvent, UserId},
    projections::presence,
};

/// Looks for gateways that are silent. Runs beside the `presence` runner, on every projector; only
/// the one that holds the read model acts.
pub struct Reaper {
    log: EventLog,
    checkpoints: Checkpoints,
    redis: Redis,
    node: NodeId,
    /// Since when a node that was never heard of has been known to have sockets.
    unheard: HashMap<NodeId, Instant>,
}

impl Reaper {
    /// For the projector `node`.
    pub fn new(log: EventLog, checkpoints: Checkpoints, redis: Redis, node: NodeId) -> Self {
        Self { log, checkpoints, redis, node, unheard: HashMap::new() }
    }

    /// Looks every second, for ever.
    pub async fn run(mut self, mut reconnects: tokio::sync::watch::Receiver<u64>) {
        let mut listening_since = Instant::now();
        loop {
            sleep(Duration::from_secs(1)).await;
            if reconnects.has_changed().unwrap_or(false) {
                // We heard nobody while we were cut off ourselves.
                reconnects.mark_unchanged();
                reconnects.borrow_and_update();
                listening_since = Instant::now();
                self.unheard.clear();
            }
            let ours = self.checkpoints.holder("presence") == Some(self.node);
            if !ours || listening_since.elapsed() < LEASE {
                continue;
            }
            if let Err(error) = self.look().await {
                warn!(%error, "cannot look for lost gateways");
            }
        }
    }

    async fn look(&mut self) -> anyhow::Result<()> {
        let nodes = presence::nodes(&self.redis).await?;
        self.unheard.retain(|node, _| nodes.contains_key(node));
        for (node, count) in nodes {
            if !self.is_lost(node) {
                continue;
            }
            let connections = presence::connections_of(&self.redis, node).await?;
            info!(node = %node, count, "gateway `{node}` is lost, its {count} sockets are over");
            for (user, connection) in connections {
                self.end(user, connection).await?;
            }
        }
        Ok(())
    }

    fn is_lost(&mut self, node: NodeId) -> bool {
        match self.checkpoints.silence(&Checkpoints::gateway(node)) {
            Some(silence) => silence >= LEASE,
            None => self.unheard.entry(node).or_insert_with(Instant::now).elapsed() >= LEASE,
        }
    }

    async fn end(&self, user: UserId, connection: ConnectionId) -> Result<(), LogError> {
        let reason = DisconnectReason::NodeLost;
        let event = Event::Session(SessionEvent::Disconnected { connection, reason });
        let mut new = NewEvent {
            // However often this is said, it is one fact.
            id: uuid::Uuid::new_v5(&connection.0, b"node_lost"),
            ..NewEvent::new(Session::subject(user), event, None, &Cause::own("reaper"))
        };
        self.log.append_unsynced(&mut new, Expect::Anything).await?;
        Ok(())
    }
}
