//! Blue-green rebuild, switch and comparison: a generation is built beside the live one, while that goes on.

use std::{collections::BTreeSet, convert::Infallible, time::Duration};

use tokio::time::{interval, sleep};
use tracing::warn;

use super::{
    context::RunnerContext,
    generation::{BuildPurpose, FenceToken, Generation, ListedGeneration, RowContents, Store as _},
    runner::Runner,
    stop_reason::StopReason,
};
use crate::{
    adapters::nats::{
        checkpoints::Heartbeat,
        replay::{Replay, ReplayReader},
    },
    events::Position,
    projections::{Projection, ProjectionParts},
};

/// How often something that passes may come in between without anything done in between.
const ATTEMPTS: u32 = 5;

/// With so few events to apply the live generation is held still for the rest.
const NEAR: u64 = 500;

/// How often it is approached before that, at most: it may be that it is never near.
const APPROACHES: u32 = 20;

/// Rows that differ and are shown of each part.
const SHOWN: usize = 5;

/// One read model, and what its generations are built with.
pub struct BlueGreen<P: Projection> {
    projection: P,
    store: P::Store,
    context: RunnerContext,
}

/// A build that has begun.
pub struct Build {
    live: Generation,
    built: Generation,
    events: ReplayReader,
}

/// What a rebuild or a switch did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switched {
    /// The generation that is live now.
    pub generation: i32,
    /// The one that was before.
    pub before: i32,
    /// Where both were.
    pub position: Position,
}

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// Where it ended.
    pub position: Position,
    /// Rows of the live generation.
    pub rows: u64,
    /// Parts of it that are not what the log says.
    pub differing: u64,
    /// Some rows of these.
    pub differences: Vec<Difference>,
}

/// A row that is not what the log says.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// The table, or family of keys.
    pub table: String,
    /// Its name.
    pub row: String,
    /// As readers see it.
    pub live: Option<String>,
    /// As the log says.
    pub rebuilt: Option<String>,
}

impl<P: Projection> BlueGreen<P> {
    /// Of this read model.
    pub fn new(parts: &ProjectionParts, context: RunnerContext) -> Self {
        let (projection, store) = P::open(parts);
        Self { projection, store, context }
    }

    /// Begins to build a generation, or goes on with what an interrupted build left. It reads by `replay` up to where
    /// the live one is: that may be far from the log's end, and nothing is built backwards.
    ///
    /// # Errors
    /// The store or the log fails.
    pub async fn begin(
        &self,
        purpose: BuildPurpose,
        replay: &mut Replay,
    ) -> Result<Build, StopReason> {
        let live = self.live().await?;
        let mut runner = self.runner();
        let built = runner.begin(purpose).await?;
        let near = self.position(&live).await?;
        let events = replay.reader(P::SUBJECTS, (runner.next(), near));
        Ok(Build { live, built, events })
    }

    /// Builds it and makes it live. The one before is kept, older ones are dropped.
    ///
    /// # Errors
    /// It is fenced or stopped, or its store or the log fails.
    pub async fn rebuild(
        &self,
        Build { live, built, events }: Build,
        mut progress: impl FnMut(u64) + Send,
    ) -> Result<Switched, StopReason> {
        let mut runner = self.runner();
        self.build(&mut runner, &built, events, &mut progress).await?;
        self.store.complete(&built).await?;
        self.draw_near(&mut runner, (&live, &built), &mut progress).await?;
        let position = self.take_over(&mut runner, (&live, &built), &mut progress).await?;
        self.drop_those(|listed| !listed.live && listed.generation < live.number).await?;
        Ok(Switched { generation: built.number, before: live.number, position })
    }

    /// Drops what an interrupted rebuild left, or one that another process is at: the next begins with nothing.
    ///
    /// # Errors
    /// The store fails.
    pub async fn drop_unfinished(&self) -> Result<(), StopReason> {
        self.drop_those(|listed| listed.built_for == Some(BuildPurpose::Rebuild)).await
    }

    /// Drops all generations but one.
    ///
    /// # Errors
    /// The store fails.
    pub async fn drop_all_but(&self, kept: i32) -> Result<(), StopReason> {
        self.drop_those(|listed| listed.generation != kept).await
    }

    async fn drop_those(
        &self,
        are_meant: impl Fn(&ListedGeneration) -> bool,
    ) -> Result<(), StopReason> {
        for listed in self.listed().await?.iter().filter(|listed| are_meant(listed)) {
            self.store.drop(&listed.of(P::NAME)).await?;
        }
        Ok(())
    }

