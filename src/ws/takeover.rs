//! Where a socket begins in its user's queue, once those before it have told what they delivered:
//! `docs/design/connections.md`.

use std::{pin::Pin, time::Duration};

use tokio::time::sleep;
use tracing::{debug, warn};

use super::sockets::Sockets;
use crate::{
    adapters::nats::hand_over::HandOverRequest,
    events::{ConnectionId, NodeId, Position, UserId},
    projections::offline_queue::query::{self, ConnectionStart},
};

/// How long after a failed look into the queue the next one is tried.
pub(super) const RETRY: Duration = Duration::from_millis(300);

/// Finds out where the queue was when the socket opened, once whoever had the queue before has told
/// what he delivered, and where; `None` if the socket is not the user's any more.
pub(super) async fn takeover(
    sockets: Sockets,
    user: UserId,
    connection: ConnectionId,
    connected: Position,
    elsewhere: Option<NodeId>,
) -> Option<(ConnectionStart, Position)> {
    let here = sockets.registry.hand_over(user);
    let there = async {
        let request = HandOverRequest { user, since: connected };
        match elsewhere {
            Some(node) => sockets.hand_overs.hand_over(node, request).await,
            None => None,
        }
    };
    let (here, there) = tokio::join!(here, there);
    let position = connected.max(here.unwrap_or_default()).max(there.unwrap_or_default());
    let queue = &["offline_queue"];
    while !sockets
        .app
        .executor
        .checkpoints
        .wait_for_projections(position, queue, Duration::from_secs(5))
        .await
    {
        debug!(user.id = %user, "waiting for the queue of user `{user}`");
    }
    loop {
        match query::opened_at(&sockets.app.executor.redis, user, connection, position).await {
            Ok(opened) => return opened.map(|opened| (opened, position)),
            Err(error) => {
                warn!(%error, "cannot look into a queue");
                sleep(RETRY).await;
            }
        }
    }
}

/// What a socket waits for before it delivers anything.
pub(super) type TakeoverBarrier =
    Pin<Box<dyn Future<Output = Option<(ConnectionStart, Position)>> + Send>>;
