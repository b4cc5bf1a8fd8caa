//! Groups of more than 50 members (ADR 0011, 0013): nobody can tell them from small ones.

use std::time::Duration;

use serde_json::json;

use crate::support::traffic::Traffic;
use crate::support::{App, Group, Socket, User, text_of, until};

/// With so many members a group is large.
const FANOUT_ON_READ_ABOVE: i64 = 51;

/// The same user, as seen from the second gateway.
fn elsewhere(app: &App, user: &User) -> User {
    user.via(app.gateways[1].origin())
}

/// `ws.md` §6.3, §7; `rest.md` §36: as in a small group.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_is_as_in_a_small_group() {
    let app = App::with_gateways(2).await;
    let [ann, bob, cat, dan, eve] = app.users(["ann", "bob", "cat", "dan", "eve"]).await;
    let group = app.group(&ann, &[&bob, &cat]).await;
    app.crowd(&ann, group, FANOUT_ON_READ_ABOVE - 3).await;
    a_message_is_one_entry(&app, group, &ann).await;
    everybody_but_the_author_hears_at_once(&app, group, &ann, &bob).await;
    what_waited_comes_in_the_order_of_all_chats(&app, group, [&ann, &bob, &cat]).await;
    a_newer_socket_takes_over(&app, group, &ann, &bob).await;
    who_comes_and_goes_hears_what_is_his(&app, group, [&ann, &bob, &dan]).await;
    who_waits_and_who_owns_are_told(&app, group, [&ann, &bob, &eve]).await;
    app.verify().await;
    the_end_is_told_to_all(&app, group, [&ann, &bob, &eve]).await;
    app.verify().await;
}

/// ADR 0016: a timeline keeps what came last, and goes when there is no large group any more. Who has yet to receive what
/// it has forgotten gets that too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_timeline_has_forgotten_still_arrives() {
    let app = App::start().await;
    let [ann, bob, cat, dan] = app.users(["ann", "bob", "cat", "dan"]).await;
    let group = app.group(&ann, &[&bob, &cat, &dan]).await;
    app.crowd(&ann, group, FANOUT_ON_READ_ABOVE - 4).await;
    for away in [&bob, &cat, &dan] {
        away.listen().await.close().await; // they have received how it began
    }
    let mut redis = app.servers.redis.connect().await;
    let key = format!("offline_queue:g1:timeline_{}", group.id);
    let mut kept = async || -> usize {
        app.settle().await;
        redis::cmd("XLEN").arg(&key).query_async(&mut redis).await.expect("Redis tells")
    };
    let mut waited: Vec<String> = (0..510).map(|number| number.to_string()).collect();
    for number in &waited {
        ann.say(group, number).await.ok();
    }
    let remark = json!({ "id": group.id, "remark": "Tea at five" });
    ann.post("/api/chat/groupremark", remark).await.done();
    waited.push("[公告] \n\n Tea at five".to_owned());
    assert_eq!(kept().await, 500);
    all_arrives(&ann, &bob, &waited).await;

    dan.leave(group).await.done(); // now it is small
    assert_eq!(kept().await, 0, "the timeline of a group that is not large any more");
    let by_ann = ann.say(group, "among ourselves").await.ok()["id"].clone();
    all_arrives(&ann, &dan, &waited).await; // what came before he left
    app.crowd_of(&ann, group, 100..101).await; // and large again
    ann.say(group, "among many").await.ok();
    assert_eq!(kept().await, 1);
    app.verify().await;

    ann.leave(group).await.done(); // which dissolves it
    assert_eq!(kept().await, 0, "the timeline of a group that is no more");
    waited.extend(["among ourselves".to_owned(), "among many".to_owned()]);
    let mut socket = cat.connect().await;
    cat.drain().await;
    for text in &waited {
        let push = socket.next_push().await;
        assert_eq!(&text_of(&push), text);
        if text == "among ourselves" {
            assert_eq!(push["id"], by_ann);
        }
    }
    assert!(socket.next_text().await.ends_with("解散了该群"));
    app.verify().await;
}

