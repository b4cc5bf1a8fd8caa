//! A push is a hint that may get lost; who missed it looks (ADR 0022).

use testkit::chaos_proxy::ChaosProxy;
use tokio_util::task::TaskTracker;

use crate::support::{App, text_of};

/// With more members a group is large.
const SMALL: i64 = 50;

/// The last push to somebody is lost where nobody notices, and so is the word of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_lost_on_the_way_arrives() {
    let mut app = App::with_gateways(1).await;
    let proxy = ChaosProxy::to(app.servers.nats.port(), &TaskTracker::new()).await.expect("a port");
    app.another_gateway("far", proxy.port()).await;
    let [ann, bob] = app.users(["ann", "bob"]).await;
    bob.let_strangers_send(2).await;
    let group = app.group(&ann, &[&bob]).await;
    app.crowd(&ann, group, SMALL).await;
    let mut socket = bob.via(app.gateways[1].origin()).listen().await;
    let lose = |subject: &str| {
        proxy.replace_next(&format!("MSG push.{subject} "), &format!("MSG lost.{subject} "))
    };

    let lost = lose(&format!("u.{}", bob.id));
    ann.send(&bob, "to one").await.ok();
    lost.await.expect("it was on its way");
    assert_eq!(socket.next_text().await, "to one");

    let lost = lose(&format!("g.{}", group.id));
    ann.say(group, "to all").await.ok();
    lost.await.expect("it was on its way");
    assert_eq!(text_of(&socket.next_push().await), "to all");

    let lost = lose(&format!("u.{}", bob.id));
    ann.send(&bob, "and the watermark").await.ok();
    lost.await.expect("it was on its way");
    let lost = lose("watermarks");
    assert_eq!(socket.next_text().await, "and the watermark");
    lost.await.expect("watermarks come every few seconds");
    app.verify().await;
}
