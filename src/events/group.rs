//! Group events are about one group: its name and rules, and who is in it.

#![expect(missing_docs, reason = "a field whose name says what it is needs no comment")]

use schemars::JsonSchema;
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "data")]
pub enum GroupEvent {
    /// Somebody made a group out of themselves and their friends (rest.md §20).
    #[serde(rename = "group.created.v1")]
    Created {
        id: GroupId,
        /// Its public identifier.
        #[schemars(extend("x-personal" = "none"))]
        uuid: Uuid,
        /// Whose it is.
        owner: UserSummary,
        #[schemars(extend("x-personal" = "name", "x-of" = ["group"]))]
        name: String,
        /// Its picture: up to nine, joined by commas.
        #[schemars(extend("x-personal" = "picture", "x-of" = []))]
        avatar: String,
        /// Everybody in it, the owner first.
        members: Vec<UserId>,
        /// The notice G1.
        notice: MessageId,
        at: Timestamp,
    },
    /// The owner gave the group another name (rest.md §24).
    #[serde(rename = "group.renamed.v1")]
    Renamed {
        /// The owner, by their name in the group.
        by: UserSummary,
        #[schemars(extend("x-personal" = "name", "x-of" = ["group"]))]
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
        #[schemars(extend("x-personal" = "content"))]
        remark: String,
        /// The notice G3.
        notice: MessageId,
        at: Timestamp,
    },
    /// The owner set how people get in (rest.md §27, data.md §8).
    #[serde(rename = "group.policy_set.v1")]
    PolicySet {
        /// 0: anybody; 1: I approve; 2: registered users; 3 to 10: anybody, silently.
        policy: i16,
        at: Timestamp,
    },
    /// Somebody came in at once, by themselves or with whoever invited them (rest.md §29).
    #[serde(rename = "group.joined.v1")]
    Joined {
        /// The group's picture with them.
        #[schemars(extend("x-personal" = "picture", "x-of" = []))]
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
        #[schemars(extend("x-personal" = "content"))]
        text: String,
        /// The owner, by their name in the group.
        owner: UserSummary,
        /// The notice G6.
        notice: MessageId,
        at: Timestamp,
    },
    /// The owner let somebody in who had waited (rest.md §28).
    #[serde(rename = "group.approved.v1")]
    Approved {
        user: UserSummary,
        /// The group's picture with them.
        #[schemars(extend("x-personal" = "picture", "x-of" = []))]
        avatar: String,
        /// The picture beside the notice.
        #[schemars(extend("x-personal" = "picture"))]
        icon: String,
        /// The notice G5.
        notice: MessageId,
        at: Timestamp,
    },
    /// The owner did not let somebody in who had waited (rest.md §28).
    #[serde(rename = "group.refused.v1")]
    Refused { user: UserId, at: Timestamp },
    /// The owner put a member out (rest.md §26), or an operator did.
    #[serde(rename = "group.member_removed.v1")]
    MemberRemoved {
        user: UserId,
        /// The group's picture without them.
        #[schemars(extend("x-personal" = "picture", "x-of" = []))]
        avatar: String,
        at: Timestamp,
    },
    /// A member chose a name for themselves in the group (rest.md §30).
    #[serde(rename = "group.nickname_set.v1")]
    NicknameSet {
        user: UserId,
        #[schemars(extend("x-personal" = "name", "x-of" = ["user"]))]
        nickname: String,
        at: Timestamp,
    },
    /// A member left, or somebody who waited stopped waiting (rest.md §31).
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
    /// The owner left, and the group is no more (rest.md §31); or an operator dissolved it.
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JoinContext {
    pub user: Applicant,
    /// Who brought them; nobody if they came by themselves.
    pub inviter: Option<Inviter>,
    /// The picture beside the notice.
    #[schemars(extend("x-personal" = "picture"))]
    pub icon: String,
    /// The owner's account.
    pub owner: AccountSummary,
    /// The accounts of the members, the new one included if they are one; left out where they are many
    /// (DEV-33).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roster: Vec<AccountSummary>,
}

/// Who joins a group, or asks to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Applicant {
    pub id: UserId,
    /// The public identifier.
    #[schemars(extend("x-personal" = "person"))]
    pub uuid: Uuid,
    /// Nickname, else username.
    #[schemars(extend("x-personal" = "name"))]
    pub name: String,
    #[schemars(extend("x-personal" = "picture"))]
    pub avatar: String,
    /// The row role (data.md §5.1).
    pub role: Role,
}

/// A member who brings somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Inviter {
    pub id: UserId,
    /// Their name in the group.
    #[schemars(extend("x-personal" = "name"))]
    pub name: String,
}

/// An account as a group's notices show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountSummary {
    pub id: UserId,
    /// The log-in name.
    pub username: Username,
    /// The display name; may be empty.
    #[schemars(extend("x-personal" = "name"))]
    pub nickname: String,
    #[schemars(extend("x-personal" = "picture"))]
    pub avatar: String,
}
