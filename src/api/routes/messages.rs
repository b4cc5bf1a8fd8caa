//! Messages (rest.md §21, §36, §41).

use serde_json::{Value, json};

use super::{
    Answer, Chapter,
    param::{free, id, int, one_of, text, text_or_object},
    post,
    shape::{Shape, like},
};
use crate::api::messages;

const CHAT_TYPES: &[&str] = &["single", "group"];

pub(super) fn chapter() -> Chapter {
    let content = r#"{"data":"hello","dataType":false,"otherData":null}"#;
    let sent = single().also("", &in_group().schema);
    let routes = vec![
        post(41, "/api/chat/socket/sendmessage", messages::send, "Send a chat message")
            .about("Pushed to the other (C1) or to the other members (C2), and queued for those who are offline. Not idempotent: a repeated call is a new message.")
            .takes([
                id("sendto_id", "接收人/群的id值"),
                one_of("chatType", "接收类型", CHAT_TYPES),
                text("type", "消息类型", "text")
                    .of(1, 50)
                    .note("`text`, `iconMenus`, `image`, `audio`, `video`, or another, but not `systemNotice`."),
                text_or_object("data", "消息内容", content)
                    .note("A text, or an object, which is passed on as its compact JSON text."),
                free("options", "额外参数json字符串", json!({ "default": "" }), json!("%7B%7D"))
                    .or_none()
                    .note("Percent-encoded JSON text, or an object; anything else counts as none."),
            ])
            .answers(Answer::Data(sent))
            .refuses(&[
                "消息类型不合法",
                "对方不存在或者被禁用，不能发消息",
                "对方把你拉黑了，不能发送消息",
                "对方把你拉黑了，不能发消息",
                "对方设置成：需要您先成为他的好友才能发消息",
                "你们不是好友关系，对方设置成：先登录才能发消息",
                "在成为好友之前，对方只允许向他发一条消息",
                "群不存在或者已解散或者被封禁，无法发消息",
                "您不在群里，无法发消息",
            ]),
        post(36, "/api/chat/revokeMessage", messages::revoke, "Take back a message")
            .about("Its author's, for five minutes. Push V1 to the other or to all members; a second time nobody is told.")
            .takes([
                id("to_id", "接收者id或者群id"),
                text("to_name", "接收者或者群名称", "seven").of(1, 50),
                text("to_avatar", "接收者或者群头像", "https://h/u7.png").of(10, 4000),
                text("id", "消息uuid", "594fe1bd-4943-466b-a787-8bb2e5e864ce"),
                one_of("chatType", "聊天类型", CHAT_TYPES),
                int("create_time", "消息发送时间", 1_758_692_100_000)
                    .from(1_000_000_000_000)
                    .note("Epoch milliseconds, at most a minute ahead of now."),
            ])
            .answers(Answer::Data(revoked()))
            .refuses(&[
                "消息超过5分钟，不能撤回",
                "群不存在",
                "你不在该群聊中，操作失败",
                "消息不存在或无权撤回",
            ]),
        post(21, "/api/chat/chatGetmessageOffLine", messages::drain, "Deliver my offline queue")
            .about("Over the open socket, the oldest first. Without one the queue is kept."),
    ];
    Chapter { name: "messages", about: "Sending, taking back, and what waited", routes }
}

/// The 13 fields that all have, and `sendUUid` (ws.md §6.0).
fn message(chat_type: &str) -> Value {
    json!({
        "id": "10d0c78a-0133-4be8-9b18-879f9682b246",
        "from_avatar": "https://h/6.png",
        "from_name": "six",
        "from_id": 6,
        "to_id": 10,
        "to_name": "ten",
        "to_avatar": "https://h/10.png",
        "chatType": chat_type,
        "type": "text",
        "data": r#"{"data":"hello","dataType":false,"otherData":null}"#,
        "options": {},
        "create_time": 1_758_692_500_000_i64,
        "isremove": 0,
        "sendUUid": "be047323-c8e3-4305-b014-3d8c7d24f300",
    })
}

fn single() -> Shape {
    like(message("single")).but("chatType", json!({ "const": "single" })).but("options", json!({}))
}

fn in_group() -> Shape {
    let mut example = message("group");
    example["group"] = json!({
        "create_time": "2025-09-20 11:33:54",
        "id": 33,
        "uuid": "436937ea-ea54-4866-ae14-c87085219744",
        "user_id": 6,
        "name": "Tea club",
        "avatar": "https://h/u6.png,https://h/u1.png",
        "remark": "",
        "invite_confirm": 0,
        "status": 1,
        "order": 50,
        "update_time": "2025-09-20T03:33:54.000Z",
        "group_users": [{
            "id": 137,
            "group_id": 33,
            "user_id": 6,
            "nickname": "Six in group",
            "avatar": "",
            "status": 1,
            "order": 50,
        }],
    });
    like(example)
        .but("chatType", json!({ "const": "group" }))
        .but("options", json!({}))
        .may_lack("group.group_users") // DEV-33
}

/// V1.
fn revoked() -> Shape {
    like(json!({
        "id": "594fe1bd-4943-466b-a787-8bb2e5e864ce",
        "from_avatar": "https://h/u6.png",
        "from_name": "six",
        "from_id": 6,
        "to_id": 7,
        "to_name": "seven",
        "to_avatar": "https://h/u7.png",
        "chatType": "single",
        "type": "systemNotice",
        "actionType": "revoke",
        "data": { "data": "six撤回了一条消息", "dataType": false, "otherData": null },
        "options": {},
        "create_time": 1_758_692_200_000_i64,
        "isremove": 0,
        "group": null,
    }))
    .but("chatType", json!({ "enum": CHAT_TYPES }))
    .but("group", json!({ "type": "null" }))
}
