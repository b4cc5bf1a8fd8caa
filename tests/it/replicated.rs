//! A log on three servers (ADR 0002, `log.durability = replicated`): any of them may die.

use futures_util::future::join_all;
use serde_json::json;

use crate::support::{App, NatsCluster, PASSWORD, Traffic, one_wins};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replicated_log_keeps_its_promises_when_servers_die() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut cluster = NatsCluster::start(folder.path()).await;
    let own = [
        ("NATS__URL", cluster.url()),
        ("LOG__DURABILITY", "replicated".to_owned()),
        ("LOG__REPLICAS", "3".to_owned()),
    ];
    let own = own.each_ref().map(|(key, value)| (*key, value.as_str()));
    let app = App::configured(&own).await;
    races_have_one_winner(&app).await;
    let [ann, bob, cat] = app.users(["ann", "bob", "cat"]).await;
    let traffic = Traffic::start(&[&ann, &bob], &cat).await;
    for server in 0..2 {
        cluster.kill9(server);
        traffic.flows().await;
        cluster.start_again(server).await;
        traffic.flows().await;
    }
    traffic.end().await;
    app.verify().await;
}

/// Conflicts have two codes on replicated streams (ADR 0001), and both mean the same.
async fn races_have_one_winner(app: &App) {
    let [ann, bob] = app.users(["ann", "bob"]).await;
    let sends = join_all((0..20).map(|_| bob.send(&ann, "the one"))).await;
    one_wins(sends, "在成为好友之前，对方只允许向他发一条消息");
    let body = json!({ "friend_id": ann.id });
    let asks = (0..20).map(|_| bob.post("/api/chat/applyfriend", body.clone()));
    one_wins(join_all(asks).await, "您已经申请过了，请勿重复申请");
    let body = json!({ "username": "the_only_one", "password": PASSWORD });
    let api = app.api();
    let registrations = (0..20).map(|_| api.post("/api/regChat", body.clone()));
    one_wins(join_all(registrations).await, "该账号已存在，请换一个账号注册");
    // What was sent a moment ago can be taken back at once: the leader is asked, not a replica that lags.
    ann.befriend(&bob).await;
    for _ in 0..10 {
        let message = ann.send(&bob, "oh no").await.ok();
        ann.post("/api/chat/revokeMessage", message).await.ok();
    }
}
