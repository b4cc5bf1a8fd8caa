//! Quick replies and complaints, as streams may tell of them.

use std::collections::BTreeMap;

use hongyan::{
    commands::{
        complaint::{Complaint, ComplaintCommand, Revision},
        quick_replies::{QuickReplyCommand, QuickReplyList},
    },
    events::{Accused, ChatKind, ComplaintKey, Event, QuickReplyId, Statement, UserId},
};

use super::model::{Model, judge};
use super::steps::{Step, one_of, recent, text};

/// What people keep for themselves.
#[derive(Default)]
pub struct Lists {
    /// What they answer beforehand.
    pub questions: BTreeMap<UserId, QuickReplyList>,
    /// What they complain of.
    pub complaints: BTreeMap<ComplaintKey, Complaint>,
    asked: Vec<(UserId, QuickReplyId)>,
    filed: Vec<(UserId, ComplaintKey)>,
}

const KINDS: [ChatKind; 2] = [ChatKind::Single, ChatKind::Group];

impl Model {
    /// Answers beforehand, in one of all the ways.
    pub(super) fn question(&mut self, step: &Step) {
        let (mut who, pick, at) = (step.who, step.pick, self.now());
        let kind = one_of(&KINDS, pick / 7);
        let (ask, answer) = (text(pick / 3), text(pick / 5));
        let command = match (pick % 4, recent(&self.lists.asked, pick).copied()) {
            (0, Some((owner, id))) => {
                who = owner;
                QuickReplyCommand::Change { id, kind, ask, answer, at }
            }
            (1, Some((owner, id))) => {
                who = owner;
                QuickReplyCommand::Remove { id, kind: None }
            }
            _ => QuickReplyCommand::Put { kind, ask, answer, most: 3, at },
        };
        let position = self.next_position();
        let questions = self.lists.questions.entry(who).or_default();
        if let Some(event) = judge(questions, position, &command) {
            if let hongyan::events::QuickReplyEvent::Added { id, .. } = event {
                self.lists.asked.push((who, id));
            }
            self.record(Event::QuickReplies(who, event));
        }
    }

    /// Complains, or says otherwise.
    pub(super) fn complain(&mut self, step: &Step) {
        let (pick, at) = (step.pick, self.now());
        let word = text(pick / 5);
        let command = match (pick % 6, recent(&self.lists.filed, pick).copied()) {
            (0, Some((by, id))) => {
                let revision = Revision { content: Some(word), ..Revision::default() };
                (id, ComplaintCommand::Revise { by, revision, at })
            }
            (1, Some((by, id))) => (id, ComplaintCommand::Withdraw { by, at }),
            (2, Some((_, id))) => (id, ComplaintCommand::Close { status: 1, note: word, at }),
            _ => {
                let id = ComplaintKey(self.id());
                self.lists.filed.push((step.who, id));
                let name = text(pick / 3);
                let target = Accused { kind: one_of(&KINDS, pick), id: step.whom.0, name };
                let chat = format!("[{pick}]");
                let (reason, images) = ("spam".to_owned(), String::new());
                let statement = Statement { reason, content: word, images, chat };
                (id, ComplaintCommand::File { by: step.who, target, statement, at })
            }
        };
        let (id, command) = command;
        let position = self.next_position();
        let complaint = self.lists.complaints.entry(id).or_default();
        if let Some(event) = judge(complaint, position, &command) {
            self.record(Event::Complaint(id, event));
        }
    }
}
