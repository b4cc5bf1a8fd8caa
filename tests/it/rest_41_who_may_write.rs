//! `rest.md` §41, single chat: the table of `data.md` §6.3.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{App, User, device, one_wins};

const GONE: &str = "对方不存在或者被禁用，不能发消息";
const ONE_ONLY: &str = "在成为好友之前，对方只允许向他发一条消息";
const USERS_BLOCKED: &str = "对方把你拉黑了，不能发送消息";
const GUESTS_BLOCKED: &str = "对方把你拉黑了，不能发消息";
const USERS_SHUT_OUT: &str = "对方设置成：需要您先成为他的好友才能发消息";
const GUESTS_SHUT_OUT: &str = "你们不是好友关系，对方设置成：先登录才能发消息";

/// `data.md` §6.1, §6.3 steps 1–7, clarification 17, DEV-11, DEV-12, DEV-13.
#[tokio::test]
async fn rest_41_who_may_write_to_whom() {
    let app = App::start().await;
    nobody_writes_to_the_gone(&app).await;
    the_blacklist_binds_friends_and_guests(&app).await;
    a_block_outlives_parting(&app).await;
    friends_are_exempt_from_quotas(&app).await;
    strangers_may_be_shut_out(&app).await;
    one_message_means_one_for_ever(&app).await;
    the_quota_counts_one_direction(&app).await;
    settings_are_per_role(&app).await;
    odd_settings_mean_one(&app).await;
}

async fn nobody_writes_to_the_gone(app: &App) {
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let guest = app.visitor(&device(1)).await;
    app.cli(&["users", "disable", &bob.id.to_string()]).await.ok();
    for sender in [&ann, &guest] {
        sender.send(&bob, "x").await.refused(400, GONE);
        let mut nobody = bob.clone();
        nobody.id = 999_999;
        sender.send(&nobody, "x").await.refused(400, GONE);
    }
    app.cli(&["users", "enable", &bob.id.to_string()]).await.ok();
    ann.send(&bob, "x").await.ok();
}

/// Step 2, DEV-12: guests under any setting.
async fn the_blacklist_binds_friends_and_guests(app: &App) {
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let guest = app.visitor(&device(2)).await;
    guest.befriend(&ann).await;
    for count in [2, 1, 0] {
        ann.let_strangers_send(count).await;
        for (friend, text) in [(&bob, USERS_BLOCKED), (&guest, GUESTS_BLOCKED)] {
            ann.toggle_black(friend).await;
            friend.send(&ann, "x").await.refused(400, text);
            ann.send(friend, "only the other one's book matters").await.ok();
            ann.toggle_black(friend).await;
            friend.send(&ann, "x").await.ok();
        }
    }
}

/// Clarification 24: who is blocked is not freed by parting, nor by adding again.
async fn a_block_outlives_parting(app: &App) {
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    ann.let_strangers_send(2).await;
    ann.toggle_black(&bob).await;
    let part = format!("/api/chat/deletegoodfriend/{}", ann.id);
    assert_eq!(bob.post_empty(&part).await.ok(), "删除好友成功");
    bob.send(&ann, "x").await.refused(400, USERS_BLOCKED);
    bob.befriend(&ann).await;
    bob.send(&ann, "x").await.refused(400, USERS_BLOCKED);
    ann.toggle_black(&bob).await;
    bob.send(&ann, "x").await.ok();
}

/// Step 4, DEV-12: befriended guests too.
async fn friends_are_exempt_from_quotas(app: &App) {
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let guest = app.visitor(&device(3)).await;
    guest.befriend(&ann).await;
    for count in [0, 1] {
        ann.let_strangers_send(count).await;
        for friend in [&bob, &guest] {
            friend.send(&ann, "one").await.ok();
            friend.send(&ann, "two").await.ok();
        }
    }
}

/// Steps 5 and 7. Rejected attempts do not count.
async fn strangers_may_be_shut_out(app: &App) {
    let [ann, bob] = app.users(["ann", "bob"]).await;
    let guest = app.visitor(&device(4)).await;
    for (sender, shut_out) in [(&bob, USERS_SHUT_OUT), (&guest, GUESTS_SHUT_OUT)] {
        ann.let_strangers_send(0).await;
        sender.send(&ann, "x").await.refused(400, shut_out);
        sender.send(&ann, "x").await.refused(400, shut_out);
        ann.let_strangers_send(1).await;
        sender.send(&ann, "the one").await.ok();
        sender.send(&ann, "x").await.refused(400, ONE_ONLY);
        ann.let_strangers_send(2).await;
        sender.send(&ann, "one").await.ok();
        sender.send(&ann, "two").await.ok();
        ann.let_strangers_send(1).await;
        sender.send(&ann, "x").await.refused(400, ONE_ONLY);
    }
}

