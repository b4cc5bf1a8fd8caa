//! Specifications of the rules: given what happened, when somebody asks, then this.

use std::sync::Arc;

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    commands::{group::command::People, user::User},
    events::{MessageId, Timestamp, Username},
};

const ANN: UserId = UserId(1);
const BOB: UserId = UserId(2);
const EVE: UserId = UserId(3);
/// A guest.
const GUS: UserId = UserId(4);
/// Disabled.
const DAN: UserId = UserId(5);
const MOST: usize = 4;

fn account(id: UserId) -> Account {
    Account {
        id,
        uuid: Uuid::from_u128(id.0.unsigned_abs().into()),
        username: Username(format!("user {id}")),
        nickname: String::new(),
        avatar: format!("a{id}"),
        role: if id == GUS { Role::Visitor } else { Role::User },
        device: None,
        userset: "".into(),
        invite_confirm: 0,
        disabled: id == DAN,
        registered_at: Timestamp(1),
    }
}

fn command(by: UserId, action: GroupAction) -> GroupCommand {
    let people = [ANN, BOB, EVE, GUS, DAN];
    let people = people.map(|id| (id, Arc::new(User::Registered(Box::new(account(id))))));
    GroupCommand {
        by,
        at: Timestamp(7),
        notice: MessageId(Uuid::nil()),
        icon: "icon".into(),
        people: people.into_iter().collect::<People>(),
        action,
    }
}

fn create() -> (UserId, GroupAction) {
    let members = vec![ANN, BOB];
    (ANN, GroupAction::Create { id: GroupId(1), uuid: Uuid::nil(), members })
}

fn join(user: UserId) -> GroupAction {
    GroupAction::Join { user, inviter: None, text: String::new(), most: MOST }
}

fn given(actions: impl IntoIterator<Item = (UserId, GroupAction)>) -> Group {
    let mut group = Group::default();
    for (at, (by, action)) in (1..).zip([create()].into_iter().chain(actions)) {
        let event = group.decide(&command(by, action)).expect("allowed").expect("a change");
        group.evolve(Position(at), &event);
    }
    group
}

fn refused(group: &Group, by: UserId, action: GroupAction) -> GroupRejection {
    group.decide(&command(by, action)).expect_err("refused")
}

fn picture(group: &Group) -> &str {
    &group.active().expect("it is there").row.avatar
}

#[test]
fn a_number_is_given_once() {
    let (by, create) = create();
    assert_eq!(refused(&given([]), by, create.clone()), GroupRejection::IdTaken);
    let dissolved = given([(ANN, GroupAction::Leave)]);
    assert_eq!(refused(&dissolved, by, create), GroupRejection::IdTaken);
}

#[test]
fn dev_17_only_members_invite_and_in_their_own_name() {
    let group = given([]);
    let by = |by, user, inviter| {
        let action = GroupAction::Join { user, inviter, text: String::new(), most: MOST };
        group.decide(&command(by, action)).map(|event| event.is_some())
    };
    assert_eq!(by(EVE, EVE, Some(ANN)), Err(GroupRejection::NotTheInviter));
    assert_eq!(by(EVE, GUS, None), Err(GroupRejection::NotTheInviter));
    assert_eq!(by(EVE, EVE, None), Ok(true));
    assert_eq!(by(BOB, EVE, Some(BOB)), Ok(true));
}

#[test]
fn dev_18_registered_users_need_no_word_of_the_owner_under_policy_2() {
    let group = given([(ANN, GroupAction::SetPolicy(2))]);
    let joined = group.decide(&command(EVE, join(EVE))).expect("allowed");
    assert!(matches!(joined, Some(GroupEvent::Joined { notice: Some(_), .. })));
    assert_eq!(refused(&group, GUS, join(GUS)), GroupRejection::NoGuests);
    assert_eq!(refused(&group, BOB, join(GUS)), GroupRejection::NoGuests);
    assert!(group.decide(&command(ANN, join(GUS))).is_ok(), "the owner brings guests");
}

#[test]
fn dev_19_who_is_gone_is_not_let_in() {
    let applied = [(ANN, GroupAction::SetPolicy(1)), (EVE, join(EVE))];
    let group = given(applied);
    let mut approve = command(ANN, GroupAction::Approve(EVE));
    approve.people = People::default();
    assert_eq!(group.decide(&approve), Err(GroupRejection::ApplicantGone));
    assert_eq!(refused(&group, ANN, GroupAction::Approve(BOB)), GroupRejection::NotWaiting);
    assert_eq!(refused(&group, ANN, join(DAN)), GroupRejection::JoinerGone);
}

