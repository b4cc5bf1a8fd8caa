//! Progress of a long command is a bar on a terminal, plain lines elsewhere, and nothing where JSON is wanted.

use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use super::Output;

/// How often a line is written where there is no terminal.
const LINES: Duration = Duration::from_secs(5);

/// A count on its way to a total.
pub(super) struct Progress {
    bar: ProgressBar,
    name: &'static str,
    plain: bool,
    begun: Instant,
    told: Instant,
}

impl Progress {
    /// Of events.
    pub(super) fn new(name: &'static str, total: u64, output: Output) -> Self {
        let style = ProgressStyle::with_template(
            "{prefix:<16} {wide_bar} {pos}/{len} events  {per_sec}  {eta}",
        );
        let bar = match output {
            Output::Text => ProgressBar::new(total),
            Output::Json => ProgressBar::hidden(),
        };
        let plain = output == Output::Text && !std::io::stderr().is_terminal();
        let now = Instant::now();
        let bar = bar.with_style(style.expect("a valid template")).with_prefix(name);
        Self { bar, name, plain, begun: now, told: now }
    }

    pub(super) fn set(&mut self, done: u64) {
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
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
