//! `rest.md` §28, §29; G4, G5, G6 of `ws.md` §6.3; DEV-17, DEV-18, DEV-19.

use serde_json::{Value, json};

use crate::support::shapes::{assert_epoch_ms, asset, enc, keys};
use crate::support::{App, Group, User, device, text_of};

const IN: &str = "加群成功";
const WAITING: &str = "等待群主同意";
const MEMBER_ALREADY: &str = "用户已经在群里";
const WAITING_ALREADY: &str = "已申请加入群聊，正在等待群主同意";
const ILLEGAL: &str = "非法操作";

/// `rest.md` §29, `data.md` §8.
#[tokio::test]
async fn rest_29_joining_and_inviting() {
    let app = App::start().await;
    whoever_joins_is_announced(&app).await;
    whoever_waits_is_the_owners_to_decide(&app).await;
    policies_decide_who_gets_in(&app).await;
    dev_18_policy_2_admits_registered_users_at_once(&app).await;
    dev_17_the_inviter_is_the_caller(&app).await;
    refusals_come_in_order(&app).await;
    app.verify().await;
}

/// An account as G4 and G6 show it.
fn summary(user: &User, nickname: &str) -> Value {
    json!({ "username": user.username, "nickname": nickname, "avatar": asset("user.jpg") })
}

/// A member as G4 and G6 show them.
fn member(user: &User, nickname: &str) -> Value {
    json!({ "user_id": user.id, "nickname": "", "avatar": "", "status": 1, "user": summary(user, nickname) })
}

/// `redirect-applyAddGroup{group}-{user}-{epoch ms}`
#[track_caller]
fn assert_key(key: &Value, group: Group, user: &User) {
    let key = key.as_str().expect("a key");
    let time = key.strip_prefix(&format!("redirect-applyAddGroup{}-{}-", group.id, user.id));
    assert_epoch_ms(&json!(time.and_then(|time| time.parse::<i64>().ok()).expect("a time")));
}

async fn whoever_joins_is_announced(app: &App) {
    let ann = app.register("ann").await;
    let bob = app.register("bob").await;
    let [cat, eve] = app.users(["cat", "eve"]).await;
    cat.rename("Cat").await;
    cat.change("avatar", "https://h/c.png").await.ok();
    let group = app.group(&ann, &[&bob]).await;
    let mut sockets = [ann.listen().await, bob.listen().await, cat.listen().await];
    assert_eq!(cat.join(group).await.ok(), IN);
    let push = sockets[0].next_push().await;
    assert_key(&push["from_id"], group, &cat);
    let (name, info) = (&push["to_name"], &push["group"]);
    let avatar = format!("{0},{0},https://h/c.png", asset("user.jpg"));
    let mut cats = member(&cat, "Cat");
    cats["user"]["avatar"] = json!("https://h/c.png");
    let expected = json!({ "id": push["id"], "from_avatar": asset("group.png"), "from_name": "加群申请提醒",
        "from_id": push["from_id"], "to_id": group.id, "to_name": name, "to_avatar": avatar,
        "chatType": "group", "type": "systemNotice",
        "data": { "data": "[Cat] 加入了群聊", "dataType": false, "otherData": null }, "options": {},
        "create_time": push["create_time"], "isremove": 0,
        "group": { "create_time": info["create_time"], "id": group.id, "uuid": info["uuid"],
            "user_id": ann.id, "name": name, "avatar": avatar, "remark": "", "invite_confirm": 0,
            "status": 1, "order": 50, "update_time": info["update_time"], "user": summary(&ann, ""),
            "group_users": [member(&ann, ""), member(&bob, ""), cats] } });
    assert_eq!((keys(&push), &push), (keys(&expected), &expected));
    for socket in &mut sockets[1..] {
        assert_eq!(socket.next_push().await, expected);
    }
    assert_eq!(ann.group_info(group).await.ok()["avatar"], avatar);
    // Brought by a member, whose name in the group is told.
    bob.rename_in(group, "Bobby").await.done();
    assert_eq!(bob.invite(group, &eve).await.ok(), IN);
    let text = format!("[Bobby]邀请 [{}] 加入了群聊", eve.username);
    for socket in &mut sockets {
        assert_eq!(socket.next_text().await, text);
    }
}

