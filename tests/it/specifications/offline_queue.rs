//! Specifications of queues, timelines and undelivered sets.

use hongyan::projections::{
    offline_queue::{Bounds, OfflineQueue},
    quota::{KEPT, Quota},
};
use serde_json::{Value, json};

use super::{
    Specifications,
    chat::{revoked, sent, shown, shown_revoked},
    club::{created, folded, folded_member, group_with_members, said, shown_created, shown_said},
};

const CONNECTION: &str = "00000000-0000-4000-8000-0000000000c1";
const TOKEN: &str = "00000000-0000-4000-8000-0000000000a1";

/// What a gateway has written to connections.
fn written(users: Value, groups: Value) -> (&'static str, Value) {
    let subject = "evt.delivery.00000000-0000-4000-8000-0000000000d1";
    let data = json!({"users": users, "groups": groups});
    (subject, json!({"type": "delivery.written.v1", "data": data}))
}

/// Bob's.
fn connected() -> (&'static str, Value) {
    let node = "00000000-0000-4000-8000-0000000000d1";
    let data = json!({"connection": CONNECTION, "node": node, "token": TOKEN, "role": "user"});
    ("evt.session.9", json!({"type": "session.connected.v1", "data": data}))
}

pub async fn hold(specifications: &mut Specifications) {
    specifications
        .check::<OfflineQueue>(
            "what is for somebody has their own numbers, and leaves once it was written",
            &[
                sent(1),
                sent(2),
                revoked(1),
                written(json!([{"user": 9, "ranges": [[1, 1]]}]), json!([])),
            ],
            json!({"chat_getmessage_9": [
                ["2-0", {"p": "2", "m": shown(2)}],
                ["3-0", {"p": "3", "m": shown_revoked(1)}],
            ]}),
        )
        .await;
    specifications
        .check::<OfflineQueue>(
            "a connection receives what comes after the last number that was given before it",
            &[sent(1), connected(), sent(3)],
            json!({
                "audience_version": {"version": "2"},
                "chat_getmessage_9":
                    [["1-0", {"p": "1", "m": shown(1)}], ["2-0", {"p": "3", "m": shown(3)}]],
                "cursor_9": {"connection": CONNECTION, "token": TOKEN, "from": "1", "position": "2"},
            }),
        )
        .await;
    hold_for_groups(specifications).await;
    hold_for_large_groups(specifications).await;
    let quota = Quota { entries: 1, ..KEPT };
    let projection = OfflineQueue::bounded(
        specifications.stores.parts.pushes.clone(),
        Bounds { large: 50, quota },
    );
    let store = specifications.stores.in_redis.clone();
    let then = json!({
        "chat_getmessage_9": [["3-0", {"p": "3", "m": shown(3)}]],
        "evicted_9": [["2-0", {"p": "2"}]],
    });
    let given =
        [sent(1), sent(2), sent(3), written(json!([{"user": 9, "ranges": [[1, 1]]}]), json!([]))];
    let title = "beyond its quota a queue keeps where the entries are that nobody has received";
    specifications.check_of(&projection, &store, title, (&given, then)).await;
}

async fn hold_for_groups(specifications: &mut Specifications) {
    specifications
        .check::<OfflineQueue>(
            "what several queues have is kept once, until the last of them has let it go",
            &[created(), said(2), written(json!([{"user": 3, "ranges": [[1, 1]]}]), json!([]))],
            json!({
                "audience_version": {"version": "1"},
                "chat_getmessage_3": [],
                "chat_getmessage_9": [
                    ["1-0", {"p": "1", "m": "@"}],
                    ["2-0", {"p": "2", "m": shown_said(2, group_with_members(""))}],
                ],
                "group_33": {
                    "row": folded(),
                    "3": folded_member(131_072, 3, "", 1_758_675_601_000),
                    "9": folded_member(131_073, 9, "", 1_758_675_601_000),
                },
                "objects": {"1": shown_created(), "1:queues": "1"},
            }),
        )
        .await;
}

/// Here a group of two is large.
async fn hold_for_large_groups(specifications: &mut Specifications) {
    let bounds = Bounds { large: 1, quota: KEPT };
    let projection = OfflineQueue::bounded(specifications.stores.parts.pushes.clone(), bounds);
    let store = specifications.stores.in_redis.clone();
    let to_both = json!([{"group": 33, "ranges": [[1, 1]], "users": [3, 9]}]);
    let to_bob = json!([{"group": 33, "ranges": [[3, 3]], "users": [9]}]);
    let bobs_queue = json!([{"user": 9, "ranges": [[1, 1]]}]);
    let given =
        [created(), said(2), said(3), written(json!([]), to_both), written(bobs_queue, to_bob)];
    let then = json!({
        "audience_version": {"version": "1"},
        "chat_getmessage_3": [["1-0", {"p": "1", "m": ""}]],
        "chat_getmessage_9": [],
        "group_33": {
            "row": folded(),
            "3": folded_member(131_072, 3, "", 1_758_675_601_000),
            "9": folded_member(131_073, 9, "", 1_758_675_601_000),
            "timeline": "3 timeline",
        },
        "undelivered_33": {"3": "2-", "9": "2-2 4-"},
        "large_groups_3": ["33"],
        "large_groups_9": ["33"],
        "timeline_33": [
            ["1-0", {"q": "0", "a": "", "m": shown_created()}],
            ["2-0", {"q": "1", "a": "3", "m": shown_said(2, group_with_members(""))}],
            ["3-0", {"q": "2", "a": "3", "m": shown_said(3, group_with_members(""))}],
        ],
    });
    let title =
        "what is said in a large group is kept once, with what each member has not received";
    specifications.check_of(&projection, &store, title, (&given, then)).await;
}