    /// Makes a generation live that was so before, or is kept, once it has caught up.
    ///
    /// # Errors
    /// It is fenced or stopped, its store or the log fails, or that does not hold what it has applied.
    pub async fn switch(&self, to: &Generation) -> Result<Switched, StopReason> {
        let live = self.live().await?;
        let mut runner = self.runner();
        runner.at = self.store.claim(to, runner.owner).await?;
        let end = self.context.log.end().await?;
        if !runner.at.is_held_by(&self.context.log, to, end.created, end.last).await? {
            return Err(StopReason::Transient(format!(
                "generation {} has applied events that the log does not hold",
                to.number
            )));
        }
        let mut silent = |_| ();
        self.draw_near(&mut runner, (&live, to), &mut silent).await?;
        let position = self.take_over(&mut runner, (&live, to), &mut silent).await?;
        Ok(Switched { generation: to.number, before: live.number, position })
    }

    /// Builds it and compares it with the live one, part by part, each as of a position at which the live one was while it
    /// went on. Then it is dropped.
    ///
    /// # Errors
    /// It is fenced or stopped, or its store or the log fails, or another generation is live by then.
    pub async fn verify(
        &self,
        Build { live, built, events }: Build,
        mut progress: impl FnMut(u64) + Send,
    ) -> Result<Comparison, StopReason> {
        let mut runner = self.runner();
        self.build(&mut runner, &built, events, &mut progress).await?;
        self.draw_near(&mut runner, (&live, &built), &mut progress).await?;
        let comparison = self.compare(&mut runner, &live, &built).await?;
        if self.live().await?.number != live.number {
            return Err(StopReason::Transient("another generation was made live meanwhile".into()));
        }
        self.store.drop(&built).await?;
        Ok(comparison)
    }

    async fn compare(
        &self,
        runner: &mut Runner<'_, P>,
        live: &Generation,
        built: &Generation,
    ) -> Result<Comparison, StopReason> {
        let mut found = Comparison {
            position: runner.position(),
            rows: 0,
            differing: 0,
            differences: Vec::new(),
        };
        for part in self.store.parts(&[*live, *built]).await? {
            let (at, ours) = self.store.digests(live, &part).await?;
            runner.build(built, at, |_, _| ()).await?;
            let anew = as_built(runner, self.store.digests(built, &part).await?)?;
            found.position = at;
            found.rows += ours.values().map(|digest| digest.rows).sum::<u64>();
            let ranges: BTreeSet<i32> = ours.keys().chain(anew.keys()).copied().collect();
            for range in ranges.into_iter().filter(|range| ours.get(range) != anew.get(range)) {
                found.differing += 1;
                if found.differences.len() < SHOWN {
                    let (at, ours) = self.store.rows(live, &part, range).await?;
                    runner.build(built, at, |_, _| ()).await?;
                    let anew = as_built(runner, self.store.rows(built, &part, range).await?)?;
                    found.differences.extend(differences(&ours, &anew));
                }
            }
        }
        found.differences.truncate(SHOWN);
        Ok(found)
    }

    /// Builds a generation from a replay. If that breaks off, the rest is for [`Self::draw_near`].
    async fn build(
        &self,
        runner: &mut Runner<'_, P>,
        built: &Generation,
        events: ReplayReader,
        progress: &mut (impl FnMut(u64) + Send),
    ) -> Result<(), StopReason> {
        match runner.build_from(built, events, |_, events| progress(events)).await {
            Err(StopReason::Transient(why)) => {
                warn!(why, "building `{}` stopped for now at {}", P::NAME, runner.position());
                Ok(())
            }
            done => done,
        }
    }

    /// Builds a generation to where the live one is, and again, until it is near.
    async fn draw_near(
        &self,
        runner: &mut Runner<'_, P>,
        (live, built): (&Generation, &Generation),
        progress: &mut (impl FnMut(u64) + Send),
    ) -> Result<(), StopReason> {
        for _ in 0..APPROACHES {
            let target = self.position(live).await?;
            let is_near = target.0.saturating_sub(runner.position().0) < NEAR;
            self.persist(runner, built, target, progress).await?;
            if is_near {
                break;
            }
        }
        Ok(())
    }