async fn whoever_waits_is_the_owners_to_decide(app: &App) {
    let ann = app.register("ann").await;
    let [bob, cat] = app.users(["bob", "cat"]).await;
    let guest = app.visitor(&device(1)).await;
    let group = app.group(&ann, &[&bob]).await;
    ann.post("/api/chat/groupUpdateName", json!({ "id": group.id, "name": "Tea & 茶" }))
        .await
        .done();
    ann.rename_in(group, "Boss").await.done();
    ann.set_policy(group, 1).await.ok();
    let mut sockets = [ann.listen().await, bob.listen().await, guest.listen().await];
    assert_eq!(guest.join(group).await.ok(), WAITING);
    let push = sockets[0].next_push().await;
    let expected = g6(&push, (&ann, &bob), group, &guest, "");
    assert_eq!((keys(&push), &push), (keys(&expected), &expected));
    // Brought by a member, they wait all the same; brought by the owner they do not.
    assert_eq!(bob.invite(group, &cat).await.ok(), WAITING);
    let push = sockets[0].next_push().await;
    let expected = g6(&push, (&ann, &bob), group, &cat, &bob.username);
    assert_eq!(push, expected);
    guest.join(group).await.refused(400, WAITING_ALREADY);
    bob.invite(group, &guest).await.refused(400, WAITING_ALREADY);
    ann.invite(group, &guest).await.refused(400, WAITING_ALREADY);
    assert_eq!(ann.roster(group).await, [ann.id, bob.id], "who waits is in no roster");
    guest.say(group, "x").await.refused(400, "您不在群里，无法发消息");
    for socket in &mut sockets {
        socket.is_silent().await;
    }
}

/// G6 with the id, the times and the group's uuid of `push`.
fn g6(push: &Value, (ann, bob): (&User, &User), group: Group, user: &User, inviter: &str) -> Value {
    let (key, at, info) = (&push["from_id"], &push["create_time"], &push["group"]);
    assert_key(key, group, user);
    assert_epoch_ms(at);
    let avatar = format!("{0},{0}", asset("user.jpg"));
    let by_others = !inviter.is_empty();
    let part = if by_others { format!("[{inviter}]邀请 ") } else { String::new() };
    let desc = json!({ "addGroupUserType": if by_others { "邀请进群" } else { "用户自主进群" },
        "inviteUser": inviter, "addGroupTime": at, "addGroupDesc": "please",
        "addGroupUserRole": user.full["role"], "msgidKey": key });
    let url = format!(
        "/pages/setpageInfo/setpageInfo?action=applyAddGroup&title={}&id={}&name={}&avatar={}&chatType=group\
         &applyUserid={}&applyUsername={}&applyUseruuid={}&applyUseravatar={}&applydesc={}",
        enc("加群申请"),
        group.id,
        enc("Tea & 茶"),
        enc(&avatar),
        user.id,
        enc(&user.username),
        user.uuid,
        enc(&asset("user.jpg")),
        enc(&desc.to_string())
    );
    let text = format!("请处理申请 {part}[{}] 加入了群[Tea & 茶]", user.username);
    let mut boss = member(ann, "");
    boss["nickname"] = json!("Boss");
    json!({ "id": push["id"], "from_avatar": asset("group.png"), "from_name": "加群处理", "from_id": key,
        "to_id": ann.id, "to_name": "Boss", "to_avatar": asset("user.jpg"), "chatType": "single",
        "type": "text", "data": { "data": text, "dataType": false, "otherData": null },
        "redirect": { "url": url, "type": "navigateTo", "desc": desc }, "options": {}, "create_time": at,
        "isremove": 0,
        "group": { "create_time": info["create_time"], "id": group.id, "uuid": info["uuid"],
            "user_id": ann.id, "name": "Tea & 茶", "avatar": avatar, "remark": "", "invite_confirm": 1,
            "status": 1, "order": 50, "update_time": info["update_time"], "user": summary(ann, ""),
            "group_users": [boss, member(bob, "")] },
        "msgidKey": key })
}

async fn policies_decide_who_gets_in(app: &App) {
    let [ann, bob, eve] = app.users(["ann", "bob", "eve"]).await;
    let guest = app.visitor(&device(2)).await;
    let group = app.group(&ann, &[&bob]).await;
    let mut socket = ann.listen().await;
    for (policy, by_owner, alone) in
        [(0, IN, IN), (1, IN, WAITING), (2, IN, ""), (3, IN, IN), (10, IN, IN)]
    {
        ann.set_policy(group, policy).await.ok();
        for user in [&eve, &guest] {
            assert_eq!(ann.invite(group, user).await.ok(), by_owner);
            ann.remove(group, user).await.ok();
            if policy <= 2 {
                assert!(
                    text_of(&socket.next_push().await)
                        .starts_with(&format!("[{}]邀请 ", ann.username))
                );
            }
        }
        if alone.is_empty() {
            guest.join(group).await.refused(400, "请先登录再申请进群");
            bob.invite(group, &guest).await.refused(400, "请先登录再申请进群");
        } else {
            assert_eq!(guest.join(group).await.ok(), alone);
            ann.remove(group, &guest).await.ok();
        }
        if policy < 2 {
            socket.next_push().await;
        }
    }
    socket.is_silent().await; // 3 to 10 tell nobody
}

