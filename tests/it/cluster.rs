//! Several gateways: no user can tell on which one the others are (clarification 18).

use futures_util::{StreamExt as _, future::join_all};
use hongyan::{adapters::nats::hand_over::HandOverChannel, events::NodeId};
use serde_json::json;

use crate::support::traffic::{Numbered, numbered};
use crate::support::{App, PASSWORD, Socket, User, one_wins, until};

const BAD_TOKEN: &str = "Token 令牌不合法！";
const DRAIN: &str = "/api/chat/chatGetmessageOffLine";

/// `ws.md` §3, §5, §7.1, §7.2; `data.md` §4.1; clarification 18.
#[tokio::test]
async fn users_of_different_gateways_meet() {
    let app = App::with_gateways(2).await;
    messages_cross(&app).await;
    the_newest_socket_counts_everywhere(&app).await;
    of_many_sockets_at_once_one_hears(&app).await;
    tokens_end_everywhere_at_once(&app).await;
    rules_bind_everywhere_at_once(&app).await;
    reads_follow_writes_everywhere(&app).await;
    races_have_one_winner(&app).await;
}

/// ADR 0003: whoever has the queue gives it up at once, also while they wait for what is in it.
#[tokio::test]
async fn a_socket_that_waits_for_redis_gives_way_to_a_newer_one() {
    let mut app = App::with_gateways(2).await;
    let [ann, bob] = app.users(["ann", "bob"]).await;
    bob.let_strangers_send(2).await;
    ann.send(&bob, "waits").await.ok();
    app.settle().await;
    let mut older = bob.connect().await;
    let nats = app.servers.nats.connect("gateway", "gatewaypw").await;
    let mut requests = nats.subscribe("node.*.handover").await.expect("nats-server");
    nats.flush().await.expect("nats-server");
    app.servers.redis.process().stop_signal();
    bob.drain().await; // now the socket looks
    let bob = elsewhere(&app, &bob);
    let mut newer = bob.connect().await;
    let request = requests.next().await.expect("the newer socket's gateway asks");
    let node = request.subject.split('.').nth(1).expect("a node");
    let node = NodeId(node.parse().expect("its id"));
    let hand_over = HandOverChannel::new(nats);
    until("the older socket hands over, which keeps the queue until Redis answers", async || {
        let request = serde_json::from_slice(&request.payload).expect("a request");
        hand_over.hand_over(node, request).await.map(drop)
    })
    .await;
    app.servers.redis.process().cont_signal();
    bob.drain().await;
    assert_eq!(newer.next_text().await, "waits");
    assert_eq!(older.next_push().await["from_id"], 0); // the alert
    older.is_silent().await;
}

/// The same user, as seen from the second gateway.
fn elsewhere(app: &App, user: &User) -> User {
    user.via(app.gateways[1].origin())
}

async fn messages_cross(app: &App) {
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let bob = elsewhere(app, &bob);
    let (mut hers, mut his) = (ann.connect().await, bob.connect().await);
    for number in 0..20 {
        let there = ann.send(&bob, &format!("to bob {number}")).await.ok();
        assert_eq!(his.next_push().await, there);
        let back = bob.send(&ann, &format!("to ann {number}")).await.ok();
        assert_eq!(hers.next_push().await, back);
    }
}

async fn the_newest_socket_counts_everywhere(app: &App) {
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let mut here = ann.connect().await;
    let mut there = elsewhere(app, &ann).connect().await;
    assert_eq!(here.next_push().await["from_id"], 0); // the alert crosses too
    bob.send(&ann, "to the newest").await.ok();
    assert_eq!(there.next_text().await, "to the newest");
    here.is_silent().await;
    here.close().await;
    bob.send(&ann, "still to the newest").await.ok();
    assert_eq!(there.next_text().await, "still to the newest");
    // Back again, and a drain asked for at the other gateway.
    there.close().await;
    bob.send(&ann, "while away").await.ok();
    let mut here = ann.connect().await;
    elsewhere(app, &ann).drain().await;
    assert_eq!(here.texts_until("while away").await.len(), 2); // after "now friends"
}

