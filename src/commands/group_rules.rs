//! The rules of a group (data.md §8): who may do what to it.

use uuid::Uuid;

use super::{
    chat::MessageRejection,
    decider::Decider,
    group::{ActiveGroup, Group, Member},
    group_command::{GroupAction, GroupCommand, GroupRejection, NAME_CHARS, OwnersTask},
    user::Account,
};
use crate::events::{
    Applicant, Card, Entrance, GroupEvent, GroupId, Inviter, NewMember, Person, Role, UserId,
};

impl Decider for Group {
    type Id = GroupId;
    type Command = GroupCommand;
    type Event = GroupEvent;
    type Rejection = GroupRejection;

    fn decide(&self, command: &GroupCommand) -> Result<Option<GroupEvent>, GroupRejection> {
        match (self, &command.action) {
            (Self::Unborn, GroupAction::Create { id, uuid, members }) => {
                Ok(Some(command.create(*id, *uuid, members)))
            }
            (Self::Active(_) | Self::Dissolved, GroupAction::Create { .. }) => {
                Err(GroupRejection::IdTaken)
            }
            (Self::Unborn | Self::Dissolved, action) => Err(action.missing()),
            (Self::Active(group), _) => command.judge(group),
        }
    }

    fn evolve(&mut self, event: &GroupEvent) {
        Self::evolve(self, event);
    }
}

impl GroupAction {
    /// What is said where there is no group.
    fn missing(&self) -> GroupRejection {
        match self {
            Self::Create { .. } => GroupRejection::IdTaken,
            Self::Rename(_) => GroupRejection::OwnersOnly(OwnersTask::Rename),
            Self::Announce(_) => GroupRejection::OwnersOnly(OwnersTask::Announce),
            Self::Remove(_) => GroupRejection::OwnersOnly(OwnersTask::Remove),
            Self::SetPolicy(_) | Self::Approve(_) | Self::Refuse(_) => {
                GroupRejection::OwnersOnly(OwnersTask::Admit)
            }
            Self::Join { .. } => GroupRejection::NoGroupToJoin,
            Self::SetNickname(_) => GroupRejection::NotAMember,
            Self::Leave => GroupRejection::NoGroupToLeave,
        }
    }

    fn is_the_owners(&self) -> bool {
        matches!(self.missing(), GroupRejection::OwnersOnly(_))
    }
}

impl GroupCommand {
    fn create(&self, id: GroupId, uuid: Uuid, members: &[NewMember]) -> GroupEvent {
        let users = || members.iter().map(|member| member.user);
        let names: Vec<&str> =
            users().filter_map(|user| Some(self.people.account(user)?.name())).collect();
        GroupEvent::Created {
            id,
            uuid,
            owner: self.account_of(self.by),
            name: names.join("、").chars().take(NAME_CHARS).collect(),
            avatar: self.people.picture(users()),
            members: members.to_vec(),
            notice: self.notice,
            at: self.at,
        }
    }

    fn judge(&self, group: &ActiveGroup) -> Result<Option<GroupEvent>, GroupRejection> {
        let Self { by, at, notice, .. } = self;
        let (by, at, notice) = (*by, *at, *notice);
        if self.action.is_the_owners() && group.row.owner != by {
            return Err(self.action.missing());
        }
        Ok(match &self.action {
            GroupAction::Create { .. } => return Err(GroupRejection::IdTaken),
            GroupAction::Rename(name) => {
                let by = self.person(group, by);
                Some(GroupEvent::Renamed { by, name: name.clone(), notice, at })
            }
            GroupAction::Announce(remark) => {
                let by = self.person(group, by);
                Some(GroupEvent::Announced { by, remark: remark.clone(), notice, at })
            }
            GroupAction::Remove(user) if *user == by => return Err(GroupRejection::OwnerStays),
            GroupAction::Remove(user) => group.membership(*user).map(|_| {
                let avatar = self.picture(group, |member| !member.waiting && member.user != *user);
                GroupEvent::MemberRemoved { user: *user, avatar, at }
            }),
            GroupAction::SetPolicy(policy) => (group.row.policy != *policy)
                .then_some(GroupEvent::PolicySet { policy: *policy, at }),
            GroupAction::Approve(user) => Some(self.approve(group, *user)?),
            GroupAction::Refuse(user) => {
                waiting(group, *user)?;
                Some(GroupEvent::Refused { user: *user, at })
            }
            GroupAction::Join { member, inviter, text, most } => {
                Some(self.join(group, *member, *inviter, text, *most)?)
            }
            GroupAction::SetNickname(nickname) => {
                let member = group.member(by).ok_or(GroupRejection::NotAMember)?;
                (member.nickname != *nickname).then(|| GroupEvent::NicknameSet {
                    user: by,
                    nickname: nickname.clone(),
                    at,
                })
            }
            GroupAction::Leave => Some(self.leave(group)?),
        })
    }

