//! A group of Ann, whose it is, and Bob, and what is said in it, as the log has it and as clients are shown it.

use serde_json::{Value, json};

use super::chat::{ANN_UUID, ann, message, sent_at};

pub const CLUB_UUID: &str = "00000000-0000-4000-8000-000000000021";
pub const NOTICE: &str = "00000000-0000-4000-8000-00000000001f";

/// At position 1.
pub fn created() -> (&'static str, Value) {
    let data = json!({
        "id": 33, "uuid": CLUB_UUID, "owner": ann(), "name": "ann、bob", "avatar": "/a.png,/b.png",
        "members": [3, 9], "notice": NOTICE, "at": 1_758_675_601_000_i64,
    });
    ("evt.group.33", json!({"type": "group.created.v1", "data": data}))
}

/// The notice of that to both.
pub fn shown_created() -> Value {
    json!({
        "id": NOTICE, "from_avatar": "/a.png", "from_name": "ann", "from_id": 3, "to_id": 33,
        "to_name": "ann、bob", "to_avatar": "/a.png,/b.png", "chatType": "group",
        "type": "systemNotice",
        "data": {"data": "ann创建了一个群，大家可以开始聊天了", "dataType": false, "otherData": null},
        "options": {}, "create_time": 1_758_675_601_000_i64, "isremove": 0, "group": group(),
    })
}

/// As notices show it that tell nothing of its members.
pub fn group() -> Value {
    json!({
        "create_time": "2025-09-24 09:00:01", "id": 33, "uuid": CLUB_UUID, "user_id": 3,
        "name": "ann、bob", "avatar": "/a.png,/b.png", "remark": "", "invite_confirm": 0,
        "status": 1, "order": 50, "update_time": "2025-09-24T01:00:01.000Z",
    })
}

/// As messages show it, if Bob has this name in it.
pub fn group_with_members(bobs_name: &str) -> Value {
    let mut group = group();
    group["group_users"] = json!([
        {
            "id": 131_072, "group_id": 33, "user_id": 3, "nickname": "", "avatar": "", "status": 1,
            "order": 50,
        },
        {
            "id": 131_073, "group_id": 33, "user_id": 9, "nickname": bobs_name, "avatar": "",
            "status": 1, "order": 50,
        },
    ]);
    group
}

/// The group without its members, as a projection that folds it keeps it.
pub fn folded() -> Value {
    json!({
        "id": 33, "uuid": CLUB_UUID, "owner": 3, "name": "ann、bob", "avatar": "/a.png,/b.png",
        "remark": "", "policy": 0, "created_at": 1_758_675_601_000_i64,
        "updated_at": 1_758_675_601_000_i64,
    })
}

/// A membership, as a projection that folds it keeps it.
pub fn folded_member(id: i64, user: i64, nickname: &str, updated_at: i64) -> Value {
    json!({
        "id": id, "user": user, "nickname": nickname, "waiting": false,
        "created_at": 1_758_675_601_000_i64, "updated_at": updated_at,
    })
}

/// What Ann says to all.
pub fn said(number: i64) -> (&'static str, Value) {
    let club = json!({"id": 33, "name": "ann、bob", "avatar": "/a.png,/b.png"});
    let data = json!({
        "id": message(number), "from": ann(), "from_uuid": ANN_UUID, "to": club, "kind": "text",
        "data": format!("message {number}"), "options": null, "sent_at": sent_at(number),
    });
    ("evt.groupchat.33", json!({"type": "group_message.sent.v1", "data": data}))
}

pub fn shown_said(number: i64, group: Value) -> Value {
    json!({
        "id": message(number), "from_avatar": "/a.png", "from_name": "ann", "from_id": 3,
        "to_id": 33, "to_name": "ann、bob", "to_avatar": "/a.png,/b.png", "chatType": "group",
        "type": "text", "data": format!("message {number}"), "options": null,
        "create_time": sent_at(number), "isremove": 0, "group": group, "sendUUid": ANN_UUID,
    })
}
