//! Groups: parameters and answers (rest.md §20, §22–§31).

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::parameters::{Page, id, int, name, numbers, one_of, page, request, text, up_to};
use crate::{
    commands::group::{GroupRow, Member},
    events::{GroupId, MembershipId, UserId},
};

/// How a group is called whose name was erased.
pub const UNNAMED_GROUP: &str = "群聊";

request! {
    /// Who is in a new group.
    CreateGroup {
        friends: Vec<i64> = numbers("userIds", "userIds")
            .note("Friend-row numbers (`id` of §14), not user ids. A list, its JSON text, or `5,9`."),
    }
}

request! {
    /// Which of the caller's groups.
    ListGroups {
        page: Page = page(30),
    }
}

request! {
    /// Which group.
    OfGroup {
        group: GroupId = id("id", "群id").map(GroupId),
    }
}

request! {
    /// Which group to leave, or to dissolve.
    LeaveGroup {
        group: GroupId = id("id", "群id").map(GroupId),
    }
}

request! {
    /// Another name.
    RenameGroup {
        group: GroupId = id("id", "群id").map(GroupId),
        name: String = name("name", "群名称", 20, "群名称", "Tea club"),
    }
}

request! {
    /// An announcement.
    Announce {
        group: GroupId = id("id", "群id").map(GroupId),
        remark: String = text("remark", "群公告", (1, 500), "Tea at five"),
    }
}

request! {
    /// Who goes.
    RemoveMember {
        group: GroupId = id("group_id", "群id").map(GroupId),
        user: UserId = id("user_id", "群成员id").map(UserId),
    }
}

request! {
    /// How people get in.
    SetPolicy {
        group: GroupId = id("group_id", "群id").map(GroupId),
        policy: i16 = up_to(10, "addGroupSet", "进群设置属性值")
            .map(|policy| i16::try_from(policy).unwrap_or_default()),
    }
}

request! {
    /// What becomes of an application; `true` is yes.
    Decide {
        group: GroupId = id("group_id", "群id").map(GroupId),
        user: UserId = id("user_id", "进群的用户id").map(UserId),
        agreed: bool = one_of("type", "同意或者拒绝", &[("agree", true), ("no", false)]),
    }
}

request! {
    /// Who comes in, and who brings them.
    JoinGroup {
        group: GroupId = id("group_id", "群id").map(GroupId),
        user: UserId = id("user_id", "用户id").map(UserId),
        inviter: Option<UserId> = int("inviteuser_id", "邀请人的用户id", -1)
            .note("The caller's own id; 0 or less is as good as none.")
            .or_default(0)
            .map(|id| id.filter(|id| *id > 0).map(UserId)),
        text: Option<String> = text("addGroupDesc", "加群说明或者邀请说明", (1, 500), "")
            .note("Up to 500 characters.")
            .or_default(""),
    }
}

request! {
    /// The caller's name in a group.
    SetGroupNickname {
        group: GroupId = id("id", "群id").map(GroupId),
        nickname: String = name("nickname", "群昵称", 20, "昵称", "Six"),
    }
}

/// A group (data.md §2.5), with some of its memberships.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "GroupWith{M}s")]
#[allow(missing_docs, reason = "data.md §2.5 documents each field")]
pub struct GroupWith<M> {
    pub create_time: String,
    pub id: GroupId,
    pub uuid: Uuid,
    pub user_id: UserId,
    pub name: String,
    pub avatar: String,
    pub remark: String,
    pub invite_confirm: i16,
    pub status: u8,
    pub order: u8,
    pub group_users: Vec<M>,
}

impl<M> GroupWith<M> {
    /// A group and these memberships.
    pub fn of(group: &GroupRow, group_users: Vec<M>) -> Self {
        Self {
            create_time: group.created_at.row_text(),
            id: group.id,
            uuid: group.uuid,
            user_id: group.owner,
            name: group.name.clone(),
            avatar: group.avatar.clone(),
            remark: group.remark.clone(),
            invite_confirm: group.policy,
            status: 1,
            order: 50,
            group_users,
        }
    }
}

/// The caller's membership.
#[derive(Debug, Serialize, JsonSchema)]
#[allow(missing_docs, reason = "data.md §2.6 documents each field")]
pub struct OwnMembership {
    pub group_id: GroupId,
    pub user_id: UserId,
    pub nickname: String,
    pub avatar: &'static str,
}

/// A membership and its account.
#[derive(Debug, Serialize, JsonSchema)]
#[allow(missing_docs, reason = "data.md §2.6 documents each field")]
pub struct Membership<'a> {
    pub create_time: String,
    pub id: MembershipId,
    pub group_id: GroupId,
    pub user_id: UserId,
    pub nickname: &'a str,
    pub avatar: &'static str,
    pub status: i16,
    pub order: u8,
    #[serde(rename = "groupId")]
    pub group_id_alias: GroupId,
    pub user: MemberAccount<'a>,
}

/// The account of a member.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[allow(missing_docs, reason = "data.md §2.1 documents each field")]
pub struct MemberAccount<'a> {
    pub id: UserId,
    pub username: &'a str,
    pub avatar: &'a str,
    pub nickname: &'a str,
    pub role: &'a str,
    pub uuid: Uuid,
}

impl<'a> Membership<'a> {
    /// A member of a group.
    pub fn of(group: GroupId, member: &'a Member, user: MemberAccount<'a>) -> Self {
        Self {
            create_time: member.created_at.row_text(),
            id: member.id,
            group_id: group,
            user_id: member.user,
            nickname: &member.nickname,
            avatar: "",
            status: member.status(),
            order: 50,
            group_id_alias: group,
            user,
        }
    }
}

/// The member is out.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum MemberRemoved {
    /// Done.
    #[serde(rename = "删除群成员成功")]
    Done,
}

/// People get in so from now on.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum PolicySet {
    /// Done.
    #[serde(rename = "设置成功")]
    Done,
}

/// The application is decided.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum ApplicationDecided {
    /// Done.
    #[serde(rename = "处理成功")]
    Done,
}

/// Somebody is in, or waits.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum Joined {
    /// In.
    #[serde(rename = "加群成功")]
    In,
    /// The owner decides.
    #[serde(rename = "等待群主同意")]
    Waiting,
}
