//! `rest.md` §9, §11, §13, §16, §19, §37, §40; `data.md` §7; P1 and P2 of `ws.md` §6.2.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::shapes::{assert_epoch_ms, assert_uuid, asset, keys};
use crate::support::{App, Reply, Socket, User, device, one_wins};

const ALREADY: &str = "您已经申请过了，请勿重复申请";
const ANSWERED: &str = "申请不存在或已处理";
const NOT_FRIENDS: &str = "不是好友";

async fn apply(from: &User, to: &User) -> Reply {
    from.post("/api/chat/applyfriend", json!({ "friend_id": to.id, "nickname": "hello" })).await
}

async fn add(from: &User, to: &User) -> Reply {
    from.post("/api/chat/autoAddFriendAndAgree", json!({ "friend_id": to.id })).await
}

async fn answer(by: &User, request: u64, status: &str, remark: &str) -> Reply {
    by.post(
        &format!("/api/chat/handleapply/{request}"),
        json!({ "status": status, "nickname": remark }),
    )
    .await
}

/// My edge to somebody (`rest.md` §19).
async fn edge(of: &User, to: &User) -> Reply {
    of.post_empty(&format!("/api/chat/ismygoodfriend/{}", to.id)).await
}

async fn remark(of: &User, to: &User) -> Value {
    edge(of, to).await.ok()["nickname"].clone()
}

/// Insists that nothing but this message comes next.
async fn next_is(socket: &mut Socket, from: &User, to: &User, text: &str) {
    from.send(to, text).await.ok();
    assert_eq!(socket.next_text().await, text);
}

/// `rest.md` §11, §13, §19, `data.md` §7, `ws.md` P1, P2.
#[tokio::test]
async fn rest_11_13_19_asking_and_answering() {
    let app = App::start().await;
    an_application_is_announced(&app).await;
    whom_one_cannot_ask(&app).await;
    agreeing_makes_both_friends(&app).await;
    other_answers_change_nothing_else(&app).await;
    only_the_asked_one_answers(&app).await;
    a_blacklisted_friend_is_no_friend_until_unblocked(&app).await;
}

async fn an_application_is_announced(app: &App) {
    let [ann, bob] = app.users(["ann", "bob"]).await;
    ann.rename("Ann").await;
    bob.rename("Bob").await;
    let mut socket = bob.connect().await;
    apply(&ann, &bob).await.done();
    let push = socket.next_push().await;
    assert_eq!(push, p1(&push, &ann, "Ann", &bob, "Bob"));
    apply(&ann, &bob).await.refused(400, ALREADY);
    // Without a socket it waits in the queue.
    let guest = app.visitor(&device(1)).await;
    socket.close().await;
    apply(&guest, &bob).await.done();
    let mut socket = bob.connect().await;
    bob.drain().await;
    let push = socket.next_push().await;
    assert_eq!(push, p1(&push, &guest, &guest.username, &bob, "Bob"));
}

/// P1, a friend request.
fn p1(push: &Value, from: &User, from_name: &str, to: &User, to_name: &str) -> Value {
    assert_uuid(&push["id"]);
    assert_epoch_ms(&push["create_time"]);
    let key = format!("redirect-applyFriend-{}", from.id);
    let text = format!("用户[{from_name}]申请添加您为好友，请尽快处理");
    json!({ "id": push["id"], "from_avatar": asset("group.png"), "from_name": "好友申请提醒", "from_id": key,
        "to_id": to.id, "to_name": to_name, "to_avatar": asset("user.jpg"), "chatType": "single", "type": "text",
        "data": { "data": text, "dataType": false, "otherData": null }, "options": {},
        "create_time": push["create_time"], "isremove": 0, "msgidKey": key,
        "redirect": { "url": "/pages/applyMyfriend/applyMyfriend", "type": "navigateTo" } })
}

async fn whom_one_cannot_ask(app: &App) {
    let [ann, bob] = app.users(["ann", "bob"]).await;
    apply(&ann, &ann).await.refused(400, "不能添加自己为好友");
    add(&ann, &ann).await.refused(400, "不能添加自己为好友");
    app.cli(&["users", "disable", &bob.id.to_string()]).await.ok();
    for path in ["/api/chat/applyfriend", "/api/chat/autoAddFriendAndAgree"] {
        ann.post(path, json!({})).await.refused(422, "我申请添加的好友id不能为空");
        for id in [bob.id, 999_999] {
            ann.post(path, json!({ "friend_id": id })).await.refused(400, "添加的好友不存在");
        }
    }
}

