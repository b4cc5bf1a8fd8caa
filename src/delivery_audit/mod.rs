//! The delivery audit answers operators: why somebody got a message, or did not (ADR 0034). Nothing here is asked by rules.
//!
//! What is so is read: the message from the log, who was entitled to it from the events of its group, whether it waits
//! from the queue, how it was delivered from the reports of gateways. What follows from that is judged by [`verdict`].

mod audience;
mod connections;
mod members;
mod refusal;
mod reports;
mod verdict;

use std::collections::BTreeSet;

use futures_util::future::try_join_all;
use serde::Serialize;
use sqlx::PgPool;

use self::{audience::MessageAudience, reports::ReportSearch, verdict::judge};
pub use self::{
    connections::{AuditedConnection, End},
    refusal::{RefusedBy, SendJudgement},
    verdict::{Delivery, Reason, Way},
};
use crate::{
    adapters::{
        nats::{event_log::EventLog, log_error::LogError},
        redis::{Redis, RedisFailure},
    },
    commands::{
        message::{Message, Target},
        user::User,
    },
    events::{
        ChatEvent, Event, GroupChatEvent, GroupSummary, MessageId, Position, Recorded,
        SessionEvent, Subject, Timestamp, UserId, UserSummary,
    },
    projections::{
        message_history,
        offline_queue::lookup::{self, Held},
        user_directory,
    },
};

/// So many recipients are looked at, at most, unless one is named.
pub const RECIPIENTS: usize = 1000;

/// So many at the same time.
const AT_ONCE: usize = 8;

/// What operators' questions are answered from.
#[derive(Clone)]
pub struct DeliveryAudit {
    /// The log.
    pub log: EventLog,
    /// The read models in PostgreSQL: where a message is, and who is in a group.
    pub pool: PgPool,
    /// The offline queue.
    pub redis: Redis,
    /// `log.durability` of this process.
    pub durability: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// It was never accepted.
    #[error(
        "no message {0} was accepted: a message that is refused (its recipient has blocked the author, takes messages of \
         friends only, or has had the one of a stranger; the author is not in the group) has no id and is in no log: ask \
         with --from and --user whether it would be. A \
         message's id is the `id` that clients get, not a request's; one that was accepted a moment ago is found once \
         message_history has applied it"
    )]
    UnknownMessage(MessageId),
    /// There is no such account.
    #[error("there is no user {0}")]
    UnknownUser(UserId),
    /// The log cannot be asked.
    #[error(transparent)]
    Log(#[from] LogError),
    /// PostgreSQL cannot be asked.
    #[error("the read models cannot be asked: {0}")]
    ReadModels(#[from] sqlx::Error),
    /// Redis cannot be asked, or has no queues yet.
    #[error("the offline queue cannot be asked: {0}")]
    Queue(#[from] RedisFailure),
}

/// What became of a message.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// Which.
    pub message: MessageId,
    /// That the log took it.
    pub accepted: AuditedMessage,
    /// How many were entitled to it.
    pub entitled: usize,
    /// What became of it for each of them, or for who was asked about.
    pub recipients: Vec<AuditedRecipient>,
}

/// A message, as the log took it.
#[derive(Debug, Serialize)]
pub struct AuditedMessage {
    /// Where it is in the log.
    pub position: Position,
    /// When the log took it.
    pub stored: String,
    /// What its author was promised by that.
    pub durability: String,
    /// The request that brought it.
    pub request: String,
    /// Who wrote it.
    pub author: UserId,
    /// To whom.
    pub to: Target,
    /// When it was taken back, if it was. Who has not received it gets it first, and then that (`ws.md` §7.3).
    pub revoked: Option<String>,
}

/// What became of a message for one recipient.
#[derive(Debug, Serialize)]
pub struct AuditedRecipient {
    /// Who.
    pub user: UserId,
    /// Was it for them?
    pub entitled: bool,
    /// Where it was put for them.
    pub place: Option<EntryPlace>,
    /// By which report they have it.
    pub delivered: Option<Delivery>,
    /// Why they have not.
    pub reason: Option<Reason>,
    /// The same in words.
    pub why: Option<&'static str>,
    /// What could have brought it: the connection that was there, and those that came after.
    pub connections: Vec<AuditedConnection>,
}

/// Where a message waits for a recipient until they have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryPlace {
    /// In their queue, by its number, as far as it is known still.
    Queue(Option<u64>),
    /// In the timeline of a large group.
    Timeline,
}

impl AuditedRecipient {
    fn not_entitled(user: UserId, reason: Reason) -> Self {
        let (place, delivered, connections) = (None, None, Vec::new());
        let why = Some(reason.words());
        Self { user, entitled: false, place, delivered, reason: Some(reason), why, connections }
    }
}

