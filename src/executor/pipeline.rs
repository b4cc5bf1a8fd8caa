//! The pipeline is the one way into the log for what users do: load, decide, guard, append, wait
//! (docs/design/command-pipeline.md).
//!
//! An [`Action`] says what it is judged by and what its append depends on; trying again after a concurrency conflict and
//! waiting for the effect are the same for all of them.

use std::time::Duration;

use tokio::time::sleep;

use super::{
    CommandError, Executor,
    action::{Action, Append, Decided, Guard, Judgement, Pending},
    aggregates::Aggregate,
    authority::Authority,
    running_commands::{RunningCommand, cut_off},
    state_cache::Versioned,
};
use crate::{
    adapters::nats::log_error::LogError,
    adapters::nats::new_event::{Appended, Expect, NewEvent},
    clock,
    commands::session::Session,
    events::{AggregateEvent, Event, Position, Subject},
};

/// How often an action is judged before it is refused as too contended.
const ATTEMPTS: u32 = 40;

/// What an answer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Until the log has the event and keeps it.
    Durable,
    /// The same, and not after a silence of this gateway: whoever is refused tries again, perhaps elsewhere.
    DurableAtOnce,
    /// Until all gateways have seen it, too, and the read models of the action show it (clarification 18).
    Everywhere,
    /// Until the log has it. Whether it keeps it concerns nobody but us, and it counts while this gateway may not serve:
    /// it says what has become of a connection.
    Accepted,
}

/// How an attempt ended.
#[expect(clippy::large_enum_variant, reason = "nearly all are done, and it lives for a moment")]
enum Attempted<O> {
    Done(Done<O>),
    /// Others appended first, which the cache has caught up with.
    Conflict,
    /// This gateway was silent before it was sent, or before it was answered.
    Silent,
}

/// How an action ended well.
#[derive(Debug)]
pub struct Done<O> {
    /// What its judgement yielded.
    pub outcome: O,
    /// What happened; `None` if all was so already.
    pub event: Option<Event>,
    /// Where that is in the log; if nothing happened, up to where the caller may wait for it to show.
    pub position: Position,
    /// The log had it before, under the same identity.
    pub duplicate: bool,
}

impl<O> Done<O> {
    /// The event, of the kind that it is known to be.
    ///
    /// # Panics
    /// It is of another kind.
    pub fn event<E: AggregateEvent>(self) -> Option<E> {
        let own = |event| E::into_own(event).expect("the action appends events of this kind").1;
        self.event.map(own)
    }
}

