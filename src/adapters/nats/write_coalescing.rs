//! Write coalescing: commands that are under way at once share a write to the log (ADR 0024).

use std::time::Duration;

use tokio::time::Instant;

/// So far apart are two writes, unless as many requests are queued as commands were lately under way at once.
const MIN_WRITE_INTERVAL: Duration = Duration::from_millis(5);

/// No write waits for more requests than this.
const MOST: usize = 4;

/// What "lately" means.
const RECENT_WINDOW: Duration = Duration::from_millis(100);

/// When what is queued is to be written. A command that is alone never waits, and a few whose callers repeat as soon as
/// they are answered only wait for each other.
#[derive(Debug, Default)]
pub(super) struct WriteCoalescer {
    under_way: usize,
    /// How many commands lately were under way at once, [`MOST`] at most.
    recent_peak: usize,
    /// When so many last were.
    since: Option<Instant>,
    last_write: Option<Instant>,
}

impl WriteCoalescer {
    /// A command begins to append.
    pub(super) fn begin(&mut self, now: Instant) {
        self.under_way += 1;
        if self.under_way >= self.recent_peak {
            (self.recent_peak, self.since) = (self.under_way.min(MOST), Some(now));
        } else if self.since.is_none_or(|since| now > since + RECENT_WINDOW) {
            (self.recent_peak, self.since) = (self.recent_peak - 1, Some(now));
        }
    }

    /// A command has its answer, or has given up.
    pub(super) fn end(&mut self) {
        self.under_way -= 1;
    }

    /// Are so many requests enough for a write?
    pub(super) fn is_enough(&self, queued: usize) -> bool {
        queued >= self.recent_peak
    }

    /// When they are to be written.
    pub(super) fn due(&self, queued: usize, now: Instant) -> Instant {
        match self.last_write {
            Some(last) if !self.is_enough(queued) => last + MIN_WRITE_INTERVAL,
            _ => now,
        }
    }

    /// They are being written.
    pub(super) fn write(&mut self, now: Instant) {
        self.last_write = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn requests_wait_for_as_many_as_were_lately_under_way_at_once() {
        let last = Instant::now();
        let now = last + ms(1);
        let due = |queued, recent_peak, last_write| {
            WriteCoalescer { recent_peak, last_write, ..WriteCoalescer::default() }.due(queued, now)
        };
        assert_eq!(due(1, 1, Some(last)), now, "it is alone");
        assert_eq!(due(1, 3, None), now, "nothing was written before");
        assert_eq!(due(2, 3, Some(last)), last + MIN_WRITE_INTERVAL);
        assert_eq!(due(3, 3, Some(last)), now);
        assert_eq!(due(1, 0, Some(last)), now, "no command, and nobody it could wait for");
    }

    #[test]
    fn what_was_under_way_at_once_is_forgotten_bit_by_bit() {
        let (start, mut gathering) = (Instant::now(), WriteCoalescer::default());
        let mut begin = |under_way_before, at| {
            gathering.under_way = under_way_before;
            gathering.begin(start + ms(at));
            gathering.recent_peak
        };
        assert_eq!([begin(0, 0), begin(1, 0), begin(2, 0)], [1, 2, 3]);
        assert_eq!([begin(0, 99), begin(2, 100), begin(1, 199)], [3, 3, 3], "it was so again");
        assert_eq!([begin(0, 201), begin(0, 202), begin(0, 302)], [2, 2, 1]);
        assert_eq!([begin(0, 500), begin(8, 500)], [1, MOST]);
    }
}
