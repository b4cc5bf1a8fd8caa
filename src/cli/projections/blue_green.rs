//! A blue-green rebuild builds a generation beside the live one, up to the same event, and compares the two.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Tools, listed};
use crate::{
    adapters::nats::checkpoints::{Checkpoints, Heartbeat},
    boot,
    cli::progress::Progress,
    clock,
    events::Position,
    projections::{
        Projection,
        engine::{
            generation::{Generation, Store},
            runner::Runner,
            stop_reason::StopReason,
        },
    },
};

/// How often something that passes may come in between without anything done in between.
const ATTEMPTS: u32 = 5;

impl Tools {
    /// Builds a generation to near where the live one is while that goes on, stops the live one
    /// where it is by then, and builds up to exactly there. Until `Paused` is resumed, nobody moves it.
    pub(super) async fn build_beside<P: Projection>(
        &self,
        projection: &P,
        store: &P::Store,
        live: &Generation,
        created: i64,
    ) -> anyhow::Result<(Generation, Paused)> {
        let built = store.add(P::NAME, created).await?;
        let mut count = 0;
        let total = self.runners.log.end().await?.messages;
        let mut progress = Progress::new(P::NAME, total, self.output);
        let mut work = Runner::new(projection, store, &self.runners);
        // Not to the end of the log: the live one may be far from it, and nothing is built backwards.
        let near = listed::<P>(store, live.number).await?.map_or(0, |listed| listed.position);
        let mut advance = |_, events| {
            count += events;
            progress.set(count);
        };
        build(&mut work, &built, Position(near), &mut advance).await?;
        let mut paused = self.pause::<P>(store, live).await?;
        build(&mut work, &built, paused.position, &mut advance).await?;
        paused.events = count;
        Ok((built, paused))
    }

    /// Takes the live generation away from its runner, which waits as long as it hears of us.
    async fn pause<P: Projection>(
        &self,
        store: &P::Store,
        live: &Generation,
    ) -> anyhow::Result<Paused> {
        let checkpoints = self.runners.checkpoints.clone();
        let position = store.claim(live, clock::random_id()).await?.position;
        let heartbeat = Heartbeat::at(position, self.runners.node);
        let stop = CancellationToken::new();
        let (stopped, listener) = (stop.clone(), checkpoints.clone());
        boot::background(async move {
            while !stopped.is_cancelled() {
                listener.publish_heartbeat(P::NAME, heartbeat).await;
                _ = timeout(Duration::from_millis(100), stopped.cancelled()).await;
            }
        });
        // The runner may have claimed it back before it heard of us; by now it has heard.
        sleep(Duration::from_millis(200)).await;
        let position = store.claim(live, clock::random_id()).await?.position;
        Ok(Paused { name: P::NAME, position, events: 0, checkpoints, heartbeat, stop })
    }
}

/// Builds a generation up to exactly `target`, and goes on after what passes: hours of work are not lost to a server
/// that is restarted.
async fn build<P: Projection>(
    work: &mut Runner<'_, P>,
    generation: &Generation,
    target: Position,
    advance: &mut impl FnMut(Position, u64),
) -> Result<(), StopReason> {
    let mut attempts = 0;
    loop {
        let before = work.position();
        match work.build(generation, target, &mut *advance).await {
            Err(StopReason::Transient(why)) if attempts < ATTEMPTS => {
                attempts = if work.position() > before { 1 } else { attempts + 1 };
                warn!(why, "building `{}` stopped for now at {}", P::NAME, work.position());
                sleep(Duration::from_secs(1)).await;
            }
            done => return done,
        }
    }
}

/// A live generation that stands still.
pub(super) struct Paused {
    name: &'static str,
    pub(super) position: Position,
    pub(super) events: u64,
    checkpoints: Checkpoints,
    heartbeat: Heartbeat,
    stop: CancellationToken,
}

impl Paused {
    /// Lets the runner go on.
    pub(super) async fn resume(self) {
        self.stop.cancel();
        self.checkpoints.publish(self.name, Heartbeat { leaving: true, ..self.heartbeat }).await;
        self.checkpoints.flush().await;
    }
}

/// The first rows that are not the same in two generations.
pub(super) async fn first_differences<S: Store>(
    store: &S,
    table: &str,
    live: &Generation,
    scratch: &Generation,
) -> anyhow::Result<Vec<Value>> {
    const MOST: usize = 5;
    let ours = store.rows(live, table).await?;
    let anew = store.rows(scratch, table).await?;
    let keys: std::collections::BTreeSet<_> = ours.keys().chain(anew.keys()).collect();
    Ok(keys
        .into_iter()
        .filter(|key| ours.get(*key) != anew.get(*key))
        .take(MOST)
        .map(|key| {
            json!({"table": table, "row": key, "live": ours.get(key), "rebuilt": anew.get(key)})
        })
        .collect())
}
