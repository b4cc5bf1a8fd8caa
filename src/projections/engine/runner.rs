//! The runner of one generation of a read model: event and checkpoint in one transaction, batch after batch.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::{Instant, interval, sleep_until};
use tracing::{Instrument as _, error, error_span, info, warn};
use uuid::Uuid;

use super::{
    context::RunnerContext,
    generation::{BuildPurpose, CheckpointAdvance, FenceToken, Generation, Store},
    stop_reason::StopReason,
};
use crate::{
    adapters::nats::{
        checkpoints::{HEARTBEAT, Heartbeat},
        log_error::LogError,
        reader::{Entry, position_of},
    },
    events::{Event, Position, Recorded},
    projections::{Checkpoint, Projection, StoreError},
};

/// The work on one generation, until it is fenced or stopped, or its store or the log fails.
pub struct Runner<'a, P: Projection> {
    projection: &'a P,
    pub(super) store: &'a P::Store,
    pub(super) context: &'a RunnerContext,
    pub(super) owner: Uuid,
    pub(super) at: Checkpoint,
    /// Has it committed anything?
    pub(super) progressed: bool,
    /// Events that an operator told this read model to leave out.
    pub(super) skipped: BTreeSet<Position>,
    /// The event that an earlier runner could not apply: until this one has passed it, the projection counts as stopped.
    pub(super) stopped_at: Option<Position>,
}

