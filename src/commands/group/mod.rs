//! The group as it is now, folded from what has happened; its `rules` judge what may happen next.

#![expect(missing_docs, reason = "a field whose name says what it is needs no comment")]

pub mod command;
pub mod rules;

use std::ops::Bound;

use rpds::{HashTrieMapSync, RedBlackTreeMapSync};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::user::Account;
use crate::events::{
    AccountSummary, Applicant, GroupEvent, GroupId, GroupSummary, Inviter, MembershipId, Position,
    Timestamp, UserId, UserSummary,
};

/// A group from its beginning to its end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Group {
    /// Nobody made it yet.
    #[default]
    NotCreated,
    /// It is there.
    Active(Box<ActiveGroup>),
    /// It was, and its number is not given again.
    Dissolved,
}

/// A group that is there. A copy of it shares what does not change, however many members it has: whoever works with its
/// state keeps that while the next event changes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveGroup {
    /// The group itself.
    pub row: GroupRow,
    /// Who is in it, waiting ones too; by membership id, which is the order in which they came.
    members: RedBlackTreeMapSync<MembershipId, Member>,
    /// Each one's membership: a message to many thousands asks for one.
    by_user: HashTrieMapSync<UserId, MembershipId>,
    /// How many wait.
    waiting: usize,
}

/// A group without its members (data.md §2.5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRow {
    pub id: GroupId,
    /// Its public identifier.
    pub uuid: Uuid,
    /// Whose it is.
    pub owner: UserId,
    pub name: String,
    /// Its picture: up to nine, joined by commas.
    pub avatar: String,
    /// The announcement; may be empty.
    pub remark: String,
    /// How people get in (data.md §8).
    pub policy: i16,
    /// When it was made.
    pub created_at: Timestamp,
    /// When something of the above changed last.
    pub updated_at: Timestamp,
}

/// A membership (data.md §2.6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub id: MembershipId,
    pub user: UserId,
    /// Their name in the group; empty: the account's.
    pub nickname: String,
    /// Status 2: the owner has not decided yet.
    pub waiting: bool,
    pub created_at: Timestamp,
    /// When something of the above changed last.
    pub updated_at: Timestamp,
}

impl Member {
    /// 1 member, 2 waiting (data.md §2.6).
    pub fn status(&self) -> i16 {
        if self.waiting { 2 } else { 1 }
    }

    /// How they appear in the group: by their name there, else as everywhere.
    pub fn summary(&self, account: &Account) -> UserSummary {
        let own = Some(self.nickname.as_str()).filter(|name| !name.is_empty());
        account.summary_called(own.unwrap_or(account.name()))
    }
}

impl Group {
    /// The group, if it is there.
    pub fn active(&self) -> Option<&ActiveGroup> {
        match self {
            Self::Active(group) => Some(group),
            Self::NotCreated | Self::Dissolved => None,
        }
    }

    /// What a read model holds of it.
    pub fn from_rows(row: GroupRow, members: Vec<Member>) -> Self {
        let mut group = ActiveGroup {
            row,
            members: RedBlackTreeMapSync::new_sync(),
            by_user: HashTrieMapSync::new_sync(),
            waiting: 0,
        };
        for member in members {
            group.insert(member);
        }
        Self::Active(Box::new(group))
    }

    /// Takes a fact in, which is at this position of the log.
    pub fn evolve(&mut self, at: Position, event: &GroupEvent) {
        match (&mut *self, event) {
            (Self::NotCreated, GroupEvent::Created { .. }) => *self = created(at, event),
            (Self::Active(_), GroupEvent::Dissolved { .. }) => *self = Self::Dissolved,
            (Self::Active(group), event) => group.evolve(at, event),
            (Self::NotCreated | Self::Dissolved, _) => {}
        }
    }
}

fn created(position: Position, event: &GroupEvent) -> Group {
    let GroupEvent::Created { id, uuid, owner, name, avatar, members, at, .. } = event else {
        unreachable!("called for this event only")
    };
    let row = GroupRow {
        id: *id,
        uuid: *uuid,
        owner: owner.id,
        name: name.clone(),
        avatar: avatar.clone(),
        remark: String::new(),
        policy: 0,
        created_at: *at,
        updated_at: *at,
    };
    let member = |(index, user): (usize, &UserId)| {
        Member::new(MembershipId(position.numbered(index)), *user, *at)
    };
    Group::from_rows(row, members.iter().enumerate().map(member).collect())
}

impl Member {
    fn new(id: MembershipId, user: UserId, at: Timestamp) -> Self {
        let nickname = String::new();
        Self { id, user, nickname, waiting: false, created_at: at, updated_at: at }
    }
}

