//! `rest.md` §24–§27, §30, §31: what the owner and members do to a group; G2, G3, G7, G8 of `ws.md` §6.3; DEV-25.

use serde_json::{Value, json};

use crate::support::shapes::{assert_epoch_ms, assert_iso_time, assert_row_time, asset, keys};
use crate::support::{App, Group, Reply, User, device, text_of};

const NOT_IN: &str = "你不在该群聊中，操作失败";

async fn rename(by: &User, group: Group, name: &str) -> Reply {
    by.post("/api/chat/groupUpdateName", json!({ "id": group.id, "name": name })).await
}

async fn announce(by: &User, group: Group, remark: &str) -> Reply {
    by.post("/api/chat/groupremark", json!({ "id": group.id, "remark": remark })).await
}

/// `rest.md` §24, §25, G2, G3, DEV-25.
#[tokio::test]
async fn rest_24_25_renaming_and_announcing() {
    let app = App::start().await;
    members_hear_of_it(&app).await;
    dev_25_who_waits_does_not(&app).await;
    only_the_owner_does_it(&app).await;
    rest_27_the_owner_decides_how_people_get_in(&app).await;
    app.verify().await;
}

async fn members_hear_of_it(app: &App) {
    let ann = app.register("ann").await;
    let bob = app.register("bob").await;
    let group = app.group(&ann, &[&bob]).await;
    ann.rename_in(group, "Boss").await.done();
    let mut sockets = [ann.listen().await, bob.listen().await];
    rename(&ann, group, "Tea club").await.done();
    announce(&ann, group, "Tea at five").await.done();
    for (text, remark) in
        [("群名称修改为：Tea club", ""), ("[公告] \n\n Tea at five", "Tea at five")]
    {
        let push = sockets[0].next_push().await;
        assert_epoch_ms(&push["create_time"]);
        let info = &push["group"];
        let row = |user: &User, nickname: &str| json!({ "group_id": group.id, "user_id": user.id, "nickname": nickname, "avatar": "" });
        let avatar = format!("{0},{0}", asset("user.jpg"));
        let expected = json!({ "id": push["id"], "from_avatar": asset("user.jpg"), "from_name": "Boss",
            "from_id": ann.id, "to_id": group.id, "to_name": "Tea club", "to_avatar": avatar,
            "chatType": "group", "type": "systemNotice",
            "data": { "data": text, "dataType": false, "otherData": null }, "options": {},
            "create_time": push["create_time"], "isremove": 0,
            "group": { "create_time": info["create_time"], "id": group.id, "uuid": info["uuid"],
                "user_id": ann.id, "name": "Tea club", "avatar": avatar, "remark": remark,
                "invite_confirm": 0, "status": 1, "order": 50, "update_time": info["update_time"],
                "group_users": [row(&ann, "Boss"), row(&bob, "")] } });
        assert_eq!((keys(&push), &push), (keys(&expected), &expected));
        assert_eq!(sockets[1].next_push().await, expected);
    }
    let info = bob.group_info(group).await.ok();
    assert_eq!((&info["name"], &info["remark"]), (&json!("Tea club"), &json!("Tea at five")));
}

/// DEV-25.
async fn dev_25_who_waits_does_not(app: &App) {
    let [ann, bob, eve] = app.users(["ann", "bob", "eve"]).await;
    let group = app.group(&ann, &[&bob]).await;
    ann.set_policy(group, 1).await.ok();
    eve.join(group).await.ok();
    let mut socket = eve.listen().await;
    rename(&ann, group, "a secret").await.done();
    announce(&ann, group, "a secret").await.done();
    let message = ann.say(group, "a secret").await.ok();
    ann.post("/api/chat/revokeMessage", message).await.ok();
    ann.decide(group, &eve, "agree").await.ok();
    assert_eq!(socket.next_text().await, format!("[{}] 加入了群聊", eve.username));
}

async fn only_the_owner_does_it(app: &App) {
    let [ann, bob, eve] = app.users(["ann", "bob", "eve"]).await;
    let group = app.group(&ann, &[&bob]).await;
    let nothing = Group { id: 999_999 };
    for (user, group) in [(&bob, group), (&eve, group), (&ann, nothing)] {
        rename(user, group, "mine").await.refused(400, "只有群主才能修改群名称");
        announce(user, group, "mine").await.refused(400, "只有群主才能修改群公告");
        let text = "群不存在或者被封禁或者你无权操作";
        user.set_policy(group, 1).await.refused(400, text);
        user.remove(group, &ann).await.refused(400, "只有群主才能操作");
    }
    rename(&ann, group, &"长".repeat(20)).await.done();
    for name in ["", &"长".repeat(21)] {
        rename(&ann, group, name).await.failed(422);
    }
    announce(&ann, group, "").await.refused(422, "群公告不能为空");
    announce(&ann, group, &"长".repeat(500)).await.done();
    let text = "群公告 的长度 必须 在 1 和 500 之间";
    announce(&ann, group, &"长".repeat(501)).await.refused(422, text);
}

