//! `ws.md` §1–§4, §6.1, §8: connecting, refusals, hints, what a client may say.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite;

use crate::support::shapes::{assert_epoch_ms, assert_uuid, asset, enc, keys};
use crate::support::{App, Arrival, PASSWORD, Socket, User, device, now_ms, signed_call, until};

/// `ws.md` §1, §2, §3, §4, §8, DEV-2.
#[tokio::test]
async fn ws_01_02_08_connecting_and_talking() {
    let app = App::start().await;
    refusals_are_a_frame_and_an_ordinary_close(&app).await;
    other_paths_are_not_found(&app).await;
    pings_are_answered(&app).await;
    whatever_else_a_client_says_is_ignored(&app).await;
    handshakes_are_read_as_the_originals_library_does(&app).await;
    a_close_is_answered(&app).await;
}

async fn refusals_are_a_frame_and_an_ordinary_close(app: &App) {
    let [ann, bob, cat] = app.users(["ann", "bob", "cat"]).await;
    let older = ann.login().await;
    ann.login().await;
    bob.post_empty("/api/chat/logout").await.ok();
    app.cli(&["users", "disable", &cat.id.to_string()]).await.ok();
    let forged = format!("{}x", older.token());
    for (query, text) in [
        ("", "缺少 token 参数"),
        ("?", "缺少 token 参数"),
        ("?token=", "缺少 token 参数"),
        ("?Token=x", "缺少 token 参数"),
        ("?token=nonsense", "Token 不合法"),
        (&format!("?token={forged}"), "Token 不合法"),
        (&format!("?token={}", older.token()), "Token 不合法"), // replaced (DEV-2)
        (&format!("?token={}", bob.token()), "Token 不合法"),   // logged out (DEV-2)
        (&format!("?token={}", cat.token()), "你已被管理员禁用"),
    ] {
        let opened = Socket::open(ann.origin(), &format!("/ws{query}")).await;
        let mut socket = opened
            .unwrap_or_else(|error| panic!("the upgrade of {query} must be accepted: {error}"));
        assert_eq!(socket.next_frame().await, json!({ "msg": "fail", "data": text }), "{query}");
        let end = socket.next().await;
        assert!(matches!(end, Arrival::Closed(1000 | 1005)), "{query}: {end:?}");
    }
}

async fn other_paths_are_not_found(app: &App) {
    let ann = app.register("ann").await;
    for path in ["/", "/ws/", "/wss", "/api/ws", "/ws/x", "/api/loginChat"] {
        let refused = Socket::open(ann.origin(), &format!("{path}?token={}", ann.token())).await;
        match refused {
            Err(tungstenite::Error::Http(response)) => {
                assert_eq!(response.status(), 404, "{path}");
                assert_eq!(response.headers()["connection"], "close", "{path}");
            }
            other => panic!("{path}: {other:?}"),
        }
    }
    ann.connect().await.is_silent().await;
}

/// `ws.md` §8.
async fn pings_are_answered(app: &App) {
    let ann = app.register("ann").await;
    let mut socket = ann.connect().await;
    let with_token =
        json!({ "type": "ping", "token": ann.token(), "timestamp": now_ms() }).to_string();
    for ping in [r#"{"type":"ping"}"#, r#"{"type":"ping","timestamp":1}"#, "ping", &with_token] {
        socket.say(ping).await;
        expect_pong(&mut socket).await;
        socket.say_bytes(ping.as_bytes()).await;
        expect_pong(&mut socket).await;
    }
    let invalid = json!({ "type": "ping", "token": "nonsense", "timestamp": now_ms() }).to_string();
    socket.say(&invalid).await; // no answer: the next pong is the only one
    ann.login().await;
    socket.say(&with_token).await; // nor for a token that a newer log-in has ended
    socket.is_silent().await;
    socket.is_silent().await;
}

async fn expect_pong(socket: &mut Socket) {
    let pong = socket.next_frame().await;
    assert_eq!(keys(&pong), ["type", "timestamp"]);
    assert_eq!(pong["type"], "pong");
    assert_epoch_ms(&pong["timestamp"]);
}

