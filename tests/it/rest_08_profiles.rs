//! `rest.md` §8, §10, §38, §39: profiles and settings.

use serde_json::{Value, json};

use crate::support::shapes::{asset, keys};
use crate::support::{App, User, device};

const NO_FRIEND_OF: &str = "用户不存在或者为游客，无法加为好友";

/// `rest.md` §8, §10, `data.md` §6.1, DEV-13.
#[tokio::test]
async fn rest_08_10_profiles_and_settings() {
    let app = App::start().await;
    profiles_are_public(&app).await;
    unknown_and_disabled_users_have_none(&app).await;
    settings_come_back_to_the_letter(&app).await;
    dev_13_settings_must_be_an_object(&app).await;
}

async fn profiles_are_public(app: &App) {
    let ann = app.register("ann").await;
    ann.rename("Ann").await;
    let profile = app.api().get(&format!("/api/userinfo/{}", ann.uuid)).await.ok();
    assert_eq!(
        keys(&profile),
        ["id", "uuid", "username", "nickname", "avatar", "role", "userset", "userinfo"]
    );
    let expected = json!({ "id": ann.id, "uuid": ann.uuid, "username": ann.username, "nickname": "Ann",
        "avatar": asset("user.jpg"), "role": "user", "userset": "",
        "userinfo": { "id": profile["userinfo"]["id"], "gender": "unknown", "birthday": null, "bio": null,
                      "location": null, "website": null } });
    assert_eq!(profile, expected);
    assert!(profile["userinfo"]["id"].as_u64().is_some_and(|id| id > 0), "{profile}");
    assert_eq!(app.visitor(&device(1)).await.profile().await["role"], "visitor");
}

async fn unknown_and_disabled_users_have_none(app: &App) {
    let (api, bob) = (app.api(), app.register("bob").await);
    for unknown in ["edda71aa-4a31-4ba8-9025-8fdc0dc3c0fa", "not a uuid, but 36 characters long!!"]
    {
        let reply = api.get(&format!("/api/userinfo/{unknown}")).await;
        assert_eq!((reply.status, &reply.body), (200, &json!({ "msg": "ok", "data": null })));
    }
    api.get("/api/userinfo/short").await.refused(422, "uuid值 的长度 必须 在 36 和 36 之间");
    app.cli(&["users", "disable", &bob.id.to_string()]).await.ok();
    assert_eq!(bob.profile().await, Value::Null);
}

