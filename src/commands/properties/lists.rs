//! Properties of quick replies and complaints.

use super::*;
use crate::{
    commands::{
        complaint::{Complaint, ComplaintCommand, Revision},
        quick_replies::{QuickReplyCommand, QuickReplyList},
    },
    events::{Accused, ChatKind, ComplaintKey, QuickReplyId, Statement},
};

properties!(
    quick_replies: QuickReplyList, quick_replies_command(), ANN,
    |command| match command {
        QuickReplyCommand::Put { .. } | QuickReplyCommand::Change { .. } => Repeat::AlreadySo,
        QuickReplyCommand::Remove { .. } => Repeat::Refused,
    }
);

properties!(
    complaint: Complaint, complaint_command(), ComplaintKey(Uuid::nil()),
    |command| match command {
        ComplaintCommand::Revise { .. } => Repeat::AlreadySo,
        ComplaintCommand::File { .. }
        | ComplaintCommand::Withdraw { .. }
        | ComplaintCommand::Close { .. } => Repeat::Refused,
    }
);

fn kind() -> impl Strategy<Value = ChatKind> {
    select(vec![ChatKind::Single, ChatKind::Group])
}

fn quick_replies_command() -> impl Strategy<Value = QuickReplyCommand> {
    let at = || (1..6_i64).prop_map(Timestamp); // so near that numbers would meet
    let id = || (1..9_i64).prop_map(QuickReplyId);
    let put = (kind(), [text(), text()], at()).prop_map(|(kind, [ask, answer], at)| {
        QuickReplyCommand::Put { kind, ask, answer, most: 4, at }
    });
    let change =
        (id(), kind(), [text(), text()], at()).prop_map(|(id, kind, [ask, answer], at)| {
            QuickReplyCommand::Change { id, kind, ask, answer, at }
        });
    let remove = (id(), of(kind())).prop_map(|(id, kind)| QuickReplyCommand::Remove { id, kind });
    prop_oneof![3 => put, 1 => change, 1 => remove]
}

fn complaint_command() -> impl Strategy<Value = ComplaintCommand> {
    let who = || select(vec![ANN, BOB]);
    let file = (who(), kind(), [text(), text(), text(), text(), text()], at()).prop_map(
        |(by, kind, [name, reason, content, images, chat], at)| {
            let target = Accused { kind, id: 9, name };
            let statement = Statement { reason, content, images, chat };
            ComplaintCommand::File { by, target, statement, at }
        },
    );
    let revise = (who(), [of(text()), of(text())], at()).prop_map(|(by, [reason, chat], at)| {
        let revision = Revision { reason, chat, ..Revision::default() };
        ComplaintCommand::Revise { by, revision, at }
    });
    let withdraw = (who(), at()).prop_map(|(by, at)| ComplaintCommand::Withdraw { by, at });
    let close = (1..3_i16, text(), at()).prop_map(|(status, note, at)| ComplaintCommand::Close {
        status,
        note,
        at,
    });
    prop_oneof![3 => file, 3 => revise, 1 => withdraw, 1 => close]
}
