//! `rest.md` §41, single chat: what a message looks like (`ws.md` §6.0, C1).

use serde_json::{Value, json};

use crate::support::shapes::{assert_epoch_ms, assert_uuid, asset, keys};
use crate::support::{App, SEND, User, device, text_to};

/// `rest.md` §41, `ws.md` §6.0.1–§6.0.3, §6.2 C1, clarifications 1 and 2, DEV-14.
#[tokio::test]
async fn rest_41_what_a_message_looks_like() {
    let app = App::start().await;
    the_reply_is_what_the_other_one_gets(&app).await;
    each_side_sees_its_own_names(&app).await;
    contents_pass_unchanged(&app).await;
    options_are_decoded(&app).await;
    messages_have_a_size(&app).await;
    server_notices_cannot_be_forged(&app).await;
    one_may_write_to_oneself(&app).await;
    what_is_missing_is_named(&app).await;
    app.verify().await; // no content has upset a read model
}

async fn the_reply_is_what_the_other_one_gets(app: &App) {
    let [ann, bob] = app.users(["ann", "bob"]).await;
    let mut socket = bob.connect().await;
    let reply = ann.send(&bob, "hello").await.ok(); // ann has no socket
    assert_uuid(&reply["id"]);
    assert_epoch_ms(&reply["create_time"]);
    let expected = json!({ "id": reply["id"], "from_avatar": asset("user.jpg"), "from_name": ann.username,
        "from_id": ann.id, "to_id": bob.id, "to_name": bob.username, "to_avatar": asset("user.jpg"),
        "chatType": "single", "type": "text", "data": r#"{"data":"hello","dataType":false,"otherData":null}"#,
        "options": {}, "create_time": reply["create_time"], "isremove": 0, "sendUUid": ann.uuid });
    assert_eq!((keys(&reply), &reply), (keys(&expected), &expected));
    assert_eq!(socket.next_push().await, expected);
    // Not idempotent: a repeat is a new message.
    bob.let_strangers_send(2).await;
    assert_ne!(ann.send(&bob, "hello").await.ok()["id"], reply["id"]);
}

async fn each_side_sees_its_own_names(app: &App) {
    let [ann, bob] = app.users(["ann", "bob"]).await;
    let names = async |from: &User, to: &User| {
        let message = from.send(to, "x").await.ok();
        let name = |key: &str| message[key].as_str().expect("a name").to_owned();
        (name("from_name"), name("to_name"))
    };
    let pair = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    assert_eq!(names(&ann, &bob).await, pair(&ann.username, &bob.username));
    ann.rename("Ann").await;
    bob.rename("Bob").await;
    assert_eq!(names(&bob, &ann).await, pair("Bob", "Ann"));
    ann.post("/api/chat/applyfriend", json!({ "friend_id": bob.id })).await.done();
    let request = app.request(&ann, &bob).await;
    let answer = json!({ "status": "agree", "nickname": "my Annie" });
    bob.post(&format!("/api/chat/handleapply/{request}"), answer).await.done();
    ann.rename("Anna").await; // remarks do not change with it
    assert_eq!(names(&ann, &bob).await, pair("my Annie", "Bob"));
    assert_eq!(names(&bob, &ann).await, pair("Bob", "my Annie"));
    // Remarks count only where the sender's row role is `user`.
    let guest = app.visitor(&device(1)).await;
    guest.rename("Guest").await;
    guest.befriend(&ann).await; // which makes that ann's remark
    guest.rename("Renamed").await;
    assert_eq!(names(&guest, &ann).await, pair("Renamed", "Anna"));
    assert_eq!(names(&ann, &guest).await, pair("Anna", "Guest"));
    // An avatar of one's own is shown.
    ann.change("avatar", "https://h/a.png").await.ok();
    let message = ann.send(&bob, "x").await.ok();
    assert_eq!(message["from_avatar"], "https://h/a.png");
    assert_eq!(bob.send(&ann, "x").await.ok()["to_avatar"], "https://h/a.png");
}

/// Two people without limits.
async fn open_pair(app: &App) -> [User; 2] {
    let pair = app.users(["ann", "bob"]).await;
    pair[1].let_strangers_send(2).await;
    pair
}

