//! What Ann, who is 3, writes to Bob, who is 9, as the log has it and as clients are shown it.

use serde_json::{Value, json};

pub const ANN_UUID: &str = "00000000-0000-4000-8000-000000000003";

pub fn ann() -> Value {
    json!({"id": 3, "name": "ann", "avatar": "/a.png"})
}

pub fn bob() -> Value {
    json!({"id": 9, "name": "bob", "avatar": "/b.png"})
}

/// The id of a message.
pub fn message(number: i64) -> String {
    format!("00000000-0000-4000-8000-0000000000b{number}")
}

/// Message 1 was sent a second after the start, and so on.
pub fn sent_at(number: i64) -> i64 {
    1_758_675_600_000 + number * 1000
}

pub fn sent(number: i64) -> (&'static str, Value) {
    let data = json!({
        "id": message(number), "from": ann(), "from_uuid": ANN_UUID, "to": bob(), "kind": "text",
        "data": format!("message {number}"), "options": {"n": 1}, "sent_at": sent_at(number),
    });
    ("evt.chat.3.9.3", json!({"type": "message.sent.v1", "data": data}))
}

pub fn shown(number: i64) -> Value {
    json!({
        "id": message(number), "from_avatar": "/a.png", "from_name": "ann", "from_id": 3, "to_id": 9,
        "to_name": "bob", "to_avatar": "/b.png", "chatType": "single", "type": "text",
        "data": format!("message {number}"), "options": {"n": 1}, "create_time": sent_at(number),
        "isremove": 0, "sendUUid": ANN_UUID,
    })
}

/// How a message was taken back at 01:00:09.
pub fn revocation(number: i64) -> Value {
    json!({"message": message(number), "by": ann(), "to": bob(), "at": 1_758_675_609_000_i64})
}

pub fn revoked(number: i64) -> (&'static str, Value) {
    ("evt.chat.3.9.3", json!({"type": "message.revoked.v1", "data": revocation(number)}))
}

pub fn shown_revoked(number: i64) -> Value {
    json!({
        "id": message(number), "from_avatar": "/a.png", "from_name": "ann", "from_id": 3, "to_id": 9,
        "to_name": "bob", "to_avatar": "/b.png", "chatType": "single", "type": "systemNotice",
        "actionType": "revoke",
        "data": {"data": "ann撤回了一条消息", "dataType": false, "otherData": null}, "options": {},
        "create_time": 1_758_675_609_000_i64, "isremove": 0, "group": null,
    })
}
