//! `rest.md` §36, single chat; V1 of `ws.md` §6.3.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::shapes::{assert_epoch_ms, asset, keys};
use crate::support::{App, Reply, User, now_ms, text_of};

const NOT_YOURS: &str = "消息不存在或无权撤回";
const TOO_LATE: &str = "消息超过5分钟，不能撤回";

async fn revoke(by: &User, message: &Value) -> Reply {
    by.post("/api/chat/revokeMessage", message.clone()).await
}

fn with(message: &Value, key: &str, value: Value) -> Value {
    let mut message = message.clone();
    message[key] = value;
    message
}

/// `rest.md` §36, `ws.md` V1, clarification 15, DEV-15, DEV-34.
#[tokio::test]
async fn rest_36_taking_a_message_back() {
    let app = App::start().await;
    the_other_one_is_told_once(&app).await;
    only_the_author_takes_it_back_and_from_where_it_went(&app).await;
    only_for_five_minutes(&app).await;
    many_at_once_are_one(&app).await;
    offline_it_waits_behind_its_message(&app).await;
    parameters_are_checked(&app).await;
}

async fn the_other_one_is_told_once(app: &App) {
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    ann.rename("Ann").await;
    let mut socket = bob.connect().await;
    bob.drain().await;
    socket.next_push().await; // friends now
    let message = ann.send(&bob, "oops").await.ok();
    socket.next_push().await;
    // The client's own idea of names and pictures is echoed.
    let asked =
        with(&with(&message, "to_name", json!("Bobby")), "to_avatar", json!("https://h/b.png"));
    let notice = revoke(&ann, &asked).await.ok();
    assert_epoch_ms(&notice["create_time"]);
    let expected = json!({ "id": message["id"], "from_avatar": asset("user.jpg"), "from_name": "Ann",
        "from_id": ann.id, "to_id": bob.id, "to_name": "Bobby", "to_avatar": "https://h/b.png",
        "chatType": "single", "type": "systemNotice", "actionType": "revoke",
        "data": { "data": "Ann撤回了一条消息", "dataType": false, "otherData": null }, "options": {},
        "create_time": notice["create_time"], "isremove": 0, "group": null });
    assert_eq!((keys(&notice), &notice), (keys(&expected), &expected));
    assert_eq!(socket.next_push().await, expected);
    // Again: the same answer, and no second push.
    assert_eq!(revoke(&ann, &message).await.ok(), expected);
    ann.send(&bob, "marker").await.ok();
    assert_eq!(socket.next_text().await, "marker");
}

/// DEV-15.
async fn only_the_author_takes_it_back_and_from_where_it_went(app: &App) {
    let [ann, bob, eve] = app.friends(["ann", "bob", "eve"]).await;
    let message = ann.send(&bob, "mine").await.ok();
    for thief in [&bob, &eve] {
        revoke(thief, &message).await.refused(400, NOT_YOURS);
    }
    let unknown = json!("10d0c78a-0133-4be8-9b18-879f9682b246");
    for (key, value) in [
        ("id", unknown),
        ("id", json!("not a uuid")),
        ("to_id", json!(eve.id)),
        ("to_id", json!(ann.id)),
    ] {
        revoke(&ann, &with(&message, key, value)).await.refused(400, NOT_YOURS);
    }
    revoke(&ann, &with(&message, "chatType", json!("group"))).await.refused(400, "群不存在");
    revoke(&ann, &message).await.ok();
}

async fn only_for_five_minutes(app: &App) {
    let [ann, bob] = app.users(["ann", "bob"]).await;
    let message = ann.send(&bob, "x").await.ok();
    // What the caller says is checked first …
    let old = with(&message, "create_time", json!(now_ms() - 301_000));
    revoke(&ann, &old).await.refused(400, TOO_LATE);
    revoke(&bob, &old).await.refused(400, TOO_LATE);
    revoke(&ann, &with(&old, "chatType", json!("group"))).await.refused(400, TOO_LATE);
    // … and within its limits believed neither way: the server's own time counts.
    revoke(&ann, &with(&message, "create_time", json!(now_ms() - 240_000))).await.ok();
    for impossible in [now_ms() + 120_000, 999_999_999_999] {
        revoke(&ann, &with(&message, "create_time", json!(impossible))).await.failed(422);
    }
    revoke(&ann, &with(&message, "create_time", json!(now_ms() + 30_000))).await.ok();
}

async fn many_at_once_are_one(app: &App) {
    let [ann, bob] = app.users(["ann", "bob"]).await;
    bob.let_strangers_send(2).await;
    let mut socket = bob.connect().await;
    let message = ann.send(&bob, "oops").await.ok();
    socket.next_push().await;
    let replies = join_all((0..20).map(|_| revoke(&ann, &message))).await;
    let notices: Vec<Value> = replies.into_iter().map(Reply::ok).collect();
    let push = socket.next_push().await;
    assert!(notices.iter().all(|notice| *notice == push), "{push} {notices:?}");
    ann.send(&bob, "marker").await.ok();
    assert_eq!(socket.next_text().await, "marker");
}

async fn offline_it_waits_behind_its_message(app: &App) {
    let [ann, bob] = app.users(["ann", "bob"]).await;
    let message = ann.send(&bob, "oops").await.ok();
    let notice = revoke(&ann, &message).await.ok();
    let mut socket = bob.connect().await;
    bob.drain().await;
    assert_eq!(socket.next_push().await, message, "unchanged (ws.md §7.3)");
    let push = socket.next_push().await;
    assert_eq!((&push, text_of(&push)), (&notice, format!("{}撤回了一条消息", ann.username)));
    socket.is_silent().await;
}

async fn parameters_are_checked(app: &App) {
    let [ann, bob] = app.users(["ann", "bob"]).await;
    let message = ann.send(&bob, "x").await.ok();
    for (key, label) in [
        ("to_id", "接收者id或者群id"),
        ("to_name", "接收者或者群名称"),
        ("to_avatar", "接收者或者群头像"),
        ("id", "消息uuid"),
        ("chatType", "聊天类型"),
        ("create_time", "消息发送时间"),
    ] {
        let text = format!("{label}不能为空");
        revoke(&ann, &with(&message, key, Value::Null)).await.refused(422, &text);
    }
    for length in [9, 4001] {
        let text = "接收者或者群头像 的长度 必须 在 10 和 4000 之间";
        revoke(&ann, &with(&message, "to_avatar", json!("x".repeat(length))))
            .await
            .refused(422, text);
    }
    let text = "接收者或者群名称 的长度 必须 在 1 和 50 之间";
    revoke(&ann, &with(&message, "to_name", json!("x".repeat(51)))).await.refused(422, text);
    let long = "x".repeat(4000); // DEV-34
    assert_eq!(
        revoke(&ann, &with(&message, "to_avatar", json!(long))).await.ok()["to_avatar"],
        long
    );
}
