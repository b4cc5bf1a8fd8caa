//! Connections that ended without a word: what they carried is not lost, and not told twice.

use crate::support::{App, Socket, User, until};

/// Whoever closes a connection that nobody uses, Redis' own `timeout` or something on the way to it: no request pays.
#[tokio::test]
async fn an_idle_connection_to_redis_that_was_closed_costs_no_request() {
    let app = App::start().await;
    let ann = app.register("ann").await;
    let _first = ann.connect().await; // has used the gateway's connection
    close_idle(&app).await;
    ann.rename("Ann").await;
    close_idle(&app).await;
    let again = ann.login().await;
    assert_eq!(again.profile().await["nickname"], "Ann");
    // The marker of the change is there, too (clarification 4).
    let mut redis = app.servers.redis.connect().await;
    let mut look = redis::cmd("GET");
    let mark: Result<Option<i64>, _> =
        look.arg(format!("user:modify:{}", ann.id)).query_async(&mut redis).await;
    assert_eq!(mark.expect("Redis answers"), Some(1));
}

/// As `timeout` does it: from Redis' side, while nothing is asked.
async fn close_idle(app: &App) {
    let mut redis = app.servers.redis.connect().await;
    let mut kill = redis::cmd("CLIENT");
    let closed: Result<u64, _> =
        kill.arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"]).query_async(&mut redis).await;
    assert!(closed.expect("Redis closes connections") > 0);
}

/// Clarification 35: a phone without power or network, which comes back before the system has given its old connection
/// up, at the same gateway or another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_host_that_has_gone_was_sent_comes_again_over_the_next_socket() {
    let app = App::with_gateways(2).await;
    let there = app.gateways[1].origin();
    for origin in [app.gateways[0].origin(), there] {
        let [ann, bob] = app.friends(["ann", "bob"]).await;
        let (_gone, before) = vanished(&app, &ann, &bob).await;
        let texts = twenty(&ann, &bob).await;
        let all = async || (written(&app).await >= before + 20).then_some(());
        until("all was written to the socket", all).await;
        let mut next = bob.via(origin).connect().await;
        bob.drain().await;
        assert_eq!(next.texts_until(&texts[19]).await, texts);
        ann.send(&bob, "afterwards").await.ok();
        assert_eq!(next.next_text().await, "afterwards");
    }
    app.verify().await;
}

/// The same when the system has given the old connection up (`limits.peer_timeout_ms`).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_host_that_has_gone_was_sent_comes_again_after_its_connection_has_ended() {
    let app = App::configured(&[("LIMITS__PEER_TIMEOUT_MS", "1000")]).await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let (_gone, before) = vanished(&app, &ann, &bob).await;
    let texts = twenty(&ann, &bob).await;
    until("the user is offline", async || (!app.online(&bob).await).then_some(())).await;
    assert!(written(&app).await > before, "something was written in vain");
    let mut next = bob.connect().await;
    bob.drain().await;
    assert_eq!(next.texts_until(&texts[19]).await, texts);
    app.verify().await;
}

/// A socket whose host vanished after it had received something, and how much had been written then.
async fn vanished(app: &App, ann: &User, bob: &User) -> (Socket, u64) {
    let mut socket = bob.connect().await;
    bob.drain().await;
    ann.send(bob, "before").await.ok();
    socket.texts_until("before").await;
    socket.vanish();
    (socket, written(app).await)
}

async fn twenty(from: &User, to: &User) -> Vec<String> {
    let texts: Vec<String> = (1..=20).map(|number| format!("message {number}")).collect();
    for text in &texts {
        from.send(to, text).await.ok();
    }
    texts
}

/// How many messages the first gateway has written to sockets.
async fn written(app: &App) -> u64 {
    app.metric("hongyan_frames_written_total").await
}
