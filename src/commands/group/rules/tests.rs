//! Specifications of the rules: given what happened, when somebody asks, then this.

use std::sync::Arc;

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    commands::{group::command::People, specification::after, user::User},
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
        deleted: false,
        erased: false,
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
    after([create()].into_iter().chain(actions).map(|(by, action)| command(by, action)))
}

fn refused(group: &Group, by: UserId, action: GroupAction) -> GroupRejection {
    group.decide(&command(by, action)).expect_err("refused")
}

fn picture(group: &Group) -> &str {
    &group.active().expect("it is there").row.avatar
}

/// What the rules say to an action that is allowed.
fn decided(group: &Group, by: UserId, action: GroupAction) -> Option<GroupEvent> {
    group.decide(&command(by, action)).expect("allowed")
}

fn summary(id: UserId) -> UserSummary {
    account(id).summary()
}

fn entrance(user: UserId, inviter: Option<UserId>, roster: &[UserId]) -> JoinContext {
    JoinContext {
        user: Applicant::of(&account(user)),
        inviter: inviter.map(|id| Inviter { id, name: summary(id).name }),
        icon: "icon".into(),
        owner: AccountSummary::of(&account(ANN)),
        roster: roster.iter().map(|user| AccountSummary::of(&account(*user))).collect(),
    }
}

const AT: Timestamp = Timestamp(7);
const NOTICE: MessageId = MessageId(Uuid::nil());

#[test]
fn a_group_is_called_and_shown_by_its_members() {
    let (by, action) = create();
    let created = GroupEvent::Created {
        id: GroupId(1),
        uuid: Uuid::nil(),
        owner: summary(ANN),
        name: "user 1、user 2".into(),
        avatar: "a1,a2".into(),
        members: vec![ANN, BOB],
        notice: NOTICE,
        at: AT,
    };
    assert_eq!(decided(&Group::default(), by, action), Some(created));
}

#[test]
fn the_owner_rules_the_group_under_their_name_in_it() {
    let group = given([(ANN, GroupAction::SetNickname("A".into()))]);
    let by = UserSummary { name: "A".into(), ..summary(ANN) };
    for (action, event) in [
        (
            GroupAction::Rename("Tea".into()),
            GroupEvent::Renamed { by: by.clone(), name: "Tea".into(), notice: NOTICE, at: AT },
        ),
        (
            GroupAction::Announce("at 5".into()),
            GroupEvent::Announced { by, remark: "at 5".into(), notice: NOTICE, at: AT },
        ),
        (GroupAction::SetPolicy(1), GroupEvent::PolicySet { policy: 1, at: AT }),
        (
            GroupAction::Remove(BOB),
            GroupEvent::MemberRemoved { user: BOB, avatar: "a1".into(), at: AT },
        ),
    ] {
        assert_eq!(decided(&group, ANN, action), Some(event));
    }
    assert_eq!(decided(&group, ANN, GroupAction::SetPolicy(0)), None, "already so");
    assert_eq!(decided(&group, ANN, GroupAction::Remove(EVE)), None, "not in it");
    assert_eq!(refused(&group, ANN, GroupAction::Remove(ANN)), GroupRejection::OwnerStays);
}

#[test]
fn what_is_the_owners_is_nobody_elses_and_of_no_group() {
    use OwnersTask::{Admit, Announce, Remove, Rename};
    let over = given([(ANN, GroupAction::Leave)]);
    for (action, task) in [
        (GroupAction::Rename("x".into()), Rename),
        (GroupAction::Announce("x".into()), Announce),
        (GroupAction::Remove(BOB), Remove),
        (GroupAction::SetPolicy(1), Admit),
        (GroupAction::Approve(BOB), Admit),
        (GroupAction::Refuse(BOB), Admit),
    ] {
        let expected = GroupRejection::OwnersOnly(task);
        assert_eq!(refused(&given([]), BOB, action.clone()), expected);
        assert_eq!(refused(&over, ANN, action.clone()), expected);
        assert_eq!(refused(&Group::default(), ANN, action), expected);
    }
}

