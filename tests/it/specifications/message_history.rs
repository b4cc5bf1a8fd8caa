//! Specifications of the history: messages by their numbers, and what is shown of other events.

use hongyan::projections::message_history::MessageHistory;
use serde_json::{Value, json};

use super::{
    Specifications,
    chat::{ann, bob, message, revocation, revoked, sent, shown, shown_revoked},
    club::{
        NOTICE, created, folded, folded_member, group, group_with_members, said, shown_created,
        shown_said,
    },
};

/// All tables are empty but these.
fn only(tables: Value) -> Value {
    let mut all = json!({
        "chats": [], "folded_groups": [], "folded_members": [], "group_chats": [], "messages": [],
        "notices": [], "shown_groups": [],
    });
    for (table, rows) in tables.as_object().expect("tables with rows") {
        all[table] = rows.clone();
    }
    all
}

pub async fn hold(specifications: &mut Specifications) {
    let row = |number: i64, revocation: Value| {
        json!({
            "id": message(number), "event_id": format!("00000000-0000-0000-0000-00000000000{number}"),
            "position": number, "lo": 3, "hi": 9, "group_id": null, "number": number, "sender": 3,
            "recipient": 9, "object": shown(number), "shown": null,
            "sent_at": format!("2025-09-24T01:00:0{number}+00:00"), "revocation": revocation,
        })
    };
    specifications
        .check::<MessageHistory>(
            "a chat is numbered from 1, and what was taken back stays as it was, but marked",
            &[sent(1), sent(2), revoked(1)],
            only(json!({
                "chats": [{"lo": 3, "hi": 9, "last_number": 2}],
                "messages": [row(1, revocation(1)), row(2, Value::Null)],
                "notices": [{"position": 3, "recipient": 9, "group_id": null, "object": shown_revoked(1)}],
            })),
        )
        .await;
    hold_for_friends(specifications).await;
    hold_for_groups(specifications).await;
}

async fn hold_for_friends(specifications: &mut Specifications) {
    let befriended = json!({
        "caller": ann(), "other": bob(), "text": "me", "agreed": null, "edges": [], "notice": NOTICE,
    });
    let asked = json!({"asker": ann(), "asked": bob(), "text": "hello", "icon": "/i.png", "notice": NOTICE});
    let text = json!({
        "data": "我们已经是好友了，可以开始聊天了", "dataType": false, "otherData": null,
    });
    specifications
        .check::<MessageHistory>(
            "who is asked sees it, and once they are friends both do",
            &[
                ("evt.friendship.3.9", json!({"type": "friendship.requested.v1", "data": asked})),
                (
                    "evt.friendship.3.9",
                    json!({"type": "friendship.befriended.v1", "data": befriended}),
                ),
            ],
            only(json!({"notices": [
                {"position": 1, "recipient": 9, "group_id": null, "object": {
                    "id": NOTICE, "from_avatar": "/i.png", "from_name": "好友申请提醒",
                    "from_id": "redirect-applyFriend-3", "to_id": 9, "to_name": "bob",
                    "to_avatar": "/b.png", "chatType": "single", "type": "text",
                    "data": {
                        "data": "用户[ann]申请添加您为好友，请尽快处理", "dataType": false,
                        "otherData": null,
                    },
                    "redirect": {"url": "/pages/applyMyfriend/applyMyfriend", "type": "navigateTo"},
                    "options": {}, "create_time": 1_758_675_601_000_i64, "isremove": 0,
                    "msgidKey": "redirect-applyFriend-3",
                }},
                {"position": 2, "recipient": 3, "group_id": null, "object": {
                    "id": NOTICE, "from_avatar": "/b.png", "from_name": "bob", "from_id": 9,
                    "to_id": 3, "to_name": "ann", "to_avatar": "/a.png", "chatType": "single",
                    "type": "systemNotice", "data": text, "options": {},
                    "create_time": 1_758_675_602_000_i64, "isremove": 0,
                }},
                {"position": 2, "recipient": 9, "group_id": null, "object": {
                    "id": NOTICE, "from_avatar": "/a.png", "from_name": "ann", "from_id": 3,
                    "to_id": 9, "to_name": "bob", "to_avatar": "/b.png", "chatType": "single",
                    "type": "systemNotice", "data": text, "options": {},
                    "create_time": 1_758_675_602_000_i64, "isremove": 0,
                }},
            ]})),
        )
        .await;
}

