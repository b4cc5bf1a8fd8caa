//! The liveness of this gateway, without which it may not serve: it hears its own heartbeat, and its caches keep up
//! (ADR 0020, `docs/design/presence-and-liveness.md`).
//!
//! Whoever takes an authorisation back waits until every gateway has seen it, but no longer than [`LIVENESS_TIMEOUT`].
//! So a gateway that is cut off, frozen, or behind has to stop by itself before that, in half the time.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use crate::events::Position;

/// After a silence of this length a gateway serves nobody, so nobody waits for it.
pub const LIVENESS_TIMEOUT: Duration = Duration::from_secs(3);

/// How often a gateway says that it lives.
pub const GATEWAY_HEARTBEAT: Duration = Duration::from_millis(500);

/// How old the newest heartbeat may be that came back, and how long others may have waited for us.
pub const SERVES_WITHOUT_ECHO: Duration = Duration::from_millis(1500);

/// Positions that are waited for; more count as one.
const MOST_AWAITED: usize = 64;

/// The liveness of one gateway.
#[derive(Debug)]
pub struct Liveness {
    started: Instant,
    state: Mutex<State>,
    /// Rung when the gateway has to catch up before it may serve.
    pub lapsed: Notify,
    /// Rung when it may have become live.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    /// When the newest heartbeat that came back was sent.
    echoed: Option<Instant>,
    /// How many silences there were, the one before the first heartbeat included.
    silences: u64,
    /// Up to which of them the caches have been read anew since.
    caught_up: Option<u64>,
    reported: Position,
    /// What others wait for, and since when.
    awaited: VecDeque<(Position, Instant)>,
}

impl Default for Liveness {
    /// Not live before it has caught up for the first time.
    fn default() -> Self {
        let state = State {
            echoed: None,
            silences: 0,
            caught_up: None,
            reported: Position(0),
            awaited: VecDeque::new(),
        };
        let (lapsed, changed) = (Notify::new(), Notify::new());
        Self { started: Instant::now(), state: Mutex::new(state), lapsed, changed }
    }
}

impl Liveness {
    /// May this gateway serve?
    pub fn is_live(&self) -> bool {
        self.lock().is_live(Instant::now())
    }

    /// Waits until this gateway may serve, but no longer than `limit`; says whether it may.
    pub async fn is_live_within(&self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        loop {
            let changed = self.changed.notified();
            if self.is_live() {
                return true;
            }
            if timeout_at(until, changed).await.is_err() {
                return false;
            }
        }
    }

    /// What a heartbeat that is sent now says, for [`Liveness::echo`].
    pub fn sent_now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A heartbeat of ours came back through the server; says whether this ends a silence.
    pub fn echo(&self, sent: u64) -> bool {
        let sent = self.started + Duration::from_millis(sent);
        let was_silent = self.lock().echo(sent, Instant::now());
        if was_silent {
            self.lapsed.notify_one();
        }
        self.changed.notify_waiters();
        was_silent
    }

    /// Somebody waits until all gateways have seen `position`.
    pub fn awaited(&self, position: Position) {
        self.lock().awaited(position, Instant::now());
    }

    /// All gateways were told that this one has seen `position`, and that no command runs here that was judged before.
    pub fn reported(&self, position: Position) {
        self.lock().reported(position);
        self.changed.notify_waiters();
    }

    /// How many silences there were, for [`Liveness::caught_up`].
    pub fn silences(&self) -> u64 {
        self.lock().silences
    }

    /// May this gateway serve, and was it never silent since there were so many silences?
    pub fn has_been_live_since(&self, silences: u64) -> bool {
        let state = self.lock();
        state.silences == silences && state.is_live(Instant::now())
    }

