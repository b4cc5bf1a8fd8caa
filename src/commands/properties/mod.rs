//! Properties that hold for every aggregate, whatever is asked of it in whatever order.

use std::fmt::Debug;

use proptest::{
    collection::vec,
    option::of,
    prelude::*,
    sample::{Index, select},
    test_runner::TestCaseResult,
};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{
    decider::Decider,
    friendship::{Friendship, FriendshipCommand},
    group::{Group, command::GroupAction},
    message::{Draft, Message, MessageCommand, MessageContent, Revoker, SendCount, SenderRelation},
    session::{CurrentConnection, Session, SessionCommand},
    user::{DeviceReport, User, UserCommand},
};
use crate::events::{
    AggregateEvent, Answer, ChatKey, ConnectionId, Device, DisconnectReason, Event, GroupId,
    MessageId, NewEdge, NodeId, Pair, Position, RequestId, Revocation, Role, Timestamp, TokenId,
    UserId, UserSummary, Username, Visibility,
};

mod groups;

use groups::group_command;

const ANN: UserId = UserId(3);
const BOB: UserId = UserId(9);

/// What becomes of a command that was accepted, asked once more.
#[derive(Debug, PartialEq)]
enum Repeat {
    /// "Already so": no event.
    AlreadySo,
    /// An event that changes nothing; the log keeps that it was asked.
    SameAgain,
    /// A rejection.
    Refused,
    /// It takes back what it did: the command says "change", not "make it so".
    TakenBack,
}

/// What was decided is what the log tells again: the same fact, the same state.
fn survives_the_log<A: Decider + Debug>(
    commands: &[A::Command],
    id: <A::Event as AggregateEvent>::Id,
) -> TestCaseResult
where
    A::Event: AggregateEvent + Clone + Debug + PartialEq,
{
    let subject = A::Event::subject(id);
    let (mut decided, mut told) = (A::default(), A::default());
    for (at, command) in positions().zip(commands) {
        let Ok(Some(event)) = decided.decide(command) else { continue };
        let stored = Event::decode(&subject, &event.clone().of(id).encode());
        let stored = stored.ok().and_then(A::Event::into_own).map(|(_, event)| event);
        prop_assert_eq!(stored.as_ref(), Some(&event));
        decided.evolve(at, &event);
        told.evolve(at, &stored.unwrap_or(event));
        prop_assert_eq!(&decided, &told);
    }
    Ok(())
}

/// Where events are, one after the other; others' events lie between.
fn positions() -> impl Iterator<Item = Position> {
    (1..).step_by(2).map(Position)
}

fn repeats_as<A: Decider + Debug>(
    commands: &[A::Command],
    expected: fn(&A::Command) -> Repeat,
) -> TestCaseResult
where
    A::Command: Debug,
{
    let mut state = A::default();
    for (at, command) in positions().zip(commands) {
        let before = state.clone();
        let Ok(Some(event)) = state.decide(command) else { continue };
        state.evolve(at, &event);
        let repeat = match state.decide(command) {
            Ok(None) => Repeat::AlreadySo,
            Err(_) => Repeat::Refused,
            Ok(Some(again)) => {
                let mut after = state.clone();
                after.evolve(Position(at.0 + 1), &again);
                prop_assert!(after == state || after == before, "{:?} twice: {:?}", command, after);
                if after == state { Repeat::SameAgain } else { Repeat::TakenBack }
            }
        };
        prop_assert_eq!(repeat, expected(command), "{:?} on {:?}", command, before);
    }
    Ok(())
}

/// A fact cannot be refused: any of them, in any order, on any state.
fn takes_anything<A: Decider>(commands: &[A::Command], order: &[Index]) {
    let mut state = A::default();
    let mut events = Vec::new();
    for (at, command) in positions().zip(commands) {
        if let Ok(Some(event)) = state.decide(command) {
            state.evolve(at, &event);
            events.push(event);
        }
    }
    let mut other = A::default();
    for (at, index) in positions().zip(order.iter().filter(|_| !events.is_empty())) {
        let event = index.get(&events);
        let at = Position(at.0 + 100);
        state.evolve(at, event);
        other.evolve(at, event);
    }
}

macro_rules! properties {
    ($name:ident: $aggregate:ty, $command:expr, $id:expr, $repeat:expr) => {
        mod $name {
            use super::*;

            proptest! {
                #![proptest_config(ProptestConfig::with_cases(100))]

                #[test]
                fn what_is_decided_is_what_the_log_tells(commands in vec($command, 0..40)) {
                    super::survives_the_log::<$aggregate>(&commands, $id)?;
                }

                #[test]
                fn a_repeat_does_no_harm(commands in vec($command, 0..40)) {
                    super::repeats_as::<$aggregate>(&commands, $repeat)?;
                }

                #[test]
                fn no_fact_is_refused_in_any_order(
                    commands in vec($command, 0..40),
                    order in vec(any::<Index>(), 0..40),
                ) {
                    super::takes_anything::<$aggregate>(&commands, &order);
                }
            }
        }
    };
}

