//! Messages: sending, to a person or a group, and taking back (rest.md §36, §41).

#![expect(missing_docs, reason = "a field whose name says what it is needs no comment")]

use std::sync::Arc;

use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::{
    CommandError, Executor, Wait,
    action::{Action, Append, Decided, Guard, Judgement},
    aggregates::Aggregate as _,
    authority::Authority,
};
use crate::{
    clock,
    commands::{
        decider::Decider as _,
        friendship::Friendship,
        group::{ActiveGroup, Group, Member},
        message::{
            Draft, Message, MessageCommand, MessageContent, MessageRejection, Recipient, Revoker,
            SendQuota, SentOrRevoked, Target,
        },
        user::{Account, User},
    },
    events::{
        AggregateEvent, ChatEvent, ChatKey, Event, GroupChatEvent, GroupId, GroupSummary,
        MessageId, Pair, Position, Revocation, Sent, Subject, Timestamp, UserId, UserSummary,
    },
    projections::message_history,
};

type Result<T> = std::result::Result<T, CommandError<MessageRejection>>;

/// A message from one person to another.
pub struct SendToPerson<'a> {
    /// What it is, however often it is judged.
    pub stamp: (MessageId, Timestamp),
    pub author: &'a Account,
    pub to: UserId,
    /// What is said.
    pub content: &'a MessageContent,
}

impl SendToPerson<'_> {
    /// Has it accepted.
    ///
    /// # Errors
    /// The rule table of data.md §6.3 or the log says no.
    pub async fn run(self, executor: &Executor, authority: Authority<'_>) -> Result<Arc<Sent>> {
        match executor.run(self, authority, Wait::Durable).await?.event() {
            Some(ChatEvent::Sent(sent)) => Ok(sent),
            _ => unreachable!("sending an unsent message yields that it is sent"),
        }
    }
}

impl Action for SendToPerson<'_> {
    type Outcome = ();
    type Rejection = MessageRejection;

    fn contention_subject(&self) -> Subject {
        Friendship::subject(Pair::of(self.author.id, self.to))
    }

    async fn judge(&mut self, executor: &Executor) -> Result<Judgement<Self>> {
        let (author, pair) = (self.author, Pair::of(self.author.id, self.to));
        let recipient = executor.state::<User>(self.to).await?;
        let between = executor.state::<Friendship>(pair).await?;
        let (recipient, friendship) = (recipient.state.active(), &between.state);
        let draft =
            Draft::to_person(author, recipient, friendship, self.content.clone(), self.stamp);
        let draft = draft.map_err(CommandError::Rejected)?;
        let quota = draft.relation.may_write(author.role).map_err(CommandError::Rejected)?;
        // On a block that came meanwhile, or as a first message that is not the first, no node accepts it.
        let (key, judged) =
            (ChatKey::of(author.id, self.to), (self.contention_subject(), between.version));
        let guard = match quota {
            SendQuota::Unlimited => Guard::version(judged.0, judged.1),
            SendQuota::First => {
                Guard::first_on(Subject::Chat(key), judged, MessageRejection::QuotaUsed)
            }
        };
        Ok(Judgement { outcome: (), decided: accept(draft, key, guard)? })
    }
}

/// A message to a group.
pub struct SendToGroup<'a> {
    /// What it is, however often it is judged.
    pub stamp: (MessageId, Timestamp),
    pub author: &'a Account,
    pub to: GroupId,
    /// What is said.
    pub content: &'a MessageContent,
}

/// A message that a group was sent, and the group as it was then.
#[derive(Debug)]
pub struct SentToGroup {
    pub sent: Arc<Sent<GroupSummary>>,
    pub group: Arc<Group>,
}

impl SendToGroup<'_> {
    /// Has it accepted.
    ///
    /// # Errors
    /// There is no such group, the author is not in it, or the log says no.
    pub async fn run(self, executor: &Executor, authority: Authority<'_>) -> Result<SentToGroup> {
        let mut done = executor.run(self, authority, Wait::Durable).await?;
        let group = std::mem::take(&mut done.outcome);
        match done.event() {
            Some(GroupChatEvent::Sent(sent)) => Ok(SentToGroup { sent, group }),
            _ => unreachable!("sending an unsent message yields that it is sent"),
        }
    }
}

