//! Checkpoints of projections and gateways, as these publish them to each other: who has seen how much of the log
//! (`docs/design/presence-and-liveness.md`).

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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

use super::liveness::{LIVENESS_TIMEOUT, Liveness, SERVES_WITHOUT_ECHO};
use crate::{
    events::{NodeId, Position},
    telemetry::Metrics,
};

/// Who is silent for longer than this is lost: its connections are ended, and its work is anybody's. A gateway serves nobody
/// long before ([`LIVENESS_TIMEOUT`]).
pub const LOST_AFTER: Duration = Duration::from_secs(10);
/// How often somebody who has nothing new to say repeats themselves.
pub const HEARTBEAT: Duration = Duration::from_secs(3);

/// Somebody has come, and has heard nobody yet.
const HELLO: &str = "checkpoint.hello";
/// Somebody waits for a position.
const AWAITED: &str = "checkpoint.awaited";
/// How often somebody who waits says so again.
const REPEAT: Duration = Duration::from_millis(200);

/// The positions of all projections and gateways, as last heard.
#[derive(Clone)]
pub struct Checkpoints {
    client: Client,
    seen: Arc<Mutex<HashMap<String, LastHeartbeat>>>,
    /// What this process says of itself.
    own: Arc<Mutex<Own>>,
    changed: watch::Sender<()>,
    /// The highest position that somebody waits for.
    awaited: watch::Sender<Position>,
    /// Since when everybody who lives has been heard.
    listening_since: Arc<Mutex<Instant>>,
}

/// What this process says of itself, and to whom.
#[derive(Default)]
struct Own {
    heartbeats: HashMap<String, OwnHeartbeat>,
    gateway: Option<OwnGateway>,
}

/// This process, if it is a gateway.
pub struct OwnGateway {
    name: String,
    liveness: Arc<Liveness>,
    /// They count its connections.
    metrics: Arc<Metrics>,
}

impl OwnGateway {
    /// It is told what concerns its liveness, and tells how many connections it has.
    pub fn new(node: NodeId, liveness: Arc<Liveness>, metrics: Arc<Metrics>) -> Self {
        Self { name: Checkpoints::gateway(node), liveness, metrics }
    }
}

#[derive(Clone, Copy)]
struct OwnHeartbeat {
    heartbeat: Heartbeat,
    /// The position that was published last.
    published: Option<Position>,
}

/// What somebody waits for.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Awaited {
    position: Position,
    /// Until the caches of all gateways have seen it?
    gateways: bool,
}

/// What somebody says of themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// How far they are.
    pub position: Position,
    /// The process.
    pub node: NodeId,
    /// Is this the last one?
    #[serde(default)]
    pub leaving: bool,
    /// When a gateway sent it, by a clock of its own.
    #[serde(default)]
    pub sent: u64,
    /// The event that a projection cannot apply: it stands still before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<Position>,
    /// How many a gateway has open; an older version does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<i64>,
}

impl Heartbeat {
    /// Of a process that goes on.
    pub fn at(position: Position, node: NodeId) -> Self {
        Self { position, node, leaving: false, sent: 0, stopped_at: None, connections: None }
    }

    /// The last one of a process.
    pub fn last(position: Position, node: NodeId) -> Self {
        Self { leaving: true, ..Self::at(position, node) }
    }
}

#[derive(Debug, Clone, Copy)]
struct LastHeartbeat {
    heartbeat: Heartbeat,
    at: Instant,
}

impl Checkpoints {
    /// Listens from now on, and asks everybody to say at once how far they are: whoever has not been heard of yet is
    /// not waited for. A gateway is told what concerns its liveness. Run the returned future.
    ///
    /// # Errors
    /// Not connected to the server.
    pub async fn start(
        client: Client,
        gateway: Option<OwnGateway>,
    ) -> Result<(Self, impl Future<Output = ()> + Send + 'static), async_nats::SubscribeError> {
        let mut heartbeats = client.subscribe("checkpoint.>").await?;
        let this = Self {
            client,
            seen: Arc::default(),
            own: Arc::new(Mutex::new(Own { gateway, ..Own::default() })),
            changed: watch::channel(()).0,
            awaited: watch::channel(Position(0)).0,
            listening_since: Arc::new(Mutex::new(Instant::now())),
        };
        let listener = this.clone();
        let listen = async move {
            _ = listener.client.publish(HELLO, Bytes::new()).await;
            while let Some(message) = heartbeats.next().await {
                match message.subject.as_str() {
                    HELLO => listener.repeat().await,
                    AWAITED => {
                        if let Ok(awaited) = serde_json::from_slice(&message.payload) {
                            listener.awaited(awaited).await;
                        }
                    }
                    subject => {
                        let name = subject.strip_prefix("checkpoint.");
                        let heartbeat = serde_json::from_slice(&message.payload);
                        if let (Some(name), Ok(heartbeat)) = (name, heartbeat) {
                            listener.echo(name, &heartbeat);
                            listener.record(name, heartbeat);
                        }
                    }
                }
            }
        };
        Ok((this, listen))
    }

