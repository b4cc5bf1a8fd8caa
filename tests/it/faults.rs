//! Any part may die at any moment: what was acknowledged arrives, once and in order (`docs/promises.md`, `ws.md` §7).

use testkit::chaos_proxy::{ChaosProxy, Mode};
use tokio_util::task::TaskTracker;

use crate::support::{App, Arrival, Traffic, until};

/// A system of one process under traffic of two writers to one reader.
async fn busy(own: &[(&str, &str)]) -> (App, Traffic) {
    busy_on(App::configured(own).await).await
}

async fn busy_on(app: App) -> (App, Traffic) {
    let [ann, bob, cat] = app.users(["ann", "bob", "cat"]).await;
    let traffic = Traffic::start(&[&ann, &bob], &cat).await;
    (app, traffic)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_event_log_dies_in_the_middle_of_traffic() {
    let (mut app, traffic) = busy(&[]).await;
    for _ in 0..2 {
        app.servers.nats.process().kill9();
        app.servers.nats.start_again().await;
        traffic.flows().await;
    }
    assert_eq!(traffic.connections(), 1, "sockets stay open");
    traffic.end().await;
    app.verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stores_die_in_the_middle_of_traffic() {
    let (mut app, traffic) = busy_on(App::apart().await).await;
    for _ in 0..2 {
        app.servers.postgres.process().kill9();
        traffic.flows().await; // messages need no database (`docs/operate.md`)
        app.servers.postgres.start_again().await;
        traffic.flows().await;
        app.servers.redis.process().kill9();
        app.servers.redis.start_again().await;
        traffic.flows().await;
    }
    assert_eq!(traffic.connections(), 1, "sockets stay open");
    traffic.end().await;
    app.verify().await;
}

/// With the durability of production.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_dies_in_the_middle_of_traffic() {
    let (mut app, traffic) = busy(&[("LOG__DURABILITY", "synced")]).await;
    for _ in 0..3 {
        app.gateways[0].process().kill9();
        app.gateways[0].start_again().await;
        traffic.flows().await;
    }
    assert!(traffic.connections() >= 4);
    traffic.end().await;
    app.verify().await;
}

/// As a new version is rolled out: while one gateway stops and starts, the other has its people.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_are_restarted_one_after_the_other_in_the_middle_of_traffic() {
    let mut app = App::with_gateways_configured(2, &[("LOG__DURABILITY", "synced")]).await;
    let [ann, bob, cat, dan] = app.users(["ann", "bob", "cat", "dan"]).await;
    let second = app.gateways[1].origin();
    let here = Traffic::start(&[&ann, &bob.via(second.clone())], &cat).await;
    let there = Traffic::start(&[&ann, &bob.via(second.clone())], &dan.via(second)).await;
    for _ in 0..2 {
        for gateway in 0..2 {
            assert!(app.gateways[gateway].process().terminate().success());
            app.gateways[gateway].start_again().await;
            here.flows().await;
            there.flows().await;
        }
    }
    here.end().await;
    there.end().await;
    app.verify().await;
}

/// The service first, then its servers, the log last.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_start_in_any_order() {
    let mut app = App::apart().await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let App { gateways, servers, .. } = &mut app;
    gateways[0].process().kill9();
    servers.nats.process().kill9();
    servers.redis.process().kill9();
    servers.postgres.process().kill9();
    tokio::join!(gateways[0].start_again(), async {
        servers.redis.start_again().await;
        servers.postgres.start_again().await;
        servers.nats.start_again().await;
    });
    let mut socket = bob.connect().await;
    let sent = ann.send(&bob, "all are there").await.ok();
    assert_eq!(socket.next_push().await, sent);
    app.verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_hang_for_a_while_cost_nothing() {
    let (mut app, traffic) = busy_on(App::apart().await).await;
    let pause = std::time::Duration::from_millis(700);
    for _ in 0..2 {
        app.servers.redis.process().stop_signal();
        tokio::time::sleep(pause).await;
        app.servers.redis.process().cont_signal();
        traffic.flows().await;
        app.servers.postgres.process().stop_signal();
        tokio::time::sleep(pause).await;
        app.servers.postgres.process().cont_signal();
        traffic.flows().await;
        app.servers.nats.process().stop_signal();
        tokio::time::sleep(pause).await;
        app.servers.nats.process().cont_signal();
        traffic.flows().await;
    }
    traffic.end().await;
    app.verify().await;
}

