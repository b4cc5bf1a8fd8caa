//! Specifications of the last messages of each chat.

use hongyan::projections::chat_log::ChatLog;
use serde_json::{Value, json};

use super::{
    Specifications,
    chat::{ann, bob, message, revoked, sent, shown},
    club::{said, shown_said},
};

const BOB_UUID: &str = "00000000-0000-4000-8000-000000000009";

pub async fn hold(specifications: &mut Specifications) {
    let answer = json!({
        "id": message(8), "from": bob(), "from_uuid": BOB_UUID, "to": ann(), "kind": "image",
        "data": "/1.png", "options": null, "sent_at": 1_758_675_608_000_i64,
    });
    let mut blank = shown(2);
    (blank["data"], blank["options"], blank["isremove"]) = ("".into(), Value::Null, 1.into());
    specifications
        .check::<ChatLog>(
            "both sides have one log, of what was taken back without the content",
            &[
                sent(1),
                sent(2),
                ("evt.chat.3.9.9", json!({"type": "message.sent.v1", "data": answer})),
                revoked(2),
            ],
            json!({"chatlog:chatlog_3_single_9": [
                shown(1),
                blank,
                {
                    "id": message(8), "from_avatar": "/b.png", "from_name": "bob", "from_id": 9,
                    "to_id": 3, "to_name": "ann", "to_avatar": "/a.png", "chatType": "single",
                    "type": "image", "data": "/1.png", "options": null,
                    "create_time": 1_758_675_608_000_i64, "isremove": 0, "sendUUid": BOB_UUID,
                },
            ]}),
        )
        .await;
    specifications
        .check::<ChatLog>(
            "the oldest fall out", // the stores of tests keep five
            &[1, 2, 3, 4, 5, 6, 7].map(sent),
            json!({"chatlog:chatlog_3_single_9": ([3, 4, 5, 6, 7].map(shown))}),
        )
        .await;
    let mut without_group = shown_said(1, Value::Null);
    without_group.as_object_mut().and_then(|object| object.shift_remove("group"));
    specifications
        .check::<ChatLog>(
            "a group has one log, without the group itself",
            &[said(1)],
            json!({"chatlog:chatlog_33_group_33": [without_group]}),
        )
        .await;
}
