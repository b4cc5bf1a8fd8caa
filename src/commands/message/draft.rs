//! Drafts: messages to be, with all that the rules need to know of author and recipient.

use std::sync::Arc;

use serde_json::value::RawValue;
use uuid::Uuid;

use super::{MessageRejection, Recipient, SenderRelation};
use crate::{
    commands::{friendship::Friendship, group::Group, user::Account},
    events::{GroupSummary, MessageId, Role, Sent, Timestamp, UserId, UserSummary},
};

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

/// A message to be.
#[derive(Debug, Clone)]
pub struct Draft<To: Recipient = UserSummary> {
    /// Its id.
    pub id: MessageId,
    /// How the recipient regards the author.
    pub relation: To::Relation,
    /// The author, by the name that the recipients see, with their role.
    pub from: UserSummary,
    /// The author's role on their row.
    pub from_role: Role,
    /// The author's public identifier.
    pub from_uuid: Uuid,
    /// The recipient, by the name that the author sees.
    pub to: To,
    /// What is said.
    pub content: MessageContent,
    /// Now.
    pub at: Timestamp,
}

impl Draft {
    /// What `author` wants to say to `recipient`, each called as the other knows them.
    ///
    /// # Errors
    /// There is no such recipient, or they are disabled.
    pub fn to_person(
        author: &Account,
        recipient: Option<&Account>,
        between: &Friendship,
        content: MessageContent,
        (id, at): (MessageId, Timestamp),
    ) -> Result<Self, MessageRejection> {
        let relation = SenderRelation::of(author, recipient, between);
        let recipient = recipient.ok_or(MessageRejection::RecipientUnavailable)?;
        Ok(Self {
            id,
            relation,
            from: seen_by(between, recipient.id, author, author.role),
            from_role: author.role,
            from_uuid: author.uuid,
            to: seen_by(between, author.id, recipient, author.role),
            content,
            at,
        })
    }
}

impl Draft<GroupSummary> {
    /// What `author` wants to say to a group (rest.md §41).
    ///
    /// # Errors
    /// There is no such group, or they are not in it.
    pub fn to_group(
        author: &Account,
        group: &Group,
        content: MessageContent,
        (id, at): (MessageId, Timestamp),
    ) -> Result<Self, MessageRejection> {
        let group = group.active().ok_or(MessageRejection::GroupGone)?;
        let member = group.member(author.id).ok_or(MessageRejection::NotInGroup)?;
        Ok(Self {
            id,
            relation: (),
            from: member.summary(author),
            from_role: author.role,
            from_uuid: author.uuid,
            to: group.summary(),
            content,
            at,
        })
    }
}

impl<To: Recipient> Draft<To> {
    pub(super) fn sent(&self) -> To::Event {
        let MessageContent { kind, data, options } = self.content.clone();
        To::sent(Arc::new(Sent {
            id: self.id,
            from: self.from.clone(),
            from_uuid: self.from_uuid,
            to: self.to.clone(),
            kind,
            data,
            options,
            sent_at: self.at,
        }))
    }
}

/// How `viewer` knows `who`: by their remark, if they made one. In what guests write, remarks do not count (ws.md §6.2).
fn seen_by(between: &Friendship, viewer: UserId, who: &Account, author: Role) -> UserSummary {
    let remark = between
        .edge_of(viewer)
        .filter(|_| author == Role::User && viewer != who.id)
        .map(|edge| edge.remark.as_str())
        .filter(|remark| !remark.is_empty());
    who.summary_called(remark.unwrap_or(who.name()))
}
