//! Commands to a group, whatever may be asked.

use std::sync::Arc;

use proptest::{collection::vec, option::of, prelude::*};
use uuid::Uuid;

use super::{at, id, role, text};
use crate::{
    commands::{
        decider::Decider as _,
        group::command::{GroupAction, GroupCommand, People},
        user::{User, UserCommand},
    },
    events::{GroupId, MessageId, Position, Timestamp, UserId, Username},
};

/// Everybody has an account, and some are disabled.
fn everybody() -> impl Strategy<Value = People> {
    let user = |id| {
        (Just(UserId(id)), text(), text(), role(), any::<bool>()).prop_map(
            |(id, name, avatar, role, disabled)| {
                let mut user = User::default();
                let register = UserCommand::Register {
                    id,
                    uuid: Uuid::from_u128(id.0.unsigned_abs().into()),
                    username: Username(name),
                    role,
                    device: None,
                    avatar,
                    at: Timestamp(1),
                };
                let commands = [Some(register), disabled.then_some(UserCommand::Disable)];
                for (at, command) in (1..).zip(commands) {
                    if let Some(Ok(Some(event))) = command.map(|command| user.decide(&command)) {
                        user.evolve(Position(at), &event);
                    }
                }
                (id, Arc::new(user))
            },
        )
    };
    [user(1), user(2), user(3), user(4)].prop_map(|people| people.into_iter().collect())
}

pub(super) fn group_command() -> impl Strategy<Value = GroupCommand> {
    let user = || (1..=4_i64).prop_map(UserId);
    let create = (id(), vec(user(), 0..3)).prop_map(|(uuid, others)| {
        let users = [UserId(1)].into_iter().chain(others.into_iter().filter(|user| user.0 > 1));
        let mut members: Vec<UserId> = users.collect();
        members.sort_unstable();
        members.dedup();
        (UserId(1), GroupAction::Create { id: GroupId(33), uuid, members })
    });
    let join = (user(), user(), of(user()), text(), 2..5_usize).prop_map(
        |(by, user, inviter, text, most)| (by, GroupAction::Join { user, inviter, text, most }),
    );
    let other = prop_oneof![
        1 => text().prop_map(GroupAction::Rename),
        1 => text().prop_map(GroupAction::Announce),
        3 => (0..4_i16).prop_map(GroupAction::SetPolicy),
        1 => user().prop_map(GroupAction::Remove),
        3 => user().prop_map(GroupAction::Approve),
        1 => user().prop_map(GroupAction::Refuse),
        1 => text().prop_map(GroupAction::SetNickname),
        1 => Just(GroupAction::Leave),
        1 => Just(GroupAction::Dissolve),
        1 => user().prop_map(GroupAction::Expel),
    ];
    let owners_often = prop_oneof![2 => Just(UserId(1)), 1 => user()];
    let action = prop_oneof![2 => create, 3 => join, 4 => (owners_often, other)];
    (action, everybody(), at(), id(), text()).prop_map(|((by, action), people, at, id, icon)| {
        GroupCommand { by, at, notice: MessageId(id), icon, people, action }
    })
}