#[test]
fn who_comes_is_in_at_once_or_waits_as_the_policy_says() {
    let under = |policy| given([(ANN, GroupAction::SetPolicy(policy))]);
    let everybody = [ANN, BOB, EVE];
    let joined =
        |entry, notice| GroupEvent::Joined { avatar: "a1,a2,a3".into(), entry, notice, at: AT };
    let notice = Some(NOTICE);
    let alone = decided(&given([]), EVE, join(EVE));
    assert_eq!(alone, Some(joined(entrance(EVE, None, &everybody), notice)));
    let brought = decided(&given([]), BOB, join(EVE));
    assert_eq!(brought, Some(joined(entrance(EVE, Some(BOB), &everybody), notice)));
    let silently = decided(&under(3), EVE, join(EVE));
    assert_eq!(silently, Some(joined(entrance(EVE, None, &[]), None)));
    let by_the_owner = decided(&under(1), ANN, join(EVE));
    assert_eq!(by_the_owner, Some(joined(entrance(EVE, Some(ANN), &everybody), notice)));
    let applied = GroupEvent::Applied {
        entry: entrance(EVE, Some(BOB), &[ANN, BOB]),
        text: String::new(),
        owner: summary(ANN),
        notice: NOTICE,
        at: AT,
    };
    assert_eq!(decided(&under(1), BOB, join(EVE)), Some(applied));
}

#[test]
fn nobody_comes_twice_or_into_no_group() {
    let waits = given([(ANN, GroupAction::SetPolicy(1)), (EVE, join(EVE))]);
    assert_eq!(refused(&waits, EVE, join(EVE)), GroupRejection::WaitingAlready);
    assert_eq!(refused(&waits, BOB, join(BOB)), GroupRejection::MemberAlready);
    assert_eq!(refused(&Group::default(), EVE, join(EVE)), GroupRejection::NoGroupToJoin);
}

#[test]
fn the_owner_decides_about_who_waits() {
    let waits = given([(ANN, GroupAction::SetPolicy(1)), (EVE, join(EVE))]);
    let approved = GroupEvent::Approved {
        user: summary(EVE),
        avatar: "a1,a2,a3".into(),
        icon: "icon".into(),
        notice: NOTICE,
        at: AT,
    };
    assert_eq!(decided(&waits, ANN, GroupAction::Approve(EVE)), Some(approved));
    let refusal = GroupEvent::Refused { user: EVE, at: AT };
    assert_eq!(decided(&waits, ANN, GroupAction::Refuse(EVE)), Some(refusal));
    for action in [GroupAction::Approve(BOB), GroupAction::Refuse(BOB)] {
        assert_eq!(refused(&waits, ANN, action), GroupRejection::NotWaiting, "a member already");
    }
}

#[test]
fn a_name_in_the_group_is_a_members() {
    let group = given([(ANN, GroupAction::SetPolicy(1)), (EVE, join(EVE))]);
    let set = |name: &str| GroupAction::SetNickname(name.into());
    let named = GroupEvent::NicknameSet { user: BOB, nickname: "B".into(), at: AT };
    assert_eq!(decided(&group, BOB, set("B")), Some(named));
    assert_eq!(decided(&group, BOB, set("")), None, "already so");
    for group in [group, Group::default()] {
        assert_eq!(refused(&group, EVE, set("E")), GroupRejection::NotAMember);
    }
}

#[test]
fn members_leave_and_the_owner_ends_it() {
    let group = given([(ANN, GroupAction::SetPolicy(1)), (EVE, join(EVE))]);
    let card = |user| AccountSummary::of(&account(user));
    for (user, roster) in [(BOB, vec![card(ANN)]), (EVE, vec![card(ANN), card(BOB)])] {
        let left = GroupEvent::Left { by: summary(user), roster, notice: NOTICE, at: AT };
        assert_eq!(decided(&group, user, GroupAction::Leave), Some(left));
    }
    let (by, roster) = (summary(ANN), vec![card(ANN), card(BOB)]);
    let dissolved = GroupEvent::Dissolved { by, roster, notice: NOTICE, at: AT };
    assert_eq!(decided(&group, ANN, GroupAction::Leave), Some(dissolved));
    assert_eq!(refused(&group, GUS, GroupAction::Leave), GroupRejection::NothingToLeave);
    assert_eq!(refused(&Group::default(), ANN, GroupAction::Leave), GroupRejection::NoGroupToLeave);
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
