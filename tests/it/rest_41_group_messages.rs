//! `rest.md` §36 and §41 in groups; C2 and V1 of `ws.md` §6.3.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::shapes::{assert_epoch_ms, assert_uuid, asset, keys};
use crate::support::{App, Group, Reply, SEND, User, device, text_of, text_to};

const NOT_YOURS: &str = "消息不存在或无权撤回";

async fn revoke(by: &User, message: &Value) -> Reply {
    by.post("/api/chat/revokeMessage", message.clone()).await
}

/// `rest.md` §41, C2.
#[tokio::test]
async fn rest_41_writing_to_a_group() {
    let app = App::start().await;
    the_reply_is_what_the_others_get(&app).await;
    quotas_and_blacklists_do_not_apply(&app).await;
    only_members_write(&app).await;
    what_waited_is_as_it_was_sent(&app).await;
    app.verify().await;
}

async fn the_reply_is_what_the_others_get(app: &App) {
    let ann = app.register("ann").await;
    let bob = app.register("bob").await;
    let guest = app.visitor(&device(1)).await;
    let group = app.group(&ann, &[&bob]).await;
    guest.join(group).await.ok();
    bob.rename_in(group, "Bobby").await.done();
    let mut sockets = [ann.listen().await, bob.listen().await, guest.listen().await];
    let mut body = text_to("group", group.id, "hello");
    body["options"] = json!("%7B%22path%22%3A%22x%22%7D");
    let reply = bob.post(SEND, body).await.ok();
    assert_uuid(&reply["id"]);
    assert_epoch_ms(&reply["create_time"]);
    let (info, rows) = (&reply["group"], &reply["group"]["group_users"]);
    let row = |number: usize, user: &User, nickname: &str| {
        json!({ "id": rows[number]["id"], "group_id": group.id, "user_id": user.id, "nickname": nickname,
            "avatar": "", "status": 1, "order": 50 })
    };
    let (name, avatar) = (&info["name"], format!("{0},{0},{0}", asset("user.jpg")));
    let expected = json!({ "id": reply["id"], "from_avatar": asset("user.jpg"), "from_name": "Bobby",
        "from_id": bob.id, "to_id": group.id, "to_name": name, "to_avatar": avatar, "chatType": "group",
        "type": "text", "data": r#"{"data":"hello","dataType":false,"otherData":null}"#,
        "options": { "path": "x" }, "create_time": reply["create_time"], "isremove": 0,
        "group": { "create_time": info["create_time"], "id": group.id, "uuid": info["uuid"],
            "user_id": ann.id, "name": name, "avatar": avatar, "remark": "", "invite_confirm": 0,
            "status": 1, "order": 50, "update_time": info["update_time"],
            "group_users": [row(0, &ann, ""), row(1, &bob, "Bobby"), row(2, &guest, "")] },
        "sendUUid": bob.uuid });
    assert_eq!((keys(&reply), &reply), (keys(&expected), &expected));
    for other in [0, 2] {
        assert_eq!(sockets[other].next_push().await, expected);
    }
    let by_guest = guest.say(group, "hi").await.ok();
    assert_eq!(by_guest["from_name"], guest.username);
    // The author gets no push.
    assert_eq!(sockets[1].next_push().await, by_guest);
    sockets[2].is_silent().await;
}

async fn quotas_and_blacklists_do_not_apply(app: &App) {
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let eve = app.register("eve").await;
    let group = app.group(&ann, &[&bob]).await;
    eve.join(group).await.ok();
    ann.toggle_black(&bob).await;
    ann.let_strangers_send(0).await;
    let mut socket = ann.listen().await;
    for user in [&bob, &eve, &bob, &eve] {
        let message = user.say(group, "x").await.ok();
        assert_eq!(socket.next_push().await, message);
    }
    // And do not count as messages between two people.
    eve.send(&bob, "x").await.ok();
    let mut forged = text_to("group", group.id, "x");
    forged["type"] = json!("systemNotice");
    ann.post(SEND, forged).await.refused(400, "消息类型不合法"); // DEV-14
}

async fn only_members_write(app: &App) {
    let [ann, bob, eve] = app.users(["ann", "bob", "eve"]).await;
    let group = app.group(&ann, &[&bob]).await;
    eve.say(group, "x").await.refused(400, "您不在群里，无法发消息");
    let nothing = Group { id: 999_999 };
    eve.say(nothing, "x").await.refused(400, "群不存在或者已解散或者被封禁，无法发消息");
    bob.leave(group).await.done();
    bob.say(group, "x").await.refused(400, "您不在群里，无法发消息");
    bob.join(group).await.ok();
    bob.say(group, "x").await.ok();
}