/// `ws.md` §7.7: without a close frame, which would log people out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_drops_sockets_without_a_close_frame() {
    let (mut app, traffic) = busy(&[]).await;
    let [dan, eve] = app.friends(["dan", "eve"]).await;
    let guest = app.visitor(&crate::support::device(1)).await;
    let mut sockets = [dan.connect().await, guest.connect().await];
    let status = app.gateways[0].process().terminate();
    assert!(status.success(), "{status}");
    for socket in &mut sockets {
        assert_eq!(socket.next().await, Arrival::Dropped);
    }
    app.gateways[0].start_again().await;
    traffic.flows().await;
    // The tokens are still good, and nobody is thought to be online.
    eve.send(&dan, "welcome back").await.ok();
    let mut socket = dan.connect().await;
    dan.drain().await;
    assert_eq!(socket.texts_until("welcome back").await.len(), 2); // after "now friends"
    traffic.end().await;
    app.verify().await;
}

/// ADR 0007: a Redis that comes back empty fills itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_redis_is_filled_again() {
    let (mut app, traffic) = busy(&[]).await;
    let [dan, eve] = app.friends(["dan", "eve"]).await;
    // Dan has read one message, and two wait for him.
    let mut socket = dan.connect().await;
    dan.drain().await;
    eve.send(&dan, "read").await.ok();
    assert_eq!(socket.texts_until("read").await.len(), 2);
    socket.close().await;
    eve.send(&dan, "one").await.ok();
    eve.send(&dan, "two").await.ok();
    app.settle().await;
    app.servers.redis.wipe().await;
    traffic.flows().await;
    app.settle().await;
    let mut socket = dan.connect().await; // his token is still good
    dan.drain().await;
    assert_eq!(socket.texts_until("two").await, ["one", "two"]);
    socket.is_silent().await;
    traffic.end().await;
    app.verify().await;
}

/// What is in a queue that is being built anew is not what waits: some was delivered since, and some has not come yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_being_built_anew_is_not_read() {
    let mut app = App::with_gateways(1).await;
    let [ann, bob] = app.users(["ann", "bob"]).await;
    bob.let_strangers_send(2).await;
    ann.send(&bob, "waits").await.ok();
    let mut socket = bob.connect().await;
    app.settle().await;
    app.projector.as_mut().expect("a projector of its own").process().kill9();
    // As if it had lost everything, and had come as far as a message that was delivered long ago.
    let mut redis = app.servers.redis.connect().await;
    let (queue, checkpoint) =
        (format!("offline_queue:g1:chat_getmessage_{}", bob.id), "hy:offline_queue:g1");
    let mut pipe = redis::pipe();
    let far: u64 =
        pipe.hget(checkpoint, "position").query_async::<(u64,)>(&mut redis).await.expect("there").0;
    let waits: Vec<(String, [String; 4])> = redis::cmd("XRANGE")
        .arg(&queue)
        .arg("-")
        .arg("+")
        .query_async(&mut redis)
        .await
        .expect("a queue");
    let [_, position, _, object] = &waits[0].1;
    let old = object.replace("waits", "was delivered");
    let () = redis::pipe()
        .hset(checkpoint, "position", 1)
        .del(&queue)
        .cmd("XADD")
        .arg(&queue)
        .arg(&waits[0].0)
        .arg(&["p", position, "m", &old])
        .query_async(&mut redis)
        .await
        .expect("Redis answers");
    bob.drain().await;
    socket.is_silent().await;
    let () = redis::pipe()
        .atomic()
        .del(&queue)
        .cmd("XADD")
        .arg(&queue)
        .arg(&waits[0].0)
        .arg(&["p", position, "m", object])
        .hset(checkpoint, "position", far)
        .query_async(&mut redis)
        .await
        .expect("Redis answers");
    assert_eq!(socket.next_text().await, "waits");
    app.projector.as_mut().expect("a projector of its own").start_again().await;
    app.verify().await;
}