async fn agreeing_makes_both_friends(app: &App) {
    let [ann, bob] = app.users(["ann", "bob"]).await;
    ann.rename("Ann").await;
    bob.rename("Bob").await;
    apply(&ann, &bob).await.done();
    let request = app.request(&ann, &bob).await;
    let (mut hers, mut his) = (ann.connect().await, bob.connect().await);
    answer(&bob, request, "pending", "").await.done(); // changes nothing
    edge(&bob, &ann).await.refused(400, NOT_FRIENDS);
    answer(&bob, request, "agree", "Annie").await.done();
    // Who agrees with a remark is shown with it, on both sides.
    let (to_ann, to_bob) = (hers.next_push().await, his.next_push().await);
    assert_eq!(to_ann, p2(&to_ann, &bob, "Bob", &ann, "Annie"));
    assert_eq!(to_bob, p2(&to_ann, &ann, "Annie", &bob, "Bob"));
    let mine = edge(&bob, &ann).await.ok();
    let expected = json!({ "id": mine["id"], "user_id": bob.id, "friend_id": ann.id, "nickname": "Annie",
        "friendlookme": 1, "melookfriend": 1, "ismystarfriend": 0, "isblack": 0, "status": 1 });
    assert_eq!((keys(&mine), &mine), (keys(&expected), &expected));
    assert_eq!(remark(&ann, &bob).await, "Bob");
    for status in ["agree", "refuse", "pending"] {
        answer(&bob, request, status, "").await.refused(400, ANSWERED);
    }
    apply(&ann, &bob).await.refused(400, ALREADY);
    // The other direction is not checked; a late agreement leaves the edges as they are.
    apply(&bob, &ann).await.done();
    answer(&ann, app.request(&bob, &ann).await, "agree", "Bobby").await.done();
    assert_eq!(
        (remark(&ann, &bob).await, remark(&bob, &ann).await),
        (json!("Bob"), json!("Annie"))
    );
}

/// P2, now friends, with the id and the time of `push`.
fn p2(push: &Value, from: &User, from_name: &str, to: &User, to_name: &str) -> Value {
    assert_uuid(&push["id"]);
    assert_epoch_ms(&push["create_time"]);
    json!({ "id": push["id"], "from_avatar": asset("user.jpg"), "from_name": from_name, "from_id": from.id,
        "to_id": to.id, "to_name": to_name, "to_avatar": asset("user.jpg"), "chatType": "single",
        "type": "systemNotice", "options": {}, "create_time": push["create_time"], "isremove": 0,
        "data": { "data": "我们已经是好友了，可以开始聊天了", "dataType": false, "otherData": null } })
}

async fn other_answers_change_nothing_else(app: &App) {
    let [ann, bob] = app.users(["ann", "bob"]).await;
    ann.let_strangers_send(2).await;
    let mut socket = ann.connect().await;
    for status in ["refuse", "ignore"] {
        apply(&ann, &bob).await.done();
        let request = app.request(&ann, &bob).await;
        answer(&bob, request, status, "").await.done();
        answer(&bob, request, "agree", "").await.refused(400, ANSWERED);
        edge(&ann, &bob).await.refused(400, NOT_FRIENDS);
    }
    apply(&ann, &bob).await.done();
    next_is(&mut socket, &bob, &ann, "nobody told ann").await;
}

async fn only_the_asked_one_answers(app: &App) {
    let [ann, bob, eve] = app.users(["ann", "bob", "eve"]).await;
    apply(&ann, &bob).await.done();
    let request = app.request(&ann, &bob).await;
    for user in [&ann, &eve] {
        answer(user, request, "agree", "").await.refused(400, ANSWERED);
    }
    answer(&bob, 999_999, "agree", "").await.refused(400, ANSWERED);
    bob.post("/api/chat/handleapply/1", json!({})).await.refused(422, "处理状态不能为空");
    let zero = bob.post("/api/chat/handleapply/0", json!({ "status": "agree" })).await;
    zero.refused(422, "申请表的id 的数值 必须 在 1 和 10000000000000000 之间");
    answer(&bob, request, "agree", &"x".repeat(51)).await.done(); // too long: no remark
    assert_eq!(remark(&bob, &ann).await, "");
    assert_eq!(remark(&ann, &bob).await, "");
}

