//! Runs a read model: event and checkpoint in one transaction, batch after batch.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::{Instant, interval, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use uuid::Uuid;

use super::{
    generation::{Generation, Listed, Move, Store},
    stop_reason::Halt,
};
use crate::{
    adapters::nats::{
        checkpoints::{Beat, Checkpoints, HEARTBEAT, LEASE},
        event_log::{EventLog, LogError},
        reader::{Entry, position_of},
        shared_log::Tail,
    },
    events::{Event, NodeId, Position, Recorded},
    projections::{Checkpoint, Projection, StoreError},
    telemetry::ProjectionHealth,
};

/// What every runner of a process shares.
#[derive(Clone)]
pub struct Runners {
    /// The log.
    pub log: EventLog,
    /// Its end.
    pub tail: Tail,
    /// Where runners tell how far they are.
    pub checkpoints: Checkpoints,
    /// This process.
    pub node: NodeId,
    /// Events in one transaction, at most.
    pub batch: usize,
    /// What `/health` says.
    pub health: ProjectionHealth,
    /// The end.
    pub stop: CancellationToken,
}

/// Keeps a read model up to date until the end, whatever happens to its store.
pub async fn run<P: Projection>(projection: P, store: P::Store, runners: Runners) {
    let mut pause = Duration::from_millis(50);
    let (mut told, mut stopped_at) = (String::new(), None);
    loop {
        let mut work = Work { stopped_at, ..Work::new(&projection, &store, &runners) };
        let halt = tokio::select! {
            () = runners.stop.cancelled() => break,
            halt = work.follow() => halt,
            never = runners.raise_alarm(P::NAME) => match never {},
        };
        stopped_at = work.stopped_at;
        if work.progressed {
            pause = Duration::from_millis(50);
            told.clear();
        }
        match halt {
            Halt::Fenced => tokio::select! {
                () = runners.stop.cancelled() => break,
                () = runners.wait_for_silence(P::NAME) => {}
            },
            Halt::Passing(why) => {
                if told != why {
                    told.clone_from(&why); // once, however long it takes
                    warn!(
                        projection.name = P::NAME,
                        why,
                        "projection `{}` waits for its store or the log",
                        P::NAME
                    );
                }
                runners.health.waiting(P::NAME, &why);
                tokio::select! {
                    () = runners.stop.cancelled() => break,
                    () = sleep(pause) => pause = (pause * 2).min(Duration::from_secs(1)),
                }
            }
            Halt::Poison { position, reason } => {
                error!(
                    projection.name = P::NAME, %position, reason,
                    "projection `{}` stopped: the event at {position} cannot be applied; \
                     `hongyan events show {position}` shows it, `hongyan projections skip {} {position}` leaves it out",
                    P::NAME,
                    P::NAME
                );
                runners.health.stopped(P::NAME, position, &reason);
                stopped_at = Some(position);
                let beat = runners.beat(work.position(), stopped_at);
                tokio::select! {
                    () = runners.stop.cancelled() => break,
                    // The store may have been mended, or the generation switched.
                    () = runners.tell_for(LEASE, P::NAME, beat) => {}
                }
            }
        }
    }
    runners.leave(P::NAME).await;
}

/// One stretch of work on one generation.
pub struct Work<'a, P: Projection> {
    projection: &'a P,
    store: &'a P::Store,
    runners: &'a Runners,
    owner: Uuid,
    at: Checkpoint,
    progressed: bool,
    /// Events that an operator told this read model to leave out.
    skipped: BTreeSet<Position>,
    /// What could not be applied before. Until that is behind, it is not said that all is well.
    stopped_at: Option<Position>,
}

impl<'a, P: Projection> Work<'a, P> {
    /// Work that has not begun.
    pub fn new(projection: &'a P, store: &'a P::Store, runners: &'a Runners) -> Self {
        Self {
            projection,
            store,
            runners,
            owner: crate::clock::random_id(),
            at: Checkpoint::default(),
            progressed: false,
            skipped: BTreeSet::new(),
            stopped_at: None,
        }
    }

    /// How far this work is.
    pub fn position(&self) -> Position {
        self.at.position
    }

    /// Follows the log on the live generation until something comes in between.
    async fn follow(&mut self) -> Halt {
        match self.try_follow().await {
            Ok(never) => match never {},
            Err(halt) => halt,
        }
    }