impl<'a, P: Projection> Runner<'a, P> {
    /// Runner that has not begun.
    pub fn new(projection: &'a P, store: &'a P::Store, context: &'a RunnerContext) -> Self {
        Self {
            projection,
            store,
            context,
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

    /// Follows the log on the live generation until it is fenced or stopped, or its store or the log fails.
    pub(super) async fn follow(&mut self) -> StopReason {
        match self.try_follow().await {
            Ok(never) => match never {},
            Err(reason) => reason,
        }
    }

    async fn try_follow(&mut self) -> Result<std::convert::Infallible, StopReason> {
        let created = self.context.log.end().await?.created;
        self.context.health.begun(P::NAME); // before there is a new generation that others may read
        let mut generation = self.store.live(P::NAME, created).await?;
        self.at = self.store.claim(&generation, self.owner).await?;
        if self.at.position == Position(0) {
            // An erasure may be why it is empty (ADR 0038).
            self.context.log.keys.forget_all();
            self.context.shared_log.forget();
        }
        // Where the log ends is asked after the claim: until then another runner may have gone on, and what it applied
        // beyond an earlier end is no sign of a log that lost something.
        // Live is who has all that it held by now: while messages flow, the end may always be a little ahead.
        let mut target = self.context.log.end().await?.last;
        if generation.outdated
            || !self.at.is_held_by(&self.context.log, &generation, created, target).await?
        {
            generation = self.rebuild_from_empty(&generation).await?;
        }
        self.context.health.serves(P::NAME, generation.number.into());
        self.skipped = self.context.log.skipped(P::NAME).await?;
        let mut reader = self.context.shared_log.follow(P::SUBJECTS, self.next()).await?;
        self.heartbeat(reader.pending()).await;
        let mut ticks = interval(HEARTBEAT);
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
                self.context.health.live(P::NAME);
                self.projection.caught_up().await;
            }
            let at = self.at.position;
            let gathered = async {
                if due > Instant::now() {
                    tokio::select! {
                        () = sleep_until(due) => {}
                        () = self.context.checkpoints.awaited_beyond(at) => {}
                    }
                }
            };
            let goal = (!live).then_some(target);
            let batch = tokio::select! {
                batch = reader.next_before(self.context.batch, goal, gathered) => batch?,
                _ = ticks.tick() => {
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
            due = Instant::now() + if gathers { P::MIN_BATCH_INTERVAL } else { Duration::ZERO };
            let mut effects = Vec::new();
            let applied = self.apply(&generation, batch, &mut effects).await;
            // What was committed shows, also if the event after it stops the projection.
            if live {
                self.projection.publish(effects).await;
            }
            applied?;
            self.announce(reader.pending()).await;
        }
    }

    /// Holds the log nothing for this read model after one position, up to another?
    async fn has_none(&self, after: Position, to: Position) -> Result<bool, LogError> {
        self.context.log.has_none(P::SUBJECTS, Position(after.0 + 1), to).await
    }

    pub(super) fn next(&self) -> Position {
        Position(self.at.position.0 + 1)
    }

    fn status(&self, lag: u64) -> Heartbeat {
        let position = self.at.position;
        let stopped_at = self.stopped_at.filter(|event| position < *event);
        if stopped_at.is_none() {
            self.context.health.at(P::NAME, position, lag);
        }
        self.context.heartbeat(position, stopped_at)
    }

    async fn heartbeat(&self, lag: u64) {
        self.context.checkpoints.publish_heartbeat(P::NAME, self.status(lag)).await;
    }

    async fn announce(&self, lag: u64) {
        self.context.checkpoints.publish(P::NAME, self.status(lag)).await;
    }

    /// Moves the checkpoint to where it is, which fails if it is somebody else's now.
    async fn still_mine(&self, generation: &Generation) -> Result<(), StopReason> {
        let moved = CheckpointAdvance { owner: self.owner, from: self.at, to: self.at };
        let tx = self.store.begin(generation, moved).await?;
        Ok(self.store.commit(tx, generation, moved).await?)
    }

    async fn still_live(&self, generation: &Generation) -> Result<(), StopReason> {
        let live = self.store.live(P::NAME, generation.log_created).await?;
        if live.number == generation.number { Ok(()) } else { Err(StopReason::Fenced) }
    }

    async fn rebuild_from_empty(&mut self, old: &Generation) -> Result<Generation, StopReason> {
        let (context, heartbeat) = (self.context, self.context.heartbeat(self.at.position, None));
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
        // Readers keep what they have until there is something to replace it.
        let held = FenceToken::claimed(old, self.owner, self.at.position);
        let generation = self.begin(BuildPurpose::Rebuild).await?;
        self.stopped_at = None;
        let target = self.context.log.end().await?.last;
        let health = self.context.health.clone();
        let progress = |at: Position, _| health.at(P::NAME, at, target.0.saturating_sub(at.0));
        tokio::select! {
            built = self.build(&generation, target, progress) => built?,
            () = context.publish_for(Duration::MAX, P::NAME, heartbeat) => {}
        }
        self.store.complete(&generation).await?;
        self.store.switch(held, &generation).await?;
        Ok(generation)
    }

    pub(super) async fn apply(
        &mut self,
        generation: &Generation,
        batch: Vec<Entry>,
        effects: &mut Vec<P::Effect>,
    ) -> Result<(), StopReason> {
        let first = batch.first().map(|entry| position_of(entry).0);
        let span = error_span!(
            "batch",
            projection.name = P::NAME,
            generation = generation.number,
            first,
            entries = batch.len()
        );
        self.try_apply(generation, batch, effects).instrument(span).await
    }

    async fn try_apply(
        &mut self,
        generation: &Generation,
        batch: Vec<Entry>,
        effects: &mut Vec<P::Effect>,
    ) -> Result<(), StopReason> {
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
                    if !event.may_be_repeat() || !self.context.log.is_repeat(&event).await? {
                        events.push(event);
                    }
                }
            }
        }
        let mut rest = events.as_slice();
        loop {
            let (now, later) = rest.split_at(P::split_batch(rest).max(1).min(rest.len()));
            if later.is_empty() {
                break;
            }
            self.apply_part(generation, now, Checkpoint::of(now), effects).await?;
            rest = later;
        }
        self.apply_part(generation, rest, end, effects).await?;
        match unreadable {
            None => Ok(()),
            Some(found) => Err(StopReason::PoisonEvent {
                position: found.position,
                reason: found.source.to_string(),
            }),
        }
    }

    /// Applies events in one transaction, or, if the store refuses that, up to the one that it refuses.
    async fn apply_part(
        &mut self,
        generation: &Generation,
        events: &[Recorded<Event>],
        to: Checkpoint,
        effects: &mut Vec<P::Effect>,
    ) -> Result<(), StopReason> {
        match self.apply_all(generation, events, to, effects).await {
            Err(StoreError::Refused(why)) => {
                self.find_poison(generation, (events, to), why, effects).await
            }
            result => Ok(result?),
        }
    }

    /// Applies events and moves the checkpoint to `to`, which is the last of them or a skipped one after it.
    async fn apply_all(
        &mut self,
        generation: &Generation,
        events: &[Recorded<Event>],
        to: Checkpoint,
        effects: &mut Vec<P::Effect>,
    ) -> Result<(), StoreError> {
        if to.position == self.at.position {
            return Ok(());
        }
        let moved = CheckpointAdvance { owner: self.owner, from: self.at, to };
        let begun = Instant::now();
        let mut tx = self.store.begin(generation, moved).await?;
        let its_effects = self.projection.apply(&mut tx, events).await?;
        self.store.commit(tx, generation, moved).await?;
        effects.extend(its_effects);
        self.context.metrics.committed(P::NAME, events.len(), begun);
        if let Some(last) = events.last() {
            self.context.health.applied(P::NAME, last.stored_at);
        }
        self.at = to;
        self.progressed = true;
        Ok(())
    }

    /// Applies one event after the other up to the one that the store refuses.
    async fn find_poison(
        &mut self,
        generation: &Generation,
        (events, end): (&[Recorded<Event>], Checkpoint),
        why: String,
        effects: &mut Vec<P::Effect>,
    ) -> Result<(), StopReason> {
        // The tables themselves may be gone; then there is a new generation, and no poison.
        let live = self.store.live(P::NAME, generation.log_created).await?;
        if live.number > generation.number {
            warn!(projection.name = P::NAME, why, "the generation is not live any more");
            return Err(StopReason::Fenced);
        }
        for event in events {
            let one = std::slice::from_ref(event);
            match self.apply_all(generation, one, Checkpoint::of(one), effects).await {
                Err(StoreError::Refused(reason)) => {
                    // A store also refuses what another runner has applied meanwhile.
                    self.still_mine(generation).await?;
                    return Err(StopReason::PoisonEvent { position: event.position, reason });
                }
                result => result?,
            }
        }
        Ok(self.apply_all(generation, &[], end, effects).await?)
    }
}