properties!(user: User, user_command(), ANN, |command| match command {
    UserCommand::ChangePassword => Repeat::SameAgain,
    _ => Repeat::AlreadySo,
});

properties!(
    session: Session, session_command(), ANN, |command| match command {
        SessionCommand::LogOut(_) | SessionCommand::Revoke { .. } => Repeat::AlreadySo,
        SessionCommand::LogIn { .. }
        | SessionCommand::Connect(_)
        | SessionCommand::Renew(_)
        | SessionCommand::Disconnect(..) => Repeat::SameAgain,
    }
);

properties!(
    friendship: Friendship, friendship_command(), Pair::of(ANN, BOB),
    |command| match command {
        FriendshipCommand::ToggleBlacklist { .. } | FriendshipCommand::ToggleStar { .. } => {
            Repeat::TakenBack
        }
        FriendshipCommand::SetVisibility { .. } => Repeat::AlreadySo,
        FriendshipCommand::Request { .. }
        | FriendshipCommand::Answer { .. }
        | FriendshipCommand::Befriend { .. }
        | FriendshipCommand::End { .. } => Repeat::Refused,
    }
);

properties!(
    message: Message, message_command(), ChatKey::of(ANN, BOB), |command| match command {
        MessageCommand::Send(_) => Repeat::Refused,
        MessageCommand::Revoke { .. } => Repeat::AlreadySo,
    }
);

properties!(
    group: Group, group_command(), GroupId(33),
    |command| match command.action {
        GroupAction::Rename(_) | GroupAction::Announce(_) => Repeat::SameAgain,
        GroupAction::SetPolicy(_)
        | GroupAction::Remove(_)
        | GroupAction::Expel(_)
        | GroupAction::SetNickname(_) => Repeat::AlreadySo,
        GroupAction::Create { .. }
        | GroupAction::Approve(_)
        | GroupAction::Refuse(_)
        | GroupAction::Join { .. }
        | GroupAction::Leave
        | GroupAction::Dissolve => Repeat::Refused,
    }
);

mod lists;

/// From few, so that they meet again.
fn id() -> impl Strategy<Value = Uuid> {
    (1..4_u128).prop_map(Uuid::from_u128)
}

fn text() -> impl Strategy<Value = String> {
    select(vec!["", "a", "b", "鸿雁", "\"\\\u{0}\n", "🪿\u{200d}\u{301}", "{\"a\":null}"])
        .prop_map(str::to_owned)
}

fn role() -> impl Strategy<Value = Role> {
    select(vec![Role::User, Role::Visitor])
}

fn at() -> impl Strategy<Value = Timestamp> {
    prop_oneof![0..1_000_000_i64, 0..4_000_000_000_000_i64].prop_map(Timestamp)
}

fn device() -> impl Strategy<Value = Device> {
    [text(), text(), text(), text(), text()].prop_map(
        |[fingerprint, uniplatform, model, os, brand]| Device {
            fingerprint,
            uniplatform,
            model,
            os,
            brand,
        },
    )
}

fn report() -> impl Strategy<Value = DeviceReport> {
    [of(text()), of(text()), of(text()), of(text())]
        .prop_map(|[uniplatform, model, os, brand]| DeviceReport { uniplatform, model, os, brand })
}

fn user_command() -> impl Strategy<Value = UserCommand> {
    let register = (id(), text(), role(), of(device()), text(), at()).prop_map(
        |(uuid, username, role, device, avatar, at)| UserCommand::Register {
            id: ANN,
            uuid,
            username: Username(username),
            role,
            device,
            avatar,
            at,
        },
    );
    prop_oneof![
        4 => register,
        1 => text().prop_map(|name| UserCommand::Upgrade(Username(name))),
        1 => report().prop_map(UserCommand::DescribeDevice),
        1 => text().prop_map(UserCommand::SetNickname),
        1 => text().prop_map(UserCommand::SetAvatar),
        1 => any::<i16>().prop_map(UserCommand::SetInviteConfirm),
        1 => text().prop_map(UserCommand::SetUserset),
        1 => Just(UserCommand::ChangePassword),
        1 => Just(UserCommand::Disable),
        1 => Just(UserCommand::Enable),
    ]
}

