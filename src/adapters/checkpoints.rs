//! Who has seen how much of the log: projections and gateways tell each other (DESIGN §4).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_nats::Client;
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use crate::events::{NodeId, Position};

/// Who is silent for longer than this is gone.
pub const LEASE: Duration = Duration::from_secs(10);
/// How often somebody who has nothing new to say repeats himself.
pub const HEARTBEAT: Duration = Duration::from_secs(3);

/// Somebody has come, and has heard nobody yet.
const HELLO: &str = "checkpoint.hello";

/// The positions of all projections and gateways, as last heard.
#[derive(Clone)]
pub struct Checkpoints {
    client: Client,
    seen: Arc<Mutex<HashMap<String, Heard>>>,
    /// What this process says of itself, for those who come later.
    own: Arc<Mutex<HashMap<String, Beat>>>,
    changed: watch::Sender<()>,
}

/// What somebody says of himself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// How far he is.
    pub position: Position,
    /// The process.
    pub node: NodeId,
    /// Is this the last word?
    #[serde(default)]
    pub leaving: bool,
}

#[derive(Debug, Clone, Copy)]
struct Heard {
    beat: Beat,
    at: Instant,
}

impl Checkpoints {
    /// Listens from now on, and asks everybody to say at once how far he is: whoever has not been heard of yet is not
    /// waited for. Run the returned future.
    ///
    /// # Errors
    /// Not connected to the server.
    pub async fn start(
        client: Client,
    ) -> Result<(Self, impl Future<Output = ()> + Send + 'static), async_nats::SubscribeError> {
        let mut beats = client.subscribe("checkpoint.>").await?;
        let this = Self {
            client,
            seen: Arc::default(),
            own: Arc::default(),
            changed: watch::channel(()).0,
        };
        let listener = this.clone();
        let listen = async move {
            _ = listener.client.publish(HELLO, Bytes::new()).await;
            while let Some(message) = beats.next().await {
                if message.subject.as_str() == HELLO {
                    listener.repeat().await;
                    continue;
                }
                let name = message.subject.strip_prefix("checkpoint.");
                let beat = serde_json::from_slice(&message.payload);
                if let (Some(name), Ok(beat)) = (name, beat) {
                    listener.hear(name, beat);
                }
            }
        };
        Ok((this, listen))
    }

    fn hear(&self, name: &str, beat: Beat) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let heard = Heard { beat, at: Instant::now() };
        match seen.get_mut(name) {
            Some(known) => *known = heard,
            None => _ = seen.insert(name.to_owned(), heard),
        }
        drop(seen);
        self.changed.send_replace(());
    }

    /// Tells everybody, and ourselves at once.
    pub async fn tell(&self, name: &str, beat: Beat) {
        self.hear(name, beat);
        self.own.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), beat);
        self.publish(name, beat).await;
    }

    async fn repeat(&self) {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (name, beat) in own.into_iter().filter(|(_, beat)| !beat.leaving) {
            self.publish(&name, beat).await;
        }
    }

    async fn publish(&self, name: &str, beat: Beat) {
        let body = serde_json::to_vec(&beat).expect("a beat is plain data");
        _ = self.client.publish(format!("checkpoint.{name}"), body.into()).await;
    }

    /// Returns when all that was told has left this process.
    pub async fn flush(&self) {
        _ = self.client.flush().await;
    }

    /// The name under which a gateway's caches are known.
    pub fn gateway(node: NodeId) -> String {
        format!("gateway.{node}")
    }

    /// The process that works on `name`, if it was heard of lately.
    pub fn holder(&self, name: &str) -> Option<NodeId> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(name).filter(|heard| heard.is_alive()).map(|heard| heard.beat.node)
    }

    /// Where `name` is, as last heard.
    pub fn position(&self, name: &str) -> Option<Position> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(name).map(|heard| heard.beat.position)
    }

    /// When `name` was last heard of; `None` if it said good-bye or never was.
    pub fn silence(&self, name: &str) -> Option<Duration> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(name).filter(|heard| !heard.beat.leaving).map(|heard| heard.at.elapsed())
    }

    /// Waits until all of `projections` and, if asked, the caches of all live gateways have passed
    /// `position`; `false` if that takes longer than `limit`.
    pub async fn passed(
        &self,
        position: Position,
        projections: &[&str],
        gateways: bool,
        limit: Duration,
    ) -> bool {
        let deadline = Instant::now() + limit;
        let mut changed = self.changed.subscribe();
        loop {
            if self.have_passed(position, projections, gateways) {
                return true;
            }
            if !matches!(timeout_at(deadline, changed.changed()).await, Ok(Ok(()))) {
                return false;
            }
        }
    }

    fn have_passed(&self, position: Position, projections: &[&str], gateways: bool) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let far_enough = |heard: &Heard| heard.beat.position >= position;
        projections.iter().all(|&name| seen.get(name).is_some_and(far_enough))
            && (!gateways
                || seen
                    .iter()
                    .filter(|(name, heard)| name.starts_with("gateway.") && heard.is_alive())
                    .all(|(_, heard)| far_enough(heard)))
    }
}

impl Heard {
    fn is_alive(&self) -> bool {
        !self.beat.leaving && self.at.elapsed() < LEASE
    }
}
