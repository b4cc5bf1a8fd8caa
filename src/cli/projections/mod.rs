//! Read models are listed, rebuilt, compared and switched while the service runs:
//! `projections status | rebuild | verify | switch | skip`.

mod analytics;

use std::{num::NonZeroU32, pin::Pin, process::ExitCode, sync::Arc};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use serde_json::{Value, json};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Output, ops, progress::ProgressBars};
use crate::{
    adapters::{
        nats::{
            checkpoints::Checkpoints,
            new_event::{Expect, NewEvent},
            push::{LocalConnections, Pushes},
            replay::Replay,
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
        analytics::Analytics,
        engine::{
            blue_green::{BlueGreen, Comparison, Switched},
            context::RunnerContext,
            generation::{BuildPurpose, ListedGeneration},
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
        /// Which, or `--all`: they are built from one reading of the log
        #[arg(value_name = "NAME", required_unless_present = "all", conflicts_with = "all")]
        names: Vec<String>,
        /// Every read model
        #[arg(long)]
        all: bool,
        /// Events per second, at most
        #[arg(long, value_name = "EVENTS")]
        max_rate: Option<NonZeroU32>,
        /// Drop all other generations, also what an interrupted build left: there is no way back then
        #[arg(long)]
        drop_before: bool,
    },
    /// Build a scratch generation and compare it with the live one, which goes on meanwhile
    Verify {
        /// Which; all if left out
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Events per second, at most
        #[arg(long, value_name = "EVENTS")]
        max_rate: Option<NonZeroU32>,
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
}

pub(super) async fn run(
    command: ProjectionsCommand,
    config: &Config,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let results = Box::pin(results(&command, config, output)).await?;
    let equal = results.iter().all(|result| result["equal"] != json!(false));
    output.print(&json!(results), || {
        results.iter().filter_map(|result| result["text"].as_str()).collect::<Vec<_>>().join("\n")
    });
    Ok(if equal { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Builds every read model anew and leaves nothing of those before.
pub(super) async fn rebuild_all(config: &Config, output: Output) -> anyhow::Result<()> {
    let all = ProjectionsCommand::Rebuild {
        names: Vec::new(),
        all: true,
        max_rate: None,
        drop_before: true,
    };
    Box::pin(results(&all, config, output)).await.map(drop)
}

async fn results(
    command: &ProjectionsCommand,
    config: &Config,
    output: Output,
) -> anyhow::Result<Vec<Value>> {
    let tools = Tools::open(config).await?;
    // All, if none is named.
    let wanted: &[String] = match command {
        ProjectionsCommand::Status => &[],
        ProjectionsCommand::Rebuild { names, .. } | ProjectionsCommand::Verify { names, .. } => {
            names
        }
        ProjectionsCommand::Skip { name, .. } | ProjectionsCommand::Switch { name, .. } => {
            std::slice::from_ref(name)
        }
    };
    let known = projections::names();
    if let Some(name) = wanted.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("there is no read model `{name}`; there are {}", known.join(", "));
    }
    if tools.parts.analytics.is_none() && wanted.iter().any(|name| name == Analytics::NAME) {
        bail!("there is no analysts' stream: nats.analytics_password is not set");
    }
    let end = tools.runners.log.end().await?;
    let mut replay = Replay::new(tools.runners.log.clone(), end.last);
    let bars = ProgressBars::new(end.messages, output);
    let (mut jobs, mut fills_analytics): (Vec<Job>, bool) = (Vec::new(), false);
    for_each_projection!(|P| {
        let is_named = wanted.is_empty() || wanted.iter().any(|name| name == P::NAME);
        let is_wanted = is_named && P::is_wanted(&tools.parts);
        let in_place = matches!(command, ProjectionsCommand::Rebuild { .. }) && !P::IS_BUILT_BESIDE;
        if is_wanted && in_place {
            fills_analytics = true;
        } else if is_wanted {
            let model = BlueGreen::<P>::new(&tools.parts, tools.runners.clone());
            jobs.push(match command {
                ProjectionsCommand::Status => done(tools.status(&model).await?),
                ProjectionsCommand::Verify { .. } if !P::IS_BUILT_BESIDE => {
                    done(tools.verify_analytics().await?)
                }
                ProjectionsCommand::Rebuild { drop_before, .. } => {
                    let drop_before = *drop_before;
                    if drop_before {
                        model.drop_unfinished().await?;
                    }
                    let build = model.begin(BuildPurpose::Rebuild, &mut replay).await?;
                    let mut bar = bars.add(P::NAME);
                    Box::pin(async move {
                        let begun = std::time::Instant::now();
                        let switched = Box::pin(model.rebuild(build, |events| bar.add(events)));
                        let switched = switched.await?;
                        if drop_before {
                            model.drop_all_but(switched.generation).await?;
                        }
                        Ok(rebuilt::<P>(switched, bar.done(), begun.elapsed().as_secs_f64()))
                    })
                }
                ProjectionsCommand::Verify { .. } => {
                    let build = model.begin(BuildPurpose::Verify, &mut replay).await?;
                    let mut bar = bars.add(P::NAME);
                    Box::pin(async move {
                        let found = Box::pin(model.verify(build, |events| bar.add(events)));
                        Ok(compared::<P>(&found.await?))
                    })
                }
                ProjectionsCommand::Skip { position, reason, .. } => {
                    done(tools.skip(&model, Position(*position), reason).await?)
                }
                ProjectionsCommand::Switch { generation, .. } => {
                    done(Box::pin(switch(&model, *generation)).await?)
                }
            });
        }
    });
    if let ProjectionsCommand::Rebuild { max_rate, .. }
    | ProjectionsCommand::Verify { max_rate, .. } = command
    {
        TaskTracker::new().spawn(replay.run(*max_rate));
    }
    let mut results = finish(jobs).await;
    if matches!(command, ProjectionsCommand::Rebuild { .. } | ProjectionsCommand::Switch { .. }) {
        tools.pushes.refetch_all().await;
    }
    // A projector fills it: beside the builds it would take what they need.
    if fills_analytics && let Ok(results) = &mut results {
        results.push(tools.rebuild_analytics().await?);
    }
    results
}

type Job = Pin<Box<dyn Future<Output = anyhow::Result<Value>> + Send>>;

fn done(result: Value) -> Job {
    Box::pin(async { Ok(result) })
}

/// Does all of it at once. What fails does not end the rest.
async fn finish(jobs: Vec<Job>) -> anyhow::Result<Vec<Value>> {
    let tasks = TaskTracker::new();
    let running: Vec<_> = jobs.into_iter().map(|job| tasks.spawn(job)).collect();
    let mut results = Vec::new();
    for job in running {
        results.push(job.await.context("a build ended early")?);
    }
    results.into_iter().collect()
}

fn rebuilt<P: Projection>(switched: Switched, events: u64, seconds: f64) -> Value {
    let Switched { generation, before, position } = switched;
    let name = P::NAME;
    let text = format!(
        "{name:<16} g{generation} is live at {position}: {events} events in {seconds:.1} s; \
         `projections switch {name} {before}` goes back"
    );
    json!({
        "name": name, "generation": generation, "before": before, "position": position,
        "events": events, "seconds": seconds, "text": text,
    })
}

fn compared<P: Projection>(found: &Comparison) -> Value {
    let Comparison { position, rows, differing, differences } = found;
    let (name, equal) = (P::NAME, *differing == 0);
    let text = if equal {
        format!("{name:<16} equal at {position}: {rows} rows")
    } else {
        let lines = differences.iter().map(|row| json!(row).to_string()).collect::<Vec<_>>();
        format!(
            "{name:<16} differs at {position}; `projections rebuild {name}` mends it\n{}",
            lines.join("\n")
        )
    };
    json!({
        "name": name, "equal": equal, "position": position, "rows": rows,
        "differences": differences, "text": text,
    })
}

async fn switch<P: Projection>(model: &BlueGreen<P>, number: i32) -> anyhow::Result<Value> {
    let there = model.listed().await?;
    let name = P::NAME;
    let Some(to) = there.iter().find(|listed| listed.generation == number) else {
        let known: Vec<_> = there.iter().map(|listed| format!("g{}", listed.generation)).collect();
        bail!("{name} has no generation {number}; it has {}", known.join(", "));
    };
    if to.outdated {
        bail!(
            "generation {number} of {name} was built by another version, which this one cannot read"
        );
    }
    if to.built_for.is_some() {
        bail!(
            "generation {number} of {name} is not built to its end; `projections rebuild {name}` goes on with it"
        );
    }
    if to.live {
        let text = format!("{name:<16} g{number} is live already");
        return Ok(json!({"name": name, "generation": number, "text": text}));
    }
    let Switched { position, before, .. } = model.switch(&to.of(name)).await?;
    let text = format!("{name:<16} g{number} is live at {position}; g{before} is kept");
    Ok(json!({
        "name": name, "generation": number, "before": before, "position": position, "text": text,
    }))
}

impl Tools {
    async fn open(config: &Config) -> anyhow::Result<Self> {
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
                analytics: boot::open_analytics(config).await?,
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
        })
    }

    async fn status<P: Projection>(&self, model: &BlueGreen<P>) -> anyhow::Result<Value> {
        let generations = model.listed().await?;
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
            let state = match (listed.live, listed.outdated, listed.built_for) {
                (true, false, _) => "live",
                (true, true, _) => "live, outdated",
                (false, _, Some(BuildPurpose::Rebuild)) => "being built",
                (false, _, Some(BuildPurpose::Verify | BuildPurpose::ScheduledVerify)) => {
                    "compared"
                }
                (false, _, None) => "kept",
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

    async fn skip<P: Projection>(
        &self,
        model: &BlueGreen<P>,
        position: Position,
        reason: &str,
    ) -> anyhow::Result<Value> {
        let there = model.listed().await?;
        let at = there.iter().find(|listed| listed.live).map_or(0, |listed| listed.position);
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
}
