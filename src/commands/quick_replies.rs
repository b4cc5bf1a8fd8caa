//! The rules of questions answered beforehand: everybody has one list for each kind of chat (rest.md §42).

#![expect(missing_docs, reason = "a field whose name says what it is needs no comment")]

use std::collections::BTreeMap;

use serde::Serialize;

use super::{decider::Decider, footprint::Footprint};
use crate::events::{ChatKind, Position, QuickReplyEvent, QuickReplyId, Timestamp, UserId};

/// One user's questions, as the rules see them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct QuickReplyList {
    /// The highest number that one ever had.
    last: QuickReplyId,
    list: BTreeMap<QuickReplyId, QuickReply>,
}

/// A question with its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QuickReply {
    /// In which chats it is answered.
    pub kind: ChatKind,
    /// What is asked.
    pub ask: String,
    /// What is answered.
    pub answer: String,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was changed.
    pub updated_at: Timestamp,
}

impl QuickReplyList {
    /// Of the rows that say so.
    pub fn from_rows(last: QuickReplyId, list: BTreeMap<QuickReplyId, QuickReply>) -> Self {
        Self { last, list }
    }

    /// One of them.
    pub fn get(&self, id: QuickReplyId) -> Option<&QuickReply> {
        self.list.get(&id)
    }

    /// The one that asks this; the first, should several.
    pub fn asking(&self, kind: ChatKind, ask: &str) -> Option<(QuickReplyId, &QuickReply)> {
        let mut all = self.list.iter().map(|(id, question)| (*id, question));
        all.find(|(_, question)| question.kind == kind && question.ask == ask)
    }

    /// The time in milliseconds, unless a question had it, or a later one.
    fn next(&self, at: Timestamp) -> QuickReplyId {
        QuickReplyId(at.0.max(self.last.0.saturating_add(1)))
    }
}

/// What can be asked of a list of questions. It is always its owner who asks.
#[derive(Debug, Clone)]
pub enum QuickReplyCommand {
    /// Answer a question, whether it is in the list or not.
    Put {
        /// In which chats.
        kind: ChatKind,
        /// What is asked.
        ask: String,
        /// What is answered.
        answer: String,
        /// How many of a kind there may be.
        most: usize,
        at: Timestamp,
    },
    /// Other words or another answer for one of the list.
    Change {
        id: QuickReplyId,
        /// Of which list.
        kind: ChatKind,
        /// What is asked.
        ask: String,
        /// What is answered.
        answer: String,
        at: Timestamp,
    },
    /// Answer it no more.
    Remove {
        id: QuickReplyId,
        /// Of which list, if that is said.
        kind: Option<ChatKind>,
    },
}

/// Why a list of questions says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuickReplyRejection {
    /// There is no such question.
    #[error("there is no such question in this list")]
    Unknown,
    /// There are too many.
    #[error("the list is full")]
    Full,
}

impl Footprint for QuickReplyList {
    fn footprint(&self) -> usize {
        let list = self.list.values();
        list.map(|one| size_of_val(one) + one.ask.len() + one.answer.len()).sum()
    }
}

impl Decider for QuickReplyList {
    type Id = UserId;
    type Command = QuickReplyCommand;
    type Event = QuickReplyEvent;
    type Rejection = QuickReplyRejection;

    fn decide(
        &self,
        command: &QuickReplyCommand,
    ) -> Result<Option<QuickReplyEvent>, QuickReplyRejection> {
        match command.clone() {
            QuickReplyCommand::Put { kind, ask, answer, most, at } => {
                if let Some((id, known)) = self.asking(kind, &ask) {
                    return Ok((known.answer != answer).then_some(QuickReplyEvent::Changed {
                        id,
                        ask,
                        answer,
                        at,
                    }));
                }
                if self.list.values().filter(|question| question.kind == kind).count() >= most {
                    return Err(QuickReplyRejection::Full);
                }
                Ok(Some(QuickReplyEvent::Added { id: self.next(at), kind, ask, answer, at }))
            }
            QuickReplyCommand::Change { id, kind, ask, answer, at } => {
                let known = self.list.get(&id).filter(|question| question.kind == kind);
                let known = known.ok_or(QuickReplyRejection::Unknown)?;
                Ok((known.ask != ask || known.answer != answer)
                    .then_some(QuickReplyEvent::Changed { id, ask, answer, at }))
            }
            QuickReplyCommand::Remove { id, kind } => {
                let known = self.list.get(&id).ok_or(QuickReplyRejection::Unknown)?;
                if kind.is_some_and(|kind| kind != known.kind) {
                    return Err(QuickReplyRejection::Unknown);
                }
                Ok(Some(QuickReplyEvent::Removed { id }))
            }
        }
    }

