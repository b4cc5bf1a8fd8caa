//! What attackers and broken networks like has an end, with a clear answer (config/default.toml, `[limits]`).

use std::fs;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{App, Arrival, PASSWORD, Reply, SEND, User, send, until};

const TOO_MANY: &str = "登录失败次数过多，请稍后再试";
const WRONG: &str = "账户或密码错误";

/// RFC 6455 §5.5.2: each ping is to be answered, and this client takes no answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pings_of_who_reads_nothing_cost_little_memory() {
    const BYTES: usize = 32 << 20;
    let mut app = App::start().await;
    let ann = app.register("ann").await;
    let host = app.gateways[0].origin().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&host).await.expect("it listens");
    let head = format!(
        "GET /ws?token={} HTTP/1.1\r\nhost: {host}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        ann.token()
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut beginning = [0; 12];
    stream.read_exact(&mut beginning).await.expect("answered");
    assert_eq!(&beginning, b"HTTP/1.1 101");
    let process = app.gateways[0].process().id();
    fs::write(format!("/proc/{process}/clear_refs"), "5").expect("the peak can be reset");
    let before = app.gateways[0].most_memory_mib();
    let ping = [&[0x89, 0x80 | 0x7d, 0, 0, 0, 0][..], &[b'x'; 0x7d]].concat();
    let some = ping.repeat(500);
    for _ in 0..BYTES / some.len() {
        stream.write_all(&some).await.expect("they are read");
    }
    let grown = app.gateways[0].most_memory_mib() - before;
    assert!(grown < 24, "32 MiB of pings cost {grown} MiB");
}

