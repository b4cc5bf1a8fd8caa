//! `rest.md` §0: envelope, requests, parameters, unknown routes, CORS.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{App, PASSWORD, SEND, User, device, send, signed_call};

/// `rest.md` §0.1–§0.3, clarifications 3, 10 and 20, DEV-26, DEV-32.
#[tokio::test]
async fn rest_00_requests_and_parameters() {
    let app = App::start().await;
    let [ann, bob] = app.users(["ann", "bob"]).await;
    forms_and_json_both_work(&app, &ann).await;
    the_path_wins_then_the_body_then_the_query(&app, &ann, &bob).await;
    what_is_missing_is_named(&app).await;
    lengths_are_counted_in_code_points(&app).await;
    integers_come_as_numbers_or_text(&ann, &bob).await;
    choices_are_listed(&ann, &bob).await;
    an_invalid_optional_value_becomes_the_default(&app).await;
    bodies_that_cannot_be_read_are_refused(&app).await;
    unknown_routes_are_not_found(&app, &ann).await;
    every_origin_is_welcome(&app, &ann).await;
}

async fn forms_and_json_both_work(app: &App, ann: &User) {
    let api = app.api();
    let form = [("username", ann.username.as_str()), ("password", PASSWORD)];
    let login = api.post_form("/api/loginChat", &form).await;
    assert_eq!(login.headers["content-type"], "application/json; charset=utf-8");
    assert_eq!(login.ok()["id"], ann.id);
    let again = ann.login().await; // JSON
    assert_eq!(again.post_empty("/api/chat/chatGetmessageOffLine").await.ok(), "ok");
    let extra =
        json!({ "username": ann.username, "password": PASSWORD, "unknown": [1, { "a": 2 }] });
    api.post("/api/loginChat", extra).await.ok();
    let number = json!({ "username": 123_456, "password": true, "more": null });
    api.post("/api/loginChat", number).await.refused(422, "密码 的长度 必须 在 6 和 20 之间");
}

async fn the_path_wins_then_the_body_then_the_query(app: &App, ann: &User, bob: &User) {
    let api = app.api();
    let ann = ann.login().await;
    ann.befriend(bob).await;
    let path = format!("/api/chat/ismygoodfriend/{}", bob.id);
    let edge = ann.post(&path, json!({ "id": ann.id })).await.ok();
    assert_eq!(edge["friend_id"], bob.id);
    let right = json!({ "username": ann.username, "password": PASSWORD });
    api.post("/api/loginChat?username=somebody", right).await.ok();
    let path = format!("/api/loginChat?username={}&password=wrong+one", ann.username);
    api.post(&path, json!({ "password": PASSWORD })).await.ok();
    api.post_empty(&path).await.refused(400, "账户或密码错误");
}

/// DEV-32.
async fn what_is_missing_is_named(app: &App) {
    let api = app.api();
    let path = "/api/loginChat";
    for nothing in [
        json!({}),
        json!({ "username": null }),
        json!({ "username": "" }),
        json!({ "password": "" }),
    ] {
        api.post(path, nothing).await.refused(422, "账号不能为空");
    }
    api.post_empty(path).await.refused(422, "账号不能为空");
    api.post_form(path, &[("username", ""), ("password", PASSWORD)])
        .await
        .refused(422, "账号不能为空");
    api.post(path, json!({ "username": "somebody", "password": null }))
        .await
        .refused(422, "密码不能为空");
    let both = json!({ "username": "abc", "password": "" });
    api.post(path, both).await.refused(422, "账号 的长度 必须 在 4 和 20 之间");
}

async fn lengths_are_counted_in_code_points(app: &App) {
    let api = app.api();
    let login = async |name: &str| {
        api.post("/api/loginChat", json!({ "username": name, "password": PASSWORD })).await
    };
    for name in ["abc".to_owned(), "x".repeat(21), "🦆🦆🦆".to_owned(), "鸿".repeat(21)] {
        login(&name).await.refused(422, "账号 的长度 必须 在 4 和 20 之间");
    }
    for name in ["🦆🦆🦆🦆".to_owned(), "鸿".repeat(20), "true".to_owned()] {
        login(&name).await.refused(400, "账号不存在或者被禁用");
    }
    let boolean = json!({ "username": true, "password": PASSWORD });
    api.post("/api/loginChat", boolean).await.refused(400, "账号不存在或者被禁用");
}

async fn integers_come_as_numbers_or_text(ann: &User, bob: &User) {
    let (ann, path) = (ann.login().await, "/api/chat/getUserSetInfo");
    for value in [json!(bob.id), json!(bob.id.to_string()), json!(format!("+{}", bob.id))] {
        assert_eq!(ann.post(path, json!({ "userid": value })).await.ok()["id"], bob.id);
    }
    let id = bob.id.to_string();
    assert_eq!(ann.post_form(path, &[("userid", &id)]).await.ok()["id"], bob.id);
    for (value, shown) in
        [(json!("abc"), "abc"), (json!("1.5"), "1.5"), (json!(1.5), "1.5"), (json!("1e3"), "1e3")]
    {
        let text = format!("用户id 的值 `{shown}` 的类型不是 `int`");
        ann.post(path, json!({ "userid": value })).await.refused(422, &text);
    }
    for value in [json!([1]), json!({ "a": 1 }), json!("99999999999999999999")] {
        ann.post(path, json!({ "userid": value })).await.failed(422);
    }
    for value in [json!(0), json!(-1), json!("-7")] {
        let text = "用户id 的数值 必须 在 1 和 10000000000000000 之间";
        ann.post(path, json!({ "userid": value })).await.refused(422, text);
    }
    ann.post("/api/chat/ismygoodfriend/none", json!({})).await.failed(422);
    let short = json!({ "userset": "x" });
    ann.post("/api/chat/userset", short)
        .await
        .refused(422, "用户设置 的长度 必须 在 2 和 65535 之间");
}

