//! Appends: what was given up never happens, and what happened counts once (ADR 0019).

use async_nats::{HeaderMap, jetstream};
use serde_json::json;
use testkit::chaos_proxy::{ChaosProxy, Mode};
use tokio_util::task::TaskTracker;

use crate::support::{App, PASSWORD, User, until};

const DRAIN: &str = "/api/chat/chatGetmessageOffLine";

/// A gateway more, whose proxy to the log can be cut.
async fn behind_a_proxy(app: &mut App) -> ChaosProxy {
    let proxy = ChaosProxy::to(app.servers.nats.port(), &TaskTracker::new()).await.expect("a port");
    app.another_gateway("behind-a-proxy", proxy.port()).await;
    proxy
}

/// The same user, at the gateway behind the proxy.
fn there(app: &App, user: &User) -> User {
    user.via(app.gateways.last().expect("a gateway").origin())
}

async fn is_back(app: &App, user: &User) {
    let user = there(app, user);
    let called = async || (user.post_empty(DRAIN).await.status == 200).then_some(());
    until("the gateway answers again", called).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_in_that_was_given_up_ends_no_other() {
    let own = [("LOG__APPEND_TIMEOUT_MS", "5000")];
    let mut app = App::with_gateways_configured(1, &own).await;
    let proxy = behind_a_proxy(&mut app).await;
    for _ in 0..3 {
        let ann = app.register("ann").await;
        let fired = proxy.set_at(&format!("HPUB evt.session.{} ", ann.id), Mode::Cut);
        let refused = there(&app, &ann).try_login().await;
        fired.await.expect("the log-in is on its way");
        assert!(refused.status >= 500, "{refused:?}");
        proxy.set(Mode::Open);
        is_back(&app, &ann).await;
        ann.post_empty(DRAIN).await.ok();
        there(&app, &ann).post_empty(DRAIN).await.ok();
    }
}

/// What a connection has lost on its way to the credentials, or from there, is written again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_costs_a_new_account_nothing() {
    let mut app = App::start().await;
    let proxy = behind_a_proxy(&mut app).await;
    let ann = app.register("ann").await;
    for (name, is_answer) in [("bobby", false), ("catty", true)] {
        let fired = if is_answer {
            proxy.set_at_answer(r#""KV_VAULT""#, Mode::Cut)
        } else {
            proxy.set_at("HPUB $KV.VAULT.", Mode::Cut)
        };
        let elsewhere = there(&app, &ann);
        let body = json!({ "username": name, "password": PASSWORD });
        let registering = tokio::spawn(async move { elsewhere.post("/api/regChat", body).await });
        fired.await.expect("the name is being reserved");
        proxy.set(Mode::Open);
        let user = User::from_login(&ann, registering.await.expect("it does not panic").ok());
        user.post_empty(DRAIN).await.ok();
        is_back(&app, &user).await;
    }
}

/// A network that holds bytes back can do that: the server remembers an append's identity for two minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_the_log_holds_twice_counts_once() {
    let app = App::start().await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let mut socket = bob.connect().await;
    ann.send(&bob, "the first").await.ok();
    assert_eq!(socket.next_text().await, "the first");
    let (lo, hi) = (ann.id.min(bob.id), ann.id.max(bob.id));
    let subject = format!("evt.chat.{lo}.{hi}.{}", ann.id);
    let client = app.servers.nats.connect("gateway", "gatewaypw").await;
    let ops = jetstream::new(app.servers.nats.connect("ops", "opspw").await);
    let log = ops.get_stream("EVENTS").await.expect("the log");
    let first = log.get_last_raw_message_by_subject(&subject).await.expect("the message");
    let mut headers = HeaderMap::new();
    for (name, values) in first.headers.iter() {
        let name: &str = name.as_ref();
        if name.starts_with("ce-") || name.starts_with("hy-") {
            headers.insert(name, values[0].as_str());
        }
    }
    headers.insert("ce-id", uuid::Uuid::now_v7().to_string());
    headers.insert("ce-time", "2026-01-01T00:00:00.000Z");
    // As it reads, since what is sealed in it is sealed for this event.
    let show = ["events", "show", &first.sequence.to_string(), "--json"];
    let shown = app.cli(&show).await.json();
    let body = serde_json::json!({ "type": shown["type"], "data": shown["data"] });
    let id = body["data"]["id"].as_str().expect("its id");
    let body = body.to_string().replace(id, &uuid::Uuid::new_v4().to_string());
    let body = body.replace("the first", "held back");
    let context = jetstream::new(client);
    for _ in 0..2 {
        let publish =
            context.publish_with_headers(subject.clone(), headers.clone(), body.clone().into());
        publish.await.expect("nats-server").await.expect("the log takes it");
    }
    ann.send(&bob, "the last").await.ok();
    assert_eq!(socket.next_text().await, "held back");
    assert_eq!(socket.next_text().await, "the last");
    app.verify().await;
}
