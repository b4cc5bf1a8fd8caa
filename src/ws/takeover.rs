//! The takeover barrier: a new connection delivers once those before it have written their last, and the queue knows
//! what they delivered (docs/design/connections.md).

use std::{collections::BTreeSet, pin::Pin, time::Duration};

use futures_util::future::join_all;
use tokio::time::sleep;
use tracing::{debug, warn};

use super::sockets::Sockets;
use crate::{
    adapters::nats::hand_over::HandOverRequest,
    events::{ConnectionId, NodeId, Position, UserId},
    projections::offline_queue::query::{self, ConnectionStart},
};

/// How long after a failed read of the queue the next one is tried.
pub(super) const RETRY: Duration = Duration::from_millis(300);

/// What the barrier says once it is passed: where the connection began, and the position as of which what those before
/// it have received is known; `None` if another connection is current by now.
pub(super) type Passed = Option<(ConnectionStart, Position)>;

/// What a connection waits for before it delivers anything.
pub(super) type TakeoverBarrier = Pin<Box<dyn Future<Output = Passed> + Send>>;

/// Has the user's other connections write their last and report what they have received, here and on the gateways that
/// have one by the log; then finds out where the queue was when this one connected.
pub(super) async fn takeover(
    sockets: Sockets,
    user: UserId,
    connection: ConnectionId,
    connected: Position,
    elsewhere: BTreeSet<NodeId>,
) -> Passed {
    let request = HandOverRequest { user, since: connected };
    let here = sockets.registry.hand_over(user);
    let there = elsewhere.iter().map(|node| sockets.hand_overs.hand_over(*node, request));
    let (here, there) = tokio::join!(here, join_all(there));
    let reported = there.into_iter().flatten().chain(here.ok());
    let position = reported.fold(connected, Position::max);
    let queue = &["offline_queue"];
    while !sockets
        .app
        .executor
        .checkpoints
        .wait_for_projections(position, queue, Duration::from_secs(5))
        .await
    {
        debug!("waiting for the queue of user `{user}`");
    }
    loop {
        match query::opened_at(&sockets.app.executor.redis, user, connection, position).await {
            Ok(opened) => return opened.map(|opened| (opened, position)),
            Err(error) => {
                warn!(%error, "cannot read a queue");
                sleep(RETRY).await;
            }
        }
    }
}