    /// Notes how far somebody is.
    fn record(&self, name: &str, heartbeat: Heartbeat) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let heard = LastHeartbeat { heartbeat, at: Instant::now() };
        match seen.get_mut(name) {
            Some(known) => *known = heard,
            None => _ = seen.insert(name.to_owned(), heard),
        }
        drop(seen);
        self.changed.send_replace(());
    }

    fn echo(&self, name: &str, heartbeat: &Heartbeat) {
        if let Some(own) = &self.own().gateway
            && own.name == name
        {
            let was_silent = own.liveness.echo(heartbeat.sent);
            // At the start all who live answer the call.
            let known = self.seen.lock().unwrap_or_else(PoisonError::into_inner).contains_key(name);
            if was_silent && known {
                *self.listening_since.lock().unwrap_or_else(PoisonError::into_inner) =
                    Instant::now();
            }
        }
    }

    /// Says how far `name` is, if somebody waits for that; ourselves at once.
    pub async fn publish(&self, name: &str, heartbeat: Heartbeat) {
        self.record(name, heartbeat);
        let is_awaited = {
            let (mut own, awaited) = (self.own(), *self.awaited.borrow());
            let known = own.heartbeats.get_mut(name);
            match known {
                Some(known) => {
                    known.heartbeat = heartbeat;
                    known.published.is_none_or(|published| published < awaited)
                }
                None => true,
            }
        };
        if is_awaited || heartbeat.leaving {
            self.send(name, heartbeat).await;
        }
    }

    /// Says to everybody how far `name` is, and that it lives.
    pub async fn publish_heartbeat(&self, name: &str, heartbeat: Heartbeat) {
        self.record(name, heartbeat);
        self.send(name, heartbeat).await;
    }

    /// Somebody waits: whoever here has got on since they said how far they are says it now.
    async fn awaited(&self, awaited: Awaited) {
        let due: Vec<(String, Heartbeat)> = {
            let own = self.own();
            self.awaited.send_if_modified(|highest| {
                let is_higher = awaited.position > *highest;
                *highest = awaited.position.max(*highest);
                is_higher
            });
            if let (true, Some(gateway)) = (awaited.gateways, &own.gateway) {
                gateway.liveness.awaited(awaited.position);
            }
            let got_on = |known: &OwnHeartbeat| known.published != Some(known.heartbeat.position);
            let own = own.heartbeats.iter().filter(|(_, known)| got_on(known));
            own.map(|(name, known)| (name.clone(), known.heartbeat)).collect()
        };
        for (name, heartbeat) in due {
            self.send(&name, heartbeat).await;
        }
    }

    /// Returns once somebody waits for a position beyond this one.
    pub async fn awaited_beyond(&self, position: Position) {
        let mut awaited = self.awaited.subscribe();
        _ = awaited.wait_for(|awaited| *awaited > position).await; // the sender is ours
    }

    async fn repeat(&self) {
        let own = self.own().heartbeats.clone();
        for (name, OwnHeartbeat { heartbeat, .. }) in own {
            self.send(&name, heartbeat).await;
        }
    }

    async fn send(&self, name: &str, mut heartbeat: Heartbeat) {
        {
            let mut own = self.own();
            if let Some(gateway) = &own.gateway
                && gateway.name == name
            {
                heartbeat.sent = gateway.liveness.sent_now();
                heartbeat.connections = Some(gateway.metrics.connections.get());
            }
            if heartbeat.leaving {
                own.heartbeats.remove(name);
            } else {
                let known = OwnHeartbeat { heartbeat, published: Some(heartbeat.position) };
                own.heartbeats.insert(name.to_owned(), known);
            }
        }
        let body = serde_json::to_vec(&heartbeat).expect("a beat is plain data");
        _ = self.client.publish(format!("checkpoint.{name}"), body.into()).await;
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// May this process serve, if it is a gateway?
    pub fn is_live(&self) -> bool {
        self.own().gateway.as_ref().is_none_or(|gateway| gateway.liveness.is_live())
    }

    /// Returns when all that was told has left this process.
    pub async fn flush(&self) {
        _ = self.client.flush().await;
    }

    /// The name under which a gateway's caches are known.
    pub fn gateway(node: NodeId) -> String {
        format!("gateway.{node}")
    }

    /// The gateways that were heard lately, and how many connections each said that it has.
    pub fn gateways(&self) -> BTreeMap<String, Option<i64>> {
        let mut gateways: BTreeMap<_, _> = {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let alive = seen.iter().filter(|(_, heard)| heard.is_alive());
            let gateway = |(name, heard): (&String, &LastHeartbeat)| {
                Some((name.strip_prefix("gateway.")?.to_owned(), heard.heartbeat.connections))
            };
            alive.filter_map(gateway).collect()
        };
        if let Some(own) = &self.own().gateway
            && let Some(known) =
                own.name.strip_prefix("gateway.").and_then(|node| gateways.get_mut(node))
        {
            *known = Some(own.metrics.connections.get());
        }
        gateways
    }

    /// The process that works on `name`, if it was heard from lately.
    pub fn active_runner(&self, name: &str) -> Option<NodeId> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(name).filter(|heard| heard.is_alive()).map(|heard| heard.heartbeat.node)
    }

    /// Where `name` is, as last heard.
    pub fn position(&self, name: &str) -> Option<Position> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(name).map(|heard| heard.heartbeat.position)
    }

    /// What was last heard of `name`, if that was lately; who has just left is not silent yet.
    pub fn last_heartbeat(&self, name: &str) -> Option<Heartbeat> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(name).filter(|heard| heard.at.elapsed() < LOST_AFTER).map(|heard| heard.heartbeat)
    }

    /// When `name` was last heard of; `None` if it said good-bye or never was.
    pub fn silence(&self, name: &str) -> Option<Duration> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(name).filter(|heard| !heard.heartbeat.leaving).map(|heard| heard.at.elapsed())
    }

    /// Waits until all of `projections` have passed `position`; `false` if that takes longer than `limit`.
    pub async fn wait_for_projections(
        &self,
        position: Position,
        projections: &[&str],
        limit: Duration,
    ) -> bool {
        let awaited = Awaited { position, gateways: false };
        self.wait(awaited, limit, |seen| {
            let far_enough = |heard: &LastHeartbeat| heard.heartbeat.position >= position;
            projections.iter().all(|&name| seen.get(name).is_some_and(far_enough))
        })
        .await
    }

    /// Waits until the caches of all gateways have passed `position`. Whoever is not heard for the liveness time-out, or
    /// has not passed it by then, serves nobody (ADR 0020), so that is how long this takes at most.
    pub async fn wait_for_gateways(&self, position: Position) {
        let awaited = Awaited { position, gateways: true };
        self.wait(awaited, LIVENESS_TIMEOUT, |seen| {
            if self.has_missed_heartbeats() {
                return false;
            }
            let gateways = seen.iter().filter(|(name, _)| name.starts_with("gateway."));
            let mut live = gateways.filter(|(_, heard)| heard.is_heard_within(LIVENESS_TIMEOUT));
            live.all(|(_, heard)| heard.heartbeat.position >= position)
        })
        .await;
    }

    /// May there be a gateway that lives and was not heard, for we heard nobody?
    fn has_missed_heartbeats(&self) -> bool {
        let since = *self.listening_since.lock().unwrap_or_else(PoisonError::into_inner);
        since.elapsed() < SERVES_WITHOUT_ECHO
    }

    async fn wait(
        &self,
        awaited: Awaited,
        limit: Duration,
        is_so: impl Fn(&HashMap<String, LastHeartbeat>) -> bool,
    ) -> bool {
        let deadline = Instant::now() + limit;
        let mut changed = self.changed.subscribe();
        let mut asked: Option<Instant> = None;
        loop {
            if is_so(&self.seen.lock().unwrap_or_else(PoisonError::into_inner)) {
                return true;
            }
            if asked.is_none_or(|asked| asked.elapsed() >= REPEAT) {
                asked = Some(Instant::now());
                let body = serde_json::to_vec(&awaited).expect("plain data");
                _ = self.client.publish(AWAITED, body.into()).await;
            }
            let next = deadline.min(Instant::now() + REPEAT);
            let is_over = matches!(timeout_at(next, changed.changed()).await, Ok(Err(_)));
            if is_over || Instant::now() >= deadline {
                return false;
            }
        }
    }
}

impl LastHeartbeat {
    fn is_alive(&self) -> bool {
        self.is_heard_within(LOST_AFTER)
    }

    fn is_heard_within(&self, limit: Duration) -> bool {
        !self.heartbeat.leaving && self.at.elapsed() < limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// While a version replaces another, both are there.
    #[test]
    fn heartbeats_of_older_and_newer_versions_are_understood() {
        let node = NodeId(uuid::Uuid::from_u128(1));
        let known = Heartbeat { connections: Some(7), ..Heartbeat::at(Position(5), node) };
        let mut body = serde_json::to_value(known).expect("plain data");
        assert_eq!(serde_json::from_value::<Heartbeat>(body.clone()).expect("own"), known);
        body["more"] = "of a newer version".into();
        assert_eq!(serde_json::from_value::<Heartbeat>(body.clone()).expect("newer"), known);
        body.as_object_mut().expect("an object").remove("connections");
        let older: Heartbeat = serde_json::from_value(body).expect("older");
        assert_eq!(older, Heartbeat::at(Position(5), node));
    }
}