fn session_command() -> impl Strategy<Value = SessionCommand> {
    use DisconnectReason::{Closed, NodeLost, Shutdown, TooMany, TooSlow};
    let token = || id().prop_map(TokenId);
    let connection = || id().prop_map(ConnectionId);
    let socket =
        (connection(), id(), token(), role()).prop_map(|(connection, node, token, role)| {
            CurrentConnection { connection, node: NodeId(node), token, role }
        });
    let reason = select(vec![Closed, NodeLost, Shutdown, TooMany, TooSlow]);
    prop_oneof![
        2 => (token(), role()).prop_map(|(token, role)| SessionCommand::LogIn { token, role }),
        1 => token().prop_map(SessionCommand::LogOut),
        1 => (of(token()), 1..4_u128).prop_map(|(kept, change)| {
            SessionCommand::Revoke { kept, change: Uuid::from_u128(change) }
        }),
        2 => socket.prop_map(SessionCommand::Connect),
        1 => (connection(), reason).prop_map(|(it, why)| SessionCommand::Disconnect(it, why)),
    ]
}

/// The two in either order, by names of all kinds.
fn people() -> impl Strategy<Value = (UserSummary, UserSummary)> {
    ([text(), text()], any::<bool>()).prop_map(|([name, avatar], turned)| {
        let person = |id| UserSummary { id, name: name.clone(), avatar: avatar.clone() };
        if turned { (person(BOB), person(ANN)) } else { (person(ANN), person(BOB)) }
    })
}

fn friendship_command() -> impl Strategy<Value = FriendshipCommand> {
    // Of what was asked among the first few commands.
    let request = || (0..4_usize).prop_map(|n| positions().nth(n).map(RequestId::made_at));
    let notice = || id().prop_map(MessageId);
    let edges = |caller: &UserSummary, other: &UserSummary, remark: String| {
        [(caller, other), (other, caller)].map(|(owner, friend)| NewEdge {
            owner: owner.id,
            friend: friend.id,
            remark: remark.clone(),
        })
    };
    let answer = of(select(vec![Answer::Agree, Answer::Refuse, Answer::Ignore]));
    let ask = (people(), [text(), text()], notice()).prop_map(
        |((asker, asked), [text, icon], notice)| FriendshipCommand::Request {
            asker,
            asked,
            text,
            icon,
            notice,
        },
    );
    let answer = (request(), answer, people(), text(), notice()).prop_map(
        move |(request, answer, (caller, other), remark, notice)| FriendshipCommand::Answer {
            request: request.expect("there are more positions than that"),
            answer,
            edges: edges(&caller, &other, remark),
            caller,
            other,
            notice,
        },
    );
    let befriend = (people(), text(), notice()).prop_map(move |((caller, other), text, notice)| {
        FriendshipCommand::Befriend {
            edges: edges(&caller, &other, text.clone()),
            caller,
            other,
            text,
            notice,
        }
    });
    let who = || select(vec![ANN, BOB]);
    let visibility = any::<[bool; 2]>()
        .prop_map(|[friend_sees_mine, i_see_theirs]| Visibility { friend_sees_mine, i_see_theirs });
    prop_oneof![
        3 => ask,
        4 => answer,
        2 => befriend,
        1 => who().prop_map(|by| FriendshipCommand::End { by }),
        2 => who().prop_map(|owner| FriendshipCommand::ToggleBlacklist { owner }),
        2 => who().prop_map(|owner| FriendshipCommand::ToggleStar { owner }),
        2 => (who(), visibility)
            .prop_map(|(owner, visibility)| FriendshipCommand::SetVisibility { owner, visibility }),
    ]
}

fn message_command() -> impl Strategy<Value = MessageCommand> {
    use SenderRelation::{Blocked, Friend, Stranger, Unavailable};
    let relation = select(vec![
        Unavailable,
        Blocked,
        Friend,
        Stranger(SendCount::None),
        Stranger(SendCount::One),
        Stranger(SendCount::Unlimited),
    ]);
    let options = of(select(vec![r#"{"n": 1.50, "n": [1e3 ,{}]}"#, "\"text\"", "7", "{}"]));
    let draft = (id(), relation, people(), role(), [text(), text()], options, at());
    let send =
        draft.prop_map(|(uuid, relation, (from, to), from_role, [kind, data], options, at)| {
            MessageCommand::Send(Draft {
                id: MessageId(uuid),
                relation,
                from,
                from_role,
                from_uuid: uuid,
                to,
                content: MessageContent {
                    kind,
                    data,
                    options: options
                        .map(|text| RawValue::from_string(text.to_owned()).expect("JSON")),
                },
                at,
            })
        });
    let revoke = (id(), people(), at()).prop_map(|(id, (by, to), at)| MessageCommand::Revoke {
        revoker: Revoker::Author,
        revocation: Revocation { message: MessageId(id), by, to, at },
    });
    prop_oneof![send, revoke]
}