/// ADR 0005, 0014: the read models in `PostgreSQL` can be thrown away, even the sequences can be lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_tables_are_rebuilt() {
    let mut app = App::start().await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    ann.rename("Ann").await;
    let message = ann.send(&bob, "hello").await.ok();
    let before = (ann.profile().await, edge(&ann, bob.id).await);
    for everything in [false, true] {
        app.settle().await;
        app.gateways[0].process().terminate();
        if everything {
            app.servers.postgres.lose_everything().await;
        } else {
            app.servers.postgres.drop_read_models().await;
        }
        app.cli(&["migrate"]).await.ok();
        app.gateways[0].start_again().await;
        app.verify().await;
        assert_eq!((ann.profile().await, edge(&ann, bob.id).await), before);
        let cat = app.register("cat").await;
        assert!(cat.id > bob.id, "numbers are not used twice");
        cat.befriend(&ann).await;
    }
    ann.post("/api/chat/revokeMessage", message).await.ok();
    app.verify().await;
}

/// ADR 0014: whoever befriends, joins or registers waits for no database that is behind the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_database_gives_no_id_twice() {
    let own = [("PROJECTIONS__WAIT_MS", "3000")]; // as long does each call wait for read models in vain
    let mut app = App::with_gateways_configured(1, &own).await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let cat = app.register("cat").await;
    app.settle().await;
    app.projector.as_mut().expect("there is one").process().kill9();
    app.servers.postgres.lose_everything().await;
    app.cli(&["migrate"]).await.ok();
    cat.befriend(&ann).await;
    let dan = app.register("dan").await;
    assert!(dan.id > cat.id, "the ids before are in use");
    app.projector.as_mut().expect("there is one").start_again().await;
    app.settle().await;
    let ids = [edge(&ann, bob.id).await, edge(&ann, cat.id).await].map(|row| row["id"].as_u64());
    assert!(ids[0] < ids[1], "{ids:?}");
    app.verify().await;
}

/// A database that was restored to an older state does not know the newest messages. They can be taken back nevertheless, as
/// soon as it does; nobody is told that there is no such message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_database_refuses_no_revocation() {
    let mut app = App::with_gateways(1).await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let message = ann.send(&bob, "hello").await.ok();
    app.settle().await;
    let projector = app.projector.as_mut().expect("a projector of its own");
    projector.process().kill9();
    let older = "delete from live.messages; delete from live.chats;
                 update hongyan.generations set position = 1, event_id = null
                 where projection = 'message_history'";
    app.servers.postgres.execute(older).await;
    ann.post("/api/chat/revokeMessage", message.clone()).await.failed(500);
    app.projector.as_mut().expect("a projector of its own").start_again().await;
    ann.post("/api/chat/revokeMessage", message).await.ok();
    app.verify().await;
}

async fn edge(of: &crate::support::User, to: u64) -> serde_json::Value {
    of.post_empty(&format!("/api/chat/ismygoodfriend/{to}")).await.ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_disturbs_nobody() {
    let (app, traffic) = busy(&[]).await;
    let [dan, eve] = app.friends(["dan", "eve"]).await;
    eve.send(&dan, "waits").await.ok();
    for _ in 0..2 {
        app.cli(&["projections", "rebuild", "--all"]).await.ok();
        traffic.flows().await;
    }
    let mut socket = dan.connect().await;
    dan.drain().await;
    assert_eq!(socket.texts_until("waits").await.len(), 2); // after "now friends"
    assert_eq!(traffic.connections(), 1, "sockets stay open");
    traffic.end().await;
    app.verify().await;
}

/// ADR 0005: a read model that is not what the log says is noticed, and a rebuild repairs it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tampering_is_noticed_and_repaired() {
    let app = App::start().await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    ann.send(&bob, "waits").await.ok();
    app.verify().await;
    for (name, statement) in [
        ("user_directory", "update live.users set nickname = 'another'"),
        ("address_book", "delete from live.friend_edges"),
        ("message_history", "update live.messages set number = number + 1"),
    ] {
        app.servers.postgres.execute(statement).await;
        assert!(!app.cli(&["projections", "verify", name]).await.success, "{statement}");
    }
    let mut redis = app.servers.redis.connect().await;
    for (name, pattern) in
        [("offline_queue", "*getmessage*"), ("chat_log", "*chatlog*"), ("sessions", "*chat_user*")]
    {
        let keys: Vec<String> =
            redis::cmd("KEYS").arg(pattern).query_async(&mut redis).await.expect("keys");
        let () = redis::cmd("DEL")
            .arg(keys)
            .query_async(&mut redis)
            .await
            .expect("there are keys to delete");
        assert!(!app.cli(&["projections", "verify", name]).await.success, "{pattern}");
    }
    app.cli(&["projections", "rebuild", "--all"]).await.ok();
    app.verify().await;
    let mut socket = bob.connect().await;
    bob.drain().await;
    assert_eq!(socket.texts_until("waits").await.len(), 2); // after "now friends"
}

