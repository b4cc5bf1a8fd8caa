//! Specifications of the rules of a message.

use uuid::Uuid;

use super::*;
use crate::{
    commands::specification::after,
    events::{ChatEvent, GroupChatEvent, GroupSummary, Sent},
};

const ANN: UserId = UserId(3);
const BOB: UserId = UserId(9);

fn summary(id: UserId) -> UserSummary {
    UserSummary { id, name: "n".into(), avatar: "a".into() }
}

fn send(relation: SenderRelation, role: Role) -> MessageCommand {
    MessageCommand::Send(Draft {
        id: MessageId(Uuid::nil()),
        relation,
        from: summary(ANN),
        from_role: role,
        from_uuid: Uuid::nil(),
        to: summary(BOB),
        content: MessageContent { kind: "text".into(), data: "{}".into(), options: None },
        at: Timestamp(1_000),
    })
}

fn revoke(by: UserId, to: UserId, at: i64) -> MessageCommand {
    let revocation = Revocation {
        message: MessageId(Uuid::nil()),
        by: summary(by),
        to: summary(to),
        at: Timestamp(at),
    };
    MessageCommand::Revoke { revocation, revoker: Revoker::Author }
}

fn sent() -> Message {
    after([send(SenderRelation::Friend, Role::User)])
}

/// What [`send`] yields, to whomever it is.
fn accepted<To>(to: To) -> Sent<To> {
    Sent {
        id: MessageId(Uuid::nil()),
        from: summary(ANN),
        from_uuid: Uuid::nil(),
        to,
        kind: "text".into(),
        data: "{}".into(),
        options: None,
        sent_at: Timestamp(1_000),
    }
}

#[test]
fn a_message_is_sent_as_it_was_drafted_unless_its_author_may_not_write() {
    let role = Role::Visitor;
    let sent = ChatEvent::Sent(accepted(summary(BOB)).into());
    for relation in [SenderRelation::Friend, SenderRelation::Stranger(SendCount::One)] {
        assert_eq!(Message::default().decide(&send(relation, role)), Ok(Some(sent.clone())));
    }
    let refused = Message::default().decide(&send(SenderRelation::Blocked, role));
    assert_eq!(refused, Err(MessageRejection::Blocked(role)));
}

#[test]
fn an_id_names_one_message_taken_back_or_not() {
    let again = send(SenderRelation::Friend, Role::User);
    for commands in [vec![again.clone()], vec![again.clone(), revoke(ANN, BOB, 1_001)]] {
        assert_eq!(after::<Message>(commands).decide(&again), Err(MessageRejection::IdTaken));
    }
}

#[test]
fn a_message_to_a_group_is_judged_alike() {
    let room = || GroupSummary { id: GroupId(33), name: "Tea".into(), avatar: "a".into() };
    let accepted = accepted(room());
    let Sent { id, from, from_uuid, kind, data, options, sent_at: at, .. } = accepted.clone();
    let content = MessageContent { kind, data, options };
    let draft =
        Draft { id, relation: (), from, from_role: Role::User, from_uuid, to: room(), content, at };
    let send = MessageCommand::Send(draft);
    let sent = GroupChatEvent::Sent(accepted.into());
    assert_eq!(Message::<GroupSummary>::default().decide(&send), Ok(Some(sent)));
    let revoke = |by| {
        let at = Timestamp(1_001);
        let revocation = Revocation { message: id, by: summary(by), to: room(), at };
        MessageCommand::Revoke { revocation, revoker: Revoker::Author }
    };
    let message = after::<Message<GroupSummary>>([send]);
    assert_eq!(message.decide(&revoke(BOB)), Err(MessageRejection::NotYours));
    assert!(matches!(message.decide(&revoke(ANN)), Ok(Some(GroupChatEvent::Revoked(_)))));
}

#[test]
fn dev_15_only_the_author_revokes_and_only_in_the_right_chat() {
    use MessageRejection::NotYours;
    assert_eq!(sent().decide(&revoke(BOB, BOB, 1_001)), Err(NotYours));
    assert_eq!(sent().decide(&revoke(ANN, ANN, 1_001)), Err(NotYours));
    assert_eq!(Message::default().decide(&revoke(ANN, BOB, 1)), Err(NotYours));
}

#[test]
fn five_minutes_by_the_servers_clock() {
    let last = 1_000 + REVOKE_WINDOW_MS;
    assert!(sent().decide(&revoke(ANN, BOB, last)).is_ok());
    let late = sent().decide(&revoke(ANN, BOB, last + 1));
    assert_eq!(late, Err(MessageRejection::TooLate));
}

#[test]
fn operators_have_no_window_and_change_no_author() {
    let late = 1_000 + REVOKE_WINDOW_MS + 1;
    let by_operator = |by, to| match revoke(by, to, late) {
        MessageCommand::Revoke { revocation, .. } => {
            MessageCommand::Revoke { revocation, revoker: Revoker::Operator }
        }
        other @ MessageCommand::Send(_) => other,
    };
    assert!(matches!(sent().decide(&by_operator(ANN, BOB)), Ok(Some(ChatEvent::Revoked(_)))));
    let not_theirs = Err(MessageRejection::NotYours);
    assert_eq!(sent().decide(&by_operator(BOB, BOB)), not_theirs);
    assert_eq!(Message::default().decide(&by_operator(ANN, BOB)), not_theirs);
    let again = after::<Message>([send(SenderRelation::Friend, Role::User), by_operator(ANN, BOB)]);
    assert_eq!(again.decide(&by_operator(ANN, BOB)), Ok(None));
}

#[test]
fn a_second_revoke_is_already_so() {
    let message =
        after::<Message>([send(SenderRelation::Friend, Role::User), revoke(ANN, BOB, 1_001)]);
    assert_eq!(message.decide(&revoke(ANN, BOB, 1_002)), Ok(None));
}

#[test]
fn strangers_write_as_the_recipient_lets_them() {
    use MessageRejection::{Blocked, FriendsOnly, RecipientUnavailable};
    for role in [Role::User, Role::Visitor] {
        let may = |standing: SenderRelation| standing.may_write(role);
        assert_eq!(may(SenderRelation::Unavailable), Err(RecipientUnavailable));
        assert_eq!(may(SenderRelation::Blocked), Err(Blocked(role)));
        assert_eq!(may(SenderRelation::Friend), Ok(SendQuota::Unlimited));
        assert_eq!(may(SenderRelation::Stranger(SendCount::None)), Err(FriendsOnly(role)));
        assert_eq!(may(SenderRelation::Stranger(SendCount::One)), Ok(SendQuota::First));
        assert_eq!(may(SenderRelation::Stranger(SendCount::Unlimited)), Ok(SendQuota::Unlimited));
    }
}

#[test]
fn dev_13_settings_that_say_nothing_mean_one() {
    let of = |text| SendCount::of(text, Role::User);
    for text in ["", "no json", "[]", "{}", r#"{"chatset":{}}"#, r#"{"chatset":{"user":{}}}"#] {
        assert_eq!(of(text), SendCount::One, "{text}");
    }
    assert_eq!(of(r#"{"chatset":{"user":0}}"#), SendCount::None);
    assert_eq!(of(r#"{"chatset":{"user":{"sendCount":2}}}"#), SendCount::Unlimited);
    assert_eq!(of(r#"{"chatset":{"user":{"sendCount":7}}}"#), SendCount::One);
    let visitors = r#"{"chatset":{"visitor":{"sendCount":0},"user":2}}"#;
    assert_eq!(SendCount::of(visitors, Role::Visitor), SendCount::None);
}
