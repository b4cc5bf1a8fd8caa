//! The rules of a complaint: it is its author's until somebody has dealt with it (rest.md §42).

#![expect(missing_docs, reason = "a field whose name says what it is needs no comment")]

use serde::Serialize;

use super::decider::Decider;
use crate::events::{
    Accused, ComplaintEvent, ComplaintId, ComplaintKey, Position, Statement, Timestamp, UserId,
};

/// A complaint, as the rules see it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Complaint {
    /// None has this key.
    #[default]
    Unfiled,
    /// Somebody complained.
    Filed(Box<Filed>),
    /// And took it back.
    Withdrawn,
}

/// A complaint that stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Filed {
    pub id: ComplaintId,
    pub by: UserId,
    /// About whom or what.
    pub target: Accused,
    pub statement: Statement,
    /// 0 as long as nobody has dealt with it.
    pub status: i16,
    /// When it was filed.
    pub created_at: Timestamp,
    /// When something happened to it.
    pub updated_at: Timestamp,
}

/// What can be asked of a complaint.
#[derive(Debug, Clone)]
pub enum ComplaintCommand {
    /// Complain.
    File {
        by: UserId,
        /// About whom or what.
        target: Accused,
        statement: Statement,
        at: Timestamp,
    },
    /// Say it in other words.
    Revise { by: UserId, revision: Revision, at: Timestamp },
    /// Take it back.
    Withdraw { by: UserId, at: Timestamp },
    /// Note that somebody has dealt with it.
    Close {
        /// How; not 0.
        status: i16,
        /// What they say of it.
        note: String,
        at: Timestamp,
    },
}

/// Parts of a statement; what is absent stays as it was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Revision {
    /// In a word.
    pub reason: Option<String>,
    pub content: Option<String>,
    pub images: Option<String>,
    /// What was said in the chat.
    pub chat: Option<String>,
}

impl Revision {
    /// `known` with what this adds.
    fn over(self, known: &Statement) -> Statement {
        let pick = |new: Option<String>, old: &String| new.unwrap_or_else(|| old.clone());
        Statement {
            reason: pick(self.reason, &known.reason),
            content: pick(self.content, &known.content),
            images: pick(self.images, &known.images),
            chat: pick(self.chat, &known.chat),
        }
    }
}

/// Why a complaint says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ComplaintRejection {
    /// The key is another complaint's.
    #[error("this key belongs to another complaint")]
    KeyTaken,
    /// There is none, or none of this user.
    #[error("there is no such complaint")]
    Unknown,
    /// Somebody has dealt with it.
    #[error("the complaint is closed")]
    Closed,
}

impl Complaint {
    fn of(&self, by: UserId) -> Result<&Filed, ComplaintRejection> {
        match self {
            Self::Filed(filed) if filed.by == by => Ok(filed),
            Self::Unfiled | Self::Filed(_) | Self::Withdrawn => Err(ComplaintRejection::Unknown),
        }
    }
}

impl Decider for Complaint {
    type Id = ComplaintKey;
    type Command = ComplaintCommand;
    type Event = ComplaintEvent;
    type Rejection = ComplaintRejection;

    fn decide(
        &self,
        command: &ComplaintCommand,
    ) -> Result<Option<ComplaintEvent>, ComplaintRejection> {
        match (self, command.clone()) {
            (Self::Unfiled, ComplaintCommand::File { by, target, statement, at }) => {
                Ok(Some(ComplaintEvent::Filed { by, target, statement, at }))
            }
            (_, ComplaintCommand::File { .. }) => Err(ComplaintRejection::KeyTaken),
            (_, ComplaintCommand::Revise { by, revision, at }) => {
                let filed = self.of(by)?;
                if filed.status != 0 {
                    return Err(ComplaintRejection::Closed);
                }
                let statement = revision.over(&filed.statement);
                Ok((statement != filed.statement)
                    .then_some(ComplaintEvent::Revised { statement, at }))
            }
            (_, ComplaintCommand::Withdraw { by, at }) => {
                self.of(by)?;
                Ok(Some(ComplaintEvent::Withdrawn { at }))
            }
            (Self::Filed(filed), ComplaintCommand::Close { status, note, at }) => {
                if filed.status != 0 {
                    return Err(ComplaintRejection::Closed);
                }
                Ok(Some(ComplaintEvent::Closed { status, note, at }))
            }
            (Self::Unfiled | Self::Withdrawn, ComplaintCommand::Close { .. }) => {
                Err(ComplaintRejection::Unknown)
            }
        }
    }