/// `ws.md` §7.3: the group part is that of the moment.
async fn what_waited_is_as_it_was_sent(app: &App) {
    let [ann, bob, cat] = app.users(["ann", "bob", "cat"]).await;
    let group = app.group(&ann, &[&bob]).await;
    bob.listen().await.close().await;
    let first = ann.say(group, "two of us").await.ok();
    cat.join(group).await.ok();
    let second = ann.say(group, "three of us").await.ok();
    ann.remove(group, &bob).await.ok();
    ann.say(group, "two of us again").await.ok();
    let mut socket = bob.connect().await;
    bob.drain().await;
    assert_eq!(socket.next_push().await, first);
    assert_eq!(text_of(&socket.next_push().await), format!("[{}] 加入了群聊", cat.username));
    assert_eq!(socket.next_push().await, second);
    socket.is_silent().await;
}

/// `rest.md` §36, V1, DEV-15, DEV-34, clarification 15.
#[tokio::test]
async fn rest_36_taking_a_group_message_back() {
    let app = App::start().await;
    everybody_is_told_once(&app).await;
    only_the_author_takes_it_back(&app).await;
    many_at_once_are_one(&app).await;
    logs_forget_the_content_and_the_history_marks_it(&app).await;
    app.verify().await;
}

async fn everybody_is_told_once(app: &App) {
    let [ann, bob, eve] = app.users(["ann", "bob", "eve"]).await;
    let group = app.group(&ann, &[&bob]).await;
    bob.rename_in(group, "Bobby").await.done();
    let message = bob.say(group, "oops").await.ok();
    ann.set_policy(group, 1).await.ok();
    eve.join(group).await.ok();
    let mut sockets = [ann.listen().await, bob.listen().await, eve.listen().await];
    let mut asked = message.clone();
    asked["to_name"] = json!("as I call it");
    asked["to_avatar"] = json!("x".repeat(4000)); // DEV-34
    let notice = revoke(&bob, &asked).await.ok();
    assert_epoch_ms(&notice["create_time"]);
    let expected = json!({ "id": message["id"], "from_avatar": asset("user.jpg"), "from_name": "Bobby",
        "from_id": bob.id, "to_id": group.id, "to_name": "as I call it", "to_avatar": "x".repeat(4000),
        "chatType": "group", "type": "systemNotice", "actionType": "revoke",
        "data": { "data": "Bobby 撤回了一条消息", "dataType": false, "otherData": null }, "options": {},
        "create_time": notice["create_time"], "isremove": 0, "group": null });
    assert_eq!((keys(&notice), &notice), (keys(&expected), &expected));
    for socket in &mut sockets[..2] {
        assert_eq!(socket.next_push().await, expected);
    }
    // Again: the same answer, and no second push.
    assert_eq!(revoke(&bob, &message).await.ok(), expected);
    for socket in &mut sockets {
        socket.is_silent().await;
    }
}

async fn only_the_author_takes_it_back(app: &App) {
    let [ann, bob, eve] = app.users(["ann", "bob", "eve"]).await;
    let group = app.group(&ann, &[&bob]).await;
    let other = app.group(&ann, &[&bob]).await;
    let message = bob.say(group, "mine").await.ok();
    let with = |key: &str, value: Value| {
        let mut message = message.clone();
        message[key] = value;
        message
    };
    revoke(&ann, &message).await.refused(400, NOT_YOURS); // also the owner
    revoke(&eve, &message).await.refused(400, "你不在该群聊中，操作失败");
    revoke(&bob, &with("to_id", json!(999_999))).await.refused(400, "群不存在");
    revoke(&bob, &with("to_id", json!(other.id))).await.refused(400, NOT_YOURS);
    revoke(&bob, &with("id", json!("no uuid"))).await.refused(400, NOT_YOURS);
    revoke(&eve, &with("id", json!("no uuid"))).await.refused(400, "你不在该群聊中，操作失败");
    // A group is no person, whatever its number.
    revoke(&bob, &with("chatType", json!("single"))).await.refused(400, NOT_YOURS);
    let old = with("create_time", json!(crate::support::now_ms() - 301_000));
    revoke(&eve, &old).await.refused(400, "消息超过5分钟，不能撤回");
    bob.leave(group).await.done();
    revoke(&bob, &message).await.refused(400, "你不在该群聊中，操作失败");
    bob.join(group).await.ok();
    revoke(&bob, &message).await.ok();
}

