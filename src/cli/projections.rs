//! `projections status | rebuild | verify | switch`.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Output, ops};
use crate::{
    adapters::{
        checkpoints::{Beat, Checkpoints},
        postgres,
        push::Pushes,
        redis::Redis,
    },
    app::{self, ProjectionParts},
    clock,
    config::Config,
    events::{NodeId, Position},
    for_each_projection,
    projections::{
        self, Projection,
        generation::{Generation, Listed, Store},
        in_postgres::InPostgres,
        in_redis::InRedis,
        runner::{Runners, Work},
    },
    telemetry::ProjectionHealth,
};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Generations, positions and lag
    Status,
    /// Build a new generation beside the live one, then switch to it
    Rebuild {
        /// Which, or `--all`
        name: Option<String>,
        /// Every read model
        #[arg(long)]
        all: bool,
    },
    /// Build a scratch generation and compare it with the live one at the same position
    Verify {
        /// Which; all if left out
        name: Option<String>,
    },
    /// Go back (or forth) to a generation that is still there
    Switch {
        /// Which read model
        name: String,
        /// Which generation
        generation: i32,
    },
}

struct Tools {
    parts: ProjectionParts,
    runners: Runners,
    pushes: Pushes,
    output: Output,
}

pub(super) async fn run(
    command: Command,
    config: &Config,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let tools = Tools::open(config, output).await?;
    let wanted = match &command {
        Command::Rebuild { name: None, all: false } => {
            bail!("name a read model ({}), or give --all", projections::ALL.join(", "))
        }
        Command::Rebuild { name, .. } | Command::Verify { name } => name.clone(),
        Command::Switch { name, .. } => Some(name.clone()),
        Command::Status => None,
    };
    if let Some(name) = &wanted
        && !projections::ALL.contains(&name.as_str())
    {
        bail!("there is no read model `{name}`; there are {}", projections::ALL.join(", "));
    }
    let mut results = Vec::new();
    for_each_projection!(tools.parts, |projection, store| {
        if wanted.as_deref().is_none_or(|name| name == name_of(&projection)) {
            results.push(match &command {
                Command::Status => tools.status(&projection, &store).await?,
                Command::Rebuild { .. } => tools.rebuild(&projection, &store).await?,
                Command::Verify { .. } => tools.verify(&projection, &store).await?,
                Command::Switch { generation, .. } => {
                    tools.switch(&projection, &store, *generation).await?
                }
            });
        }
    });
    let equal = results.iter().all(|result| result["equal"] != json!(false));
    output.tell(&json!(results), || {
        results.iter().filter_map(|result| result["text"].as_str()).collect::<Vec<_>>().join("\n")
    });
    Ok(if equal { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn name_of<P: Projection>(_: &P) -> &'static str {
    P::NAME
}

/// A bar on a terminal, nothing where JSON is wanted.
pub(super) fn progress(total: u64, output: Output) -> ProgressBar {
    if output == Output::Json {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(
        "{prefix:<16} {wide_bar} {pos}/{len} events  {per_sec}  {eta}",
    );
    ProgressBar::new(total).with_style(style.expect("a valid template"))
}

impl Tools {
    async fn open(config: &Config, output: Output) -> anyhow::Result<Self> {
        let nats = ops::connect(config).await?;
        let node = NodeId(clock::random_id());
        let log = app::open_log(nats.clone(), config, node, None).await?;
        let (checkpoints, listen) = Checkpoints::start(nats.client.clone()).await?;
        app::background(listen);
        let pushes = Pushes::new(nats.client.clone());
        let pool = postgres::writers(&config.postgres.url, 4)?;
        Ok(Self {
            parts: ProjectionParts {
                postgres: InPostgres::new(pool),
                redis: InRedis::new(Redis::open(&config.redis.url)?),
                pushes: pushes.clone(),
                chat_log_length: config.projections.chat_log_length,
            },
            runners: Runners {
                log,
                checkpoints,
                node,
                batch: config.projections.batch,
                health: ProjectionHealth::default(),
                stop: CancellationToken::new(),
            },
            pushes,
            output,
        })
    }

    async fn status<P: Projection>(&self, _: &P, store: &P::Store) -> anyhow::Result<Value> {
        let last = self.runners.log.last_on(P::SUBJECTS).await?;
        let generations = store.generations(P::NAME).await?;
        let live = generations.iter().find(|listed| listed.live);
        let lag = live.map(|listed| last.0.saturating_sub(listed.position));
        let text = generations.iter().map(|listed| {
            let state = match (listed.live, listed.outdated) {
                (true, false) => "live",
                (true, true) => "live, outdated",
                (false, _) => "kept",
            };
            let lag = last.0.saturating_sub(listed.position);
            format!(
                "{:<16} g{:<4} {state:<6} at {:>10}, {lag} behind {last}",
                P::NAME,
                listed.generation,
                listed.position
            )
        });
        let text = if generations.is_empty() {
            format!("{:<16} not built yet; a projector builds it", P::NAME)
        } else {
            text.collect::<Vec<_>>().join("\n")
        };
        Ok(
            json!({"name": P::NAME, "last": last, "lag": lag, "generations": generations, "text": text}),
        )
    }

    async fn live<P: Projection>(&self, store: &P::Store) -> anyhow::Result<(Generation, i64)> {
        let created = self.runners.log.end().await?.created;
        let live = store.live(P::NAME, created).await;
        Ok((live.with_context(|| format!("the store of {} is unavailable", P::NAME))?, created))
    }

    /// Builds a generation to near the end of the log while the live one goes on, stops the live
    /// one where it is, and builds up to exactly there. Until `Frozen` is thawed, nobody moves it.
    async fn build_beside<P: Projection>(
        &self,
        projection: &P,
        store: &P::Store,
        live: &Generation,
        created: i64,
    ) -> anyhow::Result<(Generation, Frozen)> {
        let built = store.add(P::NAME, created).await?;
        let mut count = 0;
        let bar = progress(self.runners.log.end().await?.messages, self.output);
        bar.set_prefix(P::NAME);
        let mut work = Work::new(projection, store, &self.runners);
        let near = self.runners.log.last_on(P::SUBJECTS).await?;
        let mut advance = |_, events| {
            count += events;
            bar.set_position(count);
        };
        work.build(&built, near, &mut advance).await?;
        let mut frozen = self.freeze::<P>(store, live).await?;
        work.build(&built, frozen.position, &mut advance).await?;
        bar.finish_and_clear();
        frozen.events = count;
        Ok((built, frozen))
    }

    /// Takes the live generation away from its runner, which waits as long as it hears of us.
    async fn freeze<P: Projection>(
        &self,
        store: &P::Store,
        live: &Generation,
    ) -> anyhow::Result<Frozen> {
        let checkpoints = self.runners.checkpoints.clone();
        let position = store.claim(live, clock::random_id()).await?.position;
        let beat = Beat { position, node: self.runners.node, leaving: false };
        let stop = CancellationToken::new();
        let (stopped, listener) = (stop.clone(), checkpoints.clone());
        app::background(async move {
            while !stopped.is_cancelled() {
                listener.tell(P::NAME, beat).await;
                _ = timeout(Duration::from_millis(100), stopped.cancelled()).await;
            }
        });
        // The runner may have claimed it back before it heard of us; by now it has heard.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let position = store.claim(live, clock::random_id()).await?.position;
        Ok(Frozen { name: P::NAME, position, events: 0, checkpoints, beat, stop })
    }

    async fn rebuild<P: Projection>(
        &self,
        projection: &P,
        store: &P::Store,
    ) -> anyhow::Result<Value> {
        let (live, created) = self.live::<P>(store).await?;
        let started = std::time::Instant::now();
        let (built, frozen) = self.build_beside(projection, store, &live, created).await?;
        let (position, events) = (frozen.position, frozen.events);
        store.switch(&built).await?;
        frozen.thaw().await;
        self.pushes.resync().await;
        self.forget_older::<P>(store, live.number).await?;
        let seconds = started.elapsed().as_secs_f64();
        let text = format!(
            "{:<16} g{} is live at {position}: {events} events in {seconds:.1} s; \
             `projections switch {} {}` goes back",
            P::NAME,
            built.number,
            P::NAME,
            live.number
        );
        Ok(json!({
            "name": P::NAME, "generation": built.number, "before": live.number,
            "position": position, "events": events, "seconds": seconds, "text": text,
        }))
    }

    /// Keeps the generation that was live before, drops what is older.
    async fn forget_older<P: Projection>(&self, store: &P::Store, keep: i32) -> anyhow::Result<()> {
        for Listed { generation, live, .. } in store.generations(P::NAME).await? {
            if !live && generation < keep {
                store.drop(&numbered::<P>(generation)).await?;
            }
        }
        Ok(())
    }

    async fn verify<P: Projection>(
        &self,
        projection: &P,
        store: &P::Store,
    ) -> anyhow::Result<Value> {
        let (live, created) = self.live::<P>(store).await?;
        let (scratch, frozen) = self.build_beside(projection, store, &live, created).await?;
        let position = frozen.position;
        let ours = store.digests(&live).await?;
        let anew = store.digests(&scratch).await?;
        let mut differences = Vec::new();
        let tables: std::collections::BTreeSet<_> = ours.keys().chain(anew.keys()).collect();
        for table in tables {
            if ours.get(table) != anew.get(table) {
                differences.extend(first_differences(store, table, &live, &scratch).await?);
            }
        }
        let stood_still = listed::<P>(store, live.number).await?.map(|listed| listed.position);
        frozen.thaw().await;
        store.drop(&scratch).await?;
        let equal = differences.is_empty() && ours == anew;
        if !equal && stood_still != Some(position.0) {
            bail!(
                "{} went on while it was compared: its projector did not hear of it in time; try again",
                P::NAME
            );
        }
        let rows: u64 = ours.values().map(|digest| digest.rows).sum();
        let text = if equal {
            format!("{:<16} equal at {position}: {rows} rows", P::NAME)
        } else {
            let lines = differences.iter().map(ToString::to_string).collect::<Vec<_>>();
            format!(
                "{:<16} differs at {position}; `projections rebuild {}` mends it\n{}",
                P::NAME,
                P::NAME,
                lines.join("\n")
            )
        };
        Ok(json!({
            "name": P::NAME, "equal": equal, "position": position, "rows": rows,
            "digests": ours, "differences": differences, "text": text,
        }))
    }

    async fn switch<P: Projection>(
        &self,
        _: &P,
        store: &P::Store,
        generation: i32,
    ) -> anyhow::Result<Value> {
        if listed::<P>(store, generation).await?.is_none() {
            let there = store.generations(P::NAME).await?;
            let known: Vec<_> =
                there.iter().map(|listed| format!("g{}", listed.generation)).collect();
            bail!("{} has no generation {generation}; it has {}", P::NAME, known.join(", "));
        }
        store.switch(&numbered::<P>(generation)).await?;
        self.pushes.resync().await;
        let text = format!("{:<16} g{generation} is live and catches up", P::NAME);
        Ok(json!({"name": P::NAME, "generation": generation, "text": text}))
    }
}

/// A live generation that stands still.
struct Frozen {
    name: &'static str,
    position: Position,
    events: u64,
    checkpoints: Checkpoints,
    beat: Beat,
    stop: CancellationToken,
}

impl Frozen {
    /// Lets the runner go on.
    async fn thaw(self) {
        self.stop.cancel();
        self.checkpoints.tell(self.name, Beat { leaving: true, ..self.beat }).await;
        self.checkpoints.flush().await;
    }
}

async fn listed<P: Projection>(store: &P::Store, number: i32) -> anyhow::Result<Option<Listed>> {
    let all = store.generations(P::NAME).await?;
    Ok(all.into_iter().find(|listed| listed.generation == number))
}

fn numbered<P: Projection>(number: i32) -> Generation {
    Generation { name: P::NAME, number, log_created: 0, outdated: false }
}

async fn first_differences<S: Store>(
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
