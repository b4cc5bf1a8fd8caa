//! Quick replies are questions that a user has answered beforehand; these events change them.

#![expect(missing_docs, reason = "a field whose name says what it is needs no comment")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ids::QuickReplyId,
    values::{ChatKind, Timestamp},
};

/// A fact about one user's list of questions and answers (rest.md §42).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "data")]
pub enum QuickReplyEvent {
    /// The user answered a question beforehand that was not in their list (rest.md §42).
    #[serde(rename = "question.added.v1")]
    Added {
        /// Its number, this user's alone.
        id: QuickReplyId,
        /// In which chats it is answered.
        kind: ChatKind,
        /// What is asked.
        #[schemars(extend("x-personal" = "content"))]
        ask: String,
        /// What is answered.
        #[schemars(extend("x-personal" = "content"))]
        answer: String,
        at: Timestamp,
    },
    /// A question or its answer has other words (rest.md §42).
    #[serde(rename = "question.changed.v1")]
    Changed {
        id: QuickReplyId,
        /// What is asked.
        #[schemars(extend("x-personal" = "content"))]
        ask: String,
        /// What is answered.
        #[schemars(extend("x-personal" = "content"))]
        answer: String,
        at: Timestamp,
    },
    /// A question is answered no more (rest.md §42).
    #[serde(rename = "question.removed.v1")]
    Removed { id: QuickReplyId },
}
