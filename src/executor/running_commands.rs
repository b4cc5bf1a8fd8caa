//! The commands that are running: a gateway says that it has seen a position only once none runs that was judged by an
//! older state (`docs/design/command-pipeline.md`, ADR 0020).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, watch};

use super::{
    CommandError, Executor,
    authority::{Authority, Unauthorized},
};
use crate::{
    adapters::nats::log_error::{LogError, unavailable},
    commands::{session::Session, user::User},
    events::Position,
};

/// How far the caches are, and the commands that were judged by them.
#[derive(Debug, Clone)]
pub struct RunningCommands(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// What the caches have taken in.
    applied: watch::Sender<Position>,
    /// How many run by what the caches had taken in when they began.
    running: Mutex<BTreeMap<Position, usize>>,
    /// Rung when one ends.
    ended: Notify,
}

/// A command that runs, until this is dropped.
#[derive(Debug)]
pub struct RunningCommand {
    shared: Arc<Shared>,
    since: Position,
    /// How often the gateway had been silent when it began.
    pub(super) silences: u64,
}

impl Default for RunningCommands {
    fn default() -> Self {
        let applied = watch::channel(Position(0)).0;
        Self(Arc::new(Shared { applied, running: Mutex::default(), ended: Notify::new() }))
    }
}

impl RunningCommands {
    /// A command begins: what it is judged by is read after this.
    pub fn begin(&self, silences: u64) -> RunningCommand {
        let mut running = self.0.running();
        let since = *self.0.applied.borrow();
        *running.entry(since).or_default() += 1;
        drop(running);
        RunningCommand { shared: Arc::clone(&self.0), since, silences }
    }

    /// The caches have taken in everything up to `position`.
    pub fn applied(&self, position: Position) {
        let _order = self.0.running(); // whoever begins later reads it
        self.0.applied.send_replace(position);
    }

    /// How far the caches are, now and later.
    pub fn subscribe(&self) -> watch::Receiver<Position> {
        self.0.applied.subscribe()
    }

    /// Waits until no command runs that began before the caches had taken `position` in.
    pub async fn none_before(&self, position: Position) {
        loop {
            let ended = self.0.ended.notified();
            if self.0.running().keys().next().is_none_or(|oldest| *oldest >= position) {
                return;
            }
            ended.await;
        }
    }
}

impl Shared {
    fn running(&self) -> MutexGuard<'_, BTreeMap<Position, usize>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RunningCommand {
    fn drop(&mut self) {
        let mut running = self.shared.running();
        let is_last = running.get_mut(&self.since).is_some_and(|count| {
            *count -= 1;
            *count == 0
        });
        if is_last {
            running.remove(&self.since);
            self.shared.ended.notify_waiters();
        }
    }
}

impl Executor {
    /// May this process serve by its caches? Not if it is cut off, or was frozen (ADR 0020).
    pub fn is_live(&self) -> bool {
        self.liveness.as_ref().is_none_or(|liveness| liveness.is_live())
    }

    /// Waits for as long as an answer waits until this process may serve: after a pause, of it or of nats-server, it may
    /// again as soon as it hears itself and has caught up.
    ///
    /// # Errors
    /// It still may not.
    pub async fn may_serve(&self) -> Result<(), LogError> {
        match &self.liveness {
            Some(liveness) if !liveness.is_live_within(self.wait).await => Err(cut_off()),
            _ => Ok(()),
        }
    }

    /// A command begins, once this process may serve. What it is judged by is read after this, and it counts as running
    /// until the result is dropped: so whoever takes back what allows it is answered after its append, or before it is
    /// judged.
    ///
    /// # Errors
    /// What the caller came with has ended, or this gateway may not serve.
    pub async fn begin<R: std::error::Error>(
        &self,
        authority: Authority<'_>,
    ) -> Result<RunningCommand, CommandError<R>> {
        loop {
            self.may_serve().await?;
            if let Some(running) = self.try_begin() {
                self.judge_authority(authority).await??;
                return Ok(running);
            }
        }
    }

    /// The same before the authority is judged, or its next attempt; `None` if this process may not serve now.
    pub(super) fn try_begin(&self) -> Option<RunningCommand> {
        let running = self.commands.begin(self.silences());
        self.is_live().then_some(running)
    }

    /// May the caller still do this?
    ///
    /// # Errors
    /// The log does not say.
    pub(super) async fn judge_authority(
        &self,
        authority: Authority<'_>,
    ) -> Result<Result<(), Unauthorized>, LogError> {
        let (Some(actor), Some(_)) = (authority.actor, authority.token) else { return Ok(Ok(())) };
        let session = self.state::<Session>(actor).await?;
        let user = self.state::<User>(actor).await?;
        Ok(authority.judge(&session.state, &user.state))
    }

    /// May this process serve, and was it never silent since there were so many silences?
    pub fn has_served_since(&self, silences: u64) -> bool {
        self.liveness.as_ref().is_none_or(|liveness| liveness.has_been_live_since(silences))
    }

    /// How many silences there were.
    pub fn silences(&self) -> u64 {
        self.liveness.as_ref().map_or(0, |liveness| liveness.silences())
    }
}

/// Why a gateway serves nobody while it is not live.
pub fn cut_off() -> LogError {
    unavailable("this gateway does not hear the others, so it may not serve")
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_position_is_seen_once_all_that_began_before_it_have_ended() {
        let commands = RunningCommands::default();
        commands.applied(Position(3));
        let (first, second) = (commands.begin(0), commands.begin(0));
        commands.applied(Position(7));
        let later = commands.begin(0);
        let mut waiting = Box::pin(commands.none_before(Position(7)));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(first);
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(second);
        assert!(waiting.now_or_never().is_some());
        assert!(commands.none_before(Position(8)).now_or_never().is_none());
        drop(later);
        assert!(commands.none_before(Position(8)).now_or_never().is_some());
    }
}
