//! The rules of a group (data.md §8): who may do what to it.

use std::{collections::HashMap, sync::Arc};

use uuid::Uuid;

use super::{
    chat::MessageRejection,
    decider::Decider,
    group::{ActiveGroup, Group, Member},
    user::{Account, User},
};
use crate::events::{
    Applicant, Card, Entrance, GroupEvent, GroupId, Inviter, MessageId, NewMember, Person, Role,
    Timestamp, UserId,
};

/// A group's picture shows this many members.
pub const PICTURES: usize = 9;
/// Notices tell of the members up to this many (DEV-33).
pub const ROSTER: usize = 50;
/// What a picture may be long (data.md §2.5): clients hand it back when they revoke (rest.md §36).
const AVATAR_CHARS: usize = 4000;
/// What a name made of names may be long (data.md §5.3).
const NAME_CHARS: usize = 50;

/// Something asked of a group, with all that the rules need to know from elsewhere.
#[derive(Debug, Clone)]
pub struct GroupCommand {
    /// Who asks.
    pub by: UserId,
    /// Now.
    pub at: Timestamp,
    /// The id of a notice.
    pub notice: MessageId,
    /// The picture beside notices that are from nobody.
    pub icon: String,
    /// The accounts that rules and notices ask about.
    pub people: People,
    /// What is asked.
    pub action: GroupAction,
}

/// What can be asked of a group.
#[derive(Debug, Clone)]
pub enum GroupAction {
    /// Make it (rest.md §20).
    Create {
        /// Its number.
        id: GroupId,
        /// Its public identifier.
        uuid: Uuid,
        /// Everybody in it, the owner first.
        members: Vec<NewMember>,
    },
    /// Give it another name (rest.md §24).
    Rename(String),
    /// Announce something (rest.md §25).
    Announce(String),
    /// Put somebody out (rest.md §26).
    Remove(UserId),
    /// Set how people get in (rest.md §27).
    SetPolicy(i16),
    /// Let somebody in who waits (rest.md §28).
    Approve(UserId),
    /// Do not (rest.md §28).
    Refuse(UserId),
    /// Bring somebody, or come oneself (rest.md §29).
    Join {
        /// Who comes, and the number of his membership.
        member: NewMember,
        /// Who brings him, as the client says (DEV-17).
        inviter: Option<UserId>,
        /// What is said to the owner.
        text: String,
        /// How many memberships a group may have.
        most: usize,
    },
    /// Choose a name for oneself in the group (rest.md §30).
    SetNickname(String),
    /// Leave; the owner dissolves it (rest.md §31).
    Leave,
}

/// Accounts as they are now.
#[derive(Debug, Clone, Default)]
pub struct People(HashMap<UserId, Arc<User>>);

impl FromIterator<(UserId, Arc<User>)> for People {
    fn from_iter<T: IntoIterator<Item = (UserId, Arc<User>)>>(people: T) -> Self {
        Self(people.into_iter().collect())
    }
}

impl People {
    fn account(&self, user: UserId) -> Option<&Account> {
        self.0.get(&user)?.account()
    }

    fn active(&self, user: UserId) -> Option<&Account> {
        self.0.get(&user)?.active()
    }

    /// The pictures of the first few of `members`, joined by commas.
    fn picture(&self, members: impl Iterator<Item = UserId>) -> String {
        let mut picture = String::new();
        for account in members.take(PICTURES).filter_map(|user| self.account(user)) {
            let length = picture.chars().count() + account.avatar.chars().count() + 1;
            if length > AVATAR_CHARS && !picture.is_empty() {
                break;
            }
            if !picture.is_empty() {
                picture.push(',');
            }
            picture.push_str(&account.avatar);
        }
        picture
    }

    /// The accounts of all `members`; of none if they are many.
    fn roster(&self, members: impl Iterator<Item = UserId>) -> Vec<Card> {
        let members: Vec<UserId> = members.take(ROSTER + 1).collect();
        if members.len() > ROSTER {
            return Vec::new();
        }
        members.into_iter().filter_map(|user| self.account(user)).map(Card::of).collect()
    }
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GroupRejection {
    /// The number belongs to another group.
    #[error("this id belongs to another group")]
    IdTaken,
    /// There is no such group, or it is another's.
    #[error("only the owner may do this")]
    OwnersOnly(OwnersTask),
    /// The owner cannot put himself out.
    #[error("the owner stays in his group")]
    OwnerStays,
    /// There is nobody to decide about.
    #[error("this user does not wait")]
    NotWaiting,
    /// Who waits has no account any more.
    #[error("who waits does not exist or is disabled")]
    ApplicantGone,
    /// There is no such group to join.
    #[error("there is no such group")]
    NoGroupToJoin,
    /// Only members bring others, and only in their own name.
    #[error("the caller may not invite")]
    NotTheInviter,
    /// He waits already.
    #[error("waiting already")]
    WaitingAlready,
    /// He is in already.
    #[error("a member already")]
    MemberAlready,
    /// Who is to join has no account.
    #[error("who is to join does not exist or is disabled")]
    JoinerGone,
    /// Guests do not get in.
    #[error("guests do not get in")]
    NoGuests,
    /// Nobody gets in.
    #[error("the group is full")]
    Full,
    /// He is not in it, so has no name there.
    #[error("not a member")]
    NotAMember,
    /// There is no such group to leave.
    #[error("there is no such group")]
    NoGroupToLeave,
    /// He is not in it.
    #[error("not in this group")]
    NothingToLeave,
}

/// What only the owner does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnersTask {
    /// Renaming.
    Rename,
    /// Announcing.
    Announce,
    /// Putting somebody out.
    Remove,
    /// Deciding who gets in.
    Admit,
}

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