async fn rest_27_the_owner_decides_how_people_get_in(app: &App) {
    let [ann, bob] = app.users(["ann", "bob"]).await;
    let group = app.group(&ann, &[&bob]).await;
    let policy = async |value: Value| {
        let body = json!({ "group_id": group.id, "addGroupSet": value });
        ann.post("/api/chat/groupAddUserSet", body).await
    };
    for value in [json!(0), json!(10), json!("3")] {
        assert_eq!(policy(value).await.ok(), "设置成功");
    }
    assert_eq!(bob.group_info(group).await.ok()["invite_confirm"], 3);
    for value in [json!(-1), json!(11)] {
        policy(value).await.refused(422, "进群设置属性值 的数值 必须 大于等于 `0` 小于等于 `10`");
    }
    policy(Value::Null).await.refused(422, "进群设置属性值不能为空");
}

/// `rest.md` §26, §30.
#[tokio::test]
async fn rest_26_30_removing_and_naming() {
    let app = App::start().await;
    who_is_removed_is_out_silently(&app).await;
    a_member_chooses_a_name(&app).await;
    app.verify().await;
}

async fn who_is_removed_is_out_silently(app: &App) {
    let ann = app.register("ann").await;
    let [bob, eve] = app.users(["bob", "eve"]).await;
    bob.change("avatar", "https://h/b.png").await.ok();
    let group = app.group(&ann, &[&bob]).await;
    assert_eq!(ann.groups().await[0]["avatar"], format!("{},https://h/b.png", asset("user.jpg")));
    let mut sockets = [ann.listen().await, bob.listen().await];
    assert_eq!(ann.remove(group, &bob).await.ok(), "删除群成员成功");
    assert_eq!(ann.groups().await[0]["avatar"], asset("user.jpg"));
    assert_eq!(bob.groups().await, Vec::<Value>::new());
    bob.say(group, "x").await.refused(400, "您不在群里，无法发消息");
    bob.leave(group).await.refused(400, NOT_IN);
    // Also who was not in, also who only waits.
    assert_eq!(ann.remove(group, &bob).await.ok(), "删除群成员成功");
    ann.set_policy(group, 1).await.ok();
    eve.join(group).await.ok();
    assert_eq!(ann.remove(group, &eve).await.ok(), "删除群成员成功");
    eve.join(group).await.ok();
    ann.remove(group, &ann).await.refused(400, "群主不能删除自己");
    assert!(sockets[0].next_text().await.starts_with("请处理申请"));
    assert!(sockets[0].next_text().await.starts_with("请处理申请"));
    for socket in &mut sockets {
        socket.is_silent().await;
    }
}

async fn a_member_chooses_a_name(app: &App) {
    let [ann, bob, eve] = app.users(["ann", "bob", "eve"]).await;
    let guest = app.visitor(&device(1)).await;
    let group = app.group(&ann, &[&bob]).await;
    guest.join(group).await.ok();
    for (user, name) in [(&bob, "Bobby"), (&guest, "Guesty")] {
        user.rename_in(group, name).await.done();
        user.rename_in(group, name).await.done();
        assert_eq!(user.say(group, "x").await.ok()["from_name"], name);
    }
    let text = "你不在该群聊中，无法修改昵称";
    eve.rename_in(group, "Eve").await.refused(400, text);
    ann.rename_in(Group { id: 999_999 }, "Ann").await.refused(400, text);
    ann.set_policy(group, 1).await.ok();
    eve.join(group).await.ok();
    eve.rename_in(group, "Eve").await.refused(400, text);
    bob.rename_in(group, "").await.refused(422, "群昵称不能为空");
    bob.rename_in(group, &"x".repeat(21)).await.failed(422);
}

/// `rest.md` §31, G7, G8.
#[tokio::test]
async fn rest_31_leaving_and_dissolving() {
    let app = App::start().await;
    the_owner_hears_who_left(&app).await;
    everybody_hears_that_it_is_over(&app).await;
    nothing_is_left_of_it(&app).await;
    app.verify().await;
}

