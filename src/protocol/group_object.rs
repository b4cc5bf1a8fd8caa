//! The `group` member of a message object, with as much of its members as an event shows (ws.md
//! §6.0.4, §6.3).

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::{
    commands::group::{ActiveGroup, GroupRow, Member, command::ROSTER},
    events::{AccountSummary, GroupId, MembershipId, Timestamp, UserId, Username},
};

/// A group as messages show it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Group")]
#[allow(missing_docs, reason = "ws.md §6.0.4 and data.md §2.5 document each field")]
pub struct GroupObject<'a> {
    pub create_time: String,
    pub id: GroupId,
    pub uuid: Uuid,
    pub user_id: UserId,
    pub name: &'a str,
    pub avatar: &'a str,
    pub remark: &'a str,
    pub invite_confirm: i16,
    pub status: u8,
    pub order: u8,
    pub update_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<UserObject<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_users: Option<Vec<GroupUser<'a>>>,
}

/// A membership, with the columns that an event shows.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "GroupMember")]
#[allow(missing_docs, reason = "data.md §2.6 documents each field")]
pub struct GroupUser<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<MembershipId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<GroupId>,
    pub user_id: UserId,
    pub nickname: &'a str,
    pub avatar: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<i16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_time: Option<String>,
    #[serde(rename = "groupId", skip_serializing_if = "Option::is_none")]
    pub group_id_alias: Option<GroupId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<UserObject<'a>>,
}

/// An account, with the columns that an event shows.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "GroupAccount")]
#[allow(missing_docs, reason = "data.md §2.1 documents each field")]
pub struct UserObject<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<UserId>,
    pub username: &'a Username,
    pub nickname: &'a str,
    pub avatar: &'a str,
}

/// Which columns of the memberships an event shows (ws.md §6.3, `group_users`).
#[derive(Debug, Clone, Copy)]
pub enum Columns<'a> {
    /// G1: nothing of them.
    None,
    /// C2.
    Chat,
    /// G2, G3.
    Names,
    /// G5.
    Rows,
    /// G4, G6: with these accounts.
    Faces(&'a [AccountSummary]),
    /// G7, G8: with these accounts.
    RowsAndUsers(&'a [AccountSummary]),
}

impl<'a> GroupObject<'a> {
    /// The group as it is, with its status-1 members unless they are many (DEV-33).
    pub fn of(group: &'a ActiveGroup, columns: Columns<'a>) -> Self {
        let GroupRow { id, uuid, owner, name, avatar, remark, .. } = &group.row;
        let shown = match columns {
            Columns::None => false,
            // The event has the accounts if the members were few when it happened.
            Columns::Faces(cards) | Columns::RowsAndUsers(cards) => !cards.is_empty(),
            Columns::Chat | Columns::Names | Columns::Rows => {
                group.members().take(ROSTER + 1).count() <= ROSTER
            }
        };
        let group_users = shown.then(|| {
            group.members().map(|member| GroupUser::of(group.row.id, member, columns)).collect()
        });
        Self {
            create_time: group.row.created_at.row_text(),
            id: *id,
            uuid: *uuid,
            user_id: *owner,
            name,
            avatar,
            remark,
            invite_confirm: group.row.policy,
            status: 1,
            order: 50,
            update_time: group.row.updated_at.iso_text(),
            user: None,
            group_users,
        }
    }

    /// With the owner's account, as G4 and G6 have it.
    #[must_use]
    pub fn with_owner(self, owner: &'a AccountSummary) -> Self {
        Self { user: Some(UserObject::of(owner)), ..self }
    }
}

impl<'a> GroupUser<'a> {
    fn of(group: GroupId, member: &'a Member, columns: Columns<'a>) -> Self {
        let account =
            |cards: &'a [AccountSummary]| cards.iter().find(|card| card.id == member.user);
        let named = Self {
            create_time: None,
            id: None,
            group_id: None,
            user_id: member.user,
            nickname: &member.nickname,
            avatar: "", // no endpoint sets one
            status: None,
            order: None,
            update_time: None,
            group_id_alias: None,
            user: None,
        };
        let time = |text: fn(Timestamp) -> String, at: Timestamp| Some(text(at));
        match columns {
            Columns::None => named,
            Columns::Names => Self { group_id: Some(group), ..named },
            Columns::Chat => Self {
                id: Some(member.id),
                group_id: Some(group),
                status: Some(member.status()),
                order: Some(50),
                ..named
            },
            Columns::Faces(cards) => Self {
                status: Some(member.status()),
                user: account(cards).map(UserObject::of),
                ..named
            },
            Columns::Rows | Columns::RowsAndUsers(_) => Self {
                create_time: time(Timestamp::row_text, member.created_at),
                id: Some(member.id),
                group_id: Some(group),
                status: Some(member.status()),
                order: Some(50),
                update_time: time(Timestamp::iso_text, member.updated_at),
                group_id_alias: Some(group),
                user: match columns {
                    Columns::RowsAndUsers(cards) => account(cards).map(UserObject::with_id),
                    _ => None,
                },
                ..named
            },
        }
    }
}

impl<'a> UserObject<'a> {
    fn of(card: &'a AccountSummary) -> Self {
        let AccountSummary { username, nickname, avatar, .. } = card;
        Self { id: None, username, nickname, avatar }
    }

    fn with_id(card: &'a AccountSummary) -> Self {
        Self { id: Some(card.id), ..Self::of(card) }
    }
}