async fn many_at_once_are_one(app: &App) {
    let [ann, bob] = app.users(["ann", "bob"]).await;
    let group = app.group(&ann, &[&bob]).await;
    let mut socket = ann.listen().await;
    let message = ann.say(group, "oops").await.ok();
    let replies = join_all((0..20).map(|_| revoke(&ann, &message))).await;
    let notices: Vec<Value> = replies.into_iter().map(Reply::ok).collect();
    let push = socket.next_push().await;
    assert!(notices.iter().all(|notice| *notice == push), "{push} {notices:?}");
    socket.is_silent().await;
}

async fn logs_forget_the_content_and_the_history_marks_it(app: &App) {
    let [ann, bob] = app.users(["ann", "bob"]).await;
    let group = app.group(&ann, &[&bob]).await;
    for text in ["one", "two", "three"] {
        let message = ann.say(group, text).await.ok();
        if text == "two" {
            revoke(&ann, &message).await.ok();
        }
    }
    app.settle().await;
    let rows = format!("from live.messages where group_id = {}", group.id);
    let number =
        async |query: &str| app.servers.postgres.number(format!("select {query} {rows}")).await;
    assert_eq!((number("count(*)").await, number("max(number)").await), (3, 3));
    assert_eq!(number("min(number) filter (where revocation is not null)").await, 2);
    // Whoever has yet to fetch it gets it as it was (ws.md §7.3), and then that it was taken back.
    assert_eq!(number("count(*) filter (where object like '%two%')").await, 1);
    let mut redis = app.servers.redis.connect().await;
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg(format!("*chatlog:chatlog_{0}_group_{0}", group.id))
        .query_async(&mut redis)
        .await
        .expect("Redis answers");
    assert_eq!(keys.len(), 1, "{keys:?}");
    let log: Vec<String> = redis::cmd("LRANGE")
        .arg(&keys[0])
        .arg(0)
        .arg(-1)
        .query_async(&mut redis)
        .await
        .expect("Redis answers");
    let log: Vec<Value> =
        log.iter().map(|entry| serde_json::from_str(entry).expect("JSON")).collect();
    let removed: Vec<&Value> = log.iter().map(|entry| &entry["isremove"]).collect();
    assert_eq!(removed, [0, 1, 0]);
    assert_eq!(log[1]["data"], "");
}

/// Nobody gets, and nobody writes, what comes after they were put out: at two gateways.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_out_neither_reads_nor_writes() {
    let app = App::with_gateways(2).await;
    let [ann, bob, cat] = app.users(["ann", "bob", "cat"]).await;
    let there = bob.via(app.gateways[1].origin());
    let group = app.group(&ann, &[&bob, &cat]).await;
    for _ in 0..5 {
        let mut bobs = bob.listen().await;
        let mut cats = cat.via(app.gateways[1].origin()).listen().await;
        let stop = AtomicBool::new(false);
        let writing = async {
            // What was accepted before they were put out, and a refusal after it.
            let mut accepted = 0;
            loop {
                let reply = there.say(group, &format!("bob {accepted}")).await;
                if reply.status != 200 {
                    reply.refused(400, "您不在群里，无法发消息");
                    return accepted;
                }
                accepted += 1;
            }
        };
        let others = async {
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                ann.say(group, &format!("ann {count}")).await.ok();
                count += 1;
            }
            count
        };
        let removing = async {
            for _ in 0..10 {
                there.say(group, "bob waits").await;
            }
            ann.remove(group, &bob).await.ok();
            let after = ann.say(group, "without bob").await.ok();
            stop.store(true, Ordering::Relaxed);
            after
        };
        let (accepted, _, after) = tokio::join!(writing, others, removing);
        ann.say(group, "end").await.ok();
        // Who is in has seen all that was accepted, once.
        let texts = cats.texts_until("end").await;
        let of_bob: Vec<&String> =
            texts.iter().filter(|text| text.starts_with("bob ") && **text != "bob waits").collect();
        let expected: Vec<String> = (0..accepted).map(|number| format!("bob {number}")).collect();
        assert_eq!(of_bob, expected.iter().collect::<Vec<_>>());
        assert!(texts.contains(&text_of(&after)));
        // Who is out has seen nothing of what came after.
        bob.send(&bob, "mark").await.ok();
        let seen = bobs.texts_until("mark").await;
        assert!(
            !seen.contains(&"without bob".to_owned()) && !seen.contains(&"end".to_owned()),
            "{seen:?}"
        );
        let position = seen.iter().position(|text| text == "without bob");
        assert_eq!(position, None);
        ann.invite(group, &bob).await.ok();
    }
    app.verify().await;
}