async fn hold_for_groups(specifications: &mut Specifications) {
    let named = json!({"user": 9, "nickname": "B", "at": 1_758_675_604_000_i64});
    let club = json!({"id": 33, "name": "ann、bob", "avatar": "/a.png,/b.png"});
    let revocation = json!({
        "message": message(2), "by": ann(), "to": club, "at": 1_758_675_606_000_i64,
    });
    let row = |number: i64, (position, shown): (i64, i64), revocation: &Value| {
        json!({
            "id": message(position),
            "event_id": format!("00000000-0000-0000-0000-00000000000{position}"),
            "position": position, "lo": null, "hi": null, "group_id": 33, "number": number,
            "sender": 3, "recipient": null, "object": shown_said(position, Value::Null),
            "shown": shown, "sent_at": format!("2025-09-24T01:00:0{position}+00:00"),
            "revocation": revocation,
        })
    };
    specifications
        .check::<MessageHistory>(
            "the group of a message is kept once for all messages until it changes",
            &[
                created(),
                said(2),
                said(3),
                ("evt.group.33", json!({"type": "group.nickname_set.v1", "data": named})),
                said(5),
                ("evt.groupchat.33", json!({"type": "group_message.revoked.v1", "data": revocation})),
            ],
            only(json!({
                "group_chats": [{"group_id": 33, "last_number": 3}],
                "messages": [
                    row(1, (2, 2), &revocation),
                    row(2, (3, 2), &Value::Null),
                    row(3, (5, 5), &Value::Null),
                ],
                "notices": [
                    {"position": 1, "recipient": 0, "group_id": 33, "object": shown_created()},
                    {"position": 6, "recipient": 0, "group_id": 33, "object": {
                        "id": message(2), "from_avatar": "/a.png", "from_name": "ann", "from_id": 3,
                        "to_id": 33, "to_name": "ann、bob", "to_avatar": "/a.png,/b.png",
                        "chatType": "group", "type": "systemNotice", "actionType": "revoke",
                        "data": {"data": "ann 撤回了一条消息", "dataType": false, "otherData": null},
                        "options": {}, "create_time": 1_758_675_606_000_i64, "isremove": 0,
                        "group": null,
                    }},
                ],
                "shown_groups": [
                    {"position": 2, "object": group_with_members("")},
                    {"position": 5, "object": group_with_members("B")},
                ],
                "folded_groups": [{"group_id": 33, "fields": folded(), "shown": 5}],
                "folded_members": [
                    {
                        "group_id": 33, "user_id": 3, "waiting": false,
                        "fields": folded_member(131_072, 3, "", 1_758_675_601_000),
                    },
                    {
                        "group_id": 33, "user_id": 9, "waiting": false,
                        "fields": folded_member(131_073, 9, "B", 1_758_675_604_000),
                    },
                ],
            })),
        )
        .await;
    let dissolved = json!({"by": ann(), "notice": NOTICE, "at": 1_758_675_602_000_i64});
    let mut over = shown_created();
    over["create_time"] = 1_758_675_602_000_i64.into();
    over["data"]["data"] = "群主于 2025-09-24 09:00:02 解散了该群".into();
    over["group"] = group();
    specifications
        .check::<MessageHistory>(
            "a dissolved group is folded no more, and its last notice is for all who were in it",
            &[
                created(),
                ("evt.group.33", json!({"type": "group.dissolved.v1", "data": dissolved})),
            ],
            only(json!({"notices": [
                {"position": 1, "recipient": 0, "group_id": 33, "object": shown_created()},
                {"position": 2, "recipient": 0, "group_id": 33, "object": over},
            ]})),
        )
        .await;
}