#[test]
fn the_picture_is_that_of_the_members_in_the_order_of_their_memberships() {
    let waits = [(ANN, GroupAction::SetPolicy(1)), (EVE, join(EVE)), (ANN, join(GUS))];
    let mut group = given(waits);
    assert_eq!(picture(&group), "a1,a2,a4", "who waits is not in it");
    for (at, action, expected) in
        [(5, GroupAction::Approve(EVE), "a1,a2,a3,a4"), (6, GroupAction::Remove(BOB), "a1,a3,a4")]
    {
        let event = group.decide(&command(ANN, action)).expect("allowed").expect("a change");
        group.evolve(Position(at), &event);
        assert_eq!(picture(&group), expected);
    }
}

#[test]
fn a_full_group_takes_nobody_not_even_to_wait() {
    let full = given([(ANN, GroupAction::SetPolicy(1)), (EVE, join(EVE))]);
    let (user, inviter) = (GUS, None);
    let more = |most| GroupAction::Join { user, inviter, text: String::new(), most };
    assert_eq!(refused(&full, GUS, more(3)), GroupRejection::Full);
    assert!(full.decide(&command(GUS, more(4))).is_ok());
}

/// ADR 0014: whoever makes a group numbers its members in their order, whoever comes has the first id of the event.
#[test]
fn memberships_have_the_ids_of_their_events() {
    let group = given([(EVE, join(EVE)), (GUS, join(GUS))]);
    let ids = group.active().expect("it is there").memberships();
    let ids: Vec<(UserId, i64)> = ids.map(|member| (member.user, member.id.0)).collect();
    let id = |at, index| Position(at).numbered(index);
    assert_eq!(ids, [(ANN, id(1, 0)), (BOB, id(1, 1)), (EVE, id(2, 0)), (GUS, id(3, 0))]);
    let members = vec![ANN; IDS_PER_EVENT + 1];
    let create = GroupAction::Create { id: GroupId(1), uuid: Uuid::nil(), members };
    assert_eq!(refused(&Group::default(), ANN, create), GroupRejection::Full);
}

fn any_action() -> impl Strategy<Value = (UserId, GroupAction)> {
    let user = || (1..=5_i64).prop_map(UserId);
    let action = prop_oneof![
        "[a-c]".prop_map(GroupAction::Rename),
        "[a-c]".prop_map(GroupAction::Announce),
        (0..4_i16).prop_map(GroupAction::SetPolicy),
        user().prop_map(GroupAction::Remove),
        user().prop_map(GroupAction::Approve),
        user().prop_map(GroupAction::Refuse),
        user().prop_map(join),
        "[a-c]".prop_map(GroupAction::SetNickname),
        Just(GroupAction::Leave),
    ];
    (user(), action)
}

proptest! {
    /// Whatever is asked for: nobody is in twice, the owner is in, who waits is not shown, and what has no
    /// effect when repeated is no event.
    #[test]
    fn a_group_stays_in_order(asked in vec(any_action(), 0..40)) {
        let mut group = given([]);
        for (at, (by, action)) in (2..).zip(asked) {
            let Ok(Some(event)) = group.decide(&command(by, action.clone())) else { continue };
            group.evolve(Position(at), &event);
            if matches!(action, GroupAction::SetPolicy(_) | GroupAction::SetNickname(_)) {
                prop_assert_eq!(group.decide(&command(by, action)), Ok(None));
            }
            let Some(active) = group.active() else { continue };
            let rows: Vec<_> = active.memberships().cloned().collect();
            let users: std::collections::BTreeSet<UserId> =
                rows.iter().map(|member| member.user).collect();
            prop_assert_eq!(users.len(), rows.len());
            prop_assert!(rows.is_sorted_by(|one, next| one.id < next.id));
            prop_assert!(active.member(active.row.owner).is_some());
            prop_assert!(rows.len() <= MOST);
            let stored = Group::from_rows(active.row.clone(), rows.into_iter().rev().collect());
            prop_assert_eq!(&stored, &group);
        }
    }
}

#[test]
fn operators_end_groups_as_their_owners_do() {
    let group = given([]);
    let by_owner = group.decide(&command(ANN, GroupAction::Leave)).expect("the owner may");
    // Whoever is named as the one who asks.
    for by in [ANN, BOB, EVE] {
        assert_eq!(group.decide(&command(by, GroupAction::Dissolve)).as_ref(), Ok(&by_owner));
    }
    let over = given([(ANN, GroupAction::Dissolve)]);
    for group in [over, Group::default()] {
        for action in [GroupAction::Dissolve, GroupAction::Expel(BOB)] {
            assert_eq!(refused(&group, ANN, action), GroupRejection::NoGroupToLeave);
        }
    }
}

#[test]
fn operators_put_anybody_out_but_the_owner() {
    let group = given([]);
    let by_owner = group.decide(&command(ANN, GroupAction::Remove(BOB))).expect("the owner may");
    assert_eq!(group.decide(&command(EVE, GroupAction::Expel(BOB))), Ok(by_owner));
    assert_eq!(group.decide(&command(EVE, GroupAction::Expel(EVE))), Ok(None), "not in it");
    assert_eq!(refused(&group, EVE, GroupAction::Expel(ANN)), GroupRejection::OwnerStays);
}
