//! The reaper says for a lost gateway what it cannot say itself: that its connections have ended.

use std::{collections::HashMap, time::Duration};

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::{Executor, connections::Disconnect};
use crate::{
    adapters::nats::checkpoints::{Checkpoints, LOST_AFTER},
    events::{Cause, ConnectionId, DisconnectReason, NodeId, Position, UserId},
    projections::presence,
    telemetry::ProjectionHealth,
};

/// How many connections are ended at once.
const AT_ONCE: usize = 256;

/// Looks for gateways that are silent. Runs beside the `presence` runner, on every projector; only
/// the one that holds the read model acts.
pub struct Reaper {
    executor: Executor,
    health: ProjectionHealth,
    /// How far the read model was, at most.
    seen: Position,
    /// Since when a node that was never heard of has been known to have connections.
    unheard: HashMap<NodeId, Instant>,
}

impl Reaper {
    /// Of the projector that `executor` belongs to.
    pub fn new(executor: Executor, health: ProjectionHealth) -> Self {
        Self { executor, health, seen: Position(0), unheard: HashMap::new() }
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
            let ours =
                self.executor.checkpoints.active_runner("presence") == Some(self.executor.node);
            if !ours || listening_since.elapsed() < LOST_AFTER {
                continue;
            }
            if let Err(error) = self.reap().await {
                warn!(%error, "cannot look for lost gateways");
            }
        }
    }

    /// Ends the connections of lost gateways; answers how many.
    ///
    /// # Errors
    /// Redis or the log cannot be reached.
    pub async fn reap(&mut self) -> anyhow::Result<usize> {
        if !self.health.is_live("presence") {
            self.seen = Position(0); // the log itself may be another one
            return Ok(0);
        }
        let (position, nodes) = presence::nodes(&self.executor.redis).await?;
        if !self.is_whole(position) {
            return Ok(0);
        }
        self.unheard.retain(|node, _| nodes.contains_key(node));
        let mut ended = 0;
        for (node, count) in nodes {
            if self.is_lost(node) {
                info!(node = %node, count, "gateway `{node}` is lost, its {count} sockets are over");
                ended += self.end_all(node).await?;
            }
        }
        Ok(ended)
    }

    /// Has the read model all that it ever had? One that is being built anew has connections that ended long ago, of
    /// gateways that are long gone.
    fn is_whole(&mut self, position: Position) -> bool {
        self.seen = self.seen.max(position);
        position == self.seen
    }

    async fn end_all(&mut self, node: NodeId) -> anyhow::Result<usize> {
        let (mut ended, mut last, mut from) = (0, Position(0), 0);
        loop {
            let page = presence::connections_of(&self.executor.redis, node, from, AT_ONCE).await?;
            if !self.is_whole(page.position) {
                break;
            }
            for some in page.connections.chunks(AT_ONCE) {
                for end in join_all(some.iter().map(|one| self.end(*one))).await {
                    last = last.max(end?);
                    ended += 1;
                }
            }
            from = page.next;
            if from == 0 {
                break;
            }
        }
        // Until then the next round would end them again.
        self.executor.checkpoints.wait_for_projections(last, &["presence"], LOST_AFTER).await;
        Ok(ended)
    }

    fn is_lost(&mut self, node: NodeId) -> bool {
        match self.executor.checkpoints.silence(&Checkpoints::gateway(node)) {
            Some(silence) => silence >= LOST_AFTER,
            None => self.unheard.entry(node).or_insert_with(Instant::now).elapsed() >= LOST_AFTER,
        }
    }

    async fn end(&self, (user, connection): (UserId, ConnectionId)) -> anyhow::Result<Position> {
        let disconnect = Disconnect { user, connection, reason: DisconnectReason::NodeLost };
        Ok(disconnect.run(&self.executor, &Cause::own("reaper")).await?)
    }
}
