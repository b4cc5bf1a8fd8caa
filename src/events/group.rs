//! Group events are about one group: its name and rules, and who is in it.

#![expect(missing_docs, reason = "a field whose name says what it is needs no comment")]

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    ids::{GroupId, MessageId, UserId},
    values::{Role, Timestamp, UserSummary, Username},
};

/// A fact about one group. What its notices show of accounts is part of it (ws.md §6.3).
///
/// A membership's id is made of the position of the event that begins it and, where that is `group.created`, of the
/// member's place in it (`Position::numbered`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum GroupEvent {
    /// Somebody made it out of themselves and their friends (rest.md §20).
    #[serde(rename = "group.created.v1")]
    Created {
        id: GroupId,
        /// Its public identifier.
        uuid: Uuid,
        /// Whose it is.
        owner: UserSummary,
        name: String,
        /// Its picture: up to nine, joined by commas.
        avatar: String,
        /// Everybody in it, the owner first.
        members: Vec<UserId>,
        /// The notice G1.
        notice: MessageId,
        at: Timestamp,
    },
    /// The owner gave it another name (rest.md §24).
    #[serde(rename = "group.renamed.v1")]
    Renamed {
        /// The owner, by their name in the group.
        by: UserSummary,
        name: String,
        /// The notice G2.
        notice: MessageId,
        at: Timestamp,
    },
    /// The owner announced something (rest.md §25).
    #[serde(rename = "group.announced.v1")]
    Announced {
        /// The owner, by their name in the group.
        by: UserSummary,
        remark: String,
        /// The notice G3.
        notice: MessageId,
        at: Timestamp,
    },
    /// The owner set how people get in (data.md §8).
    #[serde(rename = "group.policy_set.v1")]
    PolicySet {
        /// 0: anybody; 1: I approve; 2: registered users; 3 to 10: anybody, silently.
        policy: i16,
        at: Timestamp,
    },
    /// Somebody is in at once (rest.md §29).
    #[serde(rename = "group.joined.v1")]
    Joined {
        /// The group's picture with them.
        avatar: String,
        /// How they came, as the notice tells it.
        entry: JoinContext,
        /// The notice G4; none where the policy is a silent one.
        notice: Option<MessageId>,
        at: Timestamp,
    },
    /// Somebody waits for the owner's word (rest.md §29).
    #[serde(rename = "group.applied.v1")]
    Applied {
        /// How they came, as the notice tells it.
        entry: JoinContext,
        /// What they or their inviter say.
        text: String,
        /// The owner, by their name in the group.
        owner: UserSummary,
        /// The notice G6.
        notice: MessageId,
        at: Timestamp,
    },
    /// The owner let somebody in (rest.md §28).
    #[serde(rename = "group.approved.v1")]
    Approved {
        user: UserSummary,
        /// The group's picture with them.
        avatar: String,
        /// The picture beside the notice.
        icon: String,
        /// The notice G5.
        notice: MessageId,
        at: Timestamp,
    },
    /// The owner did not let somebody in (rest.md §28).
    #[serde(rename = "group.refused.v1")]
    Refused { user: UserId, at: Timestamp },
    /// The owner put somebody out (rest.md §26).
    #[serde(rename = "group.member_removed.v1")]
    MemberRemoved {
        user: UserId,
        /// The group's picture without them.
        avatar: String,
        at: Timestamp,
    },
    /// A member chose a name for themselves in the group (rest.md §30).
    #[serde(rename = "group.nickname_set.v1")]
    NicknameSet { user: UserId, nickname: String, at: Timestamp },
    /// Somebody left, or stopped waiting (rest.md §31).
    #[serde(rename = "group.left.v1")]
    Left {
        /// Who, by their name in the group.
        by: UserSummary,
        /// The accounts of those who stay.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        roster: Vec<AccountSummary>,
        /// The notice G8.
        notice: MessageId,
        at: Timestamp,
    },
    /// The owner left, and the group is no more (rest.md §31).
    #[serde(rename = "group.dissolved.v1")]
    Dissolved {
        /// The owner, by their name in the group.
        by: UserSummary,
        /// The accounts of the members.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        roster: Vec<AccountSummary>,
        /// The notice G7.
        notice: MessageId,
        at: Timestamp,
    },
}

/// How somebody came to a group, and what the notices G4 and G6 show of accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinContext {
    pub user: Applicant,
    /// Who brought them; nobody if they came by themselves.
    pub inviter: Option<Inviter>,
    /// The picture beside the notice.
    pub icon: String,
    /// The owner's account.
    pub owner: AccountSummary,
    /// The accounts of the members, the new one included if they are one; left out where they are many
    /// (DEV-33).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roster: Vec<AccountSummary>,
}

/// Who joins a group, or asks to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applicant {
    pub id: UserId,
    /// The public identifier.
    pub uuid: Uuid,
    /// Nickname, else username.
    pub name: String,
    pub avatar: String,
    /// The row role (data.md §5.1).
    pub role: Role,
}

/// A member who brings somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inviter {
    pub id: UserId,
    /// Their name in the group.
    pub name: String,
}

/// An account as a group's notices show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountSummary {
    pub id: UserId,
    /// The log-in name.
    pub username: Username,
    /// The display name; may be empty.
    pub nickname: String,
    pub avatar: String,
}
