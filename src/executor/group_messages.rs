//! Writing to a group: rules on its cached state, and an append that depends on it.

use std::sync::Arc;

use super::{
    ATTEMPTS, CommandError, Executor,
    authority::Authority,
    jitter,
    messages::{self, MessageContent},
};
use crate::{
    adapters::nats::event_log::{Expect, LogError, NewEvent},
    clock,
    commands::{
        group::{Group, rules::may_write},
        message::{MessageRejection, Revoker},
        user::Account,
    },
    events::{
        Event, GroupChatEvent, GroupId, MessageId, Position, Revocation, Room, Sent, Subject,
    },
};

type Result<T> = std::result::Result<T, CommandError<MessageRejection>>;

/// A message that was accepted, and the group as it was then.
#[derive(Debug)]
pub struct Posted {
    /// The message.
    pub sent: Arc<Sent<Room>>,
    /// The group.
    pub group: Arc<Group>,
}

/// Accepts a message to a group.
///
/// # Errors
/// There is no such group, the author is not in it, or the log says no.
pub async fn send(
    executor: &Executor,
    author: &Account,
    to: GroupId,
    content: &MessageContent,
    authority: Authority<'_>,
) -> Result<Posted> {
    for attempt in 0..ATTEMPTS {
        let running = executor.begin(authority).await?;
        let group = executor.state::<Group>(to).await?;
        let (active, member) =
            may_write(&group.state, author.id).map_err(CommandError::Rejected)?;
        let sent = Arc::new(Sent {
            id: MessageId(clock::random_id()),
            from: member.person(author),
            from_uuid: author.uuid,
            to: active.room(),
            kind: content.kind.clone(),
            data: content.data.clone(),
            options: content.options.clone(),
            sent_at: clock::now(),
        });
        let event = Event::GroupChat(GroupChatEvent::Sent(Arc::clone(&sent)));
        let mut new =
            NewEvent::new(Subject::GroupChat(to), event, Some(author.id), authority.cause);
        let expect = guard(to, group.version, executor.replicated);
        match executor.append(&mut new, expect, &running).await {
            Ok(_) => return Ok(Posted { sent, group: group.state }),
            Err(LogError::Conflict) => {
                executor.refresh::<Group>(to, group.version).await?;
                jitter(attempt).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(CommandError::Contended)
}

/// Who has left meanwhile writes no more: the append depends on the group that the rules saw. Where
/// many servers keep the log a guard that many share collapses; there the caches, which are at most
/// milliseconds old, and the queue's membership at the message's position have to do (ADR 0008, 0021).
fn guard(group: GroupId, seen: Position, replicated: bool) -> Expect {
    if replicated { Expect::Anything } else { Expect::Last(Subject::Group(group), seen) }
}

/// Takes a message back; answers with what the members were told, the first time.
///
/// # Errors
/// rest.md §36, in its order, or the log.
pub async fn revoke(
    executor: &Executor,
    by: &Account,
    (message, to): (MessageId, Room),
    authority: Authority<'_>,
) -> Result<Revocation<Room>> {
    let group = executor.state::<Group>(to.id).await?.state;
    let refuse = |rejection| CommandError::Rejected(rejection);
    let active = group.active().ok_or(refuse(MessageRejection::NoGroupToRevokeIn))?;
    let member = active.membership(by.id).ok_or(refuse(MessageRejection::RevokerNotInGroup))?;
    let revocation = Revocation { message, by: member.person(by), to, at: clock::now() };
    messages::revoke(executor, revocation, Revoker::Author, authority).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_log_of_one_server_guards_messages_by_their_group() {
        let (group, seen) = (GroupId(33), Position(7));
        assert_eq!(guard(group, seen, false), Expect::Last(Subject::Group(group), seen));
        assert_eq!(guard(group, seen, true), Expect::Anything);
    }
}