/// `rest.md` §16, §19.
async fn a_blacklisted_friend_is_no_friend_until_unblocked(app: &App) {
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let stranger = app.register("cat").await;
    ann.toggle_black(&bob).await;
    edge(&ann, &bob).await.refused(400, NOT_FRIENDS);
    edge(&bob, &ann).await.ok();
    ann.toggle_black(&bob).await;
    edge(&ann, &bob).await.ok();
    let path = format!("/api/chat/setblackgoodfriend/{}", stranger.id);
    ann.post_empty(&path).await.refused(400, "好友不存在");
    edge(&ann, &stranger).await.refused(400, NOT_FRIENDS);
    for (path, label) in [
        ("setblackgoodfriend", "好友id"),
        ("ismygoodfriend", "朋友id"),
        ("deletegoodfriend", "朋友id"),
    ] {
        let reply = ann.post_empty(&format!("/api/chat/{path}/me")).await;
        reply.refused(422, &format!("{label} 的值 `me` 的类型不是 `int`"));
    }
    // The blacklist keeps nobody from asking, and being friends keeps nobody from adding.
    ann.toggle_black(&bob).await;
    apply(&bob, &ann).await.done();
    answer(&ann, app.request(&bob, &ann).await, "agree", "").await.done();
    edge(&ann, &bob).await.refused(400, NOT_FRIENDS); // the edge stays as it was
    let [cat, dan] = app.users(["cat", "dan"]).await;
    apply(&cat, &dan).await.done();
    answer(&dan, app.request(&cat, &dan).await, "agree", "Kitty").await.done();
    dan.rename("Dan").await;
    add(&dan, &cat).await.done();
    assert_eq!((remark(&dan, &cat).await, remark(&cat, &dan).await), (json!("Kitty"), json!("")));
}

/// `rest.md` §9, `data.md` §2.4.
#[tokio::test]
async fn rest_09_has_this_user_asked() {
    let app = App::start().await;
    let [ann, bob] = app.users(["ann", "bob"]).await;
    let asked =
        async |by: &User| bob.post_empty(&format!("/api/chat/isApplyfriend/{}", by.uuid)).await;
    asked(&ann).await.refused(400, "用户申请信息不存在");
    apply(&ann, &bob).await.done();
    let request = asked(&ann).await.ok();
    let expected = json!({ "id": app.request(&ann, &bob).await, "user_id": ann.id, "friend_id": bob.id,
        "nickname": "hello", "friendlookme": 1, "melookfriend": 1, "ismystarfriend": 0, "isblack": 0,
        "status": "pending", "userId": ann.id });
    assert_eq!((keys(&request), &request), (keys(&expected), &expected));
    bob.post_empty("/api/chat/isApplyfriend/short")
        .await
        .refused(422, "uuid值 的长度 必须 在 36 和 36 之间");
    let nobody = "/api/chat/isApplyfriend/edda71aa-4a31-4ba8-9025-8fdc0dc3c0fa";
    bob.post_empty(nobody).await.refused(400, "用户不存在");
    // A text that is too long becomes none.
    let cat = app.register("cat").await;
    let long = json!({ "friend_id": bob.id, "nickname": "x".repeat(51) });
    cat.post("/api/chat/applyfriend", long).await.done();
    assert_eq!(asked(&cat).await.ok()["nickname"], "");
    // 50 characters are not too long, whatever they take in bytes.
    let dan = app.register("dan").await;
    let full = json!({ "friend_id": bob.id, "nickname": "🦆".repeat(50) });
    dan.post("/api/chat/applyfriend", full).await.done();
    assert_eq!(asked(&dan).await.ok()["nickname"], "🦆".repeat(50));
    // The other direction, oneself, and a request that was answered.
    let path = format!("/api/chat/isApplyfriend/{}", bob.uuid);
    ann.post_empty(&path).await.refused(400, "用户申请信息不存在");
    bob.post_empty(&path).await.refused(400, "用户申请信息不存在");
    for (user, status) in [(&cat, "refuse"), (&dan, "agree")] {
        answer(&bob, app.request(user, &bob).await, status, "").await.done();
        asked(user).await.refused(400, "用户申请信息不存在");
    }
    let no_uuid = format!("/api/chat/isApplyfriend/{}", "x".repeat(36));
    bob.post_empty(&no_uuid).await.refused(400, "用户不存在");
    app.cli(&["users", "disable", &ann.id.to_string()]).await.ok();
    asked(&ann).await.refused(400, "用户不存在");
}

