//! `rest.md` §20, §22, §23; G1 of `ws.md` §6.3; DEV-16, DEV-27.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::shapes::{
    assert_epoch_ms, assert_iso_time, assert_row_time, assert_uuid, asset, keys,
};
use crate::support::{App, Group, Reply, User, device};

const CHOOSE: &str = "请选择加入群聊的用户";

async fn create(by: &User, rows: Value) -> Reply {
    by.post("/api/chat/group/create", json!({ "userIds": rows })).await
}

/// `rest.md` §20, G1.
#[tokio::test]
async fn rest_20_making_a_group() {
    let app = App::start().await;
    everybody_is_told(&app).await;
    who_comes_in(&app).await;
    dev_16_only_rows_of_ones_own_book_count(&app).await;
    names_and_pictures_are_those_of_the_first(&app).await;
    guests_make_no_groups(&app).await;
    app.verify().await;
}

async fn everybody_is_told(app: &App) {
    let ann = app.register("ann").await;
    let bob = app.register("bob").await;
    let cat = app.register("cat").await;
    ann.rename("Ann").await;
    cat.change("avatar", "https://h/c.png").await.ok();
    ann.befriend(&cat).await;
    ann.befriend(&bob).await;
    let mut sockets = [ann.listen().await, bob.listen().await];
    ann.create_group(&[&cat, &bob]).await.done();
    let push = sockets[0].next_push().await;
    assert_uuid(&push["id"]);
    assert_epoch_ms(&push["create_time"]);
    let group = &push["group"];
    assert_row_time(&group["create_time"]);
    assert_iso_time(&group["update_time"]);
    assert_uuid(&group["uuid"]);
    // The maker first, then their friends by id.
    let name = format!("Ann、{}、{}", bob.username, cat.username);
    let avatar = format!("{},{},https://h/c.png", asset("user.jpg"), asset("user.jpg"));
    let expected = json!({ "id": push["id"], "from_avatar": asset("user.jpg"), "from_name": "Ann",
        "from_id": ann.id, "to_id": group["id"], "to_name": name, "to_avatar": avatar, "chatType": "group",
        "type": "systemNotice", "options": {}, "create_time": push["create_time"], "isremove": 0,
        "data": { "data": "Ann创建了一个群，大家可以开始聊天了", "dataType": false, "otherData": null },
        "group": { "create_time": group["create_time"], "id": group["id"], "uuid": group["uuid"],
            "user_id": ann.id, "name": name, "avatar": avatar, "remark": "", "invite_confirm": 0,
            "status": 1, "order": 50, "update_time": group["update_time"] } });
    assert_eq!(push, expected);
    assert!(push["to_id"].is_u64());
    assert_eq!(sockets[1].next_push().await, expected);
    // Who is not there finds it later.
    let mut late = cat.connect().await;
    cat.drain().await;
    late.next_push().await; // friends now
    assert_eq!(late.next_push().await, expected);
}

async fn who_comes_in(app: &App) {
    let [ann, bob, cat, dan] = app.friends(["ann", "bob", "cat", "dan"]).await;
    let row = ann.friend_row(&bob).await;
    for rows in [
        json!([row, row]),
        json!([row.to_string()]),
        json!(format!("[{row}]")),
        json!(format!("{row}, 7777")),
    ] {
        create(&ann, rows).await.done();
        let group = Group { id: ann.groups().await[0]["id"].as_u64().expect("an id") };
        assert_eq!(ann.roster(group).await, [ann.id, bob.id]);
    }
    let form = [("userIds", row.to_string()), ("userIds", ann.friend_row(&cat).await.to_string())];
    let form: Vec<(&str, &str)> = form.iter().map(|(key, value)| (*key, value.as_str())).collect();
    ann.post_form("/api/chat/group/create", &form).await.done();
    assert_eq!(ann.groups().await.len(), 5);
    ann.post("/api/chat/group/create", json!({})).await.refused(422, "userIds不能为空");
    create(&ann, json!({})).await.failed(422);
    for none in [json!([]), json!("[]"), json!([999_999]), json!(["x", null, {}]), json!("x")] {
        create(&ann, none).await.refused(400, CHOOSE);
    }
    // Who is on the blacklist does not count, nor who is disabled.
    let dans = ann.friend_row(&dan).await;
    ann.toggle_black(&dan).await;
    create(&ann, json!([dans])).await.refused(400, CHOOSE);
    ann.toggle_black(&dan).await;
    app.cli(&["users", "disable", &dan.id.to_string()]).await.ok();
    create(&ann, json!([dans])).await.refused(400, "用户不存在，无法加入群聊");
    create(&ann, json!([dans, row])).await.done();
    let group = Group { id: ann.groups().await[0]["id"].as_u64().expect("an id") };
    assert_eq!(ann.roster(group).await, [ann.id, bob.id]);
}