/// All that waited for somebody comes, once and in this order.
async fn all_arrives(other: &User, user: &User, waited: &[String]) {
    user.let_strangers_send(2).await;
    let mut socket = user.connect().await;
    user.drain().await;
    for text in waited {
        assert_eq!(&socket.next_text().await, text);
    }
    user.drain().await;
    let mark = other.send(user, "mark").await.ok();
    assert_eq!(socket.next_push().await, mark);
    socket.close().await;
    let mut socket = user.connect().await;
    user.drain().await;
    let mark = other.send(user, "another mark").await.ok();
    assert_eq!(socket.next_push().await, mark);
    socket.close().await;
}

/// However many members there are, a message is one write.
async fn a_message_is_one_entry(app: &App, group: Group, ann: &User) {
    let mut redis = app.servers.redis.connect().await;
    let mut entries = async || {
        let stats: String = redis::cmd("INFO")
            .arg("commandstats")
            .query_async(&mut redis)
            .await
            .expect("Redis tells");
        let calls = stats.split("cmdstat_xadd:calls=").nth(1).unwrap_or("0,");
        calls.split(',').next().and_then(|calls| calls.parse().ok()).unwrap_or(0_u64)
    };
    app.settle().await;
    let before = entries().await;
    for number in 0..10 {
        ann.say(group, &format!("entry {number}")).await.ok();
    }
    app.settle().await;
    assert_eq!(entries().await, before + 10);
}

async fn everybody_but_the_author_hears_at_once(app: &App, group: Group, ann: &User, bob: &User) {
    let mut sockets = [ann.listen().await, elsewhere(app, bob).listen().await];
    for number in 0..20 {
        let by_ann = ann.say(group, &format!("by ann {number}")).await.ok();
        assert!(by_ann["group"]["group_users"].is_null(), "{by_ann}"); // DEV-33
        assert_eq!(sockets[1].next_push().await, by_ann);
        let by_bob = bob.say(group, &format!("by bob {number}")).await.ok();
        assert_eq!(sockets[0].next_push().await, by_bob);
    }
    // A message taken back is told to its author as well.
    let message = bob.say(group, "oops").await.ok();
    assert_eq!(sockets[0].next_push().await, message);
    let notice = bob.post("/api/chat/revokeMessage", message).await.ok();
    let remark = json!({ "id": group.id, "remark": "Tea at five" });
    ann.post("/api/chat/groupremark", remark).await.done();
    for socket in &mut sockets {
        assert_eq!(socket.next_push().await, notice);
        assert_eq!(socket.next_text().await, "[公告] \n\n Tea at five");
    }
}

/// `ws.md` §7.3: oldest first, whatever the chat.
async fn what_waited_comes_in_the_order_of_all_chats(
    app: &App,
    group: Group,
    [ann, bob, cat]: [&User; 3],
) {
    cat.let_strangers_send(2).await;
    cat.listen().await.close().await;
    let other = app.group(ann, &[bob, cat]).await;
    app.crowd(ann, other, FANOUT_ON_READ_ABOVE - 3).await;
    let mut waited = vec![format!("{}创建了一个群，大家可以开始聊天了", ann.username)];
    for number in 0..150 {
        let text = number.to_string();
        match number % 5 {
            0 => ann.send(cat, &text).await.ok(),
            1 => ann.say(group, &text).await.ok(),
            2 => elsewhere(app, bob).say(other, &text).await.ok(),
            3 => elsewhere(app, bob).say(group, &text).await.ok(),
            _ => cat.say(group, &text).await.ok(), // his own do not come back
        };
        waited.extend((number % 5 < 4).then_some(text));
    }
    let mut socket = elsewhere(app, cat).connect().await;
    socket.is_silent().await; // nothing comes unasked (§3.5)
    let live = ann.say(group, "live").await.ok();
    assert_eq!(socket.next_push().await, live);
    cat.drain().await;
    assert_eq!(socket.texts_until("148").await, waited);
    assert_eq!(waited.last().map(String::as_str), Some("148"));
    cat.drain().await;
    let mark = ann.say(other, "mark").await.ok();
    assert_eq!(socket.next_push().await, mark);
    socket.close().await;
    let mut socket = cat.connect().await;
    cat.drain().await;
    let mark = ann.say(group, "another mark").await.ok();
    assert_eq!(socket.next_push().await, mark);
    socket.close().await;
}