impl DeliveryAudit {
    /// What became of a message, for `user` alone or for the first `most` of those it was for.
    ///
    /// # Errors
    /// There is no such message or user, or a part cannot be asked.
    pub async fn explain(
        &self,
        message: MessageId,
        user: Option<UserId>,
        most: usize,
    ) -> Result<Explanation, AuditError> {
        let found = message_history::place(&self.pool, message).await?;
        let (position, is_revoked) = found.ok_or(AuditError::UnknownMessage(message))?;
        let sent = self.log.at(position).await?.ok_or(AuditError::UnknownMessage(message))?;
        let (author, to) = match &sent.event {
            Event::Chat(_, ChatEvent::Sent(sent)) => (sent.from.id, Target::User(sent.to.id)),
            Event::GroupChat(_, GroupChatEvent::Sent(sent)) => {
                (sent.from.id, Target::Group(sent.to.id))
            }
            _ => return Err(AuditError::UnknownMessage(message)),
        };
        let revoked = async { if is_revoked { self.revoked(message, to).await } else { Ok(None) } };
        let audience = self.audience(position, author, to);
        let (revoked, audience) = tokio::try_join!(revoked, audience)?;
        let accepted = AuditedMessage {
            position,
            stored: sent.stored_at.iso_text(),
            durability: self.durability.clone(),
            request: sent.cause.request,
            author,
            to,
            revoked,
        };
        let asked: Vec<UserId> = match user {
            Some(user) => vec![user],
            None => audience.members.iter().copied().take(most).collect(),
        };
        let search = ReportSearch::new(&self.log, position, audience.timeline());
        let mut recipients = Vec::new();
        for some in asked.chunks(AT_ONCE) {
            let some = some.iter().map(|user| self.recipient(&audience, &search, *user));
            recipients.extend(try_join_all(some).await?);
        }
        Ok(Explanation { message, accepted, entitled: audience.entitled(), recipients })
    }

    async fn revoked(&self, message: MessageId, to: Target) -> Result<Option<String>, AuditError> {
        let at = match to {
            Target::User(_) => {
                revoked_at(message_history::load::<UserSummary>(&self.pool, message).await?)
            }
            Target::Group(_) => {
                revoked_at(message_history::load::<GroupSummary>(&self.pool, message).await?)
            }
        };
        Ok(at.map(Timestamp::iso_text))
    }

    async fn audience(
        &self,
        position: Position,
        author: UserId,
        to: Target,
    ) -> Result<MessageAudience, AuditError> {
        let members = match to {
            Target::User(user) => BTreeSet::from([user]),
            Target::Group(group) => members::at(&self.log, &self.pool, group, position).await?,
        };
        Ok(MessageAudience::of(position, author, to, members))
    }

    /// What became of it for one of them.
    async fn recipient(
        &self,
        audience: &MessageAudience,
        search: &ReportSearch<'_>,
        user: UserId,
    ) -> Result<AuditedRecipient, AuditError> {
        let position = audience.position;
        if let Some(reason) = self.why_not(audience, user).await? {
            return Ok(AuditedRecipient::not_entitled(user, reason));
        }
        let timeline = audience.timeline();
        let held = async {
            Ok::<_, AuditError>(match timeline {
                Some(group) => lookup::in_timeline(&self.redis, group, user, position).await?,
                None => lookup::in_queue(&self.redis, user, position).await?,
            })
        };
        let (held, mut connections) = tokio::try_join!(held, self.connections(user, position))?;
        let report = match held {
            Held::Gone => search.find(user, &connections).await?,
            Held::NotYet | Held::Waiting(_) | Held::Evicted(_) => None,
        };
        let number = match held {
            Held::Waiting(number) | Held::Evicted(number) => number,
            Held::Gone => report.as_ref().and_then(|report| report.number),
            Held::NotYet => None,
        };
        let place =
            if timeline.is_some() { EntryPlace::Timeline } else { EntryPlace::Queue(number) };
        let verdict = judge(position, held, &connections, report.as_ref());
        let (delivered, reason) = match verdict {
            Ok(delivered) => (Some(delivered), None),
            Err(reason) => (None, Some(reason)),
        };
        if let Some(delivered) = &delivered {
            connections.retain(|one| one.from < delivered.position);
        }
        let why = reason.map(Reason::words);
        let place = Some(place);
        Ok(AuditedRecipient { user, entitled: true, place, delivered, reason, why, connections })
    }

    /// Why it was not for somebody.
    async fn why_not(
        &self,
        audience: &MessageAudience,
        user: UserId,
    ) -> Result<Option<Reason>, AuditError> {
        let reason = audience.judge(user);
        if reason.is_some()
            && matches!(user_directory::load(&self.pool, user).await?.0, User::Unregistered)
        {
            return Err(AuditError::UnknownUser(user));
        }
        let Target::Group(group) = audience.to else { return Ok(reason) };
        match reason {
            Some(Reason::NotAMember) => {
                Ok(Some(members::why_not(&self.log, group, user, audience.position).await?))
            }
            reason => Ok(reason),
        }
    }

    async fn connections(
        &self,
        user: UserId,
        position: Position,
    ) -> Result<Vec<AuditedConnection>, AuditError> {
        let connects =
            |event: &Event| matches!(event, Event::Session(_, SessionEvent::Connected { .. }));
        let events = self.log.events_around(Subject::Session(user), position, connects).await?;
        let events: Vec<Recorded<SessionEvent>> =
            events.into_iter().filter_map(Recorded::typed).collect();
        Ok(connections::since(position, &events))
    }
}

fn revoked_at<To>(message: Message<To>) -> Option<Timestamp> {
    match message {
        Message::Revoked(_, revocation) => Some(revocation.at),
        Message::Unsent | Message::Sent(_) => None,
    }
}
