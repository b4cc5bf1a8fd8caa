//! Inspection answers operators: an aggregate as it was at any moment, and what happened to it (ADR 0033). Nothing here
//! is asked by rules.

mod chats;
mod content;
mod moment;
mod name;

use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgPool;

pub use self::{
    content::{Content, described},
    moment::{Moment, UnfitMoment},
    name::{AggregateName, Kind, UnfitName},
};
use crate::{
    adapters::nats::{event_log::EventLog, log_error::LogError},
    commands::{
        complaint::Complaint,
        decider::Decider,
        friendship::Friendship,
        group::{ActiveGroup, Group},
        quick_replies::QuickReplyList,
        session::Session,
        user::User,
    },
    events::{AggregateEvent, Event, Pair, Position, Recorded, Subject},
};

/// How many events a page of a history has, at most.
pub const PAGE: usize = 1000;

/// What operators' questions are answered from.
#[derive(Clone)]
pub struct Inspection {
    /// The log.
    pub log: EventLog,
    /// The read models in PostgreSQL: where the messages of a chat are.
    pub pool: PgPool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum InspectionError {
    /// Nothing had happened to it.
    #[error("there is no {0} at position {1}: nothing had happened to it")]
    Unknown(AggregateName, Position),
    /// The log is not that long.
    #[error("the log ends at position {0}")]
    BeyondEnd(Position),
    /// The log cannot be asked.
    #[error(transparent)]
    Log(#[from] LogError),
    /// PostgreSQL cannot be asked.
    #[error("the read models cannot be asked: {0}")]
    ReadModels(#[from] sqlx::Error),
    /// Messages are found by a read model that has not seen all of them yet.
    #[error("message_history has yet to apply what the chat has up to position {0}: ask again")]
    Lags(Position),
}

/// An aggregate as it was.
#[derive(Debug, Serialize)]
pub struct StateAt {
    #[serde(flatten)]
    name: AggregateName,
    /// As of which position, which is the end of the log if none was asked for.
    as_of: Position,
    /// Its last event by then.
    last: Place,
    /// How many events it is folded from.
    events: usize,
    state: Value,
}

/// A place in the log.
#[derive(Debug, Serialize)]
struct Place {
    position: Position,
    stored: String,
}

/// A part of what happened to an aggregate.
#[derive(Debug, Serialize)]
pub struct HistoryPage {
    #[serde(flatten)]
    name: AggregateName,
    /// The positions asked for, both included.
    from: Position,
    to: Position,
    events: Vec<Value>,
    /// Where the next part begins, if there may be one.
    next: Option<Position>,
}

impl HistoryPage {
    /// The events, one each, as `hongyan events show` tells them.
    pub fn events(&self) -> &[Value] {
        &self.events
    }

    /// Where the next part begins, if there may be one.
    pub fn next(&self) -> Option<Position> {
        self.next
    }
}

impl<E> From<&Recorded<E>> for Place {
    fn from(recorded: &Recorded<E>) -> Self {
        Self { position: recorded.position, stored: recorded.stored_at.iso_text() }
    }
}

impl Inspection {
    /// The position that is meant by a moment; the end of the log if none is given.
    ///
    /// # Errors
    /// The log is not that long, or cannot be reached.
    pub async fn position(&self, moment: Option<Moment>) -> Result<Position, InspectionError> {
        let asked = match moment {
            Some(Moment::Time(time)) => return Ok(self.log.position_at(time).await?),
            Some(Moment::Position(asked)) => Some(asked),
            None => None,
        };
        let end = self.log.end().await?.last;
        match asked {
            Some(asked) if asked > end => Err(InspectionError::BeyondEnd(end)),
            asked => Ok(asked.unwrap_or(end)),
        }
    }

    /// An aggregate as it was when the log ended at `as_of`.
    ///
    /// # Errors
    /// There was none, or the log says nothing.
    pub async fn state(
        &self,
        name: AggregateName,
        as_of: Position,
        content: Content,
    ) -> Result<StateAt, InspectionError> {
        let folded = match name {
            AggregateName::User(id) => self.fold::<User>(id, as_of).await?.map(|it| it.view(user)),
            AggregateName::Session(id) => {
                self.fold::<Session>(id, as_of).await?.map(|it| it.view(plain))
            }
            AggregateName::Friendship(pair) => self.friendship(pair, as_of).await?,
            AggregateName::Group(id) => {
                self.fold::<Group>(id, as_of).await?.map(|it| it.view(group))
            }
            AggregateName::QuickReplies(id) => {
                self.fold::<QuickReplyList>(id, as_of).await?.map(|it| it.view(plain))
            }
            AggregateName::Complaint(id) => match self.complaint(id).await? {
                Some(Subject::Complaint(key)) => {
                    self.fold::<Complaint>(key, as_of).await?.map(|it| it.view(complaint))
                }
                _ => None,
            },
            AggregateName::Chat(_) | AggregateName::GroupChat(_) => self.chat(name, as_of).await?,
        };
        let Folded { last, events, mut state } =
            folded.ok_or(InspectionError::Unknown(name, as_of))?;
        content.apply(&mut state);
        Ok(StateAt { name, as_of, last, events, state })
    }

    async fn friendship(
        &self,
        pair: Pair,
        as_of: Position,
    ) -> Result<Option<Folded<Value>>, InspectionError> {
        Ok(self.fold::<Friendship>(pair, as_of).await?.map(|it| it.view(plain)))
    }

    /// Folds one aggregate by its own rules.
    async fn fold<A: Decider<Event: AggregateEvent<Id = A::Id>>>(
        &self,
        id: A::Id,
        as_of: Position,
    ) -> Result<Option<Folded<A>>, LogError> {
        let events = self.log.events_until(A::Event::subject(id), as_of).await?;
        Ok(Folded::of(events))
    }

    /// What happened to an aggregate between two positions, both included: the first `most` events.
    ///
    /// # Errors
    /// There is no such aggregate, or the log says nothing.
    pub async fn history(
        &self,
        name: AggregateName,
        (from, to): (Position, Position),
        most: usize,
        content: Content,
    ) -> Result<HistoryPage, InspectionError> {
        let subjects = match name {
            AggregateName::Complaint(id) => self.complaint(id).await?.into_iter().collect(),
            named => named.subjects(),
        };
        // One more than is shown says whether there is a next part.
        let mut found = match subjects[..] {
            [subject] if !matches!(name, AggregateName::GroupChat(_)) => {
                let all = self.log.events_until(subject, to).await?;
                let part = all.into_iter().filter(|recorded| recorded.position >= from);
                part.take(most + 1).collect()
            }
            _ => self.log.events_between(&subjects, (from, to), most + 1).await?,
        };
        if found.is_empty() && !self.exists(&subjects).await? {
            return Err(InspectionError::Unknown(name, to));
        }
        let next = found.get(most).map(|recorded| recorded.position);
        found.truncate(most);
        let events = found.iter().map(|recorded| content.describe(recorded)).collect();
        Ok(HistoryPage { name, from, to, events, next })
    }

    async fn exists(&self, subjects: &[Subject]) -> Result<bool, LogError> {
        for subject in subjects {
            if self.log.last_of(*subject).await? > Position(0) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Where the complaint with a number is: its first event is at the position that the number says.
    async fn complaint(&self, id: i64) -> Result<Option<Subject>, LogError> {
        let filed = self.log.made(id).await?.map(|filed| filed.subject());
        Ok(filed.filter(|subject| matches!(subject, Subject::Complaint(_))))
    }
}

/// An aggregate as it was when the log ended at a position, folded by its own rules.
///
/// # Errors
/// The log says nothing.
pub async fn state_at<A: Decider<Event: AggregateEvent<Id = A::Id>>>(
    log: &EventLog,
    id: A::Id,
    as_of: Position,
) -> Result<A, LogError> {
    let events = log.events_until(A::Event::subject(id), as_of).await?;
    Ok(Folded::of(events).map_or_else(A::default, |folded| folded.state))
}

/// What events have come to.
struct Folded<S> {
    last: Place,
    events: usize,
    state: S,
}

impl<A: Decider<Event: AggregateEvent>> Folded<A> {
    /// `None` of no events.
    fn of(events: Vec<Recorded<Event>>) -> Option<Self> {
        let last = Place::from(events.last()?);
        let (count, mut state) = (events.len(), A::default());
        for recorded in events {
            let recorded: Recorded<A::Event> =
                recorded.typed().expect("a subject has events of its own kind");
            state.evolve(recorded.position, &recorded.event);
        }
        Some(Self { last, events: count, state })
    }
}

impl<S> Folded<S> {
    fn view(self, view: impl FnOnce(&S) -> Value) -> Folded<Value> {
        Folded { last: self.last, events: self.events, state: view(&self.state) }
    }
}

fn plain(state: &impl Serialize) -> Value {
    json!(state)
}

fn user(state: &User) -> Value {
    json!(state.account())
}

fn group(state: &Group) -> Value {
    match state {
        Group::NotCreated => Value::Null,
        Group::Dissolved => json!({ "dissolved": true }),
        Group::Active(group) => active_group(group),
    }
}

fn active_group(group: &ActiveGroup) -> Value {
    let mut shown = json!(group.row);
    shown["dissolved"] = false.into();
    shown["member_count"] = group.count().into();
    shown["waiting_count"] = (group.memberships().len() - group.count()).into();
    shown["members"] = group.memberships().map(|member| json!(member)).collect();
    shown
}

fn complaint(state: &Complaint) -> Value {
    match state {
        Complaint::Unfiled => Value::Null,
        Complaint::Withdrawn => json!({ "withdrawn": true }),
        Complaint::Filed(filed) => json!(filed),
    }
}