impl Action for SendToGroup<'_> {
    type Outcome = Arc<Group>;
    type Rejection = MessageRejection;

    fn contention_subject(&self) -> Subject {
        Subject::Group(self.to)
    }

    async fn judge(&mut self, executor: &Executor) -> Result<Judgement<Self>> {
        let group = executor.state::<Group>(self.to).await?;
        let draft = Draft::to_group(self.author, &group.state, self.content.clone(), self.stamp);
        let draft = draft.map_err(CommandError::Rejected)?;
        let guard = guard_by_group(self.to, group.version, executor.replicated);
        Ok(Judgement { outcome: group.state, decided: accept(draft, self.to, guard)? })
    }
}

/// Who has left meanwhile writes no more: the append depends on the group that the rules saw. Where many servers keep
/// the log a guard that many share collapses; there the caches, which are at most milliseconds old, and the queue's
/// membership at the message's position have to do (ADR 0008, ADR 0021).
fn guard_by_group<R>(group: GroupId, seen: Position, replicated: bool) -> Guard<R> {
    if replicated { Guard::nothing() } else { Guard::version(Subject::Group(group), seen) }
}

fn accept<To: Recipient>(
    draft: Draft<To>,
    key: <To::Event as AggregateEvent>::Id,
    guard: Guard<MessageRejection>,
) -> Result<Decided<MessageRejection>> {
    let command = MessageCommand::Send(draft);
    let event = Message::Unsent.decide(&command).map_err(CommandError::Rejected)?;
    let event = event.expect("an unsent message is not sent already").of(key);
    Ok(Decided::Append(Append { event, id: None, guard }))
}

/// A message that is taken back.
struct Revoke<To> {
    message: Message<To>,
    revocation: Revocation<To>,
    revoker: Revoker,
}

impl<To: Recipient> Action for Revoke<To> {
    type Outcome = ();
    type Rejection = MessageRejection;

    fn contention_subject(&self) -> Subject {
        To::Event::subject(self.revocation.to.key(self.revocation.by.id))
    }

    async fn judge(&mut self, executor: &Executor) -> Result<Judgement<Self>> {
        let (revocation, revoker) = (self.revocation.clone(), self.revoker);
        if let (Target::Group(group), Revoker::Author) = (revocation.to.target(), revoker) {
            let group = executor.state::<Group>(group).await?.state;
            member(&group, revocation.by.id)?; // they may have been removed while the history was waited for
        }
        let key = revocation.to.key(revocation.by.id);
        // Two at once become one: the identity of the event is that of the message.
        let id = Some(Uuid::new_v5(&revocation.message.0, b"revoked"));
        let command = MessageCommand::Revoke { revocation, revoker };
        let event = self.message.decide(&command).map_err(CommandError::Rejected)?;
        let decided = match event {
            Some(event) => {
                Decided::Append(Append { event: event.of(key), id, guard: Guard::nothing() })
            }
            None => Decided::AlreadySo(Position(0)), // nobody waits for it
        };
        Ok(Judgement { outcome: (), decided })
    }
}

/// Takes a message back; answers with what the recipients were told, the first time.
///
/// # Errors
/// DEV-15, the five minutes, or the log.
pub async fn revoke<To: Recipient + DeserializeOwned>(
    executor: &Executor,
    revocation: Revocation<To>,
    revoker: Revoker,
    authority: Authority<'_>,
) -> Result<Revocation<To>> {
    let subject = To::Event::subject(revocation.to.key(revocation.by.id));
    // The history must know all of this chat before it is asked: what was sent a moment ago, and
    // whether another node revoked it already.
    if !executor.wait_for_projection(subject, "message_history").await? {
        return Err(CommandError::Unavailable("message_history lags".into()));
    }
    let message = message_history::load::<To>(&executor.pool, revocation.message)
        .await
        .map_err(|error| CommandError::Unavailable(error.to_string()))?;
    let known = match &message {
        Message::Revoked(_, first) => Some(first.clone()),
        Message::Unsent | Message::Sent(_) => None,
    };
    let action = Revoke { message, revocation, revoker };
    let done = executor.run(action, authority, Wait::Durable).await?;
    // Whatever the log says now, the message is taken back.
    let stored =
        if done.duplicate { executor.log.at(done.position).await.ok().flatten() } else { None };
    let first = stored.and_then(|stored| To::Event::into_own(stored.event));
    let event = first.map(|(_, event)| event).or_else(|| done.event());
    let appended = event.and_then(|event| match To::read(&event) {
        SentOrRevoked::Revoked(revocation) => Some(revocation.clone()),
        SentOrRevoked::Sent(_) => None,
    });
    Ok(appended.or(known).expect("a message that is revoked was revoked now or before"))
}