    fn evolve(&mut self, position: Position, event: &ComplaintEvent) {
        match (&mut *self, event.clone()) {
            (_, ComplaintEvent::Filed { by, target, statement, at }) => {
                let id = ComplaintId::made_at(position);
                let (status, created_at, updated_at) = (0, at, at);
                let filed = Filed { id, by, target, statement, status, created_at, updated_at };
                *self = Self::Filed(Box::new(filed));
            }
            (Self::Filed(filed), ComplaintEvent::Revised { statement, at }) => {
                (filed.statement, filed.updated_at) = (statement, at);
            }
            (Self::Filed(filed), ComplaintEvent::Closed { status, at, .. }) => {
                (filed.status, filed.updated_at) = (status, at);
            }
            (_, ComplaintEvent::Withdrawn { .. }) => *self = Self::Withdrawn,
            (Self::Unfiled | Self::Withdrawn, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        commands::specification::{after, given},
        events::ChatKind,
    };

    const ANN: UserId = UserId(3);
    const BOB: UserId = UserId(9);
    const AT: Timestamp = Timestamp(7);

    fn statement(reason: &str, content: &str) -> Statement {
        let (images, chat) = (String::new(), String::new());
        Statement { reason: reason.into(), content: content.into(), images, chat }
    }

    fn file() -> ComplaintCommand {
        let target = Accused { kind: ChatKind::Group, id: 33, name: "Tea club".into() };
        let statement = statement("spam", "each day");
        ComplaintCommand::File { by: ANN, target, statement, at: AT }
    }

    fn revise(by: UserId, reason: &str) -> ComplaintCommand {
        let revision = Revision { reason: Some(reason.into()), ..Revision::default() };
        ComplaintCommand::Revise { by, revision, at: AT }
    }

    fn close() -> ComplaintCommand {
        ComplaintCommand::Close { status: 1, note: "warned".into(), at: AT }
    }

    fn filed() -> ComplaintEvent {
        let target = Accused { kind: ChatKind::Group, id: 33, name: "Tea club".into() };
        ComplaintEvent::Filed { by: ANN, target, statement: statement("spam", "each day"), at: AT }
    }

    /// ADR 0014: its number is the first id of its event.
    #[test]
    fn a_complaint_is_what_was_told_and_waits() {
        assert_eq!(Complaint::default().decide(&file()), Ok(Some(filed())));
        let Complaint::Filed(complaint) = given([filed()]) else { panic!("it was filed") };
        let (id, statement) = (ComplaintId::made_at(Position(1)), statement("spam", "each day"));
        assert_eq!((complaint.id, complaint.by, &complaint.statement), (id, ANN, &statement));
        assert_eq!((complaint.status, complaint.created_at, complaint.updated_at), (0, AT, AT));
    }

    #[test]
    fn an_operator_closes_it_once_with_a_note() {
        let later = Timestamp(8);
        let close = ComplaintCommand::Close { status: 1, note: "warned".into(), at: later };
        let closed = ComplaintEvent::Closed { status: 1, note: "warned".into(), at: later };
        assert_eq!(given::<Complaint>([filed()]).decide(&close), Ok(Some(closed.clone())));
        let Complaint::Filed(complaint) = given([filed(), closed]) else { panic!("it stands") };
        assert_eq!((complaint.status, complaint.updated_at), (1, later));
    }

    #[test]
    fn its_author_withdraws_it_closed_or_not() {
        let withdraw = ComplaintCommand::Withdraw { by: ANN, at: AT };
        let withdrawn = ComplaintEvent::Withdrawn { at: AT };
        let closed = ComplaintEvent::Closed { status: 1, note: "warned".into(), at: AT };
        for before in [vec![filed()], vec![filed(), closed]] {
            let complaint = given::<Complaint>(before);
            assert_eq!(complaint.decide(&withdraw), Ok(Some(withdrawn.clone())));
        }
        assert_eq!(given::<Complaint>([filed(), withdrawn]), Complaint::Withdrawn);
    }

    #[test]
    fn a_key_is_one_complaints() {
        for events in [vec![filed()], vec![filed(), ComplaintEvent::Withdrawn { at: AT }]] {
            assert_eq!(
                given::<Complaint>(events).decide(&file()),
                Err(ComplaintRejection::KeyTaken)
            );
        }
    }

    #[test]
    fn only_its_author_says_it_otherwise_or_takes_it_back() {
        let complaint = given::<Complaint>([filed()]);
        let unknown = Err(ComplaintRejection::Unknown);
        assert_eq!(complaint.decide(&revise(BOB, "x")), unknown);
        let withdraw = |by| ComplaintCommand::Withdraw { by, at: AT };
        assert_eq!(complaint.decide(&withdraw(BOB)), unknown);
        let gone = after::<Complaint>([file(), withdraw(ANN)]);
        for command in [revise(ANN, "x"), withdraw(ANN), close()] {
            assert_eq!(gone.decide(&command), unknown);
            assert_eq!(Complaint::default().decide(&command), unknown);
        }
    }

    #[test]
    fn what_is_not_said_anew_stays() {
        let complaint = given::<Complaint>([filed()]);
        let revised = complaint.decide(&revise(ANN, "fraud")).expect("theirs");
        let statement = statement("fraud", "each day");
        assert_eq!(revised, Some(ComplaintEvent::Revised { statement, at: AT }));
        assert_eq!(complaint.decide(&revise(ANN, "spam")), Ok(None));
    }

    #[test]
    fn what_somebody_has_dealt_with_is_not_changed_any_more() {
        let closed = after::<Complaint>([file(), close()]);
        assert_eq!(closed.decide(&revise(ANN, "x")), Err(ComplaintRejection::Closed));
        assert_eq!(closed.decide(&close()), Err(ComplaintRejection::Closed));
        assert!(closed.decide(&ComplaintCommand::Withdraw { by: ANN, at: AT }).is_ok());
    }
}
