//! Health of a process: what its start waits for, and how its projections are.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::Serialize;
use tokio::time::Instant;

use crate::events::{Position, Timestamp};

/// What the start of this process waits for, and why: each part at most once.
#[derive(Clone, Default)]
pub struct StartWaits(Arc<Mutex<BTreeMap<&'static str, String>>>);

impl StartWaits {
    /// It waits for a part. `false` if that was known, with the same reason.
    pub fn note(&self, part: &'static str, why: &str) -> bool {
        let mut waits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waits.insert(part, why.to_owned()).as_deref() != Some(why)
    }

    /// The part is there. `false` if nobody waited for it.
    pub fn over(&self, part: &'static str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(part).is_some()
    }

    /// All of it.
    pub fn all(&self) -> BTreeMap<&'static str, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A projection whose store or log has not let it go on for this long is somebody's business.
pub const STALLED_AFTER: Duration = Duration::from_secs(30);

/// One that is well says so more often than this.
const SAYS_SO_WITHIN: Duration = Duration::from_secs(8);

/// How the projections of this process are.
#[derive(Clone, Default)]
pub struct ProjectionHealth {
    states: Arc<Mutex<BTreeMap<&'static str, ProjectionState>>>,
    progress: Arc<Mutex<BTreeMap<&'static str, Progress>>>,
}

/// When a projection was last let go on by its store and the log.
#[derive(Debug, Clone, Copy)]
struct Progress {
    last: Instant,
    /// Was it said that it waits for too long?
    alarmed: bool,
}

/// How one projection is.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ProjectionState {
    /// `catching_up`, `live`, `standby`, `waiting`, `stopped`; of another process: `running`, `stopped`, `silent`.
    pub state: &'static str,
    /// The last event that counts.
    pub position: u64,
    /// Events that the server had for it when it last looked.
    pub lag: u64,
    /// The generation that is live.
    #[serde(skip)]
    pub generation: i64,
    /// When the log took the last event that was applied here.
    #[serde(skip)]
    pub applied: Option<Timestamp>,
    /// What it waits for, or why it stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl ProjectionState {
    /// How old the last applied event is at `now`, if there are later ones to apply; else 0.
    pub fn lag_seconds(&self, now: Timestamp) -> f64 {
        let applied = self.applied.filter(|_| self.lag > 0);
        let age = applied.map_or(0, |applied| now.0.abs_diff(applied.0));
        Duration::from_millis(age).as_secs_f64()
    }
}

impl ProjectionHealth {
    fn with(&self, name: &'static str, change: impl FnOnce(&mut ProjectionState)) {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        change(states.entry(name).or_default());
    }

    fn goes_on(&self, name: &'static str) {
        let now = Progress { last: Instant::now(), alarmed: false };
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).insert(name, now);
    }

    /// How long it has waited at `now` for its store or the log; nothing as long as it may just have nothing to say.
    pub fn waited(&self, name: &'static str, now: Instant) -> Duration {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let known = progress.entry(name).or_insert(Progress { last: now, alarmed: false });
        Some(now - known.last).filter(|waited| *waited >= SAYS_SO_WITHIN).unwrap_or_default()
    }

    /// How long it has waited, once that is [`STALLED_AFTER`]: each time that it comes to that, once.
    pub fn is_stalled(&self, name: &'static str, now: Instant) -> Option<Duration> {
        let waited = self.waited(name, now);
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let known = progress.get_mut(name).filter(|_| waited >= STALLED_AFTER)?;
        (!std::mem::replace(&mut known.alarmed, true)).then_some(waited)
    }

    /// It has begun, and may have to build what it has from nothing.
    pub fn begun(&self, name: &'static str) {
        self.with(name, |state| state.state = "catching_up");
    }

    /// Has it caught up?
    pub fn is_live(&self, name: &'static str) -> bool {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.get(name).is_some_and(|state| state.state == "live")
    }

    /// Whoever reads it reads this generation.
    pub fn serves(&self, name: &'static str, generation: i64) {
        self.with(name, |state| state.generation = generation);
    }

    /// An event that it has applied was taken by the log at this time.
    pub fn applied(&self, name: &'static str, at: Timestamp) {
        self.with(name, |state| state.applied = Some(at));
    }

    /// It has caught up.
    pub fn live(&self, name: &'static str) {
        self.goes_on(name);
        self.with(name, |state| {
            state.state = "live";
            state.reason = None;
        });
    }

    /// It is at `position`, with `lag` events to go.
    pub fn at(&self, name: &'static str, position: Position, lag: u64) {
        self.goes_on(name);
        self.with(name, |state| {
            if state.state != "live" {
                state.state = "catching_up";
                state.reason = None; // what it waited for is there
            }
            state.position = position.0;
            state.lag = lag;
        });
    }

    /// Another process works on it and is at `position`; we are there if that one goes.
    pub fn standby(&self, name: &'static str, position: Position) {
        self.goes_on(name);
        self.with(name, |state| {
            state.state = "standby";
            state.position = position.0;
            state.lag = 0; // the other one tells it
            state.reason = None;
        });
    }

    /// Its store or the log is away.
    pub fn waiting(&self, name: &'static str, why: &str) {
        self.with(name, |state| {
            state.state = "waiting";
            state.reason = Some(why.to_owned());
        });
    }

    /// It met an event that it cannot apply.
    pub fn stopped(&self, name: &'static str, position: Position, reason: &str) {
        self.goes_on(name);
        self.with(name, |state| {
            state.state = "stopped";
            state.reason = Some(format!("event {position}: {reason}"));
        });
    }

    /// All of them.
    pub fn all(&self) -> BTreeMap<&'static str, ProjectionState> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_projection_that_waits_too_long_is_told_of_once_each_time() {
        let health = ProjectionHealth::default();
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let stalled = |seconds| health.is_stalled("sessions", after(seconds));
        assert_eq!(health.waited("sessions", begun), Duration::ZERO);
        assert_eq!(health.waited("sessions", after(5)), Duration::ZERO, "it had nothing to say");
        assert_eq!(health.waited("sessions", after(20)).as_secs(), 20);
        assert_eq!(stalled(29), None);
        assert!(stalled(31).is_some_and(|waited| waited.as_secs() == 31));
        assert_eq!(stalled(300), None, "that is known");
        health.waiting("sessions", "no store");
        health.begun("sessions");
        assert!(health.waited("sessions", after(301)).as_secs() >= 300, "trying is not going on");
        health.at("sessions", Position(1), 0);
        assert_eq!(health.waited("sessions", Instant::now()), Duration::ZERO);
        assert!(stalled(400).is_some());
    }

    #[test]
    fn what_the_start_waits_for_is_news_once() {
        let waits = StartWaits::default();
        assert!(!waits.over("nats"));
        assert!(waits.note("nats", "away") && !waits.note("nats", "away"));
        assert!(waits.note("nats", "wrong password"));
        assert_eq!(waits.all()["nats"], "wrong password");
        assert!(waits.over("nats") && waits.all().is_empty());
    }
}
