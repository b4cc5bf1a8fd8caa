//! `rest.md` §4–§6: signed calls of guests.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::rest_01_accounts::USER_FULL;
use crate::support::shapes::{assert_uuid, keys};
use crate::support::{
    Api, App, PASSWORD, User, device, now_ms, send, signature, signed_call, signed_call_at,
};

const REGISTER: &str = "/api/visitorRegister";
const UPGRADE: &str = "/api/visitorregChat";
const LOGIN: &str = "/api/visitorloginChat";
const TAKEN: &str = "该账号已存在，请换一个账号注册";
const NO_ACCOUNT: &str = "账号不存在或者被禁用";
const TOO_OFTEN: &str = "请求过于频繁，请1个小时后再试";

fn account(username: &str) -> Value {
    json!({ "username": username, "password": PASSWORD })
}

async fn login(api: &Api, username: &str) -> Value {
    api.post("/api/loginChat", account(username)).await.ok()
}

/// `rest.md` §4–§6 (checks 1–6), `data.md` §5.3, §9, clarification 7, DEV-5, DEV-6.
#[tokio::test]
async fn rest_04_05_06_signed_calls_are_checked_in_order() {
    assert_eq!(
        signature("8d1a344c-bf16-5425-adbc-d12f49cfa332", 1_752_835_449_008),
        "a5b40139b65b13cf214d05c27dece58ebe840d888b12272f0ccd15ea72e68998"
    );
    let app = App::start().await;
    let api = app.api();
    for path in [REGISTER, UPGRADE, LOGIN] {
        first_the_header(&api, path).await;
        then_the_parameters(&api, path).await;
        then_the_signature_the_time_and_the_form(&api, path).await;
    }
    then_the_limit_that_all_three_share(&api, &app.register("ann").await).await;
}

/// DEV-5.
async fn first_the_header(api: &Api, path: &str) {
    let now = now_ms();
    for body in [
        json!({}),
        json!({ "deviceId": device(1), "timestamp": now, "username": "anna", "password": "secret" }),
    ] {
        api.post(path, body.clone()).await.refused(400, "非法访问");
        let request = api.request(Method::POST, path).header("X-Security-Sign", "").json(&body);
        send(request).await.refused(400, "非法访问");
    }
}

async fn then_the_parameters(api: &Api, path: &str) {
    let call = async |body: Value| {
        let request = api.request(Method::POST, path).header("X-Security-Sign", "wrong");
        send(request.json(&body)).await
    };
    if path != REGISTER {
        call(json!({})).await.refused(422, "账号不能为空");
        call(json!({ "username": "anna" })).await.refused(422, "密码不能为空");
    }
    let mut body = account("anna");
    call(body.clone()).await.refused(422, "设备指纹不能为空");
    body["deviceId"] = json!("x".repeat(35));
    call(body.clone()).await.refused(422, "设备指纹 的长度 必须 在 36 和 200 之间");
    body["deviceId"] = json!("x".repeat(36));
    call(body.clone()).await.refused(422, "时间戳不能为空");
    body["timestamp"] = json!("soon");
    call(body).await.refused(422, "时间戳 的值 `soon` 的类型不是 `int`");
}

/// DEV-6.
async fn then_the_signature_the_time_and_the_form(api: &Api, path: &str) {
    let (more, odd) = (account("anna"), "x".repeat(37));
    let unsigned =
        json!({ "deviceId": odd, "timestamp": 5, "username": "anna", "password": "secret" });
    let request =
        api.request(Method::POST, path).header("X-Security-Sign", signature(&device(1), 5));
    send(request.json(&unsigned)).await.refused(400, "非法签名");
    for minutes in [-6, 6] {
        let then = now_ms() + minutes * 60_000;
        signed_call_at(api, path, &odd, then, more.clone()).await.refused(400, "请求已过期");
    }
    for bad in [odd, format!("{}!", "x".repeat(35)), "鸿".repeat(36), "x".repeat(200)] {
        signed_call(api, path, &bad, more.clone()).await.refused(400, "无效标识");
    }
}