async fn settings_come_back_to_the_letter(app: &App) {
    for user in [app.register("cat").await, app.visitor(&device(2)).await] {
        let text = "{ \"chatset\" :\n {\"visitor\":0, \"user\": 1}, \"x\":\"é🦆\\u00e9\" }";
        user.post("/api/chat/userset", json!({ "userset": text })).await.done();
        assert_eq!(user.profile().await["userset"], text);
        let object: Value = serde_json::from_str(r#"{"z":1,"a":{"y":"é","b":[]}}"#).expect("JSON");
        user.post("/api/chat/userset", json!({ "userset": object })).await.done();
        assert_eq!(user.profile().await["userset"], r#"{"z":1,"a":{"y":"é","b":[]}}"#);
        user.post_form("/api/chat/userset", &[("userset", "{}")]).await.done();
        assert_eq!(user.profile().await["userset"], "{}");
    }
}

async fn dev_13_settings_must_be_an_object(app: &App) {
    let dan = app.register("dan").await;
    dan.post("/api/chat/userset", json!({ "userset": "{}" })).await.done();
    for bad in [
        json!("[]"),
        json!("12"),
        json!("{'a':1}"),
        json!("null"),
        json!([1, 2]),
        json!(true),
        json!("{}x"),
    ] {
        dan.post("/api/chat/userset", json!({ "userset": bad }))
            .await
            .refused(400, "用户设置格式错误");
    }
    dan.post("/api/chat/userset", json!({})).await.refused(422, "用户设置不能为空");
    assert_eq!(dan.profile().await["userset"], "{}");
    // Clarification 29: bytes, as the original's column.
    let of = |bytes: usize| {
        let letters = bytes - r#"{"x":""}"#.len();
        json!({ "userset": format!(r#"{{"x":"{}{}"}}"#, "长".repeat(letters / 3), "x".repeat(letters % 3)) })
    };
    dan.post("/api/chat/userset", of(65_535)).await.done();
    let text = "用户设置 的长度 必须 在 2 和 65535 之间";
    dan.post("/api/chat/userset", of(65_536)).await.refused(422, text);
    dan.post("/api/chat/userset", of(200_000)).await.refused(422, text);
}

/// `rest.md` §38, §39.
#[tokio::test]
async fn rest_38_39_changing_a_field_and_asking_before_befriending() {
    let app = App::start().await;
    fields_that_may_change(&app).await;
    friends_are_not_told(&app).await;
    fields_that_may_not(&app).await;
    lengths_are_limited(&app).await;
    what_one_knows_before_befriending(&app).await;
    whom_one_cannot_befriend(&app).await;
    odd_characters_do_no_harm(&app).await;
}

async fn fields_that_may_change(app: &App) {
    for user in [app.register("ann").await, app.visitor(&device(1)).await] {
        assert_eq!(user.change("nickname", "安").await.ok(), "修改昵称成功");
        assert_eq!(user.change("avatar", "/public/a.png").await.ok(), "头像更新成功");
        let number = json!({ "fieldname": "invite_confirm", "fieldValue": 1 });
        assert_eq!(user.post("/api/chat/updateUserinfo", number).await.ok(), "设置成功");
        let profile = user.profile().await;
        assert_eq!(
            (&profile["nickname"], &profile["avatar"]),
            (&json!("安"), &json!("/public/a.png"))
        );
        assert_eq!(profile["username"], user.username);
        assert_eq!(user.change("invite_confirm", "0").await.ok(), "设置成功");
        let form = [("fieldname", "nickname"), ("fieldValue", "42")];
        assert_eq!(user.post_form("/api/chat/updateUserinfo", &form).await.ok(), "修改昵称成功");
        assert_eq!(user.profile().await["nickname"], "42");
    }
    let bob = app.register("bob").await;
    bob.rename("Bobby").await;
    let full = bob.login().await.full;
    assert_eq!((&full["nickname"], &full["invite_confirm"]), (&json!("Bobby"), &json!(0)));
}

/// No push, and what others wrote down stays.
async fn friends_are_not_told(app: &App) {
    let [ann, bob] = app.users(["ann", "bob"]).await;
    ann.rename("old Ann").await;
    ann.befriend(&bob).await;
    let mut socket = bob.connect().await;
    bob.drain().await;
    assert_eq!(socket.next_push().await["type"], "systemNotice"); // friends now
    ann.rename("new Ann").await;
    ann.change("avatar", "/public/new.png").await.ok();
    ann.send(&bob, "still here").await.ok();
    assert_eq!(socket.next_text().await, "still here");
    let edge = bob.post_empty(&format!("/api/chat/ismygoodfriend/{}", ann.id)).await.ok();
    assert_eq!(edge["nickname"], "old Ann");
}

async fn fields_that_may_not(app: &App) {
    let cat = app.register("cat").await;
    let before = cat.profile().await;
    cat.change("username", "another").await.refused(400, "账号不可修改");
    for value in ["2", "-1", "x", "01"] {
        cat.change("invite_confirm", value).await.refused(400, "添加我为好友设置值错误");
    }
    for field in ["password", "role", "status", "id", "userset", "Nickname", "x"] {
        assert_eq!(cat.change(field, "visitor").await.ok(), "");
    }
    let mut after = cat.profile().await;
    after["userinfo"] = before["userinfo"].clone();
    assert_eq!(after, before);
    cat.login().await;
}

async fn lengths_are_limited(app: &App) {
    let dan = app.register("dan").await;
    dan.change("nickname", &"🦆".repeat(30)).await.ok();
    dan.change("nickname", &"x".repeat(31)).await.refused(400, "昵称长度不能超过30个字符");
    dan.change("avatar", &format!("https://h/{}", "x".repeat(990))).await.ok();
    dan.change("avatar", &"x".repeat(1001)).await.refused(400, "头像地址过长不能超过1000个字符");
    dan.change("", "x").await.refused(422, "修改类型不能为空");
    dan.change("nickname", "").await.refused(422, "修改结果不能为空");
    dan.change(&"x".repeat(31), "x").await.refused(422, "修改类型 的长度 必须 在 1 和 30 之间");
    assert_eq!(dan.profile().await["nickname"], "🦆".repeat(30));
}

async fn what_one_knows_before_befriending(app: &App) {
    let [eve, fay] = app.users(["eve", "fay"]).await;
    let asked = async |of: &User| {
        eve.post("/api/chat/getUserSetInfo", json!({ "userid": of.id })).await.ok()
    };
    let expected = |of: &User, friend: bool, good: bool| {
        json!({ "id": of.id, "userset": "", "invite_confirm": 0, "uuid": of.uuid, "isgoodfriend": friend,
                "isgoodfriend_status": good })
    };
    let answer = asked(&fay).await;
    assert_eq!(
        keys(&answer),
        ["id", "userset", "invite_confirm", "uuid", "isgoodfriend", "isgoodfriend_status"]
    );
    assert_eq!(answer, expected(&fay, false, true));
    assert_eq!(asked(&eve).await, expected(&eve, false, true), "oneself");
    eve.befriend(&fay).await;
    assert_eq!(asked(&fay).await, expected(&fay, true, true));
    eve.toggle_black(&fay).await; // eve's edge does not matter, fay's does
    assert_eq!(asked(&fay).await, expected(&fay, true, true));
    fay.toggle_black(&eve).await;
    assert_eq!(asked(&fay).await, expected(&fay, true, false));
    fay.toggle_black(&eve).await;
    assert_eq!(fay.change("invite_confirm", "1").await.ok(), "设置成功");
    assert_eq!(asked(&fay).await["invite_confirm"], 1);
}

async fn whom_one_cannot_befriend(app: &App) {
    let (guest, gil) = (app.visitor(&device(3)).await, app.register("gil").await);
    let path = "/api/chat/getUserSetInfo";
    for id in [guest.id, 999_999] {
        guest.post(path, json!({ "userid": id })).await.refused(400, NO_FRIEND_OF);
    }
    guest.post(path, json!({ "userid": gil.id })).await.ok();
    guest.post(path, json!({})).await.refused(422, "用户id不能为空");
    app.cli(&["users", "disable", &gil.id.to_string()]).await.ok();
    guest.post(path, json!({ "userid": gil.id })).await.refused(400, NO_FRIEND_OF);
}

/// Whether they are taken or refused is open; that the read models go on is not.
async fn odd_characters_do_no_harm(app: &App) {
    let (ann, bob) = (app.register("ann").await, app.register("bob").await);
    for odd in [
        "nul \u{0} nul",
        "\u{feff}bom",
        "\u{202e}rtl",
        "\u{7f}\u{1b}[31m",
        "'; drop table users; --",
    ] {
        let name = json!({ "username": odd, "password": "a good one" });
        for reply in [
            app.api().post("/api/regChat", name).await,
            ann.change("nickname", odd).await,
            ann.change("avatar", odd).await,
            ann.post("/api/chat/userset", json!({ "userset": { "x": odd } })).await,
            ann.post("/api/chat/applyfriend", json!({ "friend_id": bob.id, "nickname": odd }))
                .await,
            ann.post("/api/chat/searchUser", json!({ "keyword": odd })).await,
        ] {
            assert!(reply.status < 500, "{odd:?}: {}", reply.text());
        }
    }
    app.verify().await;
}