/// `ws.md` §3.2: however many connect at once, one is the newest, and hears everything.
async fn of_many_sockets_at_once_one_hears(app: &App) {
    let [ann, bob] = app.users(["ann", "bob"]).await;
    bob.let_strangers_send(2).await;
    let places = [bob.clone(), elsewhere(app, &bob)];
    let mut sockets = join_all((0..12).map(|n| places[n % 2].connect())).await;
    for round in 0..3 {
        ann.send(&bob, &round.to_string()).await.ok();
        let mut heard = Vec::new();
        let all_asked = async || {
            for socket in &mut sockets {
                heard.extend(pushed(socket).await);
            }
            (!heard.is_empty()).then_some(())
        };
        until("somebody hears it", all_asked).await;
        for socket in &mut sockets {
            heard.extend(pushed(socket).await);
        }
        assert_eq!(heard, [(ann.id, round)]);
    }
}

/// The messages that are on their way, up to the answer to a ping.
async fn pushed(socket: &mut Socket) -> Vec<Numbered> {
    socket.say("ping").await;
    let mut seen = Vec::new();
    loop {
        let frame = socket.next_frame().await;
        if frame["type"] == "pong" {
            return seen;
        }
        seen.extend(numbered(&frame["data"]));
    }
}

async fn tokens_end_everywhere_at_once(app: &App) {
    for _ in 0..10 {
        let ann = app.register("ann").await;
        let there = elsewhere(app, &ann);
        there.drain().await;
        let newer = there.login().await;
        ann.post_empty(DRAIN).await.refused(400, BAD_TOKEN);
        there.post_empty(DRAIN).await.refused(400, BAD_TOKEN);
        let here = newer.via(app.gateways[0].origin());
        here.drain().await;
        assert_eq!(here.post_empty("/api/chat/logout").await.ok(), true);
        newer.post_empty(DRAIN).await.refused(400, BAD_TOKEN);
    }
}

async fn rules_bind_everywhere_at_once(app: &App) {
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let there = elsewhere(app, &bob);
    for _ in 0..10 {
        ann.toggle_black(&bob).await;
        there.send(&ann, "x").await.refused(400, "对方把你拉黑了，不能发送消息");
        ann.toggle_black(&bob).await;
        there.send(&ann, "x").await.ok();
    }
    let cat = elsewhere(app, &app.register("cat").await);
    for _ in 0..10 {
        ann.let_strangers_send(0).await;
        cat.send(&ann, "x").await.refused(400, "对方设置成：需要您先成为他的好友才能发消息");
        ann.let_strangers_send(2).await;
        cat.send(&ann, "x").await.ok();
    }
    app.cli(&["users", "disable", &ann.id.to_string()]).await.ok();
    for user in [&ann, &elsewhere(app, &ann)] {
        user.post_empty(DRAIN).await.refused(400, "当前用户不存在或者已被禁用");
    }
    there.send(&ann, "x").await.refused(400, "对方不存在或者被禁用，不能发消息");
}

async fn reads_follow_writes_everywhere(app: &App) {
    let ann = app.register("ann").await;
    for number in 0..20 {
        let name = format!("Ann {number}");
        ann.rename(&name).await;
        assert_eq!(elsewhere(app, &ann).profile().await["nickname"], name);
    }
}

async fn races_have_one_winner(app: &App) {
    let [ann, bob] = app.users(["ann", "bob"]).await;
    let both = [bob.clone(), elsewhere(app, &bob)];
    let sends = (0..20).map(|n| both[n % 2].send(&ann, "the one"));
    one_wins(join_all(sends).await, "在成为好友之前，对方只允许向他发一条消息");
    let body = json!({ "friend_id": ann.id });
    let asks = (0..20).map(|n| both[n % 2].post("/api/chat/applyfriend", body.clone()));
    one_wins(join_all(asks).await, "您已经申请过了，请勿重复申请");
    let apis = [app.api_of(0), app.api_of(1)];
    let body = json!({ "username": "the_only_one", "password": PASSWORD });
    let registrations = (0..20).map(|n| apis[n % 2].post("/api/regChat", body.clone()));
    one_wins(join_all(registrations).await, "该账号已存在，请换一个账号注册");
}
