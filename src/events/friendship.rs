//! Friendship events are about two users' address books: requests, edges and what is set on them.

#![expect(missing_docs, reason = "a field whose name says what it is needs no comment")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ids::{EdgeId, MessageId, Position, RequestId, UserId},
    values::UserSummary,
};

/// A fact about two users, both directions in one.
///
/// A request's id is that of index 0 of the event that makes it, the ids of `edges` are those of index 1 and 2
/// (`Position::numbered`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "data")]
pub enum FriendshipEvent {
    /// One asked the other to be friends (rest.md §11).
    #[serde(rename = "friendship.requested.v1")]
    Requested {
        /// Who asks, as the notice shows it.
        asker: UserSummary,
        /// Who is asked.
        asked: UserSummary,
        /// How the asker introduces themselves.
        #[schemars(extend("x-personal" = "content"))]
        text: String,
        /// The picture beside the notice.
        #[schemars(extend("x-personal" = "picture"))]
        icon: String,
        /// The notice P1 (ws.md §6.2).
        notice: MessageId,
    },
    /// The asked one answered a request (rest.md §13).
    #[serde(rename = "friendship.answered.v1")]
    Answered {
        request: RequestId,
        answer: Answer,
        caller: UserSummary,
        /// Who had asked.
        other: UserSummary,
        /// What `agree` adds to the address books; none that was there before.
        edges: Vec<NewEdge>,
        /// The notice P2.
        notice: MessageId,
    },
    /// One made both friends at once, as if they had asked and the other agreed (rest.md §40).
    #[serde(rename = "friendship.befriended.v1")]
    Befriended {
        /// Who did it.
        caller: UserSummary,
        other: UserSummary,
        /// How the caller introduces themselves.
        #[schemars(extend("x-personal" = "content"))]
        text: String,
        /// A pending request of the other side that this answers (clarification 8).
        agreed: Option<RequestId>,
        /// What it adds to the address books.
        edges: Vec<NewEdge>,
        /// The notice P2.
        notice: MessageId,
    },
    /// One ended the friendship (rest.md §37): their edge and all requests between the two are gone, and the other's
    /// edge unless it stays.
    #[serde(rename = "friendship.ended.v1")]
    Ended {
        /// Who ended it.
        by: UserId,
        /// The other's edge stays, since it is a block (clarification 24).
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        keeps_block: bool,
    },
    /// One put the other on the blacklist or took them off (rest.md §16).
    #[serde(rename = "friendship.blacklist_set.v1")]
    BlacklistSet {
        owner: UserId,
        /// On it now?
        blocked: bool,
    },
    /// One starred the other or took the star away (rest.md §17).
    #[serde(rename = "friendship.star_set.v1")]
    StarSet { owner: UserId, starred: bool },
    /// One chose who of the two sees the other's posts (rest.md §18).
    #[serde(rename = "friendship.visibility_set.v1")]
    VisibilitySet {
        owner: UserId,
        /// How it is now.
        visibility: Visibility,
    },
}

/// Who sees whose posts, as the owner of an edge wants it. Stored only: there is no feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Visibility {
    /// The friend sees the owner's.
    pub friend_sees_mine: bool,
    /// The owner sees the friend's.
    pub i_see_theirs: bool,
}

impl Default for Visibility {
    fn default() -> Self {
        Self { friend_sees_mine: true, i_see_theirs: true }
    }
}

/// An answer to a friend request that changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// Yes.
    Agree,
    /// No.
    Refuse,
    /// No, silently.
    Ignore,
}

impl Answer {
    /// As clients and the database spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agree => "agree",
            Self::Refuse => "refuse",
            Self::Ignore => "ignore",
        }
    }
}

/// A row added to an address book.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NewEdge {
    pub owner: UserId,
    /// Who is in it.
    pub friend: UserId,
    /// The owner's remark for the friend.
    #[schemars(extend("x-personal" = "name", "x-of" = ["friend", "owner"]))]
    pub remark: String,
}

impl RequestId {
    /// The request that the event at `position` makes.
    pub fn made_at(position: Position) -> Self {
        Self(position.numbered(0))
    }
}

impl EdgeId {
    /// The row that the event at `position` adds, the `index`-th of its `edges`.
    pub fn made_at(position: Position, index: usize) -> Self {
        Self(position.numbered(1 + index))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_set_on_an_edge_is_written_like_this() {
        let owner = UserId(3);
        let visibility = Visibility { friend_sees_mine: false, i_see_theirs: true };
        for (event, written) in [
            (
                FriendshipEvent::BlacklistSet { owner, blocked: true },
                json!({"type": "friendship.blacklist_set.v1", "data": {"owner": 3, "blocked": true}}),
            ),
            (
                FriendshipEvent::StarSet { owner, starred: true },
                json!({"type": "friendship.star_set.v1", "data": {"owner": 3, "starred": true}}),
            ),
            (
                FriendshipEvent::VisibilitySet { owner, visibility },
                json!({"type": "friendship.visibility_set.v1", "data": {"owner": 3,
                    "visibility": {"friend_sees_mine": false, "i_see_theirs": true}}}),
            ),
        ] {
            assert_eq!(serde_json::to_value(&event).expect("plain data"), written);
            assert_eq!(serde_json::from_value::<FriendshipEvent>(written).expect("ours"), event);
        }
    }
}