    async fn try_follow(&mut self) -> Result<std::convert::Infallible, Halt> {
        let created = self.runners.log.end().await?.created;
        self.runners.health.begun(P::NAME); // before there is a new generation that others may read
        let mut generation = self.store.live(P::NAME, created).await?;
        self.at = self.store.claim(&generation, self.owner).await?;
        // Where the log ends is asked after the claim: until then another runner may have gone on, and what it applied
        // beyond an earlier end is no sign of a log that lost something.
        // Live is who has all that it held by now: while messages flow, the end may always be a little ahead.
        let mut target = self.runners.log.end().await?.last;
        if generation.outdated
            || !self.at.is_held_by(&self.runners.log, &generation, created, target).await?
        {
            generation = self.start_over(&generation, created).await?;
        }
        self.skipped = self.runners.log.skipped(P::NAME).await?;
        let mut reader = self.runners.tail.follow(P::SUBJECTS, self.next()).await?;
        self.heartbeat(reader.pending()).await;
        let mut beat = interval(HEARTBEAT);
        let mut live = false;
        let mut due = Instant::now();
        loop {
            if !live && reader.reached() >= target {
                live = true;
                info!(
                    projection.name = P::NAME,
                    "projection `{}` is live at {}",
                    P::NAME,
                    self.at.position
                );
                self.runners.health.live(P::NAME);
                self.projection.caught_up().await;
            }
            let at = self.at.position;
            let gathered = async {
                if due > Instant::now() {
                    tokio::select! {
                        () = sleep_until(due) => {}
                        () = self.runners.checkpoints.awaited_beyond(at) => {}
                    }
                }
            };
            let goal = (!live).then_some(target);
            let batch = tokio::select! {
                batch = reader.next_before(self.runners.batch, goal, gathered) => batch?,
                _ = beat.tick() => {
                    // Somebody may have claimed or switched the generation while nothing happened.
                    self.still_mine(&generation).await?;
                    self.still_live(&generation).await?;
                    self.heartbeat(reader.pending()).await;
                    if live {
                        self.projection.heartbeat().await;
                    } else if self.has_none(reader.reached(), target).await? {
                        target = reader.reached(); // what was to come has expired
                    }
                    continue;
                }
            };
            // What a full batch has left over does not wait.
            let gathers = live && reader.pending() == 0;
            due = Instant::now() + if gathers { P::PACE } else { Duration::ZERO };
            let effects = self.apply(&generation, batch).await?;
            if live {
                self.projection.publish(effects).await;
            }
            self.announce(reader.pending()).await;
        }
    }

    /// Brings a generation up to the last of its events at or before `target`, without effects.
    ///
    /// # Errors
    /// What comes in between.
    pub async fn build(
        &mut self,
        generation: &Generation,
        target: Position,
        mut progress: impl FnMut(Position, u64),
    ) -> Result<(), Halt> {
        self.at = self.store.claim(generation, self.owner).await?;
        if self.at.position >= target {
            return Ok(());
        }
        self.skipped = self.runners.log.skipped(P::NAME).await?;
        let mut reader = self.runners.log.read(P::SUBJECTS, self.next()).await?;
        let mut at_end = reader.pending() == 0;
        while reader.next() <= target
            && !(at_end && self.has_none(Position(reader.next().0 - 1), target).await?)
        {
            let Ok(batch) = timeout(HEARTBEAT, reader.next_batch(self.runners.batch)).await else {
                at_end = true; // or what was to come has expired
                continue;
            };
            let mut batch = batch?;
            batch.retain(|entry| position_of(entry) <= target);
            if batch.is_empty() {
                break;
            }
            let count = batch.len() as u64;
            self.apply(generation, batch).await?;
            progress(self.at.position, count);
            at_end = reader.pending() == 0;
        }
        Ok(())
    }

    /// Holds the log nothing for this read model after one position, up to another?
    async fn has_none(&self, after: Position, to: Position) -> Result<bool, LogError> {
        self.runners.log.has_none(P::SUBJECTS, Position(after.0 + 1), to).await
    }

    fn next(&self) -> Position {
        Position(self.at.position.0 + 1)
    }

    fn beat(&self, lag: u64) -> Beat {
        let position = self.at.position;
        let stopped_at = self.stopped_at.filter(|event| position < *event);
        if stopped_at.is_none() {
            self.runners.health.at(P::NAME, position, lag);
        }
        self.runners.beat(position, stopped_at)
    }

    async fn heartbeat(&self, lag: u64) {
        self.runners.checkpoints.heartbeat(P::NAME, self.beat(lag)).await;
    }

    async fn announce(&self, lag: u64) {
        self.runners.checkpoints.tell(P::NAME, self.beat(lag)).await;
    }

    /// Moves the checkpoint to where it is, which fails if it is somebody else's now.
    async fn still_mine(&self, generation: &Generation) -> Result<(), Halt> {
        let moved = Move { owner: self.owner, from: self.at, to: self.at };
        let tx = self.store.begin(generation, moved).await?;
        Ok(self.store.commit(tx, generation, moved).await?)
    }

    async fn still_live(&self, generation: &Generation) -> Result<(), Halt> {
        let live = self.store.live(P::NAME, generation.log_created).await?;
        if live.number == generation.number { Ok(()) } else { Err(Halt::Fenced) }
    }

