//! Read models are listed, rebuilt, compared and switched while the service runs:
//! `projections status | rebuild | verify | switch | skip`.

mod blue_green;

use std::{process::ExitCode, sync::Arc};

use anyhow::{Context as _, bail};
use blue_green::first_differences;
use clap::Subcommand;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{Output, ops};
use crate::{
    adapters::{
        nats::{
            checkpoints::Checkpoints,
            new_event::{Expect, NewEvent},
            push::{LocalConnections, Pushes},
            shared_log::SharedLogSubscription,
        },
        postgres,
        redis::Redis,
    },
    boot, clock,
    config::Config,
    events::{Cause, Event, NodeId, OperationsEvent, Position},
    for_each_projection,
    projections::{
        self, Projection, ProjectionParts,
        engine::{
            context::RunnerContext,
            generation::{Generation, ListedGeneration, Store},
        },
    },
    telemetry::ProjectionHealth,
};

#[derive(Subcommand)]
pub(super) enum ProjectionsCommand {
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
    /// Leave an event out that can never be applied; this is noted in the log, and rebuilds leave it out, too
    Skip {
        /// Which read model
        name: String,
        /// The position of the event
        position: u64,
        /// Why, for those who read the log later
        #[arg(long, default_value = "")]
        reason: String,
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
    runners: RunnerContext,
    pushes: Pushes,
    output: Output,
}

pub(super) async fn run(
    command: ProjectionsCommand,
    config: &Config,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let results = results(&command, config, output).await?;
    let equal = results.iter().all(|result| result["equal"] != json!(false));
    output.print(&json!(results), || {
        results.iter().filter_map(|result| result["text"].as_str()).collect::<Vec<_>>().join("\n")
    });
    Ok(if equal { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn results(
    command: &ProjectionsCommand,
    config: &Config,
    output: Output,
) -> anyhow::Result<Vec<Value>> {
    let tools = Tools::open(config, output).await?;
    let wanted = match command {
        ProjectionsCommand::Rebuild { name: None, all: false } => {
            bail!("name a read model ({}), or give --all", projections::names().join(", "))
        }
        ProjectionsCommand::Rebuild { name, .. } | ProjectionsCommand::Verify { name } => {
            name.clone()
        }
        ProjectionsCommand::Skip { name, .. } | ProjectionsCommand::Switch { name, .. } => {
            Some(name.clone())
        }
        ProjectionsCommand::Status => None,
    };
    if let Some(name) = &wanted
        && !projections::names().contains(&name.as_str())
    {
        bail!("there is no read model `{name}`; there are {}", projections::names().join(", "));
    }
    let mut results = Vec::new();
    for_each_projection!(|P| {
        if wanted.as_deref().is_none_or(|name| name == P::NAME) {
            let (projection, store) = P::open(&tools.parts);
            results.push(match command {
                ProjectionsCommand::Status => tools.status(&projection, &store).await?,
                ProjectionsCommand::Rebuild { .. } => tools.rebuild(&projection, &store).await?,
                ProjectionsCommand::Verify { .. } => tools.verify(&projection, &store).await?,
                ProjectionsCommand::Skip { position, reason, .. } => {
                    tools.skip(&projection, &store, Position(*position), reason).await?
                }
                ProjectionsCommand::Switch { generation, .. } => {
                    tools.switch(&projection, &store, *generation).await?
                }
            });
        }
    });
    Ok(results)
}

impl Tools {
    async fn open(config: &Config, output: Output) -> anyhow::Result<Self> {
        let nats = ops::connect(config).await?;
        let node = NodeId(clock::random_id());
        let log = boot::open_log(nats.clone(), config, node, None, Arc::default()).await?;
        let (checkpoints, listen) = Checkpoints::start(nats.client.clone(), None).await?;
        boot::background(listen);
        let pushes = Pushes::new(nats.client.clone(), LocalConnections::default());
        let pool = postgres::writers(&config.postgres.url, 4)?;
        Ok(Self {
            parts: ProjectionParts {
                pool,
                redis: Redis::open(&config.redis.url)?,
                pushes: pushes.clone(),
                chat_log_length: config.projections.chat_log_length,
            },
            runners: RunnerContext {
                shared_log: SharedLogSubscription::new(log.clone(), &[]), // nobody follows here
                log,
                checkpoints,
                node,
                batch: config.projections.batch,
                health: ProjectionHealth::default(),
                metrics: Arc::default(),
                stop: CancellationToken::new(),
            },
            pushes,
            output,
        })
    }

    async fn status<P: Projection>(&self, _: &P, store: &P::Store) -> anyhow::Result<Value> {
        let generations = store.generations(P::NAME).await?;
        let last = self.runners.log.end().await?.last;
        let mut lags = Vec::new();
        for ListedGeneration { position, .. } in &generations {
            let next = Position(position + 1);
            let has_all = self.runners.log.has_none(P::SUBJECTS, next, last).await?;
            lags.push(if has_all { 0 } else { last.0.saturating_sub(*position) });
        }
        let live = generations.iter().position(|listed| listed.live);
        let lag = live.map(|live| lags[live]);
        let text = generations.iter().zip(&lags).map(|(listed, lag)| {
            let state = match (listed.live, listed.outdated) {
                (true, false) => "live",
                (true, true) => "live, outdated",
                (false, _) => "kept",
            };
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

    async fn rebuild<P: Projection>(
        &self,
        projection: &P,
        store: &P::Store,
    ) -> anyhow::Result<Value> {
        let (live, created) = self.live::<P>(store).await?;
        let started = std::time::Instant::now();
        let (built, paused) = self.build_beside(projection, store, &live, created).await?;
        let (position, events) = (paused.position, paused.events);
        store.switch(&built).await?;
        paused.resume().await;
        self.pushes.refetch_all().await;
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
        for ListedGeneration { generation, live, .. } in store.generations(P::NAME).await? {
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
        let (scratch, paused) = self.build_beside(projection, store, &live, created).await?;
        let position = paused.position;
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
        paused.resume().await;
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

    async fn skip<P: Projection>(
        &self,
        _: &P,
        store: &P::Store,
        position: Position,
        reason: &str,
    ) -> anyhow::Result<Value> {
        let (live, _) = self.live::<P>(store).await?;
        let at = listed::<P>(store, live.number).await?.map_or(0, |listed| listed.position);
        // Only what it stopped at: else the live read model would apply what a rebuild leaves out.
        let next = self.runners.log.read(P::SUBJECTS, Position(at + 1)).await?.first().await?;
        if next != Some(position) {
            let found = next.map_or_else(|| "nothing".to_owned(), |next| next.to_string());
            bail!(
                "{} is at {at}, and what it has to apply next is {found}, not {position}",
                P::NAME
            );
        }
        let event = OperationsEvent::EventSkipped {
            projection: P::NAME.to_owned(),
            position,
            reason: reason.to_owned(),
        };
        let cause = Cause::own("hongyan projections skip");
        let mut new = NewEvent::new(Event::Operations(event), None, &cause);
        self.runners.log.append(&mut new, Expect::Anything).await?;
        let text = format!("{:<16} leaves out {position}; it goes on within ten seconds", P::NAME);
        Ok(json!({"name": P::NAME, "skipped": position, "reason": reason, "text": text}))
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
        self.pushes.refetch_all().await;
        let text = format!("{:<16} g{generation} is live and catches up", P::NAME);
        Ok(json!({"name": P::NAME, "generation": generation, "text": text}))
    }
}

async fn listed<P: Projection>(
    store: &P::Store,
    number: i32,
) -> anyhow::Result<Option<ListedGeneration>> {
    let all = store.generations(P::NAME).await?;
    Ok(all.into_iter().find(|listed| listed.generation == number))
}

fn numbered<P: Projection>(number: i32) -> Generation {
    Generation { name: P::NAME, number, log_created: 0, outdated: false }
}