#[tokio::test]
async fn requests_that_do_not_come_to_an_end_are_ended() {
    let own = [("LIMITS__HANDSHAKE_TIMEOUT_MS", "2000"), ("LIMITS__BODY_TIMEOUT_MS", "1000")];
    let app = App::configured(&own).await;
    let head = "POST /api/loginChat HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n";
    let answer = what_comes_back(&app, &format!("{head}{{")).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains(r#"{"msg":"fail","data":"#), "{answer}");
    assert_eq!(what_comes_back(&app, "POST /api/loginChat HTTP/1.1\r\nho").await, "");
    let long = format!("GET / HTTP/1.1\r\nconnection: close\r\nx: {}\r\n\r\n", "x".repeat(60_000));
    let answer = what_comes_back(&app, &long).await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "64 KiB are read: {answer}");
    let endless = format!("GET / HTTP/1.1\r\nx: {}", "x".repeat(100_000));
    let answer = what_comes_back(&app, &endless).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

async fn what_comes_back(app: &App, bytes: &str) -> String {
    app.raw().await.exchange(bytes).await
}

/// Before anybody is asked who they are. As a tree of values each of these bodies would take 70 MB.
#[tokio::test]
async fn a_body_takes_no_more_memory_than_it_has_bytes() {
    let app = App::start().await;
    let many = vec![r#"{"":0}"#; 145_000].join(",");
    let body = format!(r#"{{"x":[{many}],"username":"","password":"secret"}}"#);
    let post = || app.api().request(Method::POST, "/api/regChat").body(body.clone());
    for reply in join_all((0..40).map(|_| send(post()))).await {
        assert!([422, 503].contains(&reply.status), "{}", reply.status);
    }
    let most = app.gateways[0].most_memory_mib();
    assert!(most < 400, "{most} MiB");
}

/// Shared out: who fills half of it leaves the other half to everybody else.
#[tokio::test]
async fn memory_for_bodies_is_bounded_and_shared_out() {
    let app = App::configured(&[("LIMITS__BODIES_BYTES", "1000000")]).await;
    let [ann, bob, cat] = app.users(["ann", "bob", "cat"]).await;
    // 16 KiB of each body are not counted.
    let held = async |bytes: u64| {
        until("the memory is held", async || {
            (app.metric("hongyan_request_bodies_held_bytes").await == bytes).then_some(())
        })
        .await;
    };
    let begin = async |user: &User, sent: usize| {
        let mut client = app.raw().await;
        let head = format!(
            "POST {SEND} HTTP/1.1\r\nhost: x\r\ntoken: {}\r\ncontent-length: 500000\r\n\r\n{{",
            user.token()
        );
        client.send(&format!("{head}{}", " ".repeat(sent - 1))).await;
        client
    };
    let is_full = async |user: &User| {
        let body = format!("{{{}}}", " ".repeat(300_000));
        let reply = send(user.request(Method::POST, SEND).body(body)).await;
        if reply.status == 503 {
            assert_eq!(reply.headers["retry-after"], "1");
            reply.refused(503, "服务繁忙，请稍后再试");
            return true;
        }
        reply.failed(422);
        false
    };
    assert!(!is_full(&ann).await, "nobody holds anything");
    held(0).await;
    let mut first = begin(&ann, 466_384).await;
    held(450_000).await;
    assert!(is_full(&ann).await, "ann holds half of it");
    held(450_000).await;
    assert!(!is_full(&bob).await, "there is room for others");
    held(450_000).await;
    let second = begin(&bob, 266_384).await;
    held(700_000).await;
    assert!(is_full(&bob).await, "bob holds half of what was left");
    cat.send(&ann, "hello").await.ok(); // ordinary requests are always served
    drop(second);
    held(450_000).await;
    assert!(!is_full(&bob).await, "what bob held is free");
    first.send(" ".repeat(33_616)).await;
    let answer = first.head().await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "it is no JSON: {answer}");
    held(0).await;
    assert!(!is_full(&ann).await, "what ann held is free");
}

/// Clarification 30: by who writes all of it first, and over a connection that then goes on.
#[tokio::test]
async fn a_refusal_before_the_end_of_a_body_can_be_read() {
    let app = App::start().await;
    let ann = app.register("ann").await;
    let upload = "/api/chat/uploadStreamSingleToServerDiy/x";
    for (path, head, size, refused) in [
        (upload, "content-type: multipart/form-data; boundary=x\r\ntoken: bad", 3 << 20, 400),
        (SEND, "token: bad", 3 << 20, 400),
        ("/api/loginChat", "content-type: application/json", 8 << 20, 413),
        ("/api/nothing", "content-type: multipart/form-data; boundary=x", 3 << 20, 413),
    ] {
        let mut client = app.raw().await;
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{head}\r\ncontent-length: {size}");
        client.send(&format!("{head}\r\n\r\n{}", "x".repeat(size))).await;
        client.send("GET /api/nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        let answers = client.rest().await;
        assert!(answers.starts_with(&format!("HTTP/1.1 {refused} ")), "{path}: {answers}");
        assert!(answers.contains("HTTP/1.1 404 "), "{path}: {answers}");
    }
    ann.login().await;
}

/// `data.md` §5.3, clarifications 22, 23 and 27: by address, which a trusted proxy tells, and no client can make up.
#[tokio::test]
async fn failed_log_ins_are_counted_by_account_and_by_address() {
    let own =
        [("LIMITS__LOGIN_FAILURES_PER_ADDRESS", "3"), ("LIMITS__TRUSTED_PROXIES", "127.0.0.0/8")];
    let app = App::configured(&own).await;
    let users = join_all((0..8).map(|_| app.register("ann"))).await;
    for (index, user) in users.iter().take(3).enumerate() {
        let made_up = format!("203.0.113.{index}");
        guess(user, &[&made_up, "198.51.100.7"]).await.refused(400, WRONG);
    }
    for forwarded in [
        ["203.0.113.9, 198.51.100.7"].as_slice(),
        &["203.0.113.9", "198.51.100.7"],
        &["198.51.100.7:5678"],
        &["[::ffff:198.51.100.7]:443"],
    ] {
        guess(&users[3], forwarded).await.refused(400, TOO_MANY);
    }
    guess(&users[3], &["198.51.100.8"]).await.refused(400, WRONG); // another address
    for (user, from) in users.iter().zip(["2001:db8::1", "[2001:db8::2]:443", "2001:db8::3:4"]) {
        guess(user, &[from]).await.refused(400, WRONG);
    }
    guess(&users[3], &["2001:db8::ffff:5:6:7"]).await.refused(400, TOO_MANY); // the same /64
    guess(&users[3], &["2001:db8:0:1::1"]).await.refused(400, WRONG);
    // What is no address counts for the proxy, with limits, though they do not apply to it.
    for (user, from) in users.iter().zip(["unknown", "", "198.51.100.9, _hidden"]) {
        guess(user, &[from]).await.refused(400, WRONG);
    }
    guess(&users[3], &["1.2.3"]).await.refused(400, TOO_MANY);
    for user in &users {
        guess(user, &[]).await.refused(400, WRONG); // this machine
    }
}

/// Guesses the password of `user` wrong, through a proxy that writes these lines.
async fn guess(user: &User, forwarded: &[&str]) -> Reply {
    log_in_from(user, "not this one", forwarded).await
}

async fn log_in_from(user: &User, password: &str, forwarded: &[&str]) -> Reply {
    let body = json!({ "username": user.username, "password": password });
    let mut request = user.request(reqwest::Method::POST, "/api/loginChat").json(&body);
    for line in forwarded {
        request = request.header("x-forwarded-for", *line);
    }
    send(request).await
}

/// Clarification 27: by account alone a hundred times what it may fail from one address.
#[tokio::test]
async fn nobody_locks_an_owner_out_who_comes_from_elsewhere() {
    let own = [("LIMITS__LOGIN_FAILURES", "2"), ("LIMITS__TRUSTED_PROXIES", "127.0.0.0/8")];
    let app = App::configured(&own).await;
    let [ann, bob, cat] = app.users(["ann", "bob", "cat"]).await;
    for _ in 0..2 {
        guess(&ann, &["198.51.100.7"]).await.refused(400, WRONG);
    }
    log_in_from(&ann, PASSWORD, &["198.51.100.7"]).await.refused(400, TOO_MANY);
    guess(&bob, &["198.51.100.7"]).await.refused(400, WRONG); // another account
    log_in_from(&ann, PASSWORD, &["198.51.100.8"]).await.ok();
    guess(&ann, &["198.51.100.7"]).await.refused(400, TOO_MANY); // her log-in elsewhere frees nobody here
    for index in 0..100 {
        for _ in 0..2 {
            guess(&cat, &[&format!("2001:db8:0:{index}::1")]).await.refused(400, WRONG);
        }
    }
    log_in_from(&cat, PASSWORD, &["198.51.100.9"]).await.refused(400, TOO_MANY);
}

#[tokio::test]
async fn guesses_at_once_learn_no_more_than_one_after_another() {
    let app = App::start().await;
    let ann = app.register("ann").await;
    let guess = async |password: &str| {
        let body = json!({ "username": ann.username, "password": password });
        app.api().post("/api/loginChat", body).await
    };
    let answers = join_all((0..40).map(|_| guess("not this one"))).await;
    let wrong = answers.iter().filter(|reply| reply.body["data"] == WRONG).count();
    assert_eq!(wrong, 10, "guesses that were answered");
    guess(PASSWORD).await.refused(400, TOO_MANY);
}

#[tokio::test]
async fn a_user_has_so_many_sockets_and_the_oldest_goes() {
    let app = App::configured(&[("LIMITS__SOCKETS_PER_USER", "3")]).await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let mut sockets = Vec::new();
    for _ in 0..4 {
        sockets.push(ann.connect_raw().await);
    }
    let mut newest = sockets.pop().expect("four were opened");
    newest.greeting().await;
    // Without a close frame, which would log the user out (`ws.md` §7.7).
    while let Arrival::Frame(_) = sockets[0].next().await {}
    let dropped = sockets[0].next().await;
    assert_eq!(dropped, Arrival::Dropped);
    bob.send(&ann, "to the newest").await.ok();
    assert_eq!(newest.texts_until("to the newest").await, ["to the newest"]);
    for socket in &mut sockets[1..] {
        socket.say("ping").await; // still open
    }
    drop((sockets, newest));
    until("the user is offline", async || (!app.online(&ann).await).then_some(())).await;
}

/// By account, on all nodes together; nobody else is held up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_a_user_are_counted_on_all_nodes_together() {
    let app = App::with_gateways_configured(2, &[("LIMITS__REQUESTS_PER_USER", "60")]).await;
    let [ann, bob] = app.users(["ann", "bob"]).await;
    let elsewhere = ann.via(app.gateways[1].origin());
    let is_refused = async |user: &User| {
        let reply = user.post_empty("/api/chat/chatGetmessageOffLine").await;
        if reply.status == 200 {
            return None;
        }
        assert_eq!(reply.headers["retry-after"], "60");
        reply.refused(429, "请求过于频繁，请稍后再试");
        Some(())
    };
    until("too many at one node", async || is_refused(&ann).await).await;
    until("too many at the other", async || is_refused(&elsewhere).await).await;
    bob.drain().await;
    bob.via(app.gateways[1].origin()).drain().await;
}

/// A queue that Redis has no room for could not be emptied either.
#[tokio::test]
async fn messages_are_refused_before_redis_is_full() {
    let app = App::start().await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    ann.send(&bob, "while there is room").await.ok();
    let mut redis = app.servers.redis.connect().await;
    let mut set = async |most: u64| {
        let mut config = redis::cmd("CONFIG");
        config.arg("SET").arg("maxmemory").arg(most);
        config.query_async::<()>(&mut redis).await.expect("Redis takes it");
    };
    // 95 % are used, so Redis itself refuses nothing yet.
    let used = until("Redis was asked", async || {
        let used = app.metric("hongyan_redis_memory_used_bytes").await;
        (used > 0).then_some(used)
    });
    let used = used.await;
    set(used * 100 / 95).await;
    let refused = until("there is no room", async || {
        let reply = ann.send(&bob, "x").await;
        (reply.status != 200).then_some(reply)
    })
    .await;
    assert_eq!(refused.headers["retry-after"], "1");
    refused.refused(503, "服务繁忙，请稍后再试");
    let log = std::fs::read_to_string(app.servers.folder().join("hongyan.log")).expect("a log");
    assert!(log.contains("ERROR") && log.contains("messages are refused"), "{log}");
    set(0).await;
    let sent = until("there is room again", async || {
        let reply = ann.send(&bob, "again").await;
        (reply.status == 200).then_some(())
    });
    sent.await;
    let mut socket = bob.connect().await;
    bob.drain().await;
    let arrived = socket.texts_until("again").await;
    assert!(arrived.contains(&"while there is room".to_owned()), "{arrived:?}");
}
