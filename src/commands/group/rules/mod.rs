//! The rules of a group (data.md §8): who may do what to it.

use uuid::Uuid;

use super::{
    ActiveGroup, Group, Member,
    command::{GroupAction, GroupCommand, GroupRejection, NAME_CHARS, OwnersTask},
};
use crate::{
    commands::{decider::Decider, user::Account},
    events::{
        AccountSummary, Applicant, GroupEvent, GroupId, IDS_PER_EVENT, Inviter, JoinContext,
        Position, Role, UserId, UserSummary,
    },
};

impl Decider for Group {
    type Id = GroupId;
    type Command = GroupCommand;
    type Event = GroupEvent;
    type Rejection = GroupRejection;

    fn decide(&self, command: &GroupCommand) -> Result<Option<GroupEvent>, GroupRejection> {
        match (self, &command.action) {
            (Self::NotCreated, GroupAction::Create { members, .. })
                if members.len() > IDS_PER_EVENT =>
            {
                Err(GroupRejection::Full)
            }
            (Self::NotCreated, GroupAction::Create { id, uuid, members }) => {
                Ok(Some(command.create(*id, *uuid, members)))
            }
            (Self::Active(_) | Self::Dissolved, GroupAction::Create { .. }) => {
                Err(GroupRejection::IdTaken)
            }
            (Self::NotCreated | Self::Dissolved, action) => Err(action.missing()),
            (Self::Active(group), _) => command.judge(group),
        }
    }

    fn evolve(&mut self, at: Position, event: &GroupEvent) {
        Self::evolve(self, at, event);
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
            Self::Leave | Self::Dissolve | Self::Expel(_) => GroupRejection::NoGroupToLeave,
        }
    }

    fn is_the_owners(&self) -> bool {
        matches!(self.missing(), GroupRejection::OwnersOnly(_))
    }
}

impl GroupCommand {
    fn create(&self, id: GroupId, uuid: Uuid, members: &[UserId]) -> GroupEvent {
        let names = members.iter().filter_map(|user| Some(self.people.account(*user)?.name()));
        let names: Vec<&str> = names.collect();
        GroupEvent::Created {
            id,
            uuid,
            owner: self.account_of(self.by),
            name: names.join("、").chars().take(NAME_CHARS).collect(),
            avatar: self.people.picture(members.iter().copied()),
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
                let by = self.user_summary(group, by);
                Some(GroupEvent::Renamed { by, name: name.clone(), notice, at })
            }
            GroupAction::Announce(remark) => {
                let by = self.user_summary(group, by);
                Some(GroupEvent::Announced { by, remark: remark.clone(), notice, at })
            }
            GroupAction::Remove(user) | GroupAction::Expel(user) if *user == group.row.owner => {
                return Err(GroupRejection::OwnerStays);
            }
            GroupAction::Remove(user) | GroupAction::Expel(user) => {
                group.membership(*user).map(|_| {
                    let avatar =
                        self.picture(group, |member| !member.waiting && member.user != *user);
                    GroupEvent::MemberRemoved { user: *user, avatar, at }
                })
            }
            GroupAction::SetPolicy(policy) => (group.row.policy != *policy)
                .then_some(GroupEvent::PolicySet { policy: *policy, at }),
            GroupAction::Approve(user) => Some(self.approve(group, *user)?),
            GroupAction::Refuse(user) => {
                waiting(group, *user)?;
                Some(GroupEvent::Refused { user: *user, at })
            }
            GroupAction::Join { user, inviter, text, most } => {
                Some(self.join(group, *user, *inviter, text, *most)?)
            }
            GroupAction::SetNickname(nickname) => {
                let member = group.member(by).ok_or(GroupRejection::NotAMember)?;
                (member.nickname != *nickname).then(|| GroupEvent::NicknameSet {
                    user: by,
                    nickname: nickname.clone(),
                    at,
                })
            }
            GroupAction::Leave => Some(self.leave(group, by)?),
            GroupAction::Dissolve => Some(self.leave(group, group.row.owner)?),
        })
    }

    fn approve(&self, group: &ActiveGroup, user: UserId) -> Result<GroupEvent, GroupRejection> {
        waiting(group, user)?;
        // DEV-19: first who it is, then the change.
        let account = self.people.active(user).ok_or(GroupRejection::ApplicantGone)?;
        Ok(GroupEvent::Approved {
            user: account.summary(),
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
        new: UserId,
        inviter: Option<UserId>,
        text: &str,
        most: usize,
    ) -> Result<GroupEvent, GroupRejection> {
        let (by, is_owner) = (self.by, self.by == group.row.owner);
        // DEV-17: the inviter is always the caller.
        let bringing = new != by;
        let may_bring = !bringing || group.member(by).is_some();
        if inviter.is_some_and(|inviter| inviter != by) || !may_bring {
            return Err(GroupRejection::NotTheInviter);
        }
        match group.membership(new) {
            Some(member) if member.waiting => return Err(GroupRejection::WaitingAlready),
            Some(_) => return Err(GroupRejection::MemberAlready),
            None => {}
        }
        let account = self.people.active(new).ok_or(GroupRejection::JoinerGone)?;
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
        let (at, notice) = (self.at, self.notice);
        let silent = group.row.policy > 2;
        let users = || {
            let last = (!waits).then_some(new);
            group.members().map(|member| member.user).chain(last)
        };
        let roster = if silent { Vec::new() } else { self.people.roster(users()) };
        let owner = self.people.account(group.row.owner).map(AccountSummary::of);
        let owner = owner.expect("the owner's account is handed in");
        let entry = JoinContext { user, inviter, icon: self.icon.clone(), owner, roster };
        Ok(if waits {
            let (text, owner) = (text.to_owned(), self.user_summary(group, group.row.owner));
            GroupEvent::Applied { entry, text, owner, notice, at }
        } else {
            let avatar = self.people.picture(users());
            let notice = (!silent).then_some(notice);
            GroupEvent::Joined { avatar, entry, notice, at }
        })
    }

    fn leave(&self, group: &ActiveGroup, user: UserId) -> Result<GroupEvent, GroupRejection> {
        let (at, notice) = (self.at, self.notice);
        group.membership(user).ok_or(GroupRejection::NothingToLeave)?;
        let by = self.user_summary(group, user);
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
        let members = group.memberships().filter(|member| stays(member));
        self.people.picture(members.map(|member| member.user))
    }

    fn account_of(&self, user: UserId) -> UserSummary {
        self.people.account(user).map(Account::summary).expect("the caller's account is handed in")
    }

    /// How somebody appears in the group.
    fn user_summary(&self, group: &ActiveGroup, user: UserId) -> UserSummary {
        match (group.membership(user), self.people.account(user)) {
            (Some(member), Some(account)) => member.summary(account),
            _ => self.account_of(user),
        }
    }
}

fn waiting(group: &ActiveGroup, user: UserId) -> Result<&Member, GroupRejection> {
    group.membership(user).filter(|member| member.waiting).ok_or(GroupRejection::NotWaiting)
}

#[cfg(test)]
mod tests;
