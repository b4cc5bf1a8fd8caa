//! Refusals: what is refused is in no log, so the rules judge once more whether somebody might write to somebody, by what
//! was so at that moment.

use serde::Serialize;

use super::{AuditError, DeliveryAudit};
use crate::{
    commands::{
        friendship::Friendship,
        message::{MessageRejection, SendQuota, SenderRelation},
        user::{Account, User},
    },
    events::{ChatKey, Pair, Position, Subject, UserId},
    executor::inspection::state_at,
};

/// What would have become of a message of one person to another.
#[derive(Debug, Serialize)]
pub struct SendJudgement {
    /// By what was so when the log ended there.
    pub as_of: Position,
    /// Who would have written it.
    pub author: UserId,
    /// To whom.
    pub user: UserId,
    /// Which rule would have refused it, if one would.
    pub reason: Option<RefusedBy>,
    /// The same in words.
    pub why: Option<String>,
}

/// The rules that refuse a message to a person (data.md §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusedBy {
    /// There is no such recipient, or they are disabled.
    RecipientUnavailable,
    /// The recipient has blocked the author.
    Blocked,
    /// The recipient takes messages of friends only.
    FriendsOnly,
    /// The author is a stranger, and has sent the one message that they may.
    QuotaUsed,
}

impl DeliveryAudit {
    /// Would a message of `author` to `user` have been refused when the log ended at `as_of`?
    ///
    /// # Errors
    /// The author had no account then, or the log cannot be asked.
    pub async fn judge_send(
        &self,
        (author, user): (UserId, UserId),
        as_of: Position,
    ) -> Result<SendJudgement, AuditError> {
        let writer = state_at::<User>(&self.log, author, as_of).await?;
        let recipient = state_at::<User>(&self.log, user, as_of).await?;
        let between = state_at::<Friendship>(&self.log, Pair::of(author, user), as_of).await?;
        let key = Subject::Chat(ChatKey::of(author, user));
        let first = self.log.next_of(key, Position(1)).await?;
        let has_written = first.is_some_and(|first| first.position <= as_of);
        let account = writer.account().ok_or(AuditError::UnknownUser(author))?;
        let refused = refused(account, recipient.active(), &between, has_written);
        let reason = refused.map(|rejection| match rejection {
            MessageRejection::Blocked(_) => RefusedBy::Blocked,
            MessageRejection::FriendsOnly(_) => RefusedBy::FriendsOnly,
            MessageRejection::QuotaUsed => RefusedBy::QuotaUsed,
            _ => RefusedBy::RecipientUnavailable,
        });
        let why = refused.map(|rejection| rejection.to_string());
        Ok(SendJudgement { as_of, author, user, reason, why })
    }
}

/// The rule that says no, by the rules of sending themselves.
fn refused(
    author: &Account,
    recipient: Option<&Account>,
    between: &Friendship,
    has_written: bool,
) -> Option<MessageRejection> {
    match SenderRelation::of(author, recipient, between).may_write(author.role) {
        Ok(SendQuota::First) if has_written => Some(MessageRejection::QuotaUsed),
        Ok(SendQuota::First | SendQuota::Unlimited) => None,
        Err(rejection) => Some(rejection),
    }
}