    /// Since there were so many silences the caches have been emptied, and have heard of everything.
    pub fn caught_up(&self, silences: u64) {
        self.lock().caught_up = Some(silences);
        self.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_live(&self, now: Instant) -> bool {
        let is_recent = |then: Instant| now.saturating_duration_since(then) < SERVES_WITHOUT_ECHO;
        self.caught_up == Some(self.silences)
            && self.echoed.is_some_and(is_recent)
            && self.awaited.front().is_none_or(|(_, since)| is_recent(*since))
    }

    /// Says whether this ends a silence.
    fn echo(&mut self, sent: Instant, now: Instant) -> bool {
        let was_silent =
            self.echoed.is_none_or(|before| now.duration_since(before) >= SERVES_WITHOUT_ECHO);
        self.echoed = self.echoed.max(Some(sent));
        self.silences += u64::from(was_silent);
        was_silent
    }

    fn awaited(&mut self, position: Position, now: Instant) {
        let last = self.awaited.back().map_or(self.reported, |(last, _)| *last);
        if position > last && self.awaited.len() < MOST_AWAITED {
            self.awaited.push_back((position, now));
        } else if position > last
            && let Some((last, _)) = self.awaited.back_mut()
        {
            *last = position; // with the earlier time: rather too strict
        }
    }

    fn reported(&mut self, position: Position) {
        self.reported = self.reported.max(position);
        while self.awaited.pop_front_if(|(awaited, _)| *awaited <= position).is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(500);

    fn live(now: Instant) -> State {
        let (reported, awaited) = (Position(0), VecDeque::new());
        let mut state = State { echoed: None, silences: 0, caught_up: None, reported, awaited };
        assert!(state.echo(now, now), "the first echo ends a silence");
        state.caught_up = Some(state.silences);
        assert!(state.is_live(now));
        state
    }

    #[test]
    fn a_gateway_that_does_not_hear_itself_serves_nobody_until_it_has_caught_up() {
        let now = Instant::now();
        let mut state = live(now);
        assert!(!state.echo(now + STEP, now + STEP) && state.is_live(now + STEP * 3));
        assert!(!state.is_live(now + STEP * 4), "1.5 s after the last heartbeat that came back");
        let later = now + STEP * 20;
        assert!(state.echo(later, later));
        assert!(!state.is_live(later), "it has to catch up");
        state.caught_up = Some(state.silences);
        assert!(state.is_live(later));
    }

    #[test]
    fn a_heartbeat_that_took_long_counts_from_when_it_was_sent() {
        let now = Instant::now();
        let mut state = live(now);
        state.echo(now + STEP, now + STEP * 2);
        assert!(state.is_live(now + STEP * 3) && !state.is_live(now + STEP * 4));
    }

    #[test]
    fn a_gateway_that_others_wait_for_in_vain_serves_nobody() {
        let now = Instant::now();
        let mut state = live(now);
        state.reported(Position(5));
        state.awaited(Position(5), now);
        state.awaited(Position(7), now);
        state.awaited(Position(9), now + STEP * 2);
        state.echo(now + STEP * 3, now + STEP * 2);
        assert!(state.is_live(now + STEP * 2) && !state.is_live(now + STEP * 3));
        state.reported(Position(8));
        assert!(state.is_live(now + STEP * 3));
        state.echo(now + STEP * 5, now + STEP * 4);
        assert!(!state.is_live(now + STEP * 5), "9 is awaited too long");
        state.reported(Position(9));
        assert!(state.is_live(now + STEP * 5));
    }

    #[tokio::test]
    async fn whoever_waits_for_a_pause_to_end_is_served_after_it() {
        let (liveness, long) = (Liveness::default(), Duration::from_mins(1));
        assert!(!liveness.is_live_within(Duration::ZERO).await);
        let (served, ()) = tokio::join!(liveness.is_live_within(long), async {
            assert!(liveness.echo(liveness.sent_now()), "the first echo ends a silence");
            liveness.caught_up(liveness.silences());
        });
        assert!(served);
    }

    #[test]
    fn however_many_wait_the_oldest_counts() {
        let now = Instant::now();
        let mut state = live(now);
        for position in 1..1000 {
            state.awaited(Position(position), now);
        }
        assert_eq!(state.awaited.len(), MOST_AWAITED);
        state.reported(Position(998));
        state.echo(now + STEP * 3, now + STEP * 2);
        assert!(!state.is_live(now + STEP * 3));
        state.reported(Position(999));
        assert!(state.is_live(now + STEP * 3));
    }
}
