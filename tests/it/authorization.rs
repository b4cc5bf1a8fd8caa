//! What was taken back has ended, on every gateway, once the answer says so (clarification 18, ADR 0020).

use futures_util::future::join_all;
use hongyan::{
    adapters::nats::new_event::{Expect, NewEvent},
    events::{
        Cause, Event, GroupChatEvent, GroupId, GroupSummary, MessageId, Sent, Timestamp, UserId,
        UserSummary,
    },
};
use serde_json::json;
use testkit::chaos_proxy::{ChaosProxy, Mode};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_util::task::TaskTracker;

use crate::support::{App, PASSWORD, User, text_of, until};

const DRAIN: &str = "/api/chat/chatGetmessageOffLine";
const LOG_OUT: &str = "/api/chat/logout";
const BAD_TOKEN: &str = "Token 令牌不合法！";
const NEW_PASSWORD: &str = "a better one";

/// The same user at the last gateway.
fn there(app: &App, user: &User) -> User {
    user.via(app.gateways.last().expect("a gateway").origin())
}

async fn set_password(user: &User, old: &str, new: &str) -> bool {
    let body = json!({ "oldpassword": old, "newpassword": new, "checknewpassword": new });
    user.post("/api/chat/setPassword", body).await.status == 200
}

/// Two gateways, the second one behind a proxy. A call that is not served waits for two seconds.
async fn two_gateways() -> (App, ChaosProxy) {
    two_gateways_that_wait("2000").await
}