async fn then_the_limit_that_all_three_share(api: &Api, ann: &User) {
    let (device, wrong) = (device(9), json!({ "username": "nobody", "password": "wrong one" }));
    // Refusals before the limit are not counted.
    for _ in 0..6 {
        signed_call_at(api, REGISTER, &device, 5, json!({})).await.refused(400, "请求已过期");
    }
    signed_call_at(api, REGISTER, &device, now_ms() - 240_000, json!({})).await.ok();
    signed_call_at(api, REGISTER, &device, now_ms() + 240_000, json!({})).await.ok();
    signed_call(api, UPGRADE, &device, account(&ann.username)).await.refused(400, TAKEN);
    signed_call(api, LOGIN, &device, wrong.clone()).await.refused(400, NO_ACCOUNT);
    signed_call(api, LOGIN, &device, account(&ann.username)).await.ok();
    for (path, body) in
        [(REGISTER, json!({})), (UPGRADE, account("anna")), (LOGIN, wrong), (REGISTER, json!({}))]
    {
        signed_call(api, path, &device, body).await.refused(400, TOO_OFTEN);
    }
    signed_call(api, REGISTER, &crate::support::device(10), json!({})).await.ok();
}

/// `rest.md` §4–§6, clarification 6, DEV-7, DEV-8, DEV-9, DEV-10.
#[tokio::test]
async fn rest_04_05_06_guests_and_what_becomes_of_them() {
    let app = App::start().await;
    a_device_has_one_guest(&app).await;
    a_clash_of_names_is_avoided(&app).await;
    five_calls_at_once_make_one_guest(&app).await;
    a_guest_has_no_password_and_may_be_disabled(&app).await;
    an_upgrade_keeps_the_person(&app).await;
    an_upgrade_never_takes_an_account_over(&app).await;
    logging_in_leaves_the_guest_alone(&app).await;
}

async fn a_device_has_one_guest(app: &App) {
    let (api, device) = (app.api(), "8d1a344c-bf16-5425-adbc-d12f49cfa332");
    let fields = json!({ "uniplatform": "web", "devicemodel": "Pixel", "deviceos": "android", "devicebrand": "G" });
    let full = signed_call(&api, REGISTER, device, fields).await.ok();
    assert_eq!(keys(&full)[..29], USER_FULL);
    assert_uuid(&full["uuid"]);
    let seen = [
        "username",
        "role",
        "devicefingeruuid",
        "uniplatform",
        "devicemodel",
        "deviceos",
        "devicebrand",
    ];
    let expected = ["VIS8d1a344c", "visitor", device, "web", "Pixel", "android", "G"];
    assert_eq!(seen.map(|key| full[key].as_str().expect("text")), expected);
    let first = User::from_login(&api, full);
    assert_eq!(first.profile().await["role"], "visitor");
    // A field that is absent keeps its value.
    let again = signed_call(&api, REGISTER, device, json!({ "deviceos": "ios" })).await.ok();
    assert_eq!((&again["id"], &again["uuid"]), (&json!(first.id), &json!(first.uuid)));
    let kept = ["uniplatform", "devicemodel", "deviceos", "devicebrand"]
        .map(|key| again[key].as_str().expect("text"));
    assert_eq!(kept, ["web", "Pixel", "ios", "G"]);
    first.post_empty("/api/chat/chatGetmessageOffLine").await.refused(400, "Token 令牌不合法！");
    User::from_login(&api, again).drain().await;
}

/// DEV-9.
async fn a_clash_of_names_is_avoided(app: &App) {
    let api = app.api();
    let devices = [
        "abcdef01-1111-5425-adbc-d12f49cfa332",
        "abcdef01-1122-5425-adbc-d12f49cfa332",
        "abcdef01-1133-5425-adbc-d12f49cfa332",
    ];
    let mut names = Vec::new();
    for device in devices {
        let guest = app.visitor(device).await;
        assert!(format!("VIS{device}").starts_with(&guest.username), "{}", guest.username);
        names.push(guest.username);
    }
    assert_eq!(names[0], "VISabcdef01");
    assert_eq!(BTreeSet::from_iter(&names).len(), 3);
    api.post("/api/regChat", account("visABCDEF02")).await.ok();
    let guest = app.visitor("abcdef02-1111-5425-adbc-d12f49cfa332").await;
    assert!(
        guest.username.starts_with("VISabcdef02") && guest.username.len() > 11,
        "{}",
        guest.username
    );
}

async fn five_calls_at_once_make_one_guest(app: &App) {
    let (api, device) = (app.api(), device(50));
    let calls = (0..5).map(|_| signed_call(&api, REGISTER, &device, json!({})));
    let mut ids: Vec<_> =
        join_all(calls).await.into_iter().map(|reply| reply.ok()["id"].as_u64()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 1);
}

