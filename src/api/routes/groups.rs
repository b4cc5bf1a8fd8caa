//! Groups (rest.md §20, §22–§31).

use serde_json::{Value, json};

use super::{
    Chapter, data, get,
    param::{free, id, numbers, one_of, optional, text, up_to},
    people::page,
    post,
};
use crate::api::{groups, memberships, rosters};

pub(super) fn chapter() -> Chapter {
    let full = "群成员已达上限";
    let not_yours = "群不存在或者被封禁或者你无权操作";
    let group = || id("group_id", "群id");
    let routes = vec![
        post(20, "/api/chat/group/create", groups::create, "Create a group")
            .about("Its owner learns the number from push G1, which all members get.")
            .takes([numbers("userIds", "userIds", json!([5, 9]))
                .note("Friend-row numbers (`id` of §14), not user ids. A list, its JSON text, or `5,9`.")])
            .refuses(&["请选择加入群聊的用户", full, "用户不存在，无法加入群聊"]),
        get(22, "/api/chat/grouplist/{page}", groups::list, "Groups I am in")
            .about("The newest first. `group_users` has only my own membership.")
            .takes(page(30))
            .answers(data(json!([shown(&json!([
                { "group_id": 33, "user_id": 6, "nickname": "", "avatar": "" },
            ]))]))),
        get(23, "/api/chat/groupinfo/{id}", rosters::info, "A group with its roster")
            .takes([id("id", "群id")])
            .answers(data(shown(&json!([{
                "create_time": "2025-08-19 11:33:54",
                "id": 137,
                "group_id": 33,
                "user_id": 6,
                "nickname": "",
                "avatar": "",
                "status": 1,
                "order": 50,
                "groupId": 33,
                "user": {
                    "id": 6,
                    "username": "six",
                    "avatar": "https://h/6.png",
                    "nickname": "",
                    "role": "user",
                    "uuid": "be047323-c8e3-4305-b014-3d8c7d24f300",
                },
            }]))))
            .refuses(&["群不存在或被封禁"]),
        post(24, "/api/chat/groupUpdateName", groups::rename, "Rename")
            .about("The owner's. Push G2 to the members.")
            .takes([id("id", "群id"), text("name", "群名称", "Tea club").of(1, 20).names("群名称")])
            .refuses(&["只有群主才能修改群名称"]),
        post(25, "/api/chat/groupremark", groups::announce, "Announce")
            .about("The owner's. Push G3 to the members.")
            .takes([id("id", "群id"), text("remark", "群公告", "Tea at five").of(1, 500)])
            .refuses(&["只有群主才能修改群公告"]),
        post(26, "/api/chat/groupDeleteUser", memberships::remove, "Remove a member")
            .about("The owner's. Nobody is told.")
            .takes([group(), id("user_id", "群成员id")])
            .says(&["删除群成员成功"])
            .refuses(&["只有群主才能操作", "群主不能删除自己"]),
        post(27, "/api/chat/groupAddUserSet", groups::set_policy, "Set how people get in")
            .about("The owner's. 0 = anyone, 1 = the owner must agree, 2 = no guests.")
            .takes([group(), up_to(10, "addGroupSet", "进群设置属性值")])
            .says(&["设置成功"])
            .refuses(&[not_yours]),
        post(28, "/api/chat/groupAgreeOrNo", memberships::decide, "Decide on an application")
            .about("The owner's. On `agree`: push G5 to the members.")
            .takes([
                group(),
                id("user_id", "进群的用户id"),
                one_of("type", "同意或者拒绝", &["agree", "no"]),
            ])
            .says(&["处理成功"])
            .refuses(&[not_yours, "非法操作", "用户不存在或者被封禁", full]),
        post(29, "/api/chat/groupInviteUser", memberships::join, "Invite somebody, or join")
            .about("`user_id` is the caller: joins. Somebody else: a member invites him. Push G4 to the members, or G6 to the owner.")
            .takes([
                group(),
                id("user_id", "用户id"),
                free("inviteuser_id", "邀请人的用户id", json!({ "default": 0 }), json!(-1))
                    .or_none()
                    .note("The caller's own id; 0 or less is as good as none."),
                optional("addGroupDesc", "加群说明或者邀请说明", "", "Up to 500 characters."),
            ])
            .says(&["加群成功", "等待群主同意"])
            .refuses(&[
                "群不存在或者被封禁",
                "非法操作",
                "已申请加入群聊，正在等待群主同意",
                "用户已经在群里",
                "加群的用户不存在或已被封禁，无法加入群聊",
                "请先登录再申请进群",
                full,
            ]),
        post(30, "/api/chat/groupnickname", memberships::set_nickname, "My name in a group")
            .takes([id("id", "群id"), text("nickname", "群昵称", "Six").of(1, 20).names("昵称")])
            .refuses(&["你不在该群聊中，无法修改昵称"]),
        post(31, "/api/chat/groupDeleteOrQuit", memberships::leave, "Dissolve or leave")
            .about("The owner dissolves it: push G7 to all. A member leaves: push G8 to the owner.")
            .takes([id("id", "群id")])
            .refuses(&["群不存在", "你不在该群聊中，操作失败"]),
    ];
    Chapter { name: "groups", about: "Making, ruling, joining and leaving them", routes }
}

fn shown(group_users: &Value) -> Value {
    json!({
        "create_time": "2025-08-19 11:33:54",
        "id": 33,
        "uuid": "436937ea-ea54-4866-ae14-c87085219744",
        "user_id": 6,
        "name": "Tea club",
        "avatar": "https://h/6.png,https://h/1.png",
        "remark": "",
        "invite_confirm": 0,
        "status": 1,
        "order": 50,
        "group_users": group_users,
    })
}
