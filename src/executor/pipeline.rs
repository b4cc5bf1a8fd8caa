//! The pipeline is the one way into the log for what users do: load, decide, guard, append, wait
//! (docs/design/command-pipeline.md).
//!
//! An [`Action`] says what it is judged by and what its append depends on; trying again after a concurrency conflict and
//! waiting for the effect are the same for all of them.

use std::time::Duration;

use tokio::time::sleep;
use uuid::Uuid;

use super::{
    CommandError, Executor, aggregates::Aggregate, authority::Authority, running_commands::cut_off,
    state_cache::Versioned,
};
use crate::{
    adapters::nats::log_error::LogError,
    adapters::nats::new_event::{Expect, NewEvent},
    clock,
    events::{AggregateEvent, Event, Position, Subject},
};

/// How often an action is judged before it is refused as too contended.
const ATTEMPTS: u32 = 40;

/// Something that is done to the log on somebody's behalf.
pub trait Action: Send {
    /// What its judgement yields beside the event.
    type Outcome: Send;
    /// Why a rule says no.
    type Rejection: std::error::Error + Send;
    /// The read models that show its effect, for [`Wait::Everywhere`].
    const PROJECTIONS: &'static [&'static str] = &[];

    /// Whoever meets a conflict waits for the others who did on this subject, in this process.
    fn contention_subject(&self) -> Subject;

    /// Loads the states that the rules name, and decides by them. Called anew for each attempt.
    fn judge(
        &mut self,
        executor: &Executor,
    ) -> impl Future<Output = Result<Judgement<Self>, CommandError<Self::Rejection>>> + Send;
}

/// What an attempt has come to.
pub struct Judgement<A: Action + ?Sized> {
    /// What the caller is told.
    pub outcome: A::Outcome,
    /// What is to be done.
    pub decided: Decided<A::Rejection>,
}

/// What the rules have decided.
#[expect(clippy::large_enum_variant, reason = "nearly all are appended, and it lives for a moment")]
pub enum Decided<R> {
    /// This is to be appended.
    Append(Append<R>),
    /// All is so already, as of this position.
    AlreadySo(Position),
}

/// An event, and what its append depends on.
pub struct Append<R> {
    /// The event.
    pub event: Event,
    /// Its identity, if whoever else appends it means the same one.
    pub id: Option<Uuid>,
    /// What it depends on.
    pub guard: Guard<R>,
}

/// What must still be so when the event is appended: the version of a state that was judged, be it of the event's own
/// aggregate (optimistic concurrency) or of another one (a dynamic consistency boundary).
pub struct Guard<R> {
    expect: Expect,
    /// After a conflict the cache catches up with this subject, which was judged at this version.
    judged: Option<(Subject, Position)>,
    /// Why the action is refused if the conflict was not about that.
    otherwise: Option<R>,
}

impl<R> Guard<R> {
    /// On the version of the aggregate on `subject`.
    pub fn version(subject: Subject, version: Position) -> Self {
        let judged = (subject, version);
        Self { expect: Expect::Last(subject, version), judged: Some(judged), otherwise: None }
    }

    /// Only as the first event on `subject`; refused with `otherwise` if it is not, unless what was judged has changed.
    pub fn first_on(subject: Subject, judged: (Subject, Position), otherwise: R) -> Self {
        let expect = Expect::Last(subject, Position(0));
        Self { expect, judged: Some(judged), otherwise: Some(otherwise) }
    }

    /// On nothing: by its nature the event conflicts with none, or what it conflicts with is judged again at its
    /// position (ADR 0021).
    pub fn nothing() -> Self {
        Self { expect: Expect::Anything, judged: None, otherwise: None }
    }

    /// Is it on the version of what lives on `subject`?
    fn is_on(&self, subject: Subject) -> bool {
        matches!(self.expect, Expect::Last(guarded, _) if guarded == subject)
    }

    /// What the log is asked to check.
    pub fn expect(&self) -> Expect {
        self.expect
    }
}

/// What an attempt appends. After one that was not answered the next one has the same, with its identity, so that it counts
/// once.
struct Pending<A: Action> {
    new: NewEvent,
    guard: Guard<A::Rejection>,
    outcome: A::Outcome,
}