/// `rest.md` §37, §40, `data.md` §7, clarification 8.
#[tokio::test]
async fn rest_37_40_becoming_friends_at_once_and_parting() {
    let app = App::start().await;
    friends_at_once(&app).await;
    who_wants_to_be_asked_is_asked(&app).await;
    adding_answers_the_other_sides_request(&app).await;
    parting_removes_everything_silently(&app).await;
}

async fn friends_at_once(app: &App) {
    let (ann, guest) = (app.register("ann").await, app.visitor(&device(1)).await);
    ann.rename("Ann").await;
    guest.rename("Guest").await;
    let (mut hers, mut theirs) = (ann.connect().await, guest.connect().await);
    add(&guest, &ann).await.done();
    let (to_ann, to_guest) = (hers.next_push().await, theirs.next_push().await);
    assert_eq!(to_ann, p2(&to_ann, &guest, "Guest", &ann, "Ann"));
    assert_eq!(to_guest, p2(&to_ann, &ann, "Ann", &guest, "Guest"));
    assert_eq!(
        (remark(&guest, &ann).await, remark(&ann, &guest).await),
        (json!(""), json!("Guest"))
    );
    add(&guest, &ann).await.refused(400, ALREADY);
    apply(&guest, &ann).await.refused(400, ALREADY);
}

async fn who_wants_to_be_asked_is_asked(app: &App) {
    let [ann, bob] = app.users(["ann", "bob"]).await;
    bob.change("invite_confirm", "1").await.ok();
    add(&ann, &bob).await.refused(400, "需要对方审核，不能自动加对方为好友");
    apply(&ann, &bob).await.done();
    add(&ann, &bob).await.refused(400, "需要对方审核，不能自动加对方为好友");
    bob.change("invite_confirm", "0").await.ok();
    add(&ann, &bob).await.refused(400, ALREADY);
}

/// Clarification 8.
async fn adding_answers_the_other_sides_request(app: &App) {
    let [ann, bob] = app.users(["ann", "bob"]).await;
    apply(&bob, &ann).await.done();
    let request = app.request(&bob, &ann).await;
    add(&ann, &bob).await.done();
    answer(&ann, request, "agree", "").await.refused(400, ANSWERED);
    apply(&bob, &ann).await.refused(400, ALREADY);
    edge(&bob, &ann).await.ok();
}

async fn parting_removes_everything_silently(app: &App) {
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    apply(&bob, &ann).await.done();
    ann.let_strangers_send(2).await;
    let part = async |by: &User, from: &User| {
        by.post_empty(&format!("/api/chat/deletegoodfriend/{}", from.id)).await
    };
    let mut socket = ann.connect().await;
    assert_eq!(part(&bob, &ann).await.ok(), "删除好友成功");
    next_is(&mut socket, &bob, &ann, "nobody told ann").await;
    for (one, other) in [(&ann, &bob), (&bob, &ann)] {
        edge(one, other).await.refused(400, NOT_FRIENDS);
        part(one, other).await.refused(400, "不是好友关系，无权操作");
    }
    // The requests are gone as well, so a new one is fine.
    apply(&ann, &bob).await.done();
    apply(&bob, &ann).await.done();
}

/// Clarification 21: who loses a race gets the ordinary text.
#[tokio::test]
async fn rest_11_13_40_races_have_one_winner() {
    let app = App::start().await;
    let [ann, bob, cat, dan] = app.users(["ann", "bob", "cat", "dan"]).await;
    one_wins(join_all((0..20).map(|_| apply(&ann, &bob))).await, ALREADY);
    let request = app.request(&ann, &bob).await;
    one_wins(join_all((0..20).map(|_| answer(&bob, request, "agree", ""))).await, ANSWERED);
    one_wins(join_all((0..20).map(|_| add(&cat, &dan))).await, ALREADY);
    // Both at once: friends in the end, and nobody hears of a technical failure.
    let [eve, fay] = app.users(["eve", "fay"]).await;
    let mut socket = eve.connect().await;
    for reply in join_all([add(&eve, &fay), add(&fay, &eve)]).await {
        if reply.status != 200 {
            reply.refused(400, ALREADY);
        }
    }
    assert_eq!(socket.next_push().await["type"], "systemNotice");
    edge(&eve, &fay).await.ok();
    edge(&fay, &eve).await.ok();
}