    async fn start_over(&mut self, old: &Generation, log_created: i64) -> Result<Generation, Halt> {
        let (runners, beat) = (self.runners, self.runners.beat(self.at.position, None));
        if old.outdated {
            info!(
                projection.name = P::NAME,
                "projection `{}` has a new shape and is built anew",
                P::NAME
            );
        } else {
            error!(
                projection.name = P::NAME, position = %self.at.position,
                "projection `{}` is ahead of the log: acknowledged events may be gone; it is built anew",
                P::NAME
            );
        }
        // What an earlier attempt left half built.
        for Listed { generation, live, .. } in self.store.generations(P::NAME).await? {
            if !live && generation > old.number {
                self.store.drop(&Generation { number: generation, ..*old }).await?;
            }
        }
        let generation = self.store.add(P::NAME, log_created).await?;
        self.stopped_at = None;
        // Readers keep what they have until there is something to replace it.
        let target = self.runners.log.end().await?.last;
        let health = self.runners.health.clone();
        let progress = |at: Position, _| health.at(P::NAME, at, target.0.saturating_sub(at.0));
        tokio::select! {
            built = self.build(&generation, target, progress) => built?,
            () = runners.tell_for(Duration::MAX, P::NAME, beat) => {}
        }
        self.store.switch(&generation).await?;
        Ok(generation)
    }

    async fn apply(
        &mut self,
        generation: &Generation,
        batch: Vec<Entry>,
    ) -> Result<Vec<P::Effect>, Halt> {
        let mut events = Vec::with_capacity(batch.len());
        let mut end = self.at;
        let mut unreadable = None;
        for entry in batch {
            let position = position_of(&entry);
            let skipped = self.skipped.contains(&position);
            match entry {
                Err(found) if !skipped => {
                    unreadable = Some(found);
                    break;
                }
                entry => {
                    let event = entry.ok();
                    end = Checkpoint { position, event: event.as_ref().map(|event| event.id) };
                    let Some(event) = event.filter(|_| !skipped) else { continue };
                    if !event.may_be_repeat() || !self.runners.log.is_repeat(&event).await? {
                        events.push(event);
                    }
                }
            }
        }
        let mut effects = Vec::new();
        let mut rest = events.as_slice();
        loop {
            let (now, later) = rest.split_at(P::portion(rest));
            if later.is_empty() {
                break;
            }
            effects.extend(self.apply_portion(generation, now, Checkpoint::of(now)).await?);
            rest = later;
        }
        effects.extend(self.apply_portion(generation, rest, end).await?);
        match unreadable {
            None => Ok(effects),
            Some(found) => {
                Err(Halt::Poison { position: found.position, reason: found.source.to_string() })
            }
        }
    }

    /// Applies events in one transaction, or, if the store refuses that, up to the one that it refuses.
    async fn apply_portion(
        &mut self,
        generation: &Generation,
        events: &[Recorded<Event>],
        to: Checkpoint,
    ) -> Result<Vec<P::Effect>, Halt> {
        match self.apply_all(generation, events, to).await {
            Err(StoreError::Refused(why)) => self.find_poison(generation, events, to, why).await,
            result => Ok(result?),
        }
    }

    /// Applies events and moves the checkpoint to `to`, which is the last of them or a skipped one after it.
    async fn apply_all(
        &mut self,
        generation: &Generation,
        events: &[Recorded<Event>],
        to: Checkpoint,
    ) -> Result<Vec<P::Effect>, StoreError> {
        if to.position == self.at.position {
            return Ok(Vec::new());
        }
        let moved = Move { owner: self.owner, from: self.at, to };
        let mut tx = self.store.begin(generation, moved).await?;
        let effects = self.projection.apply(&mut tx, events).await?;
        self.store.commit(tx, generation, moved).await?;
        self.at = to;
        self.progressed = true;
        Ok(effects)
    }

    /// Applies one event after the other up to the one that the store refuses.
    async fn find_poison(
        &mut self,
        generation: &Generation,
        events: &[Recorded<Event>],
        end: Checkpoint,
        why: String,
    ) -> Result<Vec<P::Effect>, Halt> {
        // The tables themselves may be gone; then there is a new generation, and no poison.
        let live = self.store.live(P::NAME, generation.log_created).await?;
        if live.number > generation.number {
            warn!(projection.name = P::NAME, why, "the generation is not live any more");
            return Err(Halt::Fenced);
        }
        let mut effects = Vec::new();
        for event in events {
            let one = std::slice::from_ref(event);
            match self.apply_all(generation, one, Checkpoint::of(one)).await {
                Err(StoreError::Refused(reason)) => {
                    // A store also refuses what another runner has applied meanwhile.
                    self.still_mine(generation).await?;
                    return Err(Halt::Poison { position: event.position, reason });
                }
                result => effects.extend(result?),
            }
        }
        effects.extend(self.apply_all(generation, &[], end).await?);
        Ok(effects)
    }
}