/// `ws.md` §5: pushes go to the newest socket, and only to it.
async fn a_newer_socket_takes_over(app: &App, group: Group, ann: &User, bob: &User) {
    let mut old = bob.listen().await;
    let first = ann.say(group, "to the old one").await.ok();
    assert_eq!(old.next_push().await, first);
    let mut new = elsewhere(app, bob).connect().await;
    assert_eq!(old.next_push().await["from_id"], 0); // the alert
    let second = ann.say(group, "to the new one").await.ok();
    assert_eq!(new.next_push().await, second);
    old.is_silent().await;
    old.close().await;
    new.close().await;
}

async fn who_comes_and_goes_hears_what_is_his(
    app: &App,
    group: Group,
    [ann, bob, dan]: [&User; 3],
) {
    let mut owners = ann.listen().await;
    let mut socket = elsewhere(app, dan).listen().await;
    for round in 0..5 {
        ann.say(group, "before").await.ok();
        dan.join(group).await.ok();
        let joined = format!("[{}] 加入了群聊", dan.username);
        assert_eq!((owners.next_text().await, socket.next_text().await), (joined.clone(), joined));
        let text = format!("between {round}");
        let message = bob.say(group, &text).await.ok();
        assert_eq!(owners.next_push().await, message);
        assert_eq!(socket.next_push().await, message);
        let by_dan = dan.say(group, "good-bye").await.ok();
        if round % 2 == 0 {
            ann.remove(group, dan).await.ok();
            assert_eq!(owners.next_push().await, by_dan);
        } else {
            dan.leave(group).await.done();
            assert_eq!(owners.next_push().await, by_dan); // first what he said, then that he left
            assert!(owners.next_text().await.starts_with(&dan.username));
        }
        let after = bob.say(group, "after").await.ok();
        assert_eq!(owners.next_push().await, after);
        socket.is_silent().await;
    }
    // The same for somebody who is away.
    socket.close().await;
    until("his socket has ended", async || (!app.online(dan).await).then_some(())).await;
    for round in 0..3 {
        ann.say(group, "before").await.ok();
        dan.join(group).await.ok();
        bob.say(group, &format!("between {round}")).await.ok();
        ann.remove(group, dan).await.ok();
    }
    bob.say(group, "after").await.ok();
    let mut socket = dan.connect().await;
    dan.drain().await;
    for round in 0..3 {
        assert!(socket.next_text().await.ends_with("加入了群聊"));
        assert_eq!(socket.next_text().await, format!("between {round}"));
    }
    bob.let_strangers_send(2).await;
    dan.let_strangers_send(2).await;
    bob.send(dan, "mark").await.ok();
    assert_eq!(socket.next_text().await, "mark");
    socket.close().await;
    owners.close().await;
}

/// G5 and G6.
async fn who_waits_and_who_owns_are_told(app: &App, group: Group, [ann, bob, eve]: [&User; 3]) {
    let mut sockets = [ann.listen().await, elsewhere(app, bob).listen().await];
    let mut applicants = eve.listen().await;
    ann.set_policy(group, 1).await.ok();
    let message = bob.say(group, "before").await.ok();
    eve.join(group).await.ok();
    assert_eq!(sockets[0].next_push().await, message);
    assert!(sockets[0].next_text().await.starts_with("请处理申请"));
    ann.decide(group, eve, "agree").await.ok();
    let told = format!("[{}] 加入了群聊", eve.username);
    for socket in [&mut applicants].into_iter().chain(&mut sockets) {
        assert_eq!(socket.next_text().await, told);
    }
    let message = bob.say(group, "welcome").await.ok();
    assert_eq!(applicants.next_push().await, message);
}

