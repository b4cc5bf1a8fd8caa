//! Recipients of messages: a person or a group. The rules of a message are the same for both, its events are not.

use std::{fmt::Debug, sync::Arc};

use super::{MessageRejection, SenderRelation, Target};
use crate::events::{
    AggregateEvent, ChatEvent, ChatKey, GroupChatEvent, GroupId, GroupSummary, Revocation, Role,
    Sent, UserId, UserSummary,
};

/// What a message is sent to: a person or a group.
pub trait Recipient: Debug + Clone + PartialEq + Send + Sync + 'static {
    /// What happens to messages there.
    type Event: AggregateEvent + Debug + Clone + PartialEq + Send + Sync;
    /// What of the recipient the rules judge a draft by.
    type Relation: Debug + Copy + Send + Sync;

    /// Which it is.
    fn target(&self) -> Target;
    /// Where what `author` sends to it is in the log.
    fn key(&self, author: UserId) -> <Self::Event as AggregateEvent>::Id;
    /// May somebody with this role write to it?
    ///
    /// # Errors
    /// The rule that says no.
    fn may_write(relation: Self::Relation, role: Role) -> Result<(), MessageRejection>;
    /// A message was sent to it.
    fn sent(sent: Arc<Sent<Self>>) -> Self::Event;
    /// One was taken back.
    fn revoked(revocation: Revocation<Self>) -> Self::Event;
    /// The reverse of both.
    fn read(event: &Self::Event) -> SentOrRevoked<'_, Self>;
}

/// What happened to a message.
#[derive(Debug, Clone, Copy)]
pub enum SentOrRevoked<'a, To> {
    /// It was sent.
    Sent(&'a Arc<Sent<To>>),
    /// It was taken back.
    Revoked(&'a Revocation<To>),
}

impl Recipient for UserSummary {
    type Event = ChatEvent;
    type Relation = SenderRelation;

    fn target(&self) -> Target {
        Target::User(self.id)
    }

    fn key(&self, author: UserId) -> ChatKey {
        ChatKey::of(author, self.id)
    }

    fn may_write(relation: SenderRelation, role: Role) -> Result<(), MessageRejection> {
        relation.may_write(role).map(drop)
    }

    fn sent(sent: Arc<Sent>) -> ChatEvent {
        ChatEvent::Sent(sent)
    }

    fn revoked(revocation: Revocation) -> ChatEvent {
        ChatEvent::Revoked(revocation)
    }

    fn read(event: &ChatEvent) -> SentOrRevoked<'_, Self> {
        match event {
            ChatEvent::Sent(sent) => SentOrRevoked::Sent(sent),
            ChatEvent::Revoked(revocation) => SentOrRevoked::Revoked(revocation),
        }
    }
}

impl Recipient for GroupSummary {
    type Event = GroupChatEvent;
    /// A draft to a group is a member's: [`Draft::to_group`].
    type Relation = ();

    fn target(&self) -> Target {
        Target::Group(self.id)
    }

    fn key(&self, _: UserId) -> GroupId {
        self.id
    }

    fn may_write((): (), _: Role) -> Result<(), MessageRejection> {
        Ok(())
    }

    fn sent(sent: Arc<Sent<Self>>) -> GroupChatEvent {
        GroupChatEvent::Sent(sent)
    }

    fn revoked(revocation: Revocation<Self>) -> GroupChatEvent {
        GroupChatEvent::Revoked(revocation)
    }

    fn read(event: &GroupChatEvent) -> SentOrRevoked<'_, Self> {
        match event {
            GroupChatEvent::Sent(sent) => SentOrRevoked::Sent(sent),
            GroupChatEvent::Revoked(revocation) => SentOrRevoked::Revoked(revocation),
        }
    }
}