    fn evolve(&mut self, _: Position, event: &QuickReplyEvent) {
        match event.clone() {
            QuickReplyEvent::Added { id, kind, ask, answer, at } => {
                self.last = self.last.max(id);
                let (created_at, updated_at) = (at, at);
                self.list.insert(id, QuickReply { kind, ask, answer, created_at, updated_at });
            }
            QuickReplyEvent::Changed { id, ask, answer, at } => {
                if let Some(question) = self.list.get_mut(&id) {
                    (question.ask, question.answer, question.updated_at) = (ask, answer, at);
                }
            }
            QuickReplyEvent::Removed { id } => _ = self.list.remove(&id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::specification::{after, given};

    const SINGLE: ChatKind = ChatKind::Single;
    const GROUP: ChatKind = ChatKind::Group;

    fn put(kind: ChatKind, ask: &str, answer: &str, at: i64) -> QuickReplyCommand {
        let (ask, answer) = (ask.to_owned(), answer.to_owned());
        QuickReplyCommand::Put { kind, ask, answer, most: 2, at: Timestamp(at) }
    }

    fn change(id: i64, kind: ChatKind, ask: &str) -> QuickReplyCommand {
        let (id, ask, answer) = (QuickReplyId(id), ask.to_owned(), "now".to_owned());
        QuickReplyCommand::Change { id, kind, ask, answer, at: Timestamp(90) }
    }

    fn added(id: i64, kind: ChatKind, ask: &str) -> QuickReplyEvent {
        let (id, ask, answer) = (QuickReplyId(id), ask.to_owned(), "1".to_owned());
        QuickReplyEvent::Added { id, kind, ask, answer, at: Timestamp(5) }
    }

    #[test]
    fn what_is_asked_for_is_what_happens() {
        let changed = |ask: &str, answer: &str, at| QuickReplyEvent::Changed {
            id: QuickReplyId(5),
            ask: ask.to_owned(),
            answer: answer.to_owned(),
            at: Timestamp(at),
        };
        let none = QuickReplyList::default();
        assert_eq!(none.decide(&put(SINGLE, "a", "1", 5)), Ok(Some(added(5, SINGLE, "a"))));
        let questions = given::<QuickReplyList>([added(5, SINGLE, "a")]);
        assert_eq!(questions.decide(&put(SINGLE, "a", "2", 9)), Ok(Some(changed("a", "2", 9))));
        assert_eq!(questions.decide(&change(5, SINGLE, "b")), Ok(Some(changed("b", "now", 90))));
        for kind in [None, Some(SINGLE)] {
            let removed = QuickReplyEvent::Removed { id: QuickReplyId(5) };
            let remove = QuickReplyCommand::Remove { id: QuickReplyId(5), kind };
            assert_eq!(questions.decide(&remove), Ok(Some(removed)));
        }
    }

    fn ids(questions: &QuickReplyList) -> Vec<i64> {
        questions.list.keys().map(|id| id.0).collect()
    }

    #[test]
    fn a_question_is_numbered_by_its_time_and_no_two_are_alike() {
        let remove = QuickReplyCommand::Remove { id: QuickReplyId(6), kind: None };
        let mut told = vec![put(SINGLE, "a", "1", 5), put(GROUP, "a", "1", 5)];
        assert_eq!(ids(&after(&told)), [5, 6]);
        // Nor does one get the number of one that is gone, whatever the clock says.
        told.extend([remove, put(SINGLE, "b", "1", 4)]);
        assert_eq!(ids(&after(&told)), [5, 7]);
    }

    #[test]
    fn the_same_question_of_a_list_is_answered_anew() {
        let questions =
            after::<QuickReplyList>([put(SINGLE, "a", "1", 5), put(SINGLE, "a", "2", 9)]);
        let (id, question) = questions.asking(SINGLE, "a").expect("there");
        assert_eq!((id, question.answer.as_str()), (QuickReplyId(5), "2"));
        assert_eq!((question.created_at, question.updated_at), (Timestamp(5), Timestamp(9)));
        assert_eq!(questions.decide(&put(SINGLE, "a", "2", 10)), Ok(None));
        assert_eq!(questions.asking(GROUP, "a"), None);
    }

    #[test]
    fn each_list_has_an_end() {
        let questions =
            after::<QuickReplyList>([put(SINGLE, "a", "1", 1), put(SINGLE, "b", "1", 2)]);
        let full = Err(QuickReplyRejection::Full);
        assert_eq!(questions.decide(&put(SINGLE, "c", "1", 3)), full);
        assert!(questions.decide(&put(GROUP, "c", "1", 3)).is_ok());
        assert!(questions.decide(&put(SINGLE, "b", "2", 3)).is_ok(), "it is no more than before");
    }

    #[test]
    fn only_what_is_in_the_list_is_changed_or_removed() {
        let questions = given::<QuickReplyList>([added(5, SINGLE, "a")]);
        let unknown = Err(QuickReplyRejection::Unknown);
        for command in [change(6, SINGLE, "b"), change(5, GROUP, "b")] {
            assert_eq!(questions.decide(&command), unknown);
        }
        for (id, kind) in [(6, None), (5, Some(GROUP))] {
            let remove = QuickReplyCommand::Remove { id: QuickReplyId(id), kind };
            assert_eq!(questions.decide(&remove), unknown);
        }
        let questions = after::<QuickReplyList>([put(SINGLE, "a", "1", 5), change(5, SINGLE, "b")]);
        assert_eq!(questions.decide(&change(5, SINGLE, "b")), Ok(None));
        assert_eq!(questions.asking(SINGLE, "a"), None);
    }
}