    fn approve(&self, group: &ActiveGroup, user: UserId) -> Result<GroupEvent, GroupRejection> {
        waiting(group, user)?;
        // DEV-19: first who it is, then the change.
        let account = self.people.active(user).ok_or(GroupRejection::ApplicantGone)?;
        Ok(GroupEvent::Approved {
            user: account.person(),
            avatar: self.picture(group, |member| !member.waiting || member.user == user),
            icon: self.icon.clone(),
            notice: self.notice,
            at: self.at,
        })
    }

    /// rest.md §29, the checks in their order.
    fn join(
        &self,
        group: &ActiveGroup,
        new: NewMember,
        inviter: Option<UserId>,
        text: &str,
        most: usize,
    ) -> Result<GroupEvent, GroupRejection> {
        let (by, is_owner) = (self.by, self.by == group.row.owner);
        // DEV-17: the inviter is always the caller.
        let bringing = new.user != by;
        let may_bring = !bringing || group.member(by).is_some();
        if inviter.is_some_and(|inviter| inviter != by) || !may_bring {
            return Err(GroupRejection::NotTheInviter);
        }
        match group.membership(new.user) {
            Some(member) if member.waiting => return Err(GroupRejection::WaitingAlready),
            Some(_) => return Err(GroupRejection::MemberAlready),
            None => {}
        }
        let account = self.people.active(new.user).ok_or(GroupRejection::JoinerGone)?;
        if group.row.policy == 2 && !is_owner && account.role == Role::Visitor {
            return Err(GroupRejection::NoGuests);
        }
        if group.memberships().len() >= most {
            return Err(GroupRejection::Full);
        }
        let waits = group.row.policy == 1 && !is_owner;
        let user = Applicant::of(account);
        let inviter = group.member(by).filter(|_| bringing).zip(self.people.account(by));
        let inviter = inviter.map(|(member, account)| Inviter::of(member, account));
        let (membership, at, notice) = (new.id, self.at, self.notice);
        let silent = group.row.policy > 2;
        let mut members: Vec<NewMember> = group.members().map(Member::as_new).collect();
        if !waits {
            members.push(new);
            members.sort_by_key(|member| member.id);
        }
        let users = || members.iter().map(|member| member.user);
        let roster = if silent { Vec::new() } else { self.people.roster(users()) };
        let owner = self.people.account(group.row.owner).map(Card::of);
        let owner = owner.expect("the owner's account is handed in");
        let entry = Entrance { user, inviter, icon: self.icon.clone(), owner, roster };
        Ok(if waits {
            let (text, owner) = (text.to_owned(), self.person(group, group.row.owner));
            GroupEvent::Applied { membership, entry, text, owner, notice, at }
        } else {
            let avatar = self.people.picture(users());
            let notice = (!silent).then_some(notice);
            GroupEvent::Joined { membership, avatar, entry, notice, at }
        })
    }

    fn leave(&self, group: &ActiveGroup) -> Result<GroupEvent, GroupRejection> {
        let (user, at, notice) = (self.by, self.at, self.notice);
        group.membership(user).ok_or(GroupRejection::NothingToLeave)?;
        let by = self.person(group, user);
        let dissolved = user == group.row.owner;
        let stay = group.members().filter(|member| dissolved || member.user != user);
        let roster = self.people.roster(stay.map(|member| member.user));
        Ok(if dissolved {
            GroupEvent::Dissolved { by, roster, notice, at }
        } else {
            GroupEvent::Left { by, roster, notice, at }
        })
    }

    /// The group's picture once its members are those that `stays` lets pass.
    fn picture(&self, group: &ActiveGroup, stays: impl Fn(&Member) -> bool) -> String {
        let members = group.memberships().iter().filter(|member| stays(member));
        self.people.picture(members.map(|member| member.user))
    }

    fn account_of(&self, user: UserId) -> Person {
        self.people.account(user).map(Account::person).expect("the caller's account is handed in")
    }

    /// How somebody appears in the group.
    fn person(&self, group: &ActiveGroup, user: UserId) -> Person {
        match (group.membership(user), self.people.account(user)) {
            (Some(member), Some(account)) => member.person(account),
            _ => self.account_of(user),
        }
    }
}

fn waiting(group: &ActiveGroup, user: UserId) -> Result<&Member, GroupRejection> {
    group.membership(user).filter(|member| member.waiting).ok_or(GroupRejection::NotWaiting)
}