/// `ws.md` §8.
async fn whatever_else_a_client_says_is_ignored(app: &App) {
    let ann = app.register("ann").await;
    let mut socket = ann.connect().await;
    for text in [
        r#"{"type":"pong"}"#,
        "{}",
        "[]",
        "null",
        "{",
        "Ping",
        "",
        r#"{"type":"singleChat","data":{}}"#,
        r#"{"type":1}"#,
    ] {
        socket.say(text).await;
    }
    for bytes in [b"\xff\xfe".as_slice(), b"", b"{\"type\":\"pong\"}", &[0; 1000]] {
        socket.say_bytes(bytes).await;
    }
    socket.is_silent().await;
    ann.send(&ann, "still there").await.ok();
    assert_eq!(socket.next_text().await, "still there");
}

/// Clarifications 28 and 34, byte by byte.
async fn handshakes_are_read_as_the_originals_library_does(app: &App) {
    const KEY: &str =
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let ann = app.register("ann").await;
    let ask = |path: &str, headers: &str| {
        format!("GET {path}?token={} HTTP/1.1\r\nHost: x\r\n{headers}\r\n{KEY}", ann.token())
    };
    for (headers, protocol) in [
        ("Connection: Upgrade\r\nUpgrade: websocket", None),
        ("Connection: keep-alive\r\nUpgrade: WebSocket\r\nConnection: upgrade", None),
        (
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: zeta, alpha",
            Some("zeta"),
        ),
        (
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: zeta\r\nSec-WebSocket-Protocol: alpha",
            Some("zeta"),
        ),
    ] {
        let mut client = app.raw().await;
        client.send(ask("/ws", headers)).await;
        let head = client.head().await.to_lowercase();
        assert!(head.starts_with("http/1.1 101 "), "{headers}: {head}");
        assert!(head.contains("s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
        let chosen = head.lines().find_map(|line| line.strip_prefix("sec-websocket-protocol: "));
        assert_eq!(chosen, protocol, "{headers}");
    }
    for path in ["/", "/ws/", "/api/loginChat", "/api/chat/grouplist/1"] {
        let answer = ask(path, "Connection: Upgrade\r\nUpgrade: websocket");
        let answer = app.raw().await.exchange(answer).await; // which ends
        assert!(answer.starts_with("HTTP/1.1 404 ") && answer.contains("404 错误"), "{answer}");
    }
    // Another protocol is none that a client must be refused for.
    let other =
        "Connection: close, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ";
    let answer = app.raw().await.exchange(ask("/api/chat/grouplist/1", other)).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

/// Clarification 28: with the client's own code, so that the end is an orderly one for it.
async fn a_close_is_answered(app: &App) {
    let ann = app.register("ann").await;
    for (code, answered) in
        [(None, 1005), (Some(1000), 1000), (Some(1001), 1001), (Some(4_321), 4_321)]
    {
        let socket = ann.connect().await;
        assert_eq!(socket.close_with(code).await, Arrival::Closed(answered), "{code:?}");
    }
}

/// `ws.md` §3, §6.1 (H2–H7); H1 is with the groups.
#[tokio::test]
async fn ws_03_the_welcome_and_the_hints() {
    let app = App::start().await;
    a_user_without_friends(&app).await;
    a_user_with_friends(&app).await;
    guests_and_guest_mode(&app).await;
}

async fn a_user_without_friends(app: &App) {
    let ann = app.register("ann").await;
    check(&ann, &ann.username, &asset("user.jpg"), &["H3", "H4", "H5", "H6"]).await;
    ann.rename("Ann & 安").await;
    ann.change("avatar", "https://h/a b.png?x=1").await.ok();
    let newest = ann.login().await;
    check(&newest, "Ann & 安", "https://h/a b.png?x=1", &["H3", "H4", "H5", "H6"]).await;
}

/// H2 needs a friend that is not on the blacklist.
async fn a_user_with_friends(app: &App) {
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    check(&ann, &ann.username, &asset("user.jpg"), &["H2", "H3", "H4", "H5", "H6"]).await;
    ann.toggle_black(&bob).await;
    check(&ann, &ann.username, &asset("user.jpg"), &["H3", "H4", "H5", "H6"]).await;
    check(&bob, &bob.username, &asset("user.jpg"), &["H2", "H3", "H4", "H5", "H6"]).await;
}

/// The role played decides, not the row's.
async fn guests_and_guest_mode(app: &App) {
    let guest = app.visitor(&device(1)).await;
    check(&guest, "VIS00000001", &asset("user.jpg"), &["H4", "H7"]).await;
    let body = json!({ "username": "the_owner", "password": PASSWORD });
    let full = signed_call(&app.api(), "/api/visitorregChat", &device(1), body).await.ok();
    let owner = User::from_login(&app.api(), full);
    check(&owner, "the_owner", &asset("user.jpg"), &["H3", "H4", "H5", "H6"]).await;
    let mode = app.visitor(&device(1)).await;
    check(&mode, "the_owner", &asset("user.jpg"), &["H4", "H7"]).await;
}

/// Connects, and insists on the welcome and exactly these hints.
async fn check(user: &User, name: &str, avatar: &str, hints: &[&str]) {
    let mut socket = user.connect_raw().await;
    let greeting = socket.greeting().await;
    let welcome = &greeting[0];
    assert_epoch_ms(&welcome["timestamp"]);
    let expected = json!({ "type": "system", "data": "欢迎您访问我们的系统！", "timestamp": welcome["timestamp"] });
    assert_eq!(*welcome, expected);
    assert_eq!(greeting.len(), hints.len() + 1, "{greeting:?}");
    for (push, hint) in greeting[1..].iter().zip(hints) {
        assert_eq!(*push, expected_hint(push, hint, user.id, name, avatar), "{hint}");
    }
    socket.is_silent().await;
}

fn expected_hint(push: &Value, hint: &str, id: u64, name: &str, avatar: &str) -> Value {
    assert_uuid(&push["id"]);
    assert_epoch_ms(&push["create_time"]);
    let set_page = "/pages/setpageInfo/setpageInfo?action=";
    let (key, from_name, text, picture, url) = match hint {
        "H2" => (
            "friendsList",
            "我的通讯录",
            "可查看我的通讯录好友",
            asset("img/friendList.png"),
            "/pages/friendsList/friendsList".to_owned(),
        ),
        "H3" => (
            "userInfoSet",
            "头像设置",
            "不满意你的头像可以更换",
            avatar.to_owned(),
            format!(
                "{set_page}userinfoSet&title={}&redirectUrl={}&redirectType=switchTab",
                enc("账号信息设置"),
                enc("/pages/wode/wode")
            ),
        ),
        "H4" => (
            "whoCanChatMe",
            "聊天消息条数限制",
            "谁可以和我聊天，可向我发几条消息",
            asset("img/whoCanChatMe.png"),
            format!("{set_page}chatset&title={}", enc("和我聊天设置")),
        ),
        "H5" => (
            "myQrcode",
            "我的二维码",
            "展示给别人加你为好友",
            asset("img/myQrcode1.png"),
            format!(
                "{set_page}groupQrcode&title={}&id={id}&name={}&avatar={}&chatType=single",
                enc("我的二维码"),
                enc(name),
                enc(avatar)
            ),
        ),
        "H6" => (
            "search",
            "搜索加好友",
            "搜索账号加好友或聊天",
            asset("img/search.png"),
            "/pages/search/search".to_owned(),
        ),
        _ => (
            "visitorLogin",
            "系统消息",
            "欢迎您，登录可以获取更多功能！",
            asset("kefu.png"),
            "/pages/loginCenter/loginCenter".to_owned(),
        ),
    };
    let key = format!("redirect-{key}-{id}");
    json!({ "id": push["id"], "from_avatar": picture, "from_name": from_name, "from_id": key, "to_id": id,
        "to_name": name, "to_avatar": avatar, "chatType": "single", "type": "text",
        "data": { "data": text, "dataType": false, "otherData": null },
        "redirect": { "url": url, "type": "navigateTo" }, "options": {}, "create_time": push["create_time"],
        "isremove": 0, "group": {}, "msgidKey": key })
}

/// `ws.md` §4: the heartbeat comes by itself, and needs no answer. Takes half a minute of doing nothing.
#[tokio::test]
async fn ws_04_the_server_sends_heartbeats() {
    let app = App::start().await;
    let ann = app.register("ann").await;
    ann.let_strangers_send(2).await;
    let (mut old, mut socket) = (ann.connect().await, ann.connect().await);
    beats(&mut socket).await;
    ann.send(&ann, "still there").await.ok();
    assert_eq!(socket.next_text().await, "still there");
    // The superseded socket keeps its heartbeat (§5).
    assert_eq!(old.next_push().await["from_id"], 0); // the alert
    beats(&mut old).await;
}

/// Waits for a heartbeat; talking meanwhile is allowed.
async fn beats(socket: &mut Socket) {
    until("a heartbeat comes", async || {
        socket.is_silent().await;
        (socket.heartbeats > 0).then_some(())
    })
    .await;
}
