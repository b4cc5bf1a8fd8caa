//! What flows from a user's queue into one socket: live frames above the number at which it
//! opened, a drain at or below it; none twice, none left out, in order (DESIGN §6).

use tracing::{debug, warn};

use crate::{
    adapters::redis::{Redis, RedisFailure},
    events::UserId,
    projections::offline_queue,
};

/// How many entries are read at once.
const PAGE: usize = 200;

/// Where a socket is in its user's queue.
#[derive(Debug)]
pub(super) struct Inflow {
    user: UserId,
    /// `None` until the queue has seen the socket open.
    opened: Option<Opened>,
    /// Asked to drain, and not done yet.
    draining: bool,
    /// Live entries may be in the queue that no push told of.
    behind: bool,
    /// Nothing flows any more: another socket has taken over, or the token was logged out.
    stopped: bool,
}

#[derive(Debug)]
struct Opened {
    /// The next number that a drain would deliver, up to `at`.
    drain: u64,
    /// The last number given before the socket opened.
    at: u64,
    /// The next number to arrive live.
    live: u64,
}

/// What to do with a push.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Write it.
    Write,
    /// It was written, or is another socket's.
    Ignore,
    /// Numbers before it are missing: look into the queue.
    Gap,
}

impl Inflow {
    pub(super) fn new(user: UserId) -> Self {
        Self { user, opened: None, draining: false, behind: false, stopped: false }
    }

    /// The queue has seen the socket open after `at` entries.
    pub(super) fn open(&mut self, at: u64) {
        self.opened = Some(Opened { drain: 0, at, live: at + 1 });
        self.behind = true; // pushes before this were not counted
    }

    pub(super) fn stop(&mut self) {
        self.stopped = true;
    }

    pub(super) fn drain(&mut self) {
        self.draining = true;
    }

    pub(super) fn resync(&mut self) {
        self.behind = true;
    }

    /// Is there something to read from the queue now?
    pub(super) fn wants_reading(&self) -> bool {
        !self.stopped && self.opened.is_some() && (self.draining || self.behind)
    }

    /// Judges a push with this number.
    pub(super) fn arrive(&mut self, number: u64) -> Arrival {
        let Some(opened) = self.opened.as_mut().filter(|_| !self.stopped) else {
            return Arrival::Ignore; // `open` looks into the queue
        };
        match number.cmp(&opened.live) {
            std::cmp::Ordering::Less => Arrival::Ignore,
            std::cmp::Ordering::Equal if !self.behind => Arrival::Write,
            _ => {
                self.behind = true;
                Arrival::Gap
            }
        }
    }

    /// Notes that an entry was written.
    pub(super) fn written(&mut self, number: u64) {
        if let Some(opened) = &mut self.opened {
            if number > opened.at {
                opened.live = number + 1;
            } else {
                opened.drain = number + 1;
            }
        }
    }

    /// The next entries to write, older ones first. Empty when all is read.
    pub(super) async fn read(&mut self, redis: &Redis) -> Result<Vec<(u64, String)>, RedisFailure> {
        let Some(opened) = &self.opened else { return Ok(Vec::new()) };
        if self.draining {
            let range = (opened.drain, opened.at);
            if range.0 <= range.1 {
                let page = offline_queue::entries(redis, self.user, range, PAGE).await?;
                if !page.is_empty() {
                    return Ok(page);
                }
            }
            debug!(user.id = %self.user, "drained the queue of user `{}`", self.user);
            self.draining = false;
        }
        if self.behind {
            let page =
                offline_queue::entries(redis, self.user, (opened.live, u64::MAX), PAGE).await?;
            if let Some((first, _)) = page.first()
                && *first > opened.live
            {
                warn!(user.id = %self.user, "queue numbers {}..{first} are gone", opened.live);
            }
            if page.is_empty() {
                self.behind = false;
            }
            return Ok(page);
        }
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened_at(at: u64) -> Inflow {
        let mut inflow = Inflow::new(UserId(1));
        inflow.open(at);
        inflow.behind = false;
        inflow
    }

    #[test]
    fn live_frames_are_those_after_the_socket_opened_once_and_in_order() {
        let mut inflow = opened_at(5);
        assert_eq!(inflow.arrive(5), Arrival::Ignore);
        assert_eq!(inflow.arrive(6), Arrival::Write);
        inflow.written(6);
        assert_eq!(inflow.arrive(6), Arrival::Ignore);
        assert_eq!(inflow.arrive(8), Arrival::Gap);
        assert_eq!(inflow.arrive(7), Arrival::Gap, "until the queue has been read");
    }

    #[test]
    fn nothing_flows_before_the_queue_knows_the_socket_nor_after_it_was_superseded() {
        let mut inflow = Inflow::new(UserId(1));
        inflow.drain();
        assert_eq!(inflow.arrive(1), Arrival::Ignore);
        assert!(!inflow.wants_reading());
        inflow.open(3);
        assert!(inflow.wants_reading());
        inflow.stop();
        assert!(!inflow.wants_reading());
        assert_eq!(inflow.arrive(4), Arrival::Ignore);
    }
}