async fn choices_are_listed(ann: &User, bob: &User) {
    let ann = ann.login().await;
    let body = json!({ "sendto_id": bob.id, "chatType": "both", "type": "text", "data": "x" });
    ann.post(SEND, body).await.refused(422, "接收类型 的值 `both` 必须在 [`single`、`group`] 中");
    let body = json!({ "status": "later" });
    let text = "处理状态 的值 `later` 必须在 [`pending`、`refuse`、`agree`、`ignore`] 中";
    ann.post("/api/chat/handleapply/1", body).await.refused(422, text);
}

async fn an_invalid_optional_value_becomes_the_default(app: &App) {
    let long = "x".repeat(51);
    let fields =
        json!({ "uniplatform": "x", "devicemodel": long, "deviceos": "", "devicebrand": "Goose" });
    let full = signed_call(&app.api(), "/api/visitorRegister", &device(1), fields).await.ok();
    let stored =
        ["uniplatform", "devicemodel", "deviceos", "devicebrand"].map(|key| full[key].clone());
    assert_eq!(stored, ["", "", "", "Goose"].map(Value::from));
}

async fn bodies_that_cannot_be_read_are_refused(app: &App) {
    let api = app.api();
    let post =
        || api.request(Method::POST, "/api/loginChat").header("content-type", "application/json");
    for broken in ["{", "{\"username\":}", "nonsense", "\u{0}"] {
        send(post().body(broken)).await.failed(400);
    }
    send(post().body(Vec::from(*b"{\"username\":\"\xff\xfe\"}"))).await.failed(400);
    send(post().body("")).await.refused(422, "账号不能为空");
    let huge = json!({ "username": "x".repeat(1_500_000) });
    api.post("/api/loginChat", huge).await.failed(413);
}

/// DEV-26.
async fn unknown_routes_are_not_found(app: &App, ann: &User) {
    let (api, ann) = (app.api(), ann.login().await);
    let none = "404 错误";
    for path in [
        "/",
        "/api",
        "/api/nothing",
        "/api/loginchat",
        "/api/loginChat/more",
        "/public/uploads/none.png",
        "/public/uploads/%ff.png",
    ] {
        api.get(path).await.refused(404, none);
        api.post(path, json!({})).await.refused(404, none);
    }
    api.get("/api/loginChat").await.refused(404, none);
    send(api.request(Method::PUT, "/api/regChat")).await.refused(404, none);
    // The token is checked before the route.
    for path in ["/api/chat/nothing", "/api/chat/socket/getmessage", "/api/chat/socket/recall"] {
        api.post_empty(path).await.refused(400, "您没有权限访问即时通讯接口");
        ann.post_empty(path).await.refused(404, none);
    }
    send(ann.request(Method::PUT, "/api/chat/userset")).await.refused(404, none);
    send(ann.request(Method::DELETE, "/api/chat/deletegoodfriend/1")).await.refused(404, none);
}

/// `data.md` §9, CORS.
async fn every_origin_is_welcome(app: &App, ann: &User) {
    let (api, ann) = (app.api(), ann.login().await);
    let origin =
        |request: reqwest::RequestBuilder| request.header("origin", "https://client.example");
    for request in [
        ann.request(Method::POST, "/api/chat/chatGetmessageOffLine"),
        api.request(Method::POST, "/api/chat/chatGetmessageOffLine"),
        api.request(Method::POST, "/api/loginChat"),
        api.request(Method::GET, "/nothing"),
    ] {
        let reply = send(origin(request)).await;
        assert_eq!(reply.headers["access-control-allow-origin"], "*", "{}", reply.text());
    }
    for path in ["/api/chat/applyfriend", "/api/loginChat"] {
        let asked = origin(api.request(Method::OPTIONS, path))
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type,token,x-security-sign");
        let reply = send(asked).await;
        assert!((200..300).contains(&reply.status), "{}", reply.status);
        assert_eq!(reply.headers["access-control-allow-origin"], "*");
        let list = |name: &str| reply.headers[name].to_str().expect("text").to_lowercase();
        let allowed = list("access-control-allow-headers");
        assert!(
            ["content-type", "token", "x-security-sign"].iter().all(|name| allowed.contains(name)),
            "{allowed}"
        );
        let allowed = list("access-control-allow-methods");
        let methods = ["get", "put", "post", "delete", "patch"];
        assert!(methods.iter().all(|method| allowed.contains(method)), "{allowed}");
    }
}
