//! The progress of a run while it goes: a line that changes on a terminal, a line now and then elsewhere, nothing where
//! JSON is wanted.

use std::{
    io::IsTerminal as _,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use testkit::output::Output;
use tokio_util::sync::CancellationToken;

use super::{format, traffic::Traffic};

/// How often a line is written where there is no terminal.
const LINES: Duration = Duration::from_secs(5);

fn is_plain(output: Output) -> bool {
    output == Output::Text && !std::io::stderr().is_terminal()
}

/// A count on its way to a total.
pub(super) struct Progress {
    bar: ProgressBar,
    name: &'static str,
    /// Of what.
    unit: &'static str,
    plain: bool,
    begun: Instant,
    printed: Instant,
}

impl Progress {
    pub(super) fn of(name: &'static str, unit: &'static str, total: u64, output: Output) -> Self {
        let style = ProgressStyle::with_template(&format!(
            "{{prefix:<16}} {{wide_bar}} {{pos}}/{{len}} {unit}  {{per_sec}}  {{eta}}",
        ));
        let bar = match output {
            Output::Text => ProgressBar::new(total),
            Output::Json => ProgressBar::hidden(),
        };
        let now = Instant::now();
        let bar = bar.with_style(style.expect("a valid template")).with_prefix(name);
        Self { bar, name, unit, plain: is_plain(output), begun: now, printed: now }
    }

    pub(super) fn set(&mut self, done: u64) {
        self.bar.set_position(done);
        if self.plain && self.printed.elapsed() >= LINES {
            self.printed = Instant::now();
            let total = self.bar.length().unwrap_or(done).max(done);
            let per_second = done / self.begun.elapsed().as_secs().max(1);
            let left = (total - done) / per_second.max(1);
            let Self { name, unit, .. } = self;
            eprintln!("{name}: {done} of {total} {unit}, {per_second}/s, {left} s to go");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Tells of the traffic.
pub(super) struct TrafficProgress {
    traffic: Arc<Traffic>,
    bar: ProgressBar,
    plain: bool,
}

impl TrafficProgress {
    pub(super) fn new(traffic: &Arc<Traffic>, output: Output) -> Self {
        let bar = match output {
            Output::Text => ProgressBar::new_spinner(),
            Output::Json => ProgressBar::hidden(),
        };
        Self { traffic: Arc::clone(traffic), bar, plain: is_plain(output) }
    }

    pub(super) async fn run(self, stop: CancellationToken) {
        let tick = if self.plain { LINES } else { Duration::from_secs(1) };
        let mut before = 0;
        while tokio::time::timeout(tick, stop.cancelled()).await.is_err() {
            let counts = &self.traffic.counts;
            let acknowledged = counts.acknowledged.load(Ordering::Relaxed);
            let missing = counts.due.load(Ordering::Relaxed);
            let missing = missing.saturating_sub(counts.arrived.load(Ordering::Relaxed));
            let failed: u64 = self.traffic.failures().values().sum();
            let p99 = format::quantiles(&self.traffic.clock().answers)["p99"].clone();
            let text = format!(
                "{:>4} s of {} s: {:>9}/s acknowledged, p99 {p99} ms, {missing} under way, {failed} failed",
                self.traffic.schedule.now().as_secs(),
                self.traffic.times.end().as_secs(),
                format::per_second(acknowledged - before, tick),
            );
            before = acknowledged;
            if self.plain {
                eprintln!("{text}");
            } else {
                self.bar.set_message(text);
                self.bar.tick();
            }
        }
        self.bar.finish_and_clear();
    }
}