/// May `author` write to the group? (rest.md §41)
///
/// # Errors
/// There is no such group, or he is not in it.
pub fn may_write(
    group: &Group,
    author: UserId,
) -> Result<(&ActiveGroup, &Member), MessageRejection> {
    let group = group.active().ok_or(MessageRejection::GroupGone)?;
    let member = group.member(author).ok_or(MessageRejection::NotInGroup)?;
    Ok((group, member))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::{
        commands::{group_command::People, user::User},
        events::{MembershipId, MessageId, Timestamp, Username},
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
            userset: String::new(),
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
        let members = [(1, ANN), (2, BOB)];
        let members = members.map(|(id, user)| NewMember { id: MembershipId(id), user });
        (ANN, GroupAction::Create { id: GroupId(1), uuid: Uuid::nil(), members: members.into() })
    }

    fn join(membership: i64, user: UserId) -> GroupAction {
        let member = NewMember { id: MembershipId(membership), user };
        GroupAction::Join { member, inviter: None, text: String::new(), most: MOST }
    }

    fn given(actions: impl IntoIterator<Item = (UserId, GroupAction)>) -> Group {
        let mut group = Group::default();
        for (by, action) in [create()].into_iter().chain(actions) {
            let event = group.decide(&command(by, action)).expect("allowed").expect("a change");
            group.evolve(&event);
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
            let member = NewMember { id: MembershipId(9), user };
            let action = GroupAction::Join { member, inviter, text: String::new(), most: MOST };
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
        let joined = group.decide(&command(EVE, join(9, EVE))).expect("allowed");
        assert!(matches!(joined, Some(GroupEvent::Joined { notice: Some(_), .. })));
        assert_eq!(refused(&group, GUS, join(9, GUS)), GroupRejection::NoGuests);
        assert_eq!(refused(&group, BOB, join(9, GUS)), GroupRejection::NoGuests);
        assert!(group.decide(&command(ANN, join(9, GUS))).is_ok(), "the owner brings guests");
    }

    #[test]
    fn dev_19_who_is_gone_is_not_let_in() {
        let applied = [(ANN, GroupAction::SetPolicy(1)), (EVE, join(3, EVE))];
        let group = given(applied);
        let mut approve = command(ANN, GroupAction::Approve(EVE));
        approve.people = People::default();
        assert_eq!(group.decide(&approve), Err(GroupRejection::ApplicantGone));
        assert_eq!(refused(&group, ANN, GroupAction::Approve(BOB)), GroupRejection::NotWaiting);
        assert_eq!(refused(&group, ANN, join(4, DAN)), GroupRejection::JoinerGone);
    }

    #[test]
    fn the_picture_is_that_of_the_members_in_the_order_of_their_memberships() {
        let waits = [(ANN, GroupAction::SetPolicy(1)), (EVE, join(3, EVE)), (ANN, join(4, GUS))];
        let mut group = given(waits);
        assert_eq!(picture(&group), "a1,a2,a4", "who waits is not in it");
        for (action, expected) in
            [(GroupAction::Approve(EVE), "a1,a2,a3,a4"), (GroupAction::Remove(BOB), "a1,a3,a4")]
        {
            let event = group.decide(&command(ANN, action)).expect("allowed").expect("a change");
            group.evolve(&event);
            assert_eq!(picture(&group), expected);
        }
    }

    #[test]
    fn a_full_group_takes_nobody_not_even_to_wait() {
        let full = given([(ANN, GroupAction::SetPolicy(1)), (EVE, join(3, EVE))]);
        let member = NewMember { id: MembershipId(4), user: GUS };
        let more = |most| GroupAction::Join { member, inviter: None, text: String::new(), most };
        assert_eq!(refused(&full, GUS, more(3)), GroupRejection::Full);
        assert!(full.decide(&command(GUS, more(4))).is_ok());
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
            user().prop_map(|user| join(0, user)),
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
            for (number, (by, mut action)) in (0..).zip(asked) {
                if let GroupAction::Join { member, .. } = &mut action {
                    member.id = MembershipId(3 + number * 37 % 101); // each once, in no order
                }
                let Ok(Some(event)) = group.decide(&command(by, action.clone())) else { continue };
                group.evolve(&event);
                if matches!(action, GroupAction::SetPolicy(_) | GroupAction::SetNickname(_)) {
                    prop_assert_eq!(group.decide(&command(by, action)), Ok(None));
                }
                let Some(active) = group.active() else { continue };
                let rows = active.memberships();
                let users: std::collections::BTreeSet<UserId> =
                    rows.iter().map(|member| member.user).collect();
                prop_assert_eq!(users.len(), rows.len());
                prop_assert!(rows.is_sorted_by_key(|member| member.id));
                prop_assert!(active.member(active.row.owner).is_some());
                prop_assert!(rows.len() <= MOST);
                let stored = Group::from_rows(active.row.clone(), rows.iter().rev().cloned().collect());
                prop_assert_eq!(&stored, &group);
            }
        }
    }
}