impl Executor {
    /// Runs an action to its end.
    ///
    /// # Errors
    /// A rule or the log says no.
    pub async fn run<A: Action>(
        &self,
        mut action: A,
        authority: Authority<'_>,
        wait: Wait,
    ) -> Result<Done<A::Outcome>, CommandError<A::Rejection>> {
        let (mut turn, mut conflicts, silences) = (None, 0, self.silences());
        let mut unanswered = None;
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                self.metrics.retries.inc();
            }
            match wait {
                Wait::DurableAtOnce if !self.has_served_since(silences) => {
                    return Err(cut_off().into());
                }
                Wait::Durable | Wait::Everywhere if !self.is_live() => {
                    turn = None; // nobody waits behind who waits for that
                    self.may_serve().await?;
                }
                _ => {}
            }
            turn = self.contention.wait(turn, conflicts, action.contention_subject()).await;
            let attempted = match self.attempt(&mut action, authority, wait, &mut unanswered).await
            {
                // The log may have what was allowed before, or get it.
                Err(_) if unanswered.is_some() => return Err(cut_off().into()),
                attempted => attempted?,
            };
            match attempted {
                Attempted::Done(done) => {
                    drop(turn); // who comes next need not wait until others have seen this
                    if wait == Wait::Everywhere {
                        self.wait_for_all(done.position, A::PROJECTIONS).await?;
                    }
                    return Ok(done);
                }
                Attempted::Conflict => {
                    back_off(conflicts).await;
                    conflicts += 1;
                }
                Attempted::Silent => {}
            }
        }
        self.metrics.retries_exhausted.inc();
        Err(CommandError::Contended)
    }

    /// Judges and appends once. What was not answered before a silence is left in `unanswered` for the next attempt, which
    /// sends it if it is decided again, once, and otherwise looks for it.
    async fn attempt<A: Action>(
        &self,
        action: &mut A,
        authority: Authority<'_>,
        wait: Wait,
        unanswered: &mut Option<Pending<A>>,
    ) -> Result<Attempted<A::Outcome>, CommandError<A::Rejection>> {
        let running = match wait {
            Wait::Accepted => None,
            Wait::Durable | Wait::DurableAtOnce | Wait::Everywhere => {
                let Some(running) = self.try_begin() else { return Ok(Attempted::Silent) };
                Some(running)
            }
        };
        let judged = match self.judge_authority(authority).await? {
            Ok(()) => action.judge(self).await,
            Err(unauthorized) => Err(unauthorized.into()),
        };
        let is_first = unanswered.is_none();
        let (mut pending, may_send) = if let Some(earlier) = unanswered.take() {
            let may_send = earlier.is_decided_by(&judged);
            (earlier, may_send)
        } else {
            let Judgement { outcome, decided } = judged?;
            let Append { event, id, guard } = match decided {
                Decided::Append(append) => append,
                Decided::AlreadySo(position) => {
                    let done = Done { outcome, event: None, position, duplicate: false };
                    return Ok(Attempted::Done(done));
                }
            };
            let mut new = NewEvent::new(event, authority.actor, authority.cause);
            new.id = id.unwrap_or(new.id);
            (Pending { new, guard, outcome, has_shared_id: id.is_some() }, true)
        };
        let appended = if let Some(running) = running {
            self.append(&mut pending, may_send, (running, authority)).await
        } else {
            let expect = pending.guard.expect;
            self.log.append_unsynced(&mut pending.new, expect).await.map(Some)
        };
        let may_try_again = is_first && pending.may_count_after_silence();
        match appended {
            Ok(None) if pending.new.maybe_after.is_none() => Ok(Attempted::Silent),
            Ok(None) if may_try_again => {
                *unanswered = Some(pending);
                Ok(Attempted::Silent)
            }
            Ok(None) => Err(cut_off().into()),
            Ok(Some(appended)) => {
                let Pending { new, guard, outcome, .. } = pending;
                if guard.is_on(new.event.subject()) {
                    // Nothing came in between, so the next action here may build on it. Where something may have, the
                    // cache has to hear of that first, as the log tells it.
                    self.caches.apply(appended.position, &new.event);
                }
                let (event, position) = (Some(new.event), appended.position);
                let duplicate = appended.duplicate;
                Ok(Attempted::Done(Done { outcome, event, position, duplicate }))
            }
            Err(LogError::Conflict) => {
                self.metrics.conflicts.inc();
                self.after_conflict(pending.guard).await.map(|()| Attempted::Conflict)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Appends what was judged while `running`; `None` if it may not be sent, or if this gateway was silent before it was:
    /// nobody may have waited for it, so it is to be judged anew. It runs until its event has a position, which is what
    /// others wait for.
    ///
    /// # Errors
    /// The log says no, or this gateway was silent before the answer, and what allowed the command may have ended.
    async fn append<A: Action>(
        &self,
        pending: &mut Pending<A>,
        may_send: bool,
        (running, authority): (RunningCommand, Authority<'_>),
    ) -> Result<Option<Appended>, LogError> {
        let silences = running.silences;
        let may_send = || may_send && self.has_served_since(silences);
        let expect = pending.guard.expect();
        let appended = self.log.append_if(&mut pending.new, expect, may_send, running).await?;
        let Some((appended, has_served)) = appended else { return Ok(None) };
        if has_served || self.is_still_allowed(pending, authority).await? {
            Ok(Some(appended))
        } else {
            Err(cut_off())
        }
    }

    /// After a silence: may the caller be told that it was done? The log has checked what it was guarded by, and a token
    /// that counts now counted then. What the event itself may end, the token or the account, was checked by the log.
    async fn is_still_allowed<A: Action>(
        &self,
        pending: &Pending<A>,
        authority: Authority<'_>,
    ) -> Result<bool, LogError> {
        if !pending.may_count_after_silence() {
            return Ok(false);
        }
        self.may_serve().await?;
        match (pending.guard.expect(), authority.actor) {
            (Expect::Last(Subject::Session(user), _), Some(actor)) if user == actor => Ok(true),
            (Expect::Last(Subject::User(user), _), Some(actor)) if user == actor => {
                Ok(authority.has_token(&self.state::<Session>(actor).await?.state))
            }
            _ => Ok(self.judge_authority(authority).await?.is_ok()),
        }
    }

    async fn after_conflict<R: std::error::Error>(
        &self,
        Guard { judged, otherwise, .. }: Guard<R>,
    ) -> Result<(), CommandError<R>> {
        let Some((subject, version)) = judged else { return Ok(()) };
        if !self.catch_up_with(subject, version).await? {
            match otherwise {
                Some(rejection) => return Err(CommandError::Rejected(rejection)),
                None => self.caches.forget(subject), // the log has less than was judged: it is another log
            }
        }
        Ok(())
    }

    /// Judges a command by its aggregate and appends what it yields.
    ///
    /// # Errors
    /// A rule or the log says no.
    pub async fn execute<A: Aggregate>(
        &self,
        id: A::Id,
        command: &A::Command,
        authority: Authority<'_>,
        wait: Wait,
    ) -> Result<Executed<A>, CommandError<A::Rejection>> {
        self.execute_observing::<A>(id, command, authority, wait, |_| {}).await
    }

    /// The same; `observe` sees each state that the command is judged by, at last the one that the append is guarded by.
    ///
    /// # Errors
    /// As [`Executor::execute`].
    pub async fn execute_observing<A: Aggregate>(
        &self,
        id: A::Id,
        command: &A::Command,
        authority: Authority<'_>,
        wait: Wait,
        observe: impl FnMut(&A) + Send,
    ) -> Result<Executed<A>, CommandError<A::Rejection>> {
        let done = self.run(OnAggregate::<A, _> { id, command, observe }, authority, wait).await?;
        let position = done.position;
        Ok(Executed { event: done.event(), position })
    }
}

/// How a command to an aggregate ended well.
#[derive(Debug)]
pub struct Executed<A: Aggregate> {
    /// What happened; `None` if all was so already.
    pub event: Option<A::Event>,
    /// Where that is in the log; where the aggregate's last event was, if nothing happened.
    pub position: Position,
}

/// A command to one aggregate, which needs to know nothing else.
struct OnAggregate<'a, A: Aggregate, F> {
    id: A::Id,
    command: &'a A::Command,
    observe: F,
}

impl<A: Aggregate, F: FnMut(&A) + Send> Action for OnAggregate<'_, A, F> {
    type Outcome = ();
    type Rejection = A::Rejection;
    const PROJECTIONS: &'static [&'static str] = A::PROJECTIONS;

    fn contention_subject(&self) -> Subject {
        A::subject(self.id)
    }

    async fn judge(
        &mut self,
        executor: &Executor,
    ) -> Result<Judgement<Self>, CommandError<A::Rejection>> {
        let seen = executor.state::<A>(self.id).await?;
        (self.observe)(&seen.state);
        let decided = seen.decide(self.id, self.command).map_err(CommandError::Rejected)?;
        Ok(Judgement { outcome: (), decided })
    }
}

impl<A: Aggregate> Versioned<A> {
    /// Judges a command by this state; what it yields is guarded by its version.
    ///
    /// # Errors
    /// The rule that says no.
    pub(super) fn decide<R>(
        &self,
        id: A::Id,
        command: &A::Command,
    ) -> Result<Decided<R>, A::Rejection> {
        let guard = Guard::version(A::subject(id), self.version);
        Ok(match self.state.decide(command)? {
            Some(event) => Decided::Append(Append { event: event.of(id), id: None, guard }),
            None => Decided::AlreadySo(self.version),
        })
    }
}

/// Spreads those who met a conflict, so that they do not meet again; the first time nobody waits (ADR 0031).
async fn back_off(conflicts: u32) {
    let spread = u32::from(clock::random_id().as_bytes()[0]) % 8;
    sleep(Duration::from_millis(u64::from(spread * conflicts.min(4)))).await;
}
