//! The relation of a recipient to an author, which decides whether the author may write (data.md §6.3).

use serde_json::Value;

use super::MessageRejection;
use crate::{
    commands::{friendship::Friendship, user::Account},
    events::Role,
};

/// How a recipient regards an author, which decides whether they may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SenderRelation {
    /// There is no such recipient, or they are disabled.
    Unavailable,
    /// The recipient's blacklist has the author.
    Blocked,
    /// The author is in the recipient's address book, or is the recipient.
    Friend,
    /// Neither; what the recipient lets strangers do.
    Stranger(SendCount),
}

/// How many messages a stranger may send (data.md §6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendCount {
    /// None before being friends.
    None,
    /// One, ever, before being friends.
    One,
    /// Any number.
    Unlimited,
}

/// Under which condition the log may take the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendQuota {
    /// As long as the friendship is as the rules saw it.
    Unlimited,
    /// Only as the author's first message to this recipient.
    First,
}

impl SenderRelation {
    /// The rule table's view of `author` by `recipient` (data.md §6.3).
    pub fn of(author: &Account, recipient: Option<&Account>, between: &Friendship) -> Self {
        let Some(recipient) = recipient else {
            return Self::Unavailable;
        };
        match between.edge_of(recipient.id) {
            Some(edge) if edge.blocked => Self::Blocked,
            Some(_) => Self::Friend,
            None if recipient.id == author.id => Self::Friend,
            None => Self::Stranger(SendCount::of(&recipient.userset, author.role)),
        }
    }

    /// Steps 1 to 7. Step 3 is about a status that no edge here has: requests are no edges. Whether step 6 bites is for
    /// the log to say.
    ///
    /// # Errors
    /// The step that says no.
    pub fn may_write(self, role: Role) -> Result<SendQuota, MessageRejection> {
        match self {
            Self::Unavailable => Err(MessageRejection::RecipientUnavailable),
            Self::Blocked => Err(MessageRejection::Blocked(role)),
            Self::Stranger(SendCount::None) => Err(MessageRejection::FriendsOnly(role)),
            Self::Stranger(SendCount::One) => Ok(SendQuota::First),
            Self::Friend | Self::Stranger(SendCount::Unlimited) => Ok(SendQuota::Unlimited),
        }
    }
}

impl SendCount {
    /// What `userset` says for authors of this role; 1 where it says nothing usable (DEV-13).
    pub fn of(userset: &str, author: Role) -> Self {
        let settings: Value = serde_json::from_str(userset).unwrap_or_default();
        let part = &settings["chatset"][author.as_str()];
        let count = if part.is_object() { &part["sendCount"] } else { part };
        match count.as_i64() {
            Some(0) => Self::None,
            Some(2) => Self::Unlimited,
            _ => Self::One,
        }
    }
}
