//! Actions: what is done to the log on somebody's behalf, what it is judged by, and what its append depends on
//! (docs/design/command-pipeline.md).

use uuid::Uuid;

use super::{CommandError, Executor};
use crate::{
    adapters::nats::new_event::{Expect, NewEvent},
    events::{Event, Position, Subject},
};

/// Something that is done to the log on somebody's behalf.
pub trait Action: Send {
    /// What its judgement yields beside the event.
    type Outcome: Send;
    /// Why a rule says no.
    type Rejection: std::error::Error + Send;
    /// The read models that show its effect, for [`Wait::Everywhere`](super::Wait::Everywhere).
    const PROJECTIONS: &'static [&'static str] = &[];

    /// Whoever meets a conflict waits for the others who did on this subject, in this process.
    fn contention_subject(&self) -> Subject;

    /// Loads the states that the rules name, and decides by them. Called anew for each attempt; by the same states it
    /// decides the same.
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
    pub(super) expect: Expect,
    /// After a conflict the cache catches up with this subject, which was judged at this version.
    pub(super) judged: Option<(Subject, Position)>,
    /// Why the action is refused if the conflict was not about that.
    pub(super) otherwise: Option<R>,
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
    pub(super) fn is_on(&self, subject: Subject) -> bool {
        matches!(self.expect, Expect::Last(guarded, _) if guarded == subject)
    }

    /// What the log is asked to check.
    pub fn expect(&self) -> Expect {
        self.expect
    }
}

/// What an attempt appends. After one that was not answered the next one has the same, with its identity, so that it counts
/// once.
pub(super) struct Pending<A: Action> {
    pub(super) new: NewEvent,
    pub(super) guard: Guard<A::Rejection>,
    pub(super) outcome: A::Outcome,
    /// Whoever else appends it means the same one.
    pub(super) has_shared_id: bool,
}

impl<A: Action> Pending<A> {
    /// Is the same decided again, by the same version?
    pub(super) fn is_decided_by(
        &self,
        judged: &Result<Judgement<A>, CommandError<A::Rejection>>,
    ) -> bool {
        let Ok(Judgement { decided: Decided::Append(append), .. }) = judged else { return false };
        append.event == self.new.event && append.guard.expect == self.guard.expect
    }

    /// May it be told after a silence that it was done? An event that the log has checked nothing for may reach nobody
    /// (ADR 0021), unless it is the same whoever appends it, and when.
    pub(super) fn may_count_after_silence(&self) -> bool {
        self.guard.expect != Expect::Anything || self.has_shared_id
    }
}
