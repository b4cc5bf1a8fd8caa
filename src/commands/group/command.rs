//! Commands to a group, what the rules need to know for them, and the rejections with which they say no.

#![expect(missing_docs, reason = "a field whose name says what it is needs no comment")]

use std::{collections::HashMap, sync::Arc};

use uuid::Uuid;

use crate::{
    commands::user::{Account, User},
    events::{AccountSummary, GroupId, MessageId, Timestamp, UserId},
};

/// A group's picture shows this many members.
pub const PICTURES: usize = 9;
/// Notices tell of the members up to this many (DEV-33).
pub const ROSTER: usize = 50;
/// What a picture may be long (data.md §2.5): clients hand it back when they revoke (rest.md §36).
const AVATAR_CHARS: usize = 4000;
/// What a name made of names may be long (data.md §5.3).
pub const NAME_CHARS: usize = 50;

/// Something asked of a group, with all that the rules need to know from elsewhere.
#[derive(Debug, Clone)]
pub struct GroupCommand {
    pub by: UserId,
    pub at: Timestamp,
    /// The id of a notice.
    pub notice: MessageId,
    /// The picture beside notices that are from nobody.
    pub icon: String,
    /// The accounts that rules and notices ask about.
    pub people: People,
    /// What is asked.
    pub action: GroupAction,
}

/// What can be asked of a group.
#[derive(Debug, Clone)]
pub enum GroupAction {
    /// Make it (rest.md §20).
    Create {
        id: GroupId,
        /// Its public identifier.
        uuid: Uuid,
        /// Everybody in it, the owner first.
        members: Vec<UserId>,
    },
    /// Give it another name (rest.md §24).
    Rename(String),
    /// Announce something (rest.md §25).
    Announce(String),
    /// Put somebody out (rest.md §26).
    Remove(UserId),
    /// Set how people get in (rest.md §27).
    SetPolicy(i16),
    /// Let somebody in who waits (rest.md §28).
    Approve(UserId),
    /// Do not (rest.md §28).
    Refuse(UserId),
    /// Bring somebody, or come oneself (rest.md §29).
    Join {
        user: UserId,
        /// Who brings them, as the client says (DEV-17).
        inviter: Option<UserId>,
        /// What is said to the owner.
        text: String,
        /// How many memberships a group may have.
        most: usize,
    },
    /// Choose a name for oneself in the group (rest.md §30).
    SetNickname(String),
    /// Leave; the owner dissolves it (rest.md §31).
    Leave,
    /// End it: an operator does what the owner's leaving would.
    Dissolve,
    /// Put somebody out, as an operator.
    Expel(UserId),
}

/// Accounts as they are now.
#[derive(Debug, Clone, Default)]
pub struct People(HashMap<UserId, Arc<User>>);

impl FromIterator<(UserId, Arc<User>)> for People {
    fn from_iter<T: IntoIterator<Item = (UserId, Arc<User>)>>(people: T) -> Self {
        Self(people.into_iter().collect())
    }
}

impl People {
    /// An account, disabled or not.
    pub fn account(&self, user: UserId) -> Option<&Account> {
        self.0.get(&user)?.account()
    }

    /// An account that exists and has status 1.
    pub fn active(&self, user: UserId) -> Option<&Account> {
        self.0.get(&user)?.active()
    }

    /// The pictures of the first few of `members`, joined by commas.
    pub fn picture(&self, members: impl Iterator<Item = UserId>) -> String {
        let mut picture = String::new();
        for account in members.take(PICTURES).filter_map(|user| self.account(user)) {
            let length = picture.chars().count() + account.avatar.chars().count() + 1;
            if length > AVATAR_CHARS && !picture.is_empty() {
                break;
            }
            if !picture.is_empty() {
                picture.push(',');
            }
            picture.push_str(&account.avatar);
        }
        picture
    }

    /// The accounts of all `members`; of none if they are many.
    pub fn roster(&self, members: impl Iterator<Item = UserId>) -> Vec<AccountSummary> {
        let members: Vec<UserId> = members.take(ROSTER + 1).collect();
        if members.len() > ROSTER {
            return Vec::new();
        }
        members.into_iter().filter_map(|user| self.account(user)).map(AccountSummary::of).collect()
    }
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GroupRejection {
    /// The number belongs to another group.
    #[error("this id belongs to another group")]
    IdTaken,
    /// There is no such group, or it is another's.
    #[error("only the owner may do this")]
    OwnersOnly(OwnersTask),
    /// Nobody puts the owner out.
    #[error("the owner stays in the group")]
    OwnerStays,
    /// There is nobody to decide about.
    #[error("this user does not wait")]
    NotWaiting,
    /// Who waits has no account any more.
    #[error("who waits does not exist or is disabled")]
    ApplicantGone,
    /// There is no such group to join.
    #[error("there is no such group")]
    NoGroupToJoin,
    /// Only members bring others, and only in their own name.
    #[error("the caller may not invite")]
    NotTheInviter,
    /// They wait already.
    #[error("waiting already")]
    WaitingAlready,
    /// They are in already.
    #[error("a member already")]
    MemberAlready,
    /// Who is to join has no account.
    #[error("who is to join does not exist or is disabled")]
    JoinerGone,
    /// Guests do not get in.
    #[error("guests do not get in")]
    NoGuests,
    /// Nobody gets in.
    #[error("the group is full")]
    Full,
    /// They are not in it, so have no name there.
    #[error("not a member")]
    NotAMember,
    /// There is no such group to leave.
    #[error("there is no such group")]
    NoGroupToLeave,
    /// They are not in it.
    #[error("not in this group")]
    NothingToLeave,
}

/// What only the owner does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnersTask {
    /// Renaming.
    Rename,
    /// Announcing.
    Announce,
    /// Putting somebody out.
    Remove,
    /// Deciding who gets in.
    Admit,
}