impl<A: Action> Pending<A> {
    /// Is the same decided again, by the same version?
    fn is_decided_by(&self, judged: &Result<Judgement<A>, CommandError<A::Rejection>>) -> bool {
        let Ok(Judgement { decided: Decided::Append(Append { event, guard, .. }), .. }) = judged
        else {
            return false;
        };
        let is_alike = event.subject() == self.new.event.subject()
            && Event::type_name(&event.encode()) == Event::type_name(&self.new.event.encode());
        is_alike && guard.expect == self.guard.expect
    }
}

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
        let (mut turn, silences) = (None, self.silences());
        let mut unanswered = None;
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                self.metrics.retries.inc();
                back_off(attempt - 1).await;
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
            turn = self.contention.wait(turn, attempt, action.contention_subject()).await;
            let done = match self.attempt(&mut action, authority, wait, &mut unanswered).await {
                // The log may have what was allowed before, or get it.
                Err(_) if unanswered.is_some() => return Err(cut_off().into()),
                done => done?,
            };
            if let Some(done) = done {
                drop(turn); // who comes next need not wait until others have seen this
                if wait == Wait::Everywhere {
                    self.wait_for_all(done.position, A::PROJECTIONS).await?;
                }
                return Ok(done);
            }
        }
        self.metrics.retries_exhausted.inc();
        Err(CommandError::Contended)
    }

    /// Judges and appends once; `None` after a concurrency conflict, which the cache has caught up with, or if this gateway
    /// was silent in between: what may have reached the log before that is left in `unanswered` for the next attempt, which
    /// sends it only if it is decided again, and looks for it anyway.
    async fn attempt<A: Action>(
        &self,
        action: &mut A,
        authority: Authority<'_>,
        wait: Wait,
        unanswered: &mut Option<Pending<A>>,
    ) -> Result<Option<Done<A::Outcome>>, CommandError<A::Rejection>> {
        let running = match wait {
            Wait::Accepted => None,
            Wait::Durable | Wait::DurableAtOnce | Wait::Everywhere => {
                let Some(running) = self.try_begin(authority).await? else { return Ok(None) };
                Some(running)
            }
        };
        let judged = action.judge(self).await;
        let (pending, may_send) = if let Some(earlier) = unanswered.take() {
            let may_send = earlier.is_decided_by(&judged);
            (earlier, may_send)
        } else {
            let Judgement { outcome, decided } = judged?;
            let Append { event, id, guard } = match decided {
                Decided::Append(append) => append,
                Decided::AlreadySo(position) => {
                    return Ok(Some(Done { outcome, event: None, position, duplicate: false }));
                }
            };
            let mut new = NewEvent::new(event, authority.actor, authority.cause);
            new.id = id.unwrap_or(new.id);
            (Pending { new, guard, outcome }, true)
        };
        let Pending { mut new, guard, outcome } = pending;
        let appended = match running {
            Some(running) => {
                self.append(&mut new, guard.expect, may_send, (running, authority)).await
            }
            None => self.log.append_unsynced(&mut new, guard.expect).await.map(Some),
        };
        match appended {
            Ok(None) if new.maybe_after.is_none() => Ok(None),
            Ok(None) if may_send && guard.expect != Expect::Anything => {
                *unanswered = Some(Pending { new, guard, outcome });
                Ok(None)
            }
            Ok(None) => Err(cut_off().into()),
            Ok(Some(appended)) => {
                if guard.is_on(new.event.subject()) {
                    // Nothing came in between, so the next action here may build on it. Where something may have, the
                    // cache has to hear of that first, as the log tells it.
                    self.caches.apply(appended.position, &new.event);
                }
                let (event, position) = (Some(new.event), appended.position);
                Ok(Some(Done { outcome, event, position, duplicate: appended.duplicate }))
            }
            Err(LogError::Conflict) => {
                self.metrics.conflicts.inc();
                self.after_conflict(guard).await.map(|()| None)
            }
            Err(error) => Err(error.into()),
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
async fn back_off(attempt: u32) {
    let spread = u32::from(clock::random_id().as_bytes()[0]) % 8;
    sleep(Duration::from_millis(u64::from(spread * attempt.min(4)))).await;
}
