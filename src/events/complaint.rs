//! Complaint events say what a user complains about, and what became of it.

#![expect(missing_docs, reason = "a field whose name says what it is needs no comment")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ids::{ComplaintId, Position, UserId},
    values::{ChatKind, Timestamp},
};

/// A fact about one complaint (rest.md §42).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "data")]
pub enum ComplaintEvent {
    /// Somebody complained about a person or a group (rest.md §42). The complaint's id is the event's position times
    /// 2^17.
    #[serde(rename = "complaint.filed.v1")]
    Filed {
        by: UserId,
        /// About whom or what.
        target: Accused,
        statement: Statement,
        at: Timestamp,
    },
    /// The complainant said it in other words (rest.md §42).
    #[serde(rename = "complaint.revised.v1")]
    Revised {
        /// All of it, as it is now.
        statement: Statement,
        at: Timestamp,
    },
    /// The complainant took it back (rest.md §42); read models drop what they told.
    #[serde(rename = "complaint.withdrawn.v1")]
    Withdrawn { at: Timestamp },
    /// An operator has dealt with the complaint.
    #[serde(rename = "complaint.closed.v1")]
    Closed {
        /// How, as clients see it; 0 is what waits.
        status: i16,
        /// What the operator says of it.
        #[schemars(extend("x-personal" = "content"))]
        note: String,
        at: Timestamp,
    },
}

impl ComplaintId {
    /// The complaint that is filed by the event at `position`.
    pub fn made_at(position: Position) -> Self {
        Self(position.numbered(0))
    }
}

/// Whom or what a complaint is about, as the complainant names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Accused {
    /// A person or a group.
    pub kind: ChatKind,
    /// The number of the user or the group.
    #[schemars(extend("x-personal" = "person"))]
    pub id: i64,
    #[schemars(extend("x-personal" = "name", "x-of" = ["actor"]))]
    pub name: String,
}

/// What a complainant tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Statement {
    /// In a word.
    #[schemars(extend("x-personal" = "content"))]
    pub reason: String,
    /// In full; may be empty.
    #[schemars(extend("x-personal" = "content"))]
    pub content: String,
    /// Pictures, as the client writes them; may be empty.
    #[schemars(extend("x-personal" = "picture"))]
    pub images: String,
    /// What was said in the chat, as the client writes it; may be empty.
    #[schemars(extend("x-personal" = "content"))]
    pub chat: String,
}
