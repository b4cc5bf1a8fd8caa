//! A group: what it is now, folded from what has happened. `group_rules` judges what may happen next.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::user::Account;
use crate::events::{
    Applicant, Card, GroupEvent, GroupId, Inviter, MembershipId, Person, Position, Room, Timestamp,
    UserId,
};

/// A group from its beginning to its end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Group {
    /// Nobody made it yet.
    #[default]
    Unborn,
    /// It is there.
    Active(Box<ActiveGroup>),
    /// It was, and its number is not given again.
    Dissolved,
}

/// A group that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveGroup {
    /// The group itself.
    pub row: GroupRow,
    /// Who is in it, waiting ones too; by membership id, which is the order in which they came.
    members: Vec<Member>,
    /// Each one's membership: a message to many thousands asks for one.
    by_user: HashMap<UserId, MembershipId>,
    /// How many wait.
    waiting: usize,
}

/// A group without its members (data.md §2.5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRow {
    /// Its number.
    pub id: GroupId,
    /// Its public identifier.
    pub uuid: Uuid,
    /// Whose it is.
    pub owner: UserId,
    /// Its name.
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
    /// The membership.
    pub id: MembershipId,
    /// Whose.
    pub user: UserId,
    /// His name in the group; empty: the account's.
    pub nickname: String,
    /// Status 2: the owner has not decided yet.
    pub waiting: bool,
    /// Since when.
    pub created_at: Timestamp,
    /// When something of the above changed last.
    pub updated_at: Timestamp,
}

impl Member {
    /// 1 member, 2 waiting (data.md §2.6).
    pub fn status(&self) -> i16 {
        if self.waiting { 2 } else { 1 }
    }

    /// How he appears in the group: by his name there, else as everywhere.
    pub fn person(&self, account: &Account) -> Person {
        let own = Some(self.nickname.as_str()).filter(|name| !name.is_empty());
        account.person_called(own.unwrap_or(account.name()))
    }
}

impl Group {
    /// The group, if it is there.
    pub fn active(&self) -> Option<&ActiveGroup> {
        match self {
            Self::Active(group) => Some(group),
            Self::Unborn | Self::Dissolved => None,
        }
    }

    /// What a read model holds of it.
    pub fn from_rows(row: GroupRow, mut members: Vec<Member>) -> Self {
        members.sort_by_key(|member| member.id);
        let mut by_user = HashMap::with_capacity(members.len());
        for member in &members {
            by_user.entry(member.user).or_insert(member.id);
        }
        let waiting = members.iter().filter(|member| member.waiting).count();
        Self::Active(Box::new(ActiveGroup { row, members, by_user, waiting }))
    }

    /// Takes a fact in, which is at this position of the log.
    pub fn evolve(&mut self, at: Position, event: &GroupEvent) {
        match (&mut *self, event) {
            (Self::Unborn, GroupEvent::Created { .. }) => *self = created(at, event),
            (Self::Active(_), GroupEvent::Dissolved { .. }) => *self = Self::Dissolved,
            (Self::Active(group), event) => group.evolve(at, event),
            (Self::Unborn | Self::Dissolved, _) => {}
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
        self.members.iter().filter(|member| !member.waiting)
    }

    /// Those whose membership comes after one, or all.
    pub fn members_after(&self, last: Option<MembershipId>) -> impl Iterator<Item = &Member> {
        let begin = last.map_or(0, |last| self.members.partition_point(|member| member.id <= last));
        self.members[begin..].iter().filter(|member| !member.waiting)
    }

    /// How many status-1 members there are.
    pub fn count(&self) -> usize {
        self.members.len() - self.waiting
    }

    /// All memberships, waiting ones too.
    pub fn memberships(&self) -> &[Member] {
        &self.members
    }

    /// Somebody's membership, waiting or not.
    pub fn membership(&self, user: UserId) -> Option<&Member> {
        self.place(user).map(|at| &self.members[at])
    }

    fn place(&self, user: UserId) -> Option<usize> {
        let id = self.by_user.get(&user)?;
        self.members.binary_search_by_key(id, |member| member.id).ok()
    }

    /// Somebody's status-1 membership.
    pub fn member(&self, user: UserId) -> Option<&Member> {
        self.membership(user).filter(|member| !member.waiting)
    }

    /// How the group appears now.
    pub fn room(&self) -> Room {
        let GroupRow { id, name, avatar, .. } = &self.row;
        Room { id: *id, name: name.clone(), avatar: avatar.clone() }
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
                self.push(Member::new(membership, entry.user.id, *at));
                self.set_avatar(avatar, *at);
            }
            GroupEvent::Applied { entry, at, .. } => {
                let member = Member::new(membership, entry.user.id, *at);
                self.push(Member { waiting: true, ..member });
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

    fn push(&mut self, member: Member) {
        self.waiting += usize::from(member.waiting);
        self.by_user.entry(member.user).or_insert(member.id);
        self.members.push(member);
    }

    fn remove(&mut self, user: UserId) {
        let Self { members, by_user, waiting, .. } = self;
        members.retain(|member| {
            let goes = member.user == user;
            *waiting -= usize::from(goes && member.waiting);
            !goes
        });
        by_user.remove(&user);
    }

    fn change(&mut self, user: UserId, at: Timestamp, change: impl FnOnce(&mut Member)) {
        if let Some(place) = self.place(user) {
            let member = &mut self.members[place];
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

impl Card {
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
        let Person { id, name, avatar } = account.person();
        Self { id, uuid: account.uuid, name, avatar, role: account.role }
    }
}

impl Inviter {
    /// A member who brings somebody.
    pub fn of(member: &Member, account: &Account) -> Self {
        Self { id: member.user, name: member.person(account).name }
    }
}