impl ActiveGroup {
    /// The status-1 members, by membership id.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members_after(None)
    }

    /// Those whose membership comes after one, or all.
    pub fn members_after(&self, last: Option<MembershipId>) -> impl Iterator<Item = &Member> {
        let begin = last.map_or(Bound::Unbounded, Bound::Excluded);
        let rest = self.members.range((begin, Bound::Unbounded)).map(|(_, member)| member);
        rest.filter(|member| !member.waiting)
    }

    /// How many status-1 members there are.
    pub fn count(&self) -> usize {
        self.members.size() - self.waiting
    }

    /// All memberships, waiting ones too.
    pub fn memberships(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.members.values()
    }

    /// Somebody's membership, waiting or not.
    pub fn membership(&self, user: UserId) -> Option<&Member> {
        self.members.get(self.by_user.get(&user)?)
    }

    /// Somebody's status-1 membership.
    pub fn member(&self, user: UserId) -> Option<&Member> {
        self.membership(user).filter(|member| !member.waiting)
    }

    /// How the group appears now.
    pub fn summary(&self) -> GroupSummary {
        let GroupRow { id, name, avatar, .. } = &self.row;
        GroupSummary { id: *id, name: name.clone(), avatar: avatar.clone() }
    }

    fn evolve(&mut self, position: Position, event: &GroupEvent) {
        let membership = MembershipId(position.numbered(0));
        match event {
            GroupEvent::Created { .. } | GroupEvent::Dissolved { .. } => {}
            GroupEvent::Renamed { name, at, .. } => {
                self.row.name.clone_from(name);
                self.row.updated_at = *at;
            }
            GroupEvent::Announced { remark, at, .. } => {
                self.row.remark.clone_from(remark);
                self.row.updated_at = *at;
            }
            GroupEvent::PolicySet { policy, at } => {
                self.row.policy = *policy;
                self.row.updated_at = *at;
            }
            GroupEvent::Joined { avatar, entry, at, .. } => {
                self.insert(Member::new(membership, entry.user.id, *at));
                self.set_avatar(avatar, *at);
            }
            GroupEvent::Applied { entry, at, .. } => {
                let member = Member::new(membership, entry.user.id, *at);
                self.insert(Member { waiting: true, ..member });
            }
            GroupEvent::Approved { user, avatar, at, .. } => {
                self.change(user.id, *at, |member| member.waiting = false);
                self.set_avatar(avatar, *at);
            }
            GroupEvent::MemberRemoved { user, avatar, at } => {
                self.remove(*user);
                self.set_avatar(avatar, *at);
            }
            GroupEvent::NicknameSet { user, nickname, at } => {
                self.change(*user, *at, |member| member.nickname.clone_from(nickname));
            }
            GroupEvent::Refused { user, .. } => self.remove(*user),
            GroupEvent::Left { by, .. } => self.remove(by.id),
        }
    }

    fn insert(&mut self, member: Member) {
        self.waiting += usize::from(member.waiting);
        self.by_user.insert_mut(member.user, member.id);
        self.members.insert_mut(member.id, member);
    }

    fn remove(&mut self, user: UserId) {
        let Some(member) = self.membership(user) else { return };
        let (id, waiting) = (member.id, member.waiting);
        self.waiting -= usize::from(waiting);
        self.members.remove_mut(&id);
        self.by_user.remove_mut(&user);
    }

    fn change(&mut self, user: UserId, at: Timestamp, change: impl FnOnce(&mut Member)) {
        let member = self.by_user.get(&user).and_then(|id| self.members.get_mut(id));
        if let Some(member) = member {
            self.waiting -= usize::from(member.waiting);
            change(member);
            self.waiting += usize::from(member.waiting);
            member.updated_at = at;
        }
    }

    fn set_avatar(&mut self, avatar: &str, at: Timestamp) {
        avatar.clone_into(&mut self.row.avatar);
        self.row.updated_at = at;
    }
}

impl AccountSummary {
    /// An account as a group's notices show it.
    pub fn of(account: &Account) -> Self {
        Self {
            id: account.id,
            username: account.username.clone(),
            nickname: account.nickname.clone(),
            avatar: account.avatar.clone(),
        }
    }
}

impl Applicant {
    /// An account that joins.
    pub fn of(account: &Account) -> Self {
        let UserSummary { id, name, avatar } = account.summary();
        Self { id, uuid: account.uuid, name, avatar, role: account.role }
    }
}

impl Inviter {
    /// A member who brings somebody.
    pub fn of(member: &Member, account: &Account) -> Self {
        Self { id: member.user, name: member.summary(account).name }
    }
}
