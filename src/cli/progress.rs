//! Progress of a long command is a bar on a terminal, plain lines elsewhere, and nothing where JSON is wanted.

use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::Output;

/// How often a line is written where there is no terminal.
const LINES: Duration = Duration::from_secs(5);

/// Counts of events on their way to the same total, one below the other.
pub(super) struct ProgressBars {
    bars: MultiProgress,
    total: u64,
    output: Output,
}

impl ProgressBars {
    pub(super) fn new(total: u64, output: Output) -> Self {
        Self { bars: MultiProgress::new(), total, output }
    }

    pub(super) fn add(&self, name: &'static str) -> Progress {
        let style = ProgressStyle::with_template(
            "{prefix:<16} {wide_bar} {pos}/{len} events  {per_sec}  {eta}",
        );
        let bar = match self.output {
            Output::Text => self.bars.add(ProgressBar::new(self.total)),
            Output::Json => ProgressBar::hidden(),
        };
        let plain = self.output == Output::Text && !std::io::stderr().is_terminal();
        let now = Instant::now();
        let bar = bar.with_style(style.expect("a valid template")).with_prefix(name);
        Progress { bar, name, plain, done: 0, begun: now, told: now }
    }
}

/// A count on its way to a total.
pub(super) struct Progress {
    bar: ProgressBar,
    name: &'static str,
    plain: bool,
    done: u64,
    begun: Instant,
    told: Instant,
}

impl Progress {
    pub(super) fn add(&mut self, events: u64) {
        self.set(self.done + events);
    }

    pub(super) fn set(&mut self, done: u64) {
        self.done = done;
        self.bar.set_position(done);
        if self.plain && self.told.elapsed() >= LINES {
            self.told = Instant::now();
            let total = self.bar.length().unwrap_or(done).max(done);
            let per_second = done / self.begun.elapsed().as_secs().max(1);
            let left = (total - done) / per_second.max(1);
            let name = self.name;
            eprintln!("{name}: {done} of {total} events, {per_second}/s, {left} s to go");
        }
    }

    pub(super) fn done(&self) -> u64 {
        self.done
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