/// DEV-10.
async fn a_guest_has_no_password_and_may_be_disabled(app: &App) {
    let (api, device) = (app.api(), device(60));
    let guest = app.visitor(&device).await;
    for password in ["123456", "undefined"] {
        let body = json!({ "username": guest.username, "password": password });
        api.post("/api/loginChat", body.clone()).await.refused(400, NO_ACCOUNT);
        signed_call(&api, LOGIN, &crate::support::device(61), body).await.refused(400, NO_ACCOUNT);
    }
    app.cli(&["users", "disable", &guest.id.to_string()]).await.ok();
    signed_call(&api, REGISTER, &device, json!({})).await.refused(400, NO_ACCOUNT);
}

async fn an_upgrade_keeps_the_person(app: &App) {
    let (api, device) = (app.api(), device(70));
    let (guest, friend) = (app.visitor(&device).await, app.register("friend").await);
    guest.befriend(&friend).await;
    friend.send(&guest, "before").await.ok();
    signed_call(&api, UPGRADE, &device, account(&friend.username.to_uppercase()))
        .await
        .refused(400, TAKEN);
    let full = signed_call(&api, UPGRADE, &device, account("Upgraded")).await.ok();
    assert_eq!(keys(&full)[..29], USER_FULL);
    let told = ["username", "role", "uuid", "devicefingeruuid"].map(|key| full[key].clone());
    assert_eq!(told, [json!("Upgraded"), json!("user"), json!(guest.uuid), json!(device)]);
    let user = User::from_login(&api, full);
    assert_eq!((user.id, &user.profile().await["role"]), (guest.id, &json!("user")));
    guest.post_empty("/api/chat/chatGetmessageOffLine").await.refused(400, "Token 令牌不合法！");
    // The friend and the queue are still there.
    let mut socket = user.connect().await;
    user.drain().await;
    assert_eq!(socket.texts_until("before").await.len(), 2); // after the notice that they are friends
    user.post_empty(&format!("/api/chat/ismygoodfriend/{}", friend.id)).await.ok();
    assert_eq!(login(&api, "upgraded").await["id"], guest.id);
    // The old name is free again for nobody in particular, and the device plays a guest of the account.
    let mode = app.visitor(&device).await;
    assert_eq!(
        (mode.id, &mode.full["role"], &mode.full["username"]),
        (guest.id, &json!("visitor"), &json!("Upgraded"))
    );
}

/// DEV-7, DEV-8.
async fn an_upgrade_never_takes_an_account_over(app: &App) {
    let (api, device) = (app.api(), device(70));
    let old = login(&api, "upgraded").await;
    let new = signed_call(&api, UPGRADE, &device, account("second_one")).await.ok();
    assert_ne!(new["id"], old["id"]);
    assert_eq!((&new["devicefingeruuid"], &new["role"]), (&json!(""), &json!("user")));
    assert_eq!(login(&api, "upgraded").await["id"], old["id"]);
    assert_eq!(login(&api, "second_one").await["id"], new["id"]);
    // A device that nobody owns is not stored.
    let device = crate::support::device(80);
    let full = signed_call(&api, UPGRADE, &device, account("third_one")).await.ok();
    assert_eq!((&full["devicefingeruuid"], &full["role"]), (&json!(""), &json!("user")));
    let guest = app.visitor(&device).await;
    assert_ne!(full["id"], guest.id);
    assert_eq!(guest.username, "VIS00000050");
}

async fn logging_in_leaves_the_guest_alone(app: &App) {
    let (api, device) = (app.api(), device(90));
    let (guest, ann) = (app.visitor(&device).await, app.register("ann").await);
    let wrong = json!({ "username": ann.username, "password": "wrong one" });
    signed_call(&api, LOGIN, &device, wrong).await.refused(400, "账户或密码错误");
    let full = signed_call(&api, LOGIN, &device, account(&ann.username)).await.ok();
    assert_eq!(
        (&full["id"], &full["role"], &full["devicefingeruuid"]),
        (&json!(ann.id), &json!("user"), &json!(""))
    );
    ann.post_empty("/api/chat/chatGetmessageOffLine").await.refused(400, "Token 令牌不合法！");
    User::from_login(&api, full).drain().await;
    assert_eq!(app.visitor(&device).await.id, guest.id);
}