/// Takes a message to a group back; answers with what the members were told, the first time.
///
/// # Errors
/// rest.md §36, in its order, or the log.
pub async fn revoke_in_group(
    executor: &Executor,
    by: &Account,
    (message, to): (MessageId, GroupSummary),
    authority: Authority<'_>,
) -> Result<Revocation<GroupSummary>> {
    let group = executor.state::<Group>(to.id).await?.state;
    let member = member(&group, by.id)?;
    let revocation = Revocation { message, by: member.summary(by), to, at: clock::now() };
    revoke(executor, revocation, Revoker::Author, authority).await
}

/// Who takes back in a group has to be in it.
fn member(group: &Group, user: UserId) -> Result<&Member> {
    let active = group.active().ok_or(MessageRejection::NoGroupToRevokeIn);
    let member = active
        .and_then(|active| active.membership(user).ok_or(MessageRejection::RevokerNotInGroup));
    member.map_err(CommandError::Rejected)
}

/// Takes back what was sent, in its author's name, for an operator; and waits until the history shows it.
///
/// # Errors
/// It is no message, or the log says no.
pub async fn revoke_for_operator(
    executor: &Executor,
    sent: &Event,
    authority: Authority<'_>,
) -> Result<()> {
    let at = clock::now();
    match sent {
        Event::Chat(_, ChatEvent::Sent(sent)) => {
            let author = author(executor, sent.from.id).await?;
            let (by, to) = (author.summary(), sent.to.clone());
            let revocation: Revocation<UserSummary> = Revocation { message: sent.id, by, to, at };
            revoke_visibly(executor, revocation, authority).await
        }
        Event::GroupChat(_, GroupChatEvent::Sent(sent)) => {
            let author = author(executor, sent.from.id).await?;
            let group = executor.state::<Group>(sent.to.id).await?.state;
            let member = group.active().and_then(|group| group.membership(author.id));
            let by = member.map_or_else(|| author.summary(), |member| member.summary(&author));
            let to = group.active().map_or_else(|| sent.to.clone(), ActiveGroup::summary);
            let revocation = Revocation { message: sent.id, by, to, at };
            revoke_visibly(executor, revocation, authority).await
        }
        _ => Err(CommandError::Rejected(MessageRejection::NotYours)),
    }
}

async fn revoke_visibly<To: Recipient + DeserializeOwned>(
    executor: &Executor,
    revocation: Revocation<To>,
    authority: Authority<'_>,
) -> Result<()> {
    let subject = To::Event::subject(revocation.to.key(revocation.by.id));
    revoke(executor, revocation, Revoker::Operator, authority).await?;
    _ = executor.wait_for_projection(subject, "message_history").await; // it is revoked all the same
    Ok(())
}

async fn author(executor: &Executor, user: UserId) -> Result<Account> {
    let user = executor.state::<User>(user).await?.state;
    user.account().cloned().ok_or(CommandError::Rejected(MessageRejection::NotYours))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::nats::new_event::Expect;

    #[test]
    fn only_a_log_of_one_server_guards_messages_by_their_group() {
        let (group, seen) = (GroupId(33), Position(7));
        let guard = |replicated| guard_by_group::<MessageRejection>(group, seen, replicated);
        assert_eq!(guard(false).expect(), Expect::Last(Subject::Group(group), seen));
        assert_eq!(guard(true).expect(), Expect::Anything);
    }
}
