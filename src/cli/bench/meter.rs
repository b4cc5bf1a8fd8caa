//! How a run is going, while it goes: a line that changes on a terminal, a line now and then elsewhere.

use std::{
    io::IsTerminal as _,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use indicatif::ProgressBar;
use tokio_util::sync::CancellationToken;

use super::{super::Output, report, traffic::Traffic};

/// Tells of the traffic.
pub(super) struct Meter {
    traffic: Arc<Traffic>,
    bar: ProgressBar,
    plain: bool,
}

impl Meter {
    pub(super) fn new(traffic: &Arc<Traffic>, output: Output) -> Self {
        let plain = output == Output::Text && !std::io::stderr().is_terminal();
        let bar = match output {
            Output::Text => ProgressBar::new_spinner(),
            Output::Json => ProgressBar::hidden(),
        };
        Self { traffic: Arc::clone(traffic), bar, plain }
    }

    pub(super) async fn run(self, stop: CancellationToken) {
        let tick = Duration::from_secs(if self.plain { 5 } else { 1 });
        let mut before = 0;
        while tokio::time::timeout(tick, stop.cancelled()).await.is_err() {
            let counts = &self.traffic.counts;
            let acknowledged = counts.acknowledged.load(Ordering::Relaxed);
            let missing = counts.due.load(Ordering::Relaxed);
            let missing = missing.saturating_sub(counts.arrived.load(Ordering::Relaxed));
            let failed: u64 = self.traffic.failures().values().sum();
            let p99 = report::quantiles(&self.traffic.clock().answers)["p99"].clone();
            let text = format!(
                "{:>4} s of {} s: {:>9}/s acknowledged, p99 {p99} ms, {missing} under way, {failed} failed",
                self.traffic.schedule.now().as_secs(),
                self.traffic.times.end().as_secs(),
                report::per_second(acknowledged - before, tick),
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