async fn dev_18_policy_2_admits_registered_users_at_once(app: &App) {
    let [ann, bob, cat, dan] = app.users(["ann", "bob", "cat", "dan"]).await;
    let group = app.group(&ann, &[&bob]).await;
    ann.set_policy(group, 2).await.ok();
    let mut sockets = [ann.listen().await, bob.listen().await];
    assert_eq!(cat.join(group).await.ok(), IN);
    assert_eq!(bob.invite(group, &dan).await.ok(), IN);
    for socket in &mut sockets {
        for text in [
            format!("[{}] 加入了群聊", cat.username),
            format!("[{}]邀请 [{}] 加入了群聊", bob.username, dan.username),
        ] {
            let push = socket.next_push().await;
            assert_eq!((text_of(&push), &push["type"]), (text, &json!("systemNotice")));
        }
        socket.is_silent().await;
    }
    // A registered account in guest mode has the row role of a registered one.
    ann.decide(group, &cat, "agree").await.refused(400, ILLEGAL);
}

async fn dev_17_the_inviter_is_the_caller(app: &App) {
    let [ann, bob, eve, fay] = app.users(["ann", "bob", "eve", "fay"]).await;
    let group = app.group(&ann, &[&bob]).await;
    let id = |user: &User| i64::try_from(user.id).expect("small");
    ann.set_policy(group, 1).await.ok();
    eve.bring(group, &eve, id(&ann)).await.refused(400, ILLEGAL);
    eve.bring(group, &fay, id(&ann)).await.refused(400, ILLEGAL);
    for inviter in [id(&eve), 0, -1] {
        eve.bring(group, &fay, inviter).await.refused(400, ILLEGAL);
    }
    // Nor do those who wait bring others.
    assert_eq!(eve.bring(group, &eve, id(&eve)).await.ok(), WAITING);
    eve.invite(group, &fay).await.refused(400, ILLEGAL);
    ann.set_policy(group, 0).await.ok();
    assert_eq!(bob.bring(group, &fay, 0).await.ok(), IN);
}

async fn refusals_come_in_order(app: &App) {
    let [ann, bob, eve] = app.users(["ann", "bob", "eve"]).await;
    let group = app.group(&ann, &[&bob]).await;
    let nothing = Group { id: 999_999 };
    eve.bring(nothing, &ann, 1).await.refused(400, "群不存在或者被封禁");
    for user in [&ann, &bob] {
        ann.invite(group, user).await.refused(400, MEMBER_ALREADY);
        user.join(group).await.refused(400, MEMBER_ALREADY);
    }
    let gone = "加群的用户不存在或已被封禁，无法加入群聊";
    let invite = async |user: u64| {
        let body = json!({ "group_id": group.id, "user_id": user });
        ann.post("/api/chat/groupInviteUser", body).await
    };
    invite(999_999).await.refused(400, gone);
    app.cli(&["users", "disable", &eve.id.to_string()]).await.ok();
    invite(eve.id).await.refused(400, gone);
    let mut body = json!({});
    for (key, label) in [("group_id", "群id"), ("user_id", "用户id")] {
        ann.post("/api/chat/groupInviteUser", body.clone())
            .await
            .refused(422, &format!("{label}不能为空"));
        body[key] = json!(group.id);
    }
    // What is said too long is not said; an inviter who is no number is none.
    let fay = app.register("fay").await;
    let body = json!({ "group_id": group.id, "user_id": fay.id, "inviteuser_id": "x", "addGroupDesc": "x".repeat(501) });
    ann.set_policy(group, 1).await.ok();
    let mut socket = ann.listen().await;
    fay.post("/api/chat/groupInviteUser", body).await.ok();
    assert_eq!(socket.next_push().await["redirect"]["desc"]["addGroupDesc"], "");
}