/// G7: also to who waits.
async fn the_end_is_told_to_all(app: &App, group: Group, [ann, bob, eve]: [&User; 3]) {
    let fay = app.register("fay").await;
    fay.join(group).await.ok();
    let sockets: [Socket; 4] = [
        ann.listen().await,
        elsewhere(app, bob).listen().await,
        eve.listen().await,
        fay.listen().await,
    ];
    let last = eve.say(group, "the last word").await.ok();
    ann.leave(group).await.done();
    for (number, mut socket) in sockets.into_iter().enumerate() {
        if number < 2 {
            let mut push = socket.next_push().await;
            while push["id"] != last["id"] {
                push = socket.next_push().await; // the owner was told of an application
            }
        }
        let told = text_of(&socket.next_push().await);
        assert!(told.ends_with("解散了该群"), "{number}: {told}");
        socket.is_silent().await;
    }
}

/// A group that becomes large, and small again, loses and doubles nothing, and keeps each sender's order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_grows_and_shrinks_under_traffic() {
    let app = App::with_gateways(2).await;
    let [ann, bob, cat, dan, eve] = app.users(["ann", "bob", "cat", "dan", "eve"]).await;
    let group = app.group(&ann, &[&bob, &cat, &eve]).await;
    app.crowd(&ann, group, FANOUT_ON_READ_ABOVE - 5).await;
    let (bob_there, cat_there) = (elsewhere(&app, &bob), elsewhere(&app, &cat));
    let to_cat = Traffic::start_in(group, &[&ann, &bob_there], &cat_there).await;
    let to_bob = Traffic::start_in(group, &[&eve, &cat], &bob).await;
    for _ in 0..6 {
        dan.join(group).await.ok(); // now it is large
        to_cat.brings(5).await;
        dan.leave(group).await.done();
        to_bob.brings(5).await;
    }
    for traffic in [to_cat, to_bob] {
        assert_eq!(traffic.connections(), 1);
        traffic.end().await;
    }
    app.settle().await;
    app.cli(&["projections", "verify", "offline_queue"]).await.ok();
}

/// What breaks, and comes back, costs time and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_parts_die() {
    let mut app = App::with_gateways(2).await;
    let [ann, bob, cat, eve] = app.users(["ann", "bob", "cat", "eve"]).await;
    let group = app.group(&ann, &[&bob, &cat, &eve]).await;
    app.crowd(&ann, group, FANOUT_ON_READ_ABOVE - 4).await;
    let (bob_there, cat_there) = (elsewhere(&app, &bob), elsewhere(&app, &cat));
    let to_cat = Traffic::start_in(group, &[&ann, &bob], &cat_there).await;
    let to_bob = Traffic::start_in(group, &[&eve, &cat], &bob_there).await;
    let projector = app.projector.as_mut().expect("a projector of its own");
    projector.process().kill9();
    projector.start_again().await;
    to_cat.flows().await;
    app.servers.redis.wipe().await;
    to_cat.flows().await;
    app.servers.nats.process().stop_signal();
    tokio::time::sleep(Duration::from_secs(2)).await;
    app.servers.nats.process().cont_signal();
    to_cat.flows().await;
    assert_eq!((to_cat.connections(), to_bob.connections()), (1, 1), "sockets stay open");
    app.cli(&["projections", "rebuild", "offline_queue"]).await.ok();
    to_bob.flows().await;
    app.gateways[1].process().kill9();
    app.gateways[1].start_again().await;
    for traffic in [to_cat, to_bob] {
        traffic.flows().await;
        traffic.end().await;
    }
    app.verify().await;
}
