//! When calls are due: at a rate, whatever becomes of earlier ones, or each as soon as its caller is free.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;

/// What makes a call due.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Pace {
    /// The caller is free (closed loop). A slow answer then delays the calls after it, and hides what they would have
    /// waited.
    Free,
    /// The clock (open loop): so many in a second.
    PerSecond(f64),
}

impl Pace {
    /// When the call with this number is due, counted from 0.
    fn scheduled_at(self, number: u64) -> Duration {
        match self {
            Self::Free => Duration::ZERO,
            #[expect(clippy::cast_precision_loss, reason = "far from 2^52 calls")]
            Self::PerSecond(rate) => Duration::from_secs_f64(number as f64 / rate),
        }
    }

    /// How many calls are due before `end`.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
    fn before(self, end: Duration) -> u64 {
        match self {
            Self::Free => 0,
            Self::PerSecond(rate) => (end.as_secs_f64() * rate).ceil() as u64,
        }
    }
}

/// A run: what is due in its first part, the warm-up, is not measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) warm_up: Duration,
    pub(super) measured: Duration,
}

impl Times {
    pub(super) fn end(self) -> Duration {
        self.warm_up.saturating_add(self.measured)
    }

    /// Is what was due then measured?
    pub(super) fn measures(self, scheduled_at: Duration) -> bool {
        (self.warm_up..self.end()).contains(&scheduled_at)
    }
}

/// How long after the end calls are still begun that were due before it.
const LATE: Duration = Duration::from_millis(100);

/// Hands out calls to those who make them.
pub(super) struct Schedule {
    pace: Pace,
    times: Times,
    begun: Instant,
    next: AtomicU64,
    /// One for each call that is due and that nobody has taken.
    due: Semaphore,
    over: AtomicBool,
}

impl Schedule {
    pub(super) fn begin(pace: Pace, times: Times) -> Arc<Self> {
        let schedule = Arc::new(Self {
            pace,
            times,
            begun: Instant::now(),
            next: AtomicU64::new(0),
            due: Semaphore::new(0),
            over: AtomicBool::new(false),
        });
        // The runtime's timers are a millisecond apart, which would show in every latency.
        if let Pace::PerSecond(_) = pace {
            let pacer = Arc::clone(&schedule);
            std::thread::spawn(move || pacer.run());
        }
        schedule
    }

    /// Since the beginning.
    pub(super) fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Since the beginning.
    pub(super) fn at(&self, time: Duration) -> tokio::time::Instant {
        (self.begun + time).into()
    }

    /// Waits until a call is due, and takes it. `None`: there are no more.
    pub(super) async fn take(&self) -> Option<Duration> {
        if self.pace == Pace::Free {
            return Some(self.now()).filter(|now| *now < self.times.end());
        }
        self.due.acquire().await.ok()?.forget();
        if self.over.load(Ordering::Relaxed) {
            return None;
        }
        Some(self.pace.scheduled_at(self.next.fetch_add(1, Ordering::Relaxed)))
    }

    /// When those calls were due that nobody was free to make before the end.
    pub(super) fn not_begun(&self) -> impl Iterator<Item = Duration> {
        let taken = self.next.load(Ordering::Relaxed);
        (taken..self.pace.before(self.times.end())).map(|number| self.pace.scheduled_at(number))
    }

    fn run(&self) {
        let end = self.times.end();
        let all = self.pace.before(end);
        let mut released = 0;
        while released < all {
            std::thread::sleep(self.pace.scheduled_at(released).saturating_sub(self.now()));
            let due = self.pace.before(self.now()).clamp(released + 1, all);
            self.due.add_permits(usize::try_from(due - released).unwrap_or_default());
            released = due;
        }
        std::thread::sleep((end + LATE).saturating_sub(self.now()));
        self.over.store(true, Ordering::Relaxed);
        self.due.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times =
        Times { warm_up: Duration::from_secs(20), measured: Duration::from_secs(80) };

    #[test]
    fn calls_are_evenly_spread_and_none_is_due_at_the_end_or_later() {
        let pace = Pace::PerSecond(4000.0);
        assert_eq!(pace.scheduled_at(0), Duration::ZERO);
        assert_eq!(pace.scheduled_at(1), Duration::from_micros(250));
        assert_eq!(pace.scheduled_at(40_000), Duration::from_secs(10));
        assert_eq!(pace.before(Duration::from_secs(10)), 40_000);
        assert_eq!(pace.before(Duration::from_micros(251)), 2);
        assert_eq!(Pace::Free.before(Duration::from_secs(10)), 0);
    }

    #[test]
    fn the_warm_up_is_not_measured() {
        let measured = [0, 19, 20, 99, 100].map(|s| TIMES.measures(Duration::from_secs(s)));
        assert_eq!(measured, [false, false, true, true, false]);
    }

    #[tokio::test]
    async fn a_slow_caller_does_not_move_what_is_due() {
        let schedule = Schedule::begin(Pace::PerSecond(100.0), TIMES);
        let mut due = vec![schedule.take().await];
        std::thread::sleep(Duration::from_millis(45)); // an answer that takes its time
        for _ in 0..3 {
            due.push(schedule.take().await);
        }
        assert_eq!(due, [0, 10, 20, 30].map(|ms| Some(Duration::from_millis(ms))));
    }

    #[tokio::test]
    async fn calls_that_nobody_was_free_to_make_are_told() {
        let schedule = Schedule::begin(Pace::PerSecond(0.1), TIMES);
        assert_eq!(schedule.take().await, Some(Duration::ZERO));
        let left: Vec<u64> = schedule.not_begun().map(|at| at.as_secs()).collect();
        assert_eq!(left, [10, 20, 30, 40, 50, 60, 70, 80, 90]);
    }

    #[tokio::test]
    async fn in_a_closed_loop_a_call_is_due_when_its_caller_is_free() {
        let schedule = Schedule::begin(Pace::Free, TIMES);
        let first = schedule.take().await.expect("before the end");
        let second = schedule.take().await.expect("before the end");
        assert!(first <= second && second <= schedule.now());
        assert_eq!(schedule.not_begun().count(), 0);
    }

    #[tokio::test]
    async fn after_the_end_nothing_is_due() {
        let short = Times { warm_up: Duration::ZERO, measured: Duration::from_millis(1) };
        for pace in [Pace::Free, Pace::PerSecond(1000.0)] {
            let schedule = Schedule::begin(pace, short);
            while schedule.take().await.is_some() {}
            assert!(schedule.now() >= short.end());
        }
    }
}