async fn the_owner_hears_who_left(app: &App) {
    let ann = app.register("ann").await;
    let bob = app.register("bob").await;
    let cat = app.register("cat").await;
    bob.rename("Bob").await;
    let group = app.group(&ann, &[&bob, &cat]).await;
    bob.rename_in(group, "Bobby").await.done();
    let mut sockets = [ann.listen().await, bob.listen().await, cat.listen().await];
    let before = ann.groups().await[0]["avatar"].clone();
    bob.leave(group).await.done();
    let push = sockets[0].next_push().await;
    let text = text_of(&push);
    let time = text.strip_prefix("Bobby于 ").and_then(|text| text.strip_suffix(" 已退出群聊"));
    assert_row_time(&json!(time.expect("a time")));
    let (info, rows) = (&push["group"], &push["group"]["group_users"]);
    let expected = json!({ "id": push["id"], "from_avatar": asset("user.jpg"), "from_name": "Bobby",
        "from_id": bob.id, "to_id": group.id, "to_name": info["name"], "to_avatar": before,
        "chatType": "group", "type": "systemNotice",
        "data": { "data": text, "dataType": false, "otherData": null }, "options": {},
        "create_time": push["create_time"], "isremove": 0,
        "group": { "create_time": info["create_time"], "id": group.id, "uuid": info["uuid"],
            "user_id": ann.id, "name": info["name"], "avatar": before, "remark": "", "invite_confirm": 0,
            "status": 1, "order": 50, "update_time": info["update_time"],
            "group_users": [whole(&rows[0], group, &ann), whole(&rows[1], group, &cat)] } });
    assert_eq!((keys(&push), &push), (keys(&expected), &expected));
    bob.leave(group).await.refused(400, NOT_IN);
    // Who only waits may leave, too.
    ann.set_policy(group, 1).await.ok();
    bob.join(group).await.ok();
    sockets[0].next_push().await; // G6
    bob.leave(group).await.done();
    assert!(sockets[0].next_text().await.starts_with("Bob于 "));
    for socket in &mut sockets {
        socket.is_silent().await;
    }
}

/// A whole row of a member with their account, with the times and the number of `row`.
fn whole(row: &Value, group: Group, user: &User) -> Value {
    assert_row_time(&row["create_time"]);
    assert_iso_time(&row["update_time"]);
    json!({ "create_time": row["create_time"], "id": row["id"], "group_id": group.id, "user_id": user.id,
        "nickname": "", "avatar": "", "status": 1, "order": 50, "update_time": row["update_time"],
        "groupId": group.id,
        "user": { "id": user.id, "username": user.username, "nickname": "", "avatar": asset("user.jpg") } })
}

async fn everybody_hears_that_it_is_over(app: &App) {
    let ann = app.register("ann").await;
    let [bob, eve] = app.users(["bob", "eve"]).await;
    let group = app.group(&ann, &[&bob]).await;
    ann.set_policy(group, 1).await.ok();
    eve.join(group).await.ok();
    let mut sockets = [ann.listen().await, bob.listen().await, eve.listen().await];
    ann.leave(group).await.done();
    let push = sockets[0].next_push().await;
    let text = text_of(&push);
    let time = text.strip_prefix("群主于 ").and_then(|text| text.strip_suffix(" 解散了该群"));
    assert_row_time(&json!(time.expect("a time")));
    assert_eq!((&push["from_id"], &push["from_name"]), (&json!(ann.id), &json!(ann.username)));
    let rows = &push["group"]["group_users"];
    let expected = json!([whole(&rows[0], group, &ann), whole(&rows[1], group, &bob)]);
    assert_eq!(*rows, expected);
    for socket in &mut sockets[1..] {
        assert_eq!(socket.next_push().await, push);
    }
}

async fn nothing_is_left_of_it(app: &App) {
    let [ann, bob] = app.users(["ann", "bob"]).await;
    let group = app.group(&ann, &[&bob]).await;
    let message = ann.say(group, "x").await.ok();
    ann.leave(group).await.done();
    for user in [&ann, &bob] {
        user.group_info(group).await.refused(400, "群不存在或被封禁");
        user.leave(group).await.refused(400, "群不存在");
        user.say(group, "x").await.refused(400, "群不存在或者已解散或者被封禁，无法发消息");
        user.join(group).await.refused(400, "群不存在或者被封禁");
        assert_eq!(user.groups().await, Vec::<Value>::new());
    }
    ann.post("/api/chat/revokeMessage", message).await.refused(400, "群不存在");
    rename(&ann, group, "x").await.refused(400, "只有群主才能修改群名称");
    ann.leave(Group { id: 999_999 }).await.refused(400, "群不存在");
    ann.post("/api/chat/groupDeleteOrQuit", json!({})).await.refused(422, "群id不能为空");
}