/// `rest.md` §28, G5, DEV-19.
#[tokio::test]
async fn rest_28_deciding_on_applications() {
    let app = App::start().await;
    who_is_agreed_to_is_announced(&app).await;
    who_is_refused_hears_nothing_and_may_ask_again(&app).await;
    dev_19_who_is_gone_is_not_let_in(&app).await;
    only_the_owner_decides(&app).await;
    app.verify().await;
}

async fn waiting(app: &App) -> ([User; 3], Group) {
    let [ann, bob, eve] = app.users(["ann", "bob", "eve"]).await;
    let group = app.group(&ann, &[&bob]).await;
    ann.set_policy(group, 1).await.ok();
    assert_eq!(eve.join(group).await.ok(), WAITING);
    ([ann, bob, eve], group)
}

async fn who_is_agreed_to_is_announced(app: &App) {
    let ([ann, bob, eve], group) = waiting(app).await;
    let mut sockets = [ann.listen().await, bob.listen().await, eve.listen().await];
    assert_eq!(ann.decide(group, &eve, "agree").await.ok(), "处理成功");
    let push = sockets[0].next_push().await;
    assert_key(&push["from_id"], group, &eve);
    let avatar = format!("{0},{0},{0}", asset("user.jpg"));
    let (name, info) = (&push["to_name"], &push["group"]);
    let rows = &info["group_users"];
    let row = |number: usize, user: &User| {
        json!({ "create_time": rows[number]["create_time"], "id": rows[number]["id"], "group_id": group.id,
            "user_id": user.id, "nickname": "", "avatar": "", "status": 1, "order": 50,
            "update_time": rows[number]["update_time"], "groupId": group.id })
    };
    let expected = json!({ "id": push["id"], "from_avatar": asset("group.png"), "from_name": "加群申请提醒",
        "from_id": push["from_id"], "to_id": group.id, "to_name": name, "to_avatar": avatar,
        "chatType": "group", "type": "systemNotice",
        "data": { "data": format!("[{}] 加入了群聊", eve.username), "dataType": false, "otherData": null },
        "options": {}, "create_time": push["create_time"], "isremove": 0,
        "group": { "create_time": info["create_time"], "id": group.id, "uuid": info["uuid"],
            "user_id": ann.id, "name": name, "avatar": avatar, "remark": "", "invite_confirm": 1,
            "status": 1, "order": 50, "update_time": info["update_time"],
            "group_users": [row(0, &ann), row(1, &bob), row(2, &eve)] } });
    assert_eq!((keys(&push), &push), (keys(&expected), &expected));
    for socket in &mut sockets[1..] {
        assert_eq!(socket.next_push().await, expected);
    }
    assert_eq!(ann.group_info(group).await.ok()["avatar"], avatar);
    eve.say(group, "thanks").await.ok();
    ann.decide(group, &eve, "agree").await.refused(400, ILLEGAL);
}

async fn who_is_refused_hears_nothing_and_may_ask_again(app: &App) {
    let ([ann, _, eve], group) = waiting(app).await;
    let mut socket = eve.listen().await;
    assert_eq!(ann.decide(group, &eve, "no").await.ok(), "处理成功");
    ann.decide(group, &eve, "no").await.refused(400, ILLEGAL);
    socket.is_silent().await;
    assert_eq!(eve.join(group).await.ok(), WAITING);
}

/// DEV-19.
async fn dev_19_who_is_gone_is_not_let_in(app: &App) {
    let ([ann, _, eve], group) = waiting(app).await;
    app.cli(&["users", "disable", &eve.id.to_string()]).await.ok();
    ann.decide(group, &eve, "agree").await.refused(400, "用户不存在或者被封禁");
    assert!(!ann.roster(group).await.contains(&eve.id), "nothing has changed");
    app.cli(&["users", "enable", &eve.id.to_string()]).await.ok();
    eve.join(group).await.refused(400, WAITING_ALREADY);
    app.cli(&["users", "disable", &eve.id.to_string()]).await.ok();
    assert_eq!(ann.decide(group, &eve, "no").await.ok(), "处理成功");
}

async fn only_the_owner_decides(app: &App) {
    let ([ann, bob, eve], group) = waiting(app).await;
    let text = "群不存在或者被封禁或者你无权操作";
    for user in [&bob, &eve] {
        user.decide(group, &eve, "agree").await.refused(400, text);
    }
    ann.decide(Group { id: 999_999 }, &eve, "agree").await.refused(400, text);
    ann.decide(group, &bob, "agree").await.refused(400, ILLEGAL);
    ann.decide(group, &eve, "maybe")
        .await
        .refused(422, "同意或者拒绝 的值 `maybe` 必须在 [`agree`、`no`] 中");
}