    /// Builds a generation up to exactly `target`, and goes on after what passes: hours of work are not lost to a server
    /// that is restarted.
    async fn persist(
        &self,
        runner: &mut Runner<'_, P>,
        generation: &Generation,
        target: Position,
        progress: &mut (impl FnMut(u64) + Send),
    ) -> Result<(), StopReason> {
        let mut attempts = 0;
        loop {
            let before = runner.position();
            match runner.build(generation, target, |_, events| progress(events)).await {
                Err(StopReason::Transient(why)) if attempts < ATTEMPTS => {
                    attempts = if runner.position() > before { 1 } else { attempts + 1 };
                    warn!(why, "building `{}` stopped for now at {}", P::NAME, runner.position());
                    sleep(Duration::from_secs(1)).await;
                }
                done => return done,
            }
        }
    }

    /// Takes the live generation from its runner, applies what is missing to the other, and makes that live; again, if
    /// the runner has taken it back meanwhile. For so long, some milliseconds, nothing is applied to what readers see.
    async fn take_over(
        &self,
        runner: &mut Runner<'_, P>,
        (live, built): (&Generation, &Generation),
        progress: &mut (impl FnMut(u64) + Send),
    ) -> Result<Position, StopReason> {
        let mut attempts = 0;
        let done = loop {
            let owner = runner.owner;
            let position = self.store.claim(live, owner).await?.position;
            let bring_level = async {
                self.persist(runner, built, position, progress).await?;
                let held = FenceToken::claimed(live, owner, position);
                Ok(self.store.switch(held, built).await?)
            };
            let done: Result<(), StopReason> = tokio::select! {
                done = bring_level => done,
                never = self.hold(position) => match never {},
            };
            attempts += 1;
            match done {
                Err(StopReason::Fenced) if attempts < ATTEMPTS => {}
                // Its runner goes on meanwhile: nobody waits for whoever keeps us from it.
                Err(StopReason::Transient(why)) if attempts < ATTEMPTS => {
                    warn!(why, "`{}` cannot be switched for now", P::NAME);
                    self.context.leave(P::NAME).await;
                    sleep(Duration::from_secs(1)).await;
                    self.draw_near(runner, (live, built), progress).await?;
                }
                done => break done.map(|()| position),
            }
        };
        self.context.leave(P::NAME).await; // its runner goes on at once
        self.context.checkpoints.flush().await;
        done
    }

    /// Says that the live generation has an owner, so that its runner waits, for as long as this is awaited.
    async fn hold(&self, position: Position) -> Infallible {
        let heartbeat = Heartbeat::at(position, self.context.node);
        let mut due = interval(Duration::from_millis(100));
        loop {
            due.tick().await;
            self.context.checkpoints.publish_heartbeat(P::NAME, heartbeat).await;
        }
    }

    /// What its generations are built with.
    pub fn context(&self) -> &RunnerContext {
        &self.context
    }

    fn runner(&self) -> Runner<'_, P> {
        Runner::new(&self.projection, &self.store, &self.context)
    }

    /// The generation that readers see.
    ///
    /// # Errors
    /// The store or the log fails.
    pub async fn live(&self) -> Result<Generation, StopReason> {
        Ok(self.store.live(P::NAME, self.context.log.end().await?.created).await?)
    }

    /// All generations.
    ///
    /// # Errors
    /// The store fails.
    pub async fn listed(&self) -> Result<Vec<ListedGeneration>, StopReason> {
        Ok(self.store.generations(P::NAME).await?)
    }

    async fn position(&self, generation: &Generation) -> Result<Position, StopReason> {
        let listed = self.listed().await?;
        let found = listed.iter().find(|listed| listed.generation == generation.number);
        Ok(Position(found.ok_or(StopReason::Fenced)?.position))
    }
}

/// What was read of a build, unless another runner has taken that over and gone on with it.
fn as_built<P: Projection, T>(
    runner: &Runner<'_, P>,
    (at, read): (Position, T),
) -> Result<T, StopReason> {
    if at == runner.position() { Ok(read) } else { Err(StopReason::Fenced) }
}

fn differences<'a>(
    ours: &'a RowContents,
    anew: &'a RowContents,
) -> impl Iterator<Item = Difference> + 'a {
    let names: BTreeSet<&(String, String)> = ours.keys().chain(anew.keys()).collect();
    let differing = names.into_iter().filter(|name| ours.get(*name) != anew.get(*name));
    differing.take(SHOWN).map(|name| Difference {
        table: name.0.clone(),
        row: name.1.clone(),
        live: ours.get(name).cloned(),
        rebuilt: anew.get(name).cloned(),
    })
}
