//! Quick replies are questions that a user has answered beforehand; these events change them.

#![expect(missing_docs, reason = "a field whose name says what it is needs no comment")]

use serde::{Deserialize, Serialize};

use super::{
    ids::QuickReplyId,
    values::{ChatKind, Timestamp},
};

/// A fact about one user's list of questions and answers (rest.md §42).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum QuickReplyEvent {
    /// A question that was not in it.
    #[serde(rename = "question.added.v1")]
    Added {
        /// Its number, this user's alone.
        id: QuickReplyId,
        /// In which chats it is answered.
        kind: ChatKind,
        /// What is asked.
        ask: String,
        /// What is answered.
        answer: String,
        at: Timestamp,
    },
    /// Other words for a question, or another answer.
    #[serde(rename = "question.changed.v1")]
    Changed {
        id: QuickReplyId,
        /// What is asked.
        ask: String,
        /// What is answered.
        answer: String,
        at: Timestamp,
    },
    /// It is answered no more.
    #[serde(rename = "question.removed.v1")]
    Removed { id: QuickReplyId },
}