async fn two_gateways_that_wait(ms: &str) -> (App, ChaosProxy) {
    let own = [("PROJECTIONS__WAIT_MS", ms)];
    let mut app = App::with_gateways_configured(1, &own).await;
    let proxy = ChaosProxy::to(app.servers.nats.port(), &TaskTracker::new()).await.expect("a port");
    app.another_gateway("behind-a-proxy", proxy.port()).await;
    (app, proxy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_comes_in_with_the_old_password_while_it_changes() {
    let app = App::with_gateways(2).await;
    for _ in 0..4 {
        let ann = app.register("ann").await;
        let elsewhere = there(&app, &ann);
        let log_ins = join_all((0..4).map(async |_| {
            let reply = elsewhere.try_login().await;
            (reply.status == 200).then(|| User::from_login(&elsewhere, reply.ok()))
        }));
        let (log_ins, changed) = tokio::join!(log_ins, set_password(&ann, PASSWORD, NEW_PASSWORD));
        if !changed {
            continue; // a log-in before it has ended the token that it came with
        }
        for log_in in log_ins.into_iter().flatten() {
            for gateway in &app.gateways {
                let token = log_in.via(gateway.origin());
                token.post_empty(DRAIN).await.refused(400, BAD_TOKEN);
            }
        }
        elsewhere.try_login().await.refused(400, "账户或密码错误");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_password_is_finished_by_whoever_meets_the_account_next() {
    let (mut app, proxy) = two_gateways().await;
    let ann = app.register("ann").await;
    let other = ann.clone();
    let fired = proxy.set_at(&format!("HPUB evt.user.{} ", ann.id), Mode::Blackhole);
    let elsewhere = there(&app, &ann);
    let changing = tokio::spawn(async move {
        set_password(&elsewhere, PASSWORD, NEW_PASSWORD).await;
    });
    fired.await.expect("the vault has it, and the log does not");
    app.gateways[1].process().kill9();
    changing.abort();
    ann.try_login().await.refused(400, "账户或密码错误");
    let body = json!({ "username": ann.username, "password": NEW_PASSWORD });
    let newer = User::from_login(&ann, ann.post("/api/loginChat", body).await.ok());
    other.post_empty(DRAIN).await.refused(400, BAD_TOKEN);
    newer.post_empty(DRAIN).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_judged_again_once_the_body_has_come() {
    let app = App::with_gateways(2).await;
    let [ann, bob] = app.users(["ann", "bob"]).await;
    bob.let_strangers_send(2).await;
    let body = crate::support::text_to("single", bob.id, "too late").to_string();
    let origin = there(&app, &ann).origin().replace("http://", "");
    let mut slow = TcpStream::connect(origin).await.expect("the gateway listens");
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\ntoken: {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\nexpect: 100-continue\r\n\r\n",
        crate::support::SEND,
        ann.token(),
        body.len()
    );
    slow.write_all(head.as_bytes()).await.expect("it is taken");
    let mut go_on = [0; 25];
    slow.read_exact(&mut go_on).await.expect("the body is asked for once the token was judged");
    assert!(go_on.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&go_on));
    ann.post_empty(LOG_OUT).await.ok();
    slow.write_all(body.as_bytes()).await.expect("it is taken");
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains(BAD_TOKEN), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_cut_off_honours_nothing_that_was_taken_back() {
    let (mut app, proxy) = two_gateways().await;
    for mode in [Mode::Cut, Mode::Blackhole] {
        let ann = app.register("ann").await;
        let elsewhere = there(&app, &ann);
        elsewhere.drain().await;
        proxy.set(mode);
        ann.post_empty(LOG_OUT).await.ok();
        assert_ne!(elsewhere.post_empty(DRAIN).await.status, 200, "{mode:?}");
        let (status, health) = app.health_of(1).await;
        assert_eq!((status, &health["parts"]["gateway"]), (503, &json!(false)), "{health}");
        assert_ne!(elsewhere.get("/api/chat/grouplist/1").await.status, 200, "{mode:?}");
        proxy.set(Mode::Open);
        let refused = async || {
            let reply = elsewhere.post_empty(DRAIN).await;
            assert_ne!(reply.status, 200, "{mode:?}");
            (reply.status == 400).then_some(reply)
        };
        until("the gateway serves again", refused).await.refused(400, BAD_TOKEN);
    }
    let ann = app.register("ann").await;
    let elsewhere = there(&app, &ann);
    elsewhere.drain().await;
    app.gateways[1].process().stop_signal();
    ann.post_empty(LOG_OUT).await.ok();
    app.gateways[1].process().cont_signal();
    let refused = async || {
        let reply = elsewhere.post_empty(DRAIN).await;
        assert_ne!(reply.status, 200, "frozen");
        (reply.status == 400).then_some(reply)
    };
    until("the gateway serves again", refused).await.refused(400, BAD_TOKEN);
}

/// A gateway that does not hear itself for 1.5 s serves nobody (ADR 0020); whoever asks waits for that to be over, also with
/// a message that is on its way, a revocation, and what ends the token it comes with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_of_nats_costs_calls_time_and_no_error() {
    let mut app = App::start().await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let [cat, dan] = app.users(["cat", "dan"]).await;
    let mut socket = bob.listen().await;
    let regretted = ann.send(&bob, "regretted").await.ok();
    assert_eq!(socket.next_text().await, "regretted");
    app.settle().await;
    app.servers.nats.process().stop_signal();
    let (author, recipient) = (ann.clone(), bob.clone());
    let send = tokio::spawn(async move { author.send(&recipient, "on its way").await });
    let revoke = tokio::spawn(async move { ann.post("/api/chat/revokeMessage", regretted).await });
    let others = tokio::spawn(async move {
        let password = json!({ "password": PASSWORD });
        tokio::join!(cat.post_empty(LOG_OUT), dan.post("/api/chat/deleteAccount", password))
    });
    until("the gateway serves nobody", async || {
        (app.health_of(0).await.1["parts"]["gateway"] == false).then_some(())
    })
    .await;
    let read = tokio::spawn(async move { bob.get("/api/chat/grouplist/1").await });
    app.servers.nats.process().cont_signal();
    send.await.expect("it does not panic").ok();
    revoke.await.expect("it does not panic").ok();
    let (logged_out, deleted) = others.await.expect("it does not panic");
    logged_out.ok();
    deleted.ok();
    read.await.expect("it does not panic").ok();
    let mut arrived = [socket.next_push().await, socket.next_push().await];
    arrived.sort_by_key(|push| push["actionType"] == "revoke");
    assert_eq!(text_of(&arrived[0]), "on its way");
    assert_eq!(arrived[1]["actionType"], "revoke");
    socket.is_silent().await;
    app.verify().await;
}

/// What the log may have is not sent anew as another message, and what it does not have is not given up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_a_pause_has_lost_is_judged_and_sent_again() {
    let (app, proxy) = two_gateways_that_wait("10000").await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let mut socket = bob.listen().await;
    for mode in [Mode::Cut, Mode::Open] {
        let chat = format!("{}.{}", ann.id.min(bob.id), ann.id.max(bob.id));
        let fired = proxy.set_at(&format!("HPUB evt.chat.{chat}.{} ", ann.id), Mode::Blackhole);
        let (elsewhere, to) = (there(&app, &ann), bob.clone());
        let send = tokio::spawn(async move { elsewhere.send(&to, "on its way").await });
        fired.await.expect("the message is on its way");
        until("the gateway serves nobody", async || {
            (app.health_of(1).await.1["parts"]["gateway"] == false).then_some(())
        })
        .await;
        proxy.set(mode); // the log gets it, or does not
        proxy.set(Mode::Open);
        send.await.expect("it does not panic").ok();
        assert_eq!(socket.next_text().await, "on its way", "{mode:?}");
    }
    socket.is_silent().await;
    app.verify().await;
}

/// What was on its way to a socket when its gateway froze comes to the next one, if the socket was logged out meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_gateway_writes_nothing_to_who_was_logged_out() {
    let (mut app, _line) = two_gateways().await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let elsewhere = there(&app, &bob);
    let mut socket = elsewhere.listen().await;
    app.gateways[1].process().stop_signal();
    ann.send(&bob, "on its way").await.ok();
    app.settle().await;
    bob.post_empty(LOG_OUT).await.ok();
    app.gateways[1].process().cont_signal();
    let refused = async || (elsewhere.post_empty(DRAIN).await.status == 400).then_some(());
    until("the gateway serves again", refused).await;
    socket.is_silent().await;
    let bob = bob.login().await;
    let mut socket = bob.connect().await;
    bob.drain().await;
    assert_eq!(socket.next_text().await, "on its way");
}

/// A message that is on its way to the log while its author is logged out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_waits_for_calls_in_progress() {
    let (app, proxy) = two_gateways().await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let (lo, hi) = (ann.id.min(bob.id), ann.id.max(bob.id));
    let fired = proxy.set_at(&format!("HPUB evt.chat.{lo}.{hi}.{} ", ann.id), Mode::Blackhole);
    let (elsewhere, to) = (there(&app, &ann), bob.clone());
    let sending = tokio::spawn(async move { elsewhere.send(&to, "on its way").await.status });
    fired.await.expect("the message is on its way");
    ann.post_empty(LOG_OUT).await.ok();
    proxy.set(Mode::Open);
    assert_ne!(sending.await.expect("no panic"), 200);
}

/// On a replicated log such a message can come after the answer to its author's removal (ADR 0021).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_writes_who_is_not_in_the_group_reaches_nobody() {
    let app = App::start().await;
    let [ann, bob, cat] = app.friends(["ann", "bob", "cat"]).await;
    let group = app.group(&ann, &[&bob, &cat]).await;
    let mut socket = bob.listen().await;
    ann.remove(group, &cat).await.ok();
    let number = |id: u64| i64::try_from(id).expect("ids are small");
    let (avatar, name) = (String::new(), "cat".to_owned());
    let sent = Sent {
        id: MessageId(uuid::Uuid::new_v4()),
        from: UserSummary { id: UserId(number(cat.id)), name, avatar },
        from_uuid: cat.uuid.parse().expect("a UUID"),
        to: GroupSummary {
            id: GroupId(number(group.id)),
            name: String::new(),
            avatar: String::new(),
        },
        kind: "text".to_owned(),
        data: "\"from outside\"".to_owned(),
        options: None,
        sent_at: Timestamp(1_758_675_907_004),
    };
    let event = Event::GroupChat(sent.to.id, GroupChatEvent::Sent(std::sync::Arc::new(sent)));
    let mut new = NewEvent::new(event, None, &Cause::own("a test"));
    app.log().await.append(&mut new, Expect::Anything).await.expect("the log takes it");
    ann.say(group, "from inside").await.ok();
    assert_eq!(socket.next_text().await, "from inside");
}