/// Step 6: it survives unfriending and revoking, and does not ask who is online (DEV-11).
async fn one_message_means_one_for_ever(app: &App) {
    let [ann, bob, cat] = app.users(["ann", "bob", "cat"]).await;
    let socket = ann.connect().await;
    let message = bob.send(&ann, "the one").await.ok();
    socket.close().await;
    cat.send(&ann, "to somebody offline").await.ok();
    for sender in [&bob, &cat] {
        sender.send(&ann, "x").await.refused(400, ONE_ONLY);
    }
    bob.post("/api/chat/revokeMessage", message).await.ok();
    bob.send(&ann, "x").await.refused(400, ONE_ONLY);
    bob.befriend(&ann).await;
    bob.send(&ann, "as a friend").await.ok();
    ann.send(&bob, "as a friend").await.ok();
    assert_eq!(
        ann.post_empty(&format!("/api/chat/deletegoodfriend/{}", bob.id)).await.ok(),
        "删除好友成功"
    );
    bob.send(&ann, "x").await.refused(400, ONE_ONLY);
    // What was said among friends counts as well.
    ann.send(&bob, "x").await.refused(400, ONE_ONLY);
}

/// DEV-11.
async fn the_quota_counts_one_direction(app: &App) {
    let [ann, bob] = app.users(["ann", "bob"]).await;
    ann.let_strangers_send(2).await;
    for _ in 0..3 {
        bob.send(&ann, "hello?").await.ok();
    }
    ann.send(&bob, "my first").await.ok();
    ann.send(&bob, "x").await.refused(400, ONE_ONLY);
    // Notices do not count.
    let [cat, dan] = app.friends(["cat", "dan"]).await;
    cat.post_empty(&format!("/api/chat/deletegoodfriend/{}", dan.id)).await.ok();
    cat.send(&dan, "the one").await.ok();
    dan.send(&cat, "the one").await.ok();
}

async fn settings_are_per_role(app: &App) {
    let [ann, bob] = app.users(["ann", "bob"]).await;
    let guest = app.visitor(&device(5)).await;
    set(&ann, json!({ "visitor": { "sendCount": 0 }, "user": { "sendCount": 2 } })).await;
    guest.send(&ann, "x").await.refused(400, GUESTS_SHUT_OUT);
    bob.send(&ann, "one").await.ok();
    bob.send(&ann, "two").await.ok();
    // The legacy form: bare numbers.
    set(&ann, json!({ "visitor": 2, "user": 0 })).await;
    guest.send(&ann, "one").await.ok();
    guest.send(&ann, "two").await.ok();
    bob.send(&ann, "x").await.refused(400, USERS_SHUT_OUT);
}

async fn set(user: &User, chatset: Value) {
    user.post("/api/chat/userset", json!({ "userset": { "chatset": chatset } })).await.done();
}

/// `data.md` §6.1, clarification 17, DEV-13.
async fn odd_settings_mean_one(app: &App) {
    for odd in [
        json!({}),
        json!({ "visitor": { "sendCount": 2 } }),
        json!({ "user": {} }),
        json!({ "user": { "sendCount": 7 } }),
        json!({ "user": { "sendCount": -1 } }),
        json!({ "user": { "sendCount": "0" } }),
        json!({ "user": "2" }),
        json!(null),
        json!([2, 2]),
    ] {
        let [ann, bob] = app.users(["ann", "bob"]).await;
        set(&ann, odd.clone()).await;
        let reply = bob.send(&ann, "the one").await;
        assert_eq!(reply.status, 200, "{odd}: {}", reply.text());
        bob.send(&ann, "x").await.refused(400, ONE_ONLY);
    }
}

/// `data.md` §6.3, DEV-11, clarification 18: exact when everybody hurries.
#[tokio::test]
async fn rest_16_41_the_rules_hold_in_a_hurry() {
    let app = App::start().await;
    one_message_of_a_stranger_means_one(&app).await;
    a_block_holds_from_its_answer_on(&app).await;
}

/// Step 6.
async fn one_message_of_a_stranger_means_one(app: &App) {
    let [ann, bob] = app.users(["ann", "bob"]).await;
    let guest = app.visitor(&device(1)).await;
    for sender in [&bob, &guest] {
        let mut socket = ann.connect().await;
        let texts: Vec<String> = (0..20).map(|n| format!("try {n}")).collect();
        let replies = join_all(texts.iter().map(|text| sender.send(&ann, text))).await;
        let sent = one_wins(replies, ONE_ONLY).ok();
        assert_eq!(socket.next_push().await, sent);
        sender.send(&ann, "x").await.refused(400, ONE_ONLY);
        // Nothing else follows.
        ann.let_strangers_send(2).await;
        sender.send(&ann, "marker").await.ok();
        assert_eq!(socket.next_text().await, "marker");
        ann.let_strangers_send(1).await;
    }
}

/// Once a block is answered, no message gets past it.
async fn a_block_holds_from_its_answer_on(app: &App) {
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let mut socket = ann.connect().await;
    for round in 0..10 {
        let texts: Vec<String> = (0..8).map(|n| format!("{round}.{n}")).collect();
        let sends = join_all(texts.iter().map(|text| bob.send(&ann, text)));
        let block = async {
            ann.toggle_black(&bob).await;
            bob.send(&ann, "x").await.refused(400, USERS_BLOCKED);
        };
        let (replies, ()) = tokio::join!(sends, block);
        let mut accepted: Vec<String> = Vec::new();
        for (reply, text) in replies.into_iter().zip(texts) {
            match reply.status {
                200 => accepted.push(text),
                _ => reply.refused(400, USERS_BLOCKED),
            }
        }
        ann.toggle_black(&bob).await;
        bob.send(&ann, "marker").await.ok();
        let mut seen = socket.texts_until("marker").await;
        seen.pop();
        seen.sort();
        accepted.sort();
        assert_eq!(seen, accepted);
    }
}