/// ADR 0006: presence is right again after a kill, and what was meant for the dead gateway waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_dies_and_its_users_are_offline() {
    let mut app = App::with_gateways(2).await;
    let [ann, bob, cat, dan] = app.users(["ann", "bob", "cat", "dan"]).await;
    let elsewhere = app.gateways[1].origin();
    let traffic =
        Traffic::start(&[&ann, &bob.via(elsewhere.clone())], &cat.via(elsewhere.clone())).await;
    dan.let_strangers_send(2).await;
    let _socket = dan.via(elsewhere).connect().await;
    until("the user is online", async || app.online(&dan).await.then_some(())).await;
    app.gateways[1].process().kill9();
    ann.send(&dan, "one").await.ok();
    until("the user is offline", async || (!app.online(&dan).await).then_some(())).await;
    ann.send(&dan, "two").await.ok();
    let mut socket = dan.connect().await; // at the gateway that lives
    dan.drain().await;
    assert_eq!(socket.texts_until("two").await, ["one", "two"]);
    app.gateways[1].start_again().await;
    traffic.flows().await;
    traffic.end().await;
    app.verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_projector_dies_in_the_middle_of_traffic() {
    let mut app = App::with_gateways(2).await;
    let [ann, bob, cat] = app.users(["ann", "bob", "cat"]).await;
    let elsewhere = app.gateways[1].origin();
    let traffic = Traffic::start(&[&ann, &bob.via(elsewhere.clone())], &cat.via(elsewhere)).await;
    for _ in 0..2 {
        let projector = app.projector.as_mut().expect("a projector of its own");
        projector.process().kill9();
        projector.start_again().await;
        traffic.flows().await;
    }
    assert_eq!(traffic.connections(), 1, "sockets stay open");
    traffic.end().await;
    app.verify().await;
}

/// A gateway that is cut off from the log hears of nothing. When it is back it has to learn what became of its sockets: that
/// another took over, or that it was taken for dead itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_was_cut_off_learns_what_became_of_its_sockets() {
    let mut app = App::with_gateways(1).await;
    let proxy = ChaosProxy::to(app.servers.nats.port(), &TaskTracker::new()).await.expect("a port");
    app.another_gateway("far", proxy.port()).await;
    let far = app.gateways[1].origin();
    let [ann, bob, cat] = app.users(["ann", "bob", "cat"]).await;
    bob.let_strangers_send(2).await;
    let (mut old, mut lost) = (bob.via(far.clone()).connect().await, cat.via(far).connect().await);
    proxy.set(Mode::Cut);
    let new = bob.connect().await;
    proxy.set(Mode::Open);
    assert_eq!(old.next_push().await["from_id"], 0, "his account is used elsewhere (ws.md §5)");
    new.close().await;
    ann.send(&bob, "waits").await.ok();
    // Every socket looks into its queue now.
    let projector = app.projector.as_mut().expect("a projector of its own");
    projector.process().kill9();
    projector.start_again().await;
    app.settle().await;
    old.is_silent().await;
    let mut socket = bob.connect().await;
    bob.drain().await;
    assert_eq!(socket.next_text().await, "waits");
    proxy.set(Mode::Cut);
    until("the gateway is taken for dead", async || (!app.online(&cat).await).then_some(())).await;
    proxy.set(Mode::Open);
    assert_eq!(lost.next().await, Arrival::Dropped, "so that the client comes back");
    app.verify().await;
}