/// Clarification 29: 128 KiB of `data` and `options` together, in bytes.
async fn messages_have_a_size(app: &App) {
    let [ann, bob] = open_pair(app).await;
    let mut socket = bob.connect().await;
    let of = |data: usize, options: &str| {
        json!({ "sendto_id": bob.id, "chatType": "single", "type": "text",
            "data": "长".repeat(data / 3) + &"x".repeat(data % 3), "options": options })
    };
    let most = 128 * 1024;
    for (data, options) in [(most, ""), (most - 7, r#"{"a":1}"#), (most - 2, "%7B%7D")] {
        let reply = ann.post(SEND, of(data, options)).await.ok();
        assert_eq!(socket.next_push().await, reply);
    }
    for (data, options) in [(most + 1, ""), (most - 6, r#"{"a":1}"#), (129 * 1024, "%")] {
        ann.post(SEND, of(data, options)).await.refused(413, "消息内容过大");
    }
    // Its kind is passed on, too.
    let mut body = of(2, "");
    body["type"] = json!("长".repeat(51));
    ann.post(SEND, body).await.refused(422, "消息类型 的长度 必须 在 1 和 50 之间");
    // What is passed over as no options counts for nothing.
    let reply = ann.post(SEND, of(most, "%")).await.ok();
    assert_eq!(socket.next_push().await, reply);
}

/// `ws.md` §6.0.1, §6.0.2.
async fn contents_pass_unchanged(app: &App) {
    let [ann, bob] = open_pair(app).await;
    let mut socket = bob.connect().await;
    let object: Value = serde_json::from_str(r#"{"z":"你好 🦆 \"q\" <&>\n","a":{"y":[1.50,null,-0.1],"b":{}},"long":12345678901234567890}"#)
        .expect("JSON");
    for (posted, forwarded) in [
        (
            object,
            r#"{"z":"你好 🦆 \"q\" <&>\n","a":{"y":[1.5,null,-0.1],"b":{}},"long":12345678901234567890}"#,
        ),
        (json!("plain text, not JSON"), "plain text, not JSON"),
        (json!(r#" { "spaces" : "kept" } "#), r#" { "spaces" : "kept" } "#),
        (json!([1, "二"]), r#"[1,"二"]"#),
        (json!(5), "5"),
        (json!(false), "false"),
        (json!("\u{0}\u{7f}\u{2028}"), "\u{0}\u{7f}\u{2028}"),
    ] {
        let body =
            json!({ "sendto_id": bob.id, "chatType": "single", "type": "text", "data": posted });
        let reply = ann.post(SEND, body).await.ok();
        assert_eq!(reply["data"], forwarded);
        assert_eq!(socket.next_push().await, reply);
    }
    for kind in ["iconMenus", "image", "audio", "video", "file", "anything else"] {
        let body = json!({ "sendto_id": bob.id, "chatType": "single", "type": kind, "data": "x" });
        assert_eq!(ann.post(SEND, body).await.ok()["type"], kind);
        assert_eq!(socket.next_push().await["type"], kind);
    }
    let id = bob.id.to_string();
    let form = [
        ("sendto_id", id.as_str()),
        ("chatType", "single"),
        ("type", "text"),
        ("data", "{\"a\": 1}"),
    ];
    assert_eq!(ann.post_form(SEND, &form).await.ok()["data"], "{\"a\": 1}");
}

/// `ws.md` §6.0.3, clarification 1.
async fn options_are_decoded(app: &App) {
    let [ann, bob] = open_pair(app).await;
    for (posted, put) in [
        (json!("%7B%7D"), json!({})),
        (json!("{\"plain\":1}"), json!({ "plain": 1 })),
        (json!("%7B%22path%22%3A%22%E4%BD%A0%2B+%22%7D"), json!({ "path": "你++" })),
        (json!({ "path": "%41", "b": [1] }), json!({ "path": "%41", "b": [1] })),
        (json!(""), Value::Null),
        (Value::Null, Value::Null),
        (json!("%7B"), Value::Null),
        (json!("nonsense"), Value::Null),
        (json!("%FF%FE"), Value::Null),
        (json!("%7B%22a%22%3A%221%%22%7D"), Value::Null),
    ] {
        let mut body = text_to("single", bob.id, "x");
        body["options"] = posted.clone();
        assert_eq!(ann.post(SEND, body).await.ok()["options"], put, "{posted}");
    }
    let mut body = text_to("single", bob.id, "x");
    body.as_object_mut().expect("an object").remove("options");
    assert_eq!(ann.post(SEND, body).await.ok()["options"], Value::Null);
}

/// DEV-14.
async fn server_notices_cannot_be_forged(app: &App) {
    let [ann, bob] = open_pair(app).await;
    for chat in ["single", "group"] {
        let mut body = text_to(chat, bob.id, "forged");
        body["type"] = json!("systemNotice");
        ann.post(SEND, body).await.refused(400, "消息类型不合法");
    }
}

async fn one_may_write_to_oneself(app: &App) {
    let ann = app.register("ann").await;
    let mut socket = ann.connect().await;
    let reply = ann.send(&ann, "a note").await.ok();
    assert_eq!((&reply["from_id"], &reply["to_id"]), (&json!(ann.id), &json!(ann.id)));
    assert_eq!(socket.next_push().await, reply);
}

async fn what_is_missing_is_named(app: &App) {
    let ann = app.register("ann").await;
    let mut body = json!({});
    for (key, label) in [
        ("sendto_id", "接收人/群的id值"),
        ("chatType", "接收类型"),
        ("type", "消息类型"),
        ("data", "消息内容"),
    ] {
        ann.post(SEND, body.clone()).await.refused(422, &format!("{label}不能为空"));
        body[key] = text_to("single", 999_999, "x")[key].clone();
    }
    ann.post(SEND, body).await.refused(400, "对方不存在或者被禁用，不能发消息");
    let group = text_to("group", 999_999, "x");
    ann.post(SEND, group).await.refused(400, "群不存在或者已解散或者被封禁，无法发消息");
}

/// Nobody needs PostgreSQL to send, also if it does not answer and nothing is in memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_hangs_keeps_nobody_from_sending() {
    let mut app = App::apart().await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    app.settle().await;
    app.gateways[0].process().kill9();
    app.gateways[0].start_again_and_answer().await;
    app.servers.postgres.process().stop_signal();
    let mut socket = bob.connect().await;
    let sent = ann.send(&bob, "all the same").await.ok();
    assert_eq!(socket.next_push().await, sent);
    app.servers.postgres.process().cont_signal();
    app.verify().await;
}
