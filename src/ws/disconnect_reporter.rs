//! Disconnects of this gateway's connections: appended to the log, each after what its connection has received, however
//! long the log is away.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};
use tracing::warn;

use super::delivery_acks::DeliveryAcks;
use crate::{
    events::Cause,
    executor::{Executor, connections::Disconnect},
};

/// From one attempt to append to the next.
const PAUSE: Duration = Duration::from_millis(500);

/// So many are appended at once.
const AT_ONCE: usize = 256;

/// Where connections report their ends.
pub(super) struct DisconnectReporter {
    queue: mpsc::UnboundedSender<Disconnect>,
    pending: watch::Sender<usize>,
}

impl DisconnectReporter {
    /// Run the returned future.
    pub(super) fn start(
        executor: Executor,
        delivery_acks: DeliveryAcks,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (queue, ended) = mpsc::unbounded_channel();
        let pending = watch::channel(0).0;
        (Self { queue, pending: pending.clone() }, run(executor, delivery_acks, ended, pending))
    }

    /// A connection, of which the log knows, has ended.
    pub(super) fn report(&self, disconnect: Disconnect) {
        self.pending.send_modify(|count| *count += 1);
        _ = self.queue.send(disconnect);
    }

    /// Has [`DisconnectReporter::all_reported`] look again.
    pub(super) fn changed(&self) {
        self.pending.send_modify(|_| {});
    }

    /// Returns once no connection is left, and the log knows of the end of each.
    pub(super) async fn all_reported(&self, none_left: impl Fn() -> bool) {
        let mut pending = self.pending.subscribe();
        while !none_left() || *pending.borrow_and_update() > 0 {
            if pending.changed().await.is_err() {
                return;
            }
        }
    }
}

async fn run(
    executor: Executor,
    delivery_acks: DeliveryAcks,
    mut ended: mpsc::UnboundedReceiver<Disconnect>,
    pending: watch::Sender<usize>,
) {
    let mut batch = Vec::new();
    while ended.recv_many(&mut batch, AT_ONCE).await > 0 {
        let count = batch.len();
        while let Err(error) = delivery_acks.flush().await {
            warn!(%error, "cannot append disconnects yet; {count} pending");
            sleep(PAUSE).await;
        }
        join_all(batch.drain(..).map(|disconnect| append(&executor, disconnect))).await;
        pending.send_modify(|left| *left -= count);
    }
}

async fn append(executor: &Executor, disconnect: Disconnect) {
    while let Err(error) = disconnect.run(executor, &Cause::own("socket")).await {
        warn!(%error, "cannot append a disconnect yet");
        sleep(PAUSE).await;
    }
}
