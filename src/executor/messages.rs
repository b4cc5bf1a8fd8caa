//! Sending and revoking: rules on cached state, and an append that depends on it.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{ATTEMPTS, CommandError, Executor, authority::Authority, jitter};
use crate::{
    adapters::nats::event_log::{Appended, Expect, LogError, NewEvent},
    clock,
    commands::{
        decider::Decider as _,
        friendship::Friendship,
        group::{ActiveGroup, Group},
        message::{
            Draft, Message, MessageCommand, MessageRejection, Revoker, SendQuota, SenderRelation,
            Target,
        },
        user::{Account, User},
    },
    events::{
        ChatEvent, Event, GroupChatEvent, MessageId, Pair, Person, Position, Revocation, Role,
        Room, Sent, Subject, UserId,
    },
    projections::message_history,
};

type Result<T> = std::result::Result<T, CommandError<MessageRejection>>;

/// What somebody wants to say.
#[derive(Debug, Clone)]
pub struct MessageContent {
    /// `text`, `image` ….
    pub kind: String,
    /// JSON text, passed through.
    pub data: String,
    /// Extra parameters, passed through.
    pub options: Option<Box<RawValue>>,
}

/// Accepts a message from one person to another.
///
/// # Errors
/// The rule table of data.md §6.3 or the log says no.
pub async fn send(
    executor: &Executor,
    author: &Account,
    to: UserId,
    content: &MessageContent,
    authority: Authority<'_>,
) -> Result<Arc<Sent>> {
    let pair = Pair::of(author.id, to);
    let subject = Subject::chat(author.id, to);
    for attempt in 0..ATTEMPTS {
        let running = executor.begin(authority).await?;
        let recipient = executor.state::<User>(to).await?;
        let between = executor.state::<Friendship>(pair).await?;
        let standing = SenderRelation::of(author, recipient.state.active(), &between.state);
        let quota = standing.may_write(author.role).map_err(CommandError::Rejected)?;
        let recipient = recipient.state.active().expect("a standing but `Gone` has a recipient");
        let draft = draft(author, recipient, &between.state, standing, content);
        let event =
            Message::Unsent.decide(&MessageCommand::Send(draft)).map_err(CommandError::Rejected)?;
        let Some(event @ ChatEvent::Sent(_)) = event else {
            unreachable!("sending an unsent message yields that it is sent")
        };
        // The append depends on what the rules saw: on a blacklist that has changed meanwhile, or
        // on a first message that is not the first, no node accepts it (ADR 0001).
        let expect = match quota {
            SendQuota::Unlimited => Expect::Last(Subject::Friendship(pair), between.version),
            SendQuota::First => Expect::Last(subject, Position(0)),
        };
        let mut new = NewEvent::new(subject, Event::Chat(event), Some(author.id), authority.cause);
        match executor.append(&mut new, expect, &running).await {
            Ok(_) => return Ok(sent(new.event)),
            Err(LogError::Conflict) => {
                // Which of the two changed? A friendship that did not leaves the quota.
                let last = executor.log.last_of(Subject::Friendship(pair)).await?;
                if quota == SendQuota::First && last <= between.version {
                    return Err(CommandError::Rejected(MessageRejection::QuotaUsed));
                }
                executor.refresh::<Friendship>(pair, between.version).await?;
                jitter(attempt).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(CommandError::Contended)
}

fn sent(event: Event) -> Arc<Sent> {
    match event {
        Event::Chat(ChatEvent::Sent(sent)) => sent,
        _ => unreachable!("made as such above"),
    }
}

fn draft(
    author: &Account,
    recipient: &Account,
    between: &Friendship,
    standing: SenderRelation,
    content: &MessageContent,
) -> Draft {
    Draft {
        id: MessageId(clock::random_id()),
        standing,
        from: seen_by(between, recipient.id, author, author.role),
        from_role: author.role,
        from_uuid: author.uuid,
        to: seen_by(between, author.id, recipient, author.role),
        kind: content.kind.clone(),
        data: content.data.clone(),
        options: content.options.clone(),
        at: clock::now(),
    }
}

/// How `viewer` knows `who`: by his remark, if he made one. In what guests write, remarks do not
/// count (ws.md §6.2).
fn seen_by(between: &Friendship, viewer: UserId, who: &Account, author: Role) -> Person {
    let remark = between
        .edge_of(viewer)
        .filter(|_| author == Role::User && viewer != who.id)
        .map(|edge| edge.remark.as_str())
        .filter(|remark| !remark.is_empty());
    who.person_called(remark.unwrap_or(who.name()))
}

/// Where messages go that can be taken back.
pub trait Revocable: DeserializeOwned + Clone
where
    for<'a> Target: From<&'a Self>,
{
    /// What `author` wrote there.
    fn subject(&self, author: UserId) -> Subject;
    /// The fact that one of it was taken back.
    fn revoked(revocation: Revocation<Self>) -> Event;
    /// The reverse.
    fn revocation(event: Event) -> Option<Revocation<Self>>;
}

impl Revocable for Person {
    fn subject(&self, author: UserId) -> Subject {
        Subject::chat(author, self.id)
    }

    fn revoked(revocation: Revocation) -> Event {
        Event::Chat(ChatEvent::Revoked(revocation))
    }

    fn revocation(event: Event) -> Option<Revocation> {
        match event {
            Event::Chat(ChatEvent::Revoked(revocation)) => Some(revocation),
            _ => None,
        }
    }
}

impl Revocable for Room {
    fn subject(&self, _: UserId) -> Subject {
        Subject::GroupChat(self.id)
    }

    fn revoked(revocation: Revocation<Self>) -> Event {
        Event::GroupChat(GroupChatEvent::Revoked(revocation))
    }

    fn revocation(event: Event) -> Option<Revocation<Self>> {
        match event {
            Event::GroupChat(GroupChatEvent::Revoked(revocation)) => Some(revocation),
            _ => None,
        }
    }
}

/// Takes a message back; answers with what the recipients were told, the first time.
///
/// # Errors
/// DEV-15, the five minutes, or the log.
pub async fn revoke<To: Revocable>(
    executor: &Executor,
    revocation: Revocation<To>,
    revoker: Revoker,
    authority: Authority<'_>,
) -> Result<Revocation<To>>
where
    for<'a> Target: From<&'a To>,
{
    let (author, id) = (revocation.by.id, revocation.message);
    let subject = revocation.to.subject(author);
    // The history must know all of this chat before it is asked: what was sent a moment ago, and
    // whether another node revoked it already.
    if !executor.wait_for_projection(subject, "message_history").await? {
        return Err(CommandError::Unavailable("message_history lags".into()));
    }
    let message = message_history::load::<To>(&executor.pool, id)
        .await
        .map_err(|error| CommandError::Unavailable(error.to_string()))?;
    let Some(revocation) = message.revoke(&revocation, revoker).map_err(CommandError::Rejected)?
    else {
        let Message::Revoked(_, first) = message else {
            unreachable!("only a revoked message is revoked already")
        };
        return Ok(first);
    };
    let running = executor.begin(authority).await?;
    // Two at once become one: the identity of the fact is that of the message.
    let id = uuid::Uuid::new_v5(&id.0, b"revoked");
    let event = To::revoked(revocation);
    let mut new =
        NewEvent { id, ..NewEvent::new(subject, event, authority.actor, authority.cause) };
    let appended = executor.append(&mut new, Expect::Anything, &running).await?;
    let Appended { position, duplicate } = appended;
    // Whatever the log says now, the message is taken back.
    let stored = if duplicate { executor.log.at(position).await.ok().flatten() } else { None };
    let first = stored.and_then(|stored| To::revocation(stored.event));
    Ok(first.or(To::revocation(new.event)).expect("revoking yields that it is revoked"))
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
        Event::Chat(ChatEvent::Sent(sent)) => {
            let author = author(executor, sent.from.id).await?;
            let (by, to) = (author.person(), sent.to.clone());
            let revocation = Revocation { message: sent.id, by, to, at };
            revoke_visibly(executor, revocation, authority).await
        }
        Event::GroupChat(GroupChatEvent::Sent(sent)) => {
            let author = author(executor, sent.from.id).await?;
            let group = executor.state::<Group>(sent.to.id).await?.state;
            let member = group.active().and_then(|group| group.membership(author.id));
            let by = member.map_or_else(|| author.person(), |member| member.person(&author));
            let to = group.active().map_or_else(|| sent.to.clone(), ActiveGroup::room);
            let revocation = Revocation { message: sent.id, by, to, at };
            revoke_visibly(executor, revocation, authority).await
        }
        _ => Err(CommandError::Rejected(MessageRejection::NotYours)),
    }
}

async fn revoke_visibly<To: Revocable>(
    executor: &Executor,
    revocation: Revocation<To>,
    authority: Authority<'_>,
) -> Result<()>
where
    for<'a> Target: From<&'a To>,
{
    let subject = revocation.to.subject(revocation.by.id);
    revoke(executor, revocation, Revoker::Operator, authority).await?;
    _ = executor.wait_for_projection(subject, "message_history").await; // it is revoked all the same
    Ok(())
}

async fn author(executor: &Executor, user: UserId) -> Result<Account> {
    let user = executor.state::<User>(user).await?.state;
    user.account().cloned().ok_or(CommandError::Rejected(MessageRejection::NotYours))
}