/// DEV-16.
async fn dev_16_only_rows_of_ones_own_book_count(app: &App) {
    let [ann, bob, eve] = app.users(["ann", "bob", "eve"]).await;
    ann.befriend(&bob).await;
    let (hers, his) = (ann.friend_row(&bob).await, bob.friend_row(&ann).await);
    create(&eve, json!([hers, his])).await.refused(400, CHOOSE);
    create(&ann, json!([his])).await.refused(400, CHOOSE);
    create(&ann, json!([hers])).await.done();
}

async fn names_and_pictures_are_those_of_the_first(app: &App) {
    let ann = app.register("ann").await;
    ann.rename(&"长".repeat(30)).await;
    let mut others = app.users(["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]).await;
    others.sort_by_key(|user| user.id);
    for (number, other) in others.iter().enumerate() {
        other.change("avatar", &format!("https://h/{number}.png")).await.ok();
    }
    let group = app.group(&ann, &others.each_ref()).await;
    let info = ann.group_info(group).await.ok();
    let name = info["name"].as_str().expect("a name");
    assert_eq!(name.chars().count(), 50);
    assert!(name.starts_with(&format!("{}、{}、", "长".repeat(30), others[0].username)), "{name}");
    let pictures: Vec<String> = (0..8).map(|number| format!("https://h/{number}.png")).collect();
    assert_eq!(info["avatar"], format!("{},{}", asset("user.jpg"), pictures.join(",")));
    // What becomes longer than clients may hand back shows fewer (rest.md §36).
    for other in &others {
        other.change("avatar", &format!("https://h/{}", "x".repeat(990))).await.ok();
    }
    let group = app.group(&ann, &others.each_ref()).await;
    let info = ann.group_info(group).await.ok();
    let avatar = info["avatar"].as_str().expect("a picture");
    assert!(avatar.chars().count() <= 4000 && avatar.split(',').count() == 4, "{avatar}");
}

async fn guests_make_no_groups(app: &App) {
    let guest = app.visitor(&device(1)).await;
    create(&guest, json!([1])).await.refused(400, "您没有权限访问，请先注册或登录");
}

/// `rest.md` §22, §23.
#[tokio::test]
async fn rest_22_23_seeing_groups() {
    let app = App::start().await;
    a_list_holds_only_ones_own_memberships(&app).await;
    dev_27_pages_are_bounded(&app).await;
    anybody_sees_a_roster(&app).await;
}

async fn a_list_holds_only_ones_own_memberships(app: &App) {
    let [ann, bob, cat] = app.users(["ann", "bob", "cat"]).await;
    let first = app.group(&ann, &[&bob]).await;
    let second = app.group(&bob, &[&cat]).await;
    let rows = bob.groups().await;
    let ids: Vec<&Value> = rows.iter().map(|row| &row["id"]).collect();
    assert_eq!(ids, [&json!(second.id), &json!(first.id)], "newest first");
    let row = &rows[1];
    assert_row_time(&row["create_time"]);
    let expected = json!({ "create_time": row["create_time"], "id": first.id, "uuid": row["uuid"],
        "user_id": ann.id, "name": format!("{}、{}", ann.username, bob.username),
        "avatar": format!("{0},{0}", asset("user.jpg")), "remark": "", "invite_confirm": 0, "status": 1,
        "order": 50,
        "group_users": [{ "group_id": first.id, "user_id": bob.id, "nickname": "", "avatar": "" }] });
    assert_eq!((keys(row), row), (keys(&expected), &expected));
    bob.rename_in(first, "Bobby").await.done();
    assert_eq!(bob.groups().await[1]["group_users"][0]["nickname"], "Bobby");
    // Who waits is not in.
    ann.set_policy(first, 1).await.ok();
    cat.join(first).await.ok();
    assert_eq!(cat.groups().await.len(), 1);
    assert_eq!(app.visitor(&device(1)).await.groups().await, Vec::<Value>::new());
}

/// DEV-27.
async fn dev_27_pages_are_bounded(app: &App) {
    let [ann, bob] = app.users(["ann", "bob"]).await;
    let mut groups = Vec::new();
    for _ in 0..3 {
        groups.push(app.group(&ann, &[&bob]).await.id);
    }
    groups.reverse();
    let page = async |path: &str| {
        let rows = bob.get(&format!("/api/chat/grouplist/{path}")).await.ok();
        let ids = rows.as_array().expect("a list").iter().map(|row| row["id"].as_u64());
        ids.collect::<Option<Vec<u64>>>().expect("ids")
    };
    assert_eq!(page("1?limit=2").await, groups[..2]);
    assert_eq!(page("2?limit=2").await, groups[2..]);
    assert_eq!(page("3?limit=2").await, [0; 0]);
    for limit in ["-1", "0", "x", "99999999999"] {
        assert_eq!(page(&format!("1?limit={limit}")).await, groups, "{limit}");
    }
    assert_eq!(page("9007199254740991?limit=2000").await, [0; 0]);
    bob.get("/api/chat/grouplist/0")
        .await
        .refused(422, "页码 的数值 必须 在 1 和 10000000000000000 之间");
    bob.get("/api/chat/grouplist/x").await.refused(422, "页码 的值 `x` 的类型不是 `int`");
}

/// `rest.md` §23: a page of a roster is in memory at a time, and all of them are one answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rest_23_a_long_roster_is_whole() {
    const STRANGERS: i64 = 1_100;
    let app = App::start().await;
    let [ann, bob] = app.users(["ann", "bob"]).await;
    let group = app.group(&ann, &[&bob]).await;
    assert!(ann.group_info(group).await.headers.contains_key("content-length"), "it is short");
    app.introduce(group, STRANGERS).await;
    app.crowd(&ann, group, STRANGERS).await;
    let reply = ann.group_info(group).await;
    assert!(!reply.headers.contains_key("content-length"), "it is sent as it is made");
    let info = reply.ok();
    let rows = info["group_users"].as_array().expect("a roster");
    assert!(rows.is_sorted_by_key(|row| row["id"].as_u64()));
    let named = |row: &Value| row["user"]["username"].as_str().unwrap_or_default().to_owned();
    // They came at once, in any order.
    let found: BTreeSet<String> = rows.iter().map(named).collect();
    assert_eq!(found.len(), rows.len());
    let strangers = (1..=STRANGERS).map(|stranger| format!("stranger_{stranger}"));
    let expected = [ann.username, bob.username].into_iter().chain(strangers).collect();
    assert_eq!(found, expected);
}

async fn anybody_sees_a_roster(app: &App) {
    let [ann, bob, eve] = app.users(["ann", "bob", "eve"]).await;
    let guest = app.visitor(&device(2)).await;
    let group = app.group(&ann, &[&bob]).await;
    guest.join(group).await.ok();
    ann.rename("Ann").await;
    let info = eve.group_info(group).await.ok();
    let rows = &info["group_users"];
    for row in rows.as_array().expect("a roster") {
        assert_row_time(&row["create_time"]);
    }
    let row = |number: usize, user: &User, nickname: &str, role: &str| {
        json!({ "create_time": rows[number]["create_time"], "id": rows[number]["id"], "group_id": group.id,
            "user_id": user.id, "nickname": "", "avatar": "", "status": 1, "order": 50, "groupId": group.id,
            "user": { "id": user.id, "username": user.username, "avatar": asset("user.jpg"),
                "nickname": nickname, "role": role, "uuid": user.uuid } })
    };
    let expected = json!({ "create_time": info["create_time"], "id": group.id, "uuid": info["uuid"],
        "user_id": ann.id, "name": info["name"], "avatar": info["avatar"], "remark": "", "invite_confirm": 0,
        "status": 1, "order": 50,
        "group_users": [row(0, &ann, "Ann", "user"), row(1, &bob, "", "user"), row(2, &guest, "", "visitor")] });
    assert_eq!((keys(&info), &info), (keys(&expected), &expected));
    assert_eq!(keys(&rows[0]), keys(&expected["group_users"][0]));
    let ids: Vec<u64> = (0..3).map(|n| rows[n]["id"].as_u64().expect("an id")).collect();
    assert!(ids.is_sorted() && ids[0] < ids[2], "{ids:?}");
    eve.group_info(Group { id: 999_999 }).await.refused(400, "群不存在或被封禁");
    eve.get("/api/chat/groupinfo/0").await.failed(422);
    ann.leave(group).await.done();
    eve.group_info(group).await.refused(400, "群不存在或被封禁");
}
