//! The rules of a message: may it be sent to a person (data.md §6.3), may it be taken back?

mod draft;
mod recipient;
mod relation;
#[cfg(test)]
mod tests;

use serde::Serialize;

use super::decider::Decider;
use crate::events::{
    GroupId, MessageId, Position, Revocation, Role, Timestamp, UserId, UserSummary,
};

pub use self::{
    draft::{Draft, MessageContent},
    recipient::{Recipient, SentOrRevoked},
    relation::{SendCount, SendQuota, SenderRelation},
};

/// How long an author may take a message back.
pub const REVOKE_WINDOW_MS: i64 = 5 * 60 * 1000;

/// One message, to a person or to a group.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Message<To = UserSummary> {
    /// Nobody sent it.
    #[default]
    Unsent,
    /// It was accepted.
    Sent(Accepted),
    /// Its author took it back.
    Revoked(Accepted, Revocation<To>),
}

/// What the rules remember of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Accepted {
    /// The author.
    pub author: UserId,
    /// Where it went.
    pub to: Target,
    /// When the server accepted it.
    pub sent_at: Timestamp,
}

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// To a person.
    User(UserId),
    /// To a group.
    Group(GroupId),
}

/// What can be asked of a message.
#[derive(Debug, Clone)]
pub enum MessageCommand<To: Recipient = UserSummary> {
    /// Accept it.
    Send(Draft<To>),
    /// Take it back.
    Revoke {
        /// What the recipient will be told.
        revocation: Revocation<To>,
        /// Who wants it.
        revoker: Revoker,
    },
}

/// Who takes a message back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoker {
    /// Its author, who has [`REVOKE_WINDOW_MS`] for it.
    Author,
    /// An operator, at any time. The recipients are told that its author did: clients know nobody else.
    Operator,
}

/// Why a message is refused. The texts differ by the author's role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageRejection {
    /// Step 1.
    #[error("the recipient does not exist or is disabled")]
    RecipientUnavailable,
    /// Step 2.
    #[error("the recipient blocked the author")]
    Blocked(Role),
    /// Step 5.
    #[error("the recipient takes messages of friends only")]
    FriendsOnly(Role),
    /// Step 6.
    #[error("the one message to a stranger was sent already")]
    QuotaUsed,
    /// The id names another message.
    #[error("the id is taken")]
    IdTaken,
    /// Unknown, somebody else's, or sent elsewhere (DEV-15).
    #[error("no such message of the caller in this chat")]
    NotYours,
    /// Later than [`REVOKE_WINDOW_MS`].
    #[error("too late to revoke")]
    TooLate,
    /// There is no such group to write to (rest.md §41).
    #[error("there is no such group")]
    GroupGone,
    /// Only members write to a group.
    #[error("the author is not in the group")]
    NotInGroup,
    /// There is no such group to take something back from (rest.md §36).
    #[error("there is no such group")]
    NoGroupToRevokeIn,
    /// Who is not in the group takes nothing back.
    #[error("the caller is not in the group")]
    RevokerNotInGroup,
}

impl<To: Recipient> Message<To> {
    /// May it be taken back? `None`: it was already (rest.md §36, DEV-15).
    ///
    /// # Errors
    /// The rule that says no.
    pub fn revoke(
        &self,
        revocation: &Revocation<To>,
        revoker: Revoker,
    ) -> Result<Option<Revocation<To>>, MessageRejection> {
        match self {
            Self::Unsent => Err(MessageRejection::NotYours),
            Self::Sent(message) | Self::Revoked(message, _)
                if message.author != revocation.by.id || message.to != revocation.to.target() =>
            {
                Err(MessageRejection::NotYours)
            }
            Self::Sent(message)
                if revoker == Revoker::Author
                    && revocation.at.0 - message.sent_at.0 > REVOKE_WINDOW_MS =>
            {
                Err(MessageRejection::TooLate)
            }
            Self::Sent(_) => Ok(Some(revocation.clone())),
            Self::Revoked(..) => Ok(None),
        }
    }
}

impl<To: Recipient> Decider for Message<To> {
    type Id = MessageId;
    type Command = MessageCommand<To>;
    type Event = To::Event;
    type Rejection = MessageRejection;

    fn decide(&self, command: &MessageCommand<To>) -> Result<Option<To::Event>, MessageRejection> {
        match (self, command) {
            (Self::Unsent, MessageCommand::Send(draft)) => {
                To::may_write(draft.relation, draft.from_role)?;
                Ok(Some(draft.sent()))
            }
            (Self::Sent(_) | Self::Revoked(..), MessageCommand::Send(_)) => {
                Err(MessageRejection::IdTaken)
            }
            (message, MessageCommand::Revoke { revocation, revoker }) => {
                Ok(message.revoke(revocation, *revoker)?.map(To::revoked))
            }
        }
    }

    fn evolve(&mut self, _: Position, event: &To::Event) {
        *self = match (std::mem::take(self), To::read(event)) {
            (Self::Unsent, SentOrRevoked::Sent(sent)) => {
                let (author, to) = (sent.from.id, sent.to.target());
                Self::Sent(Accepted { author, to, sent_at: sent.sent_at })
            }
            (Self::Sent(message), SentOrRevoked::Revoked(revocation)) => {
                Self::Revoked(message, revocation.clone())
            }
            (state, _) => state,
        };
    }
}
