//! `ws.md` §7, `rest.md` §21: who gets what, in which order, and only once.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::shapes::assert_epoch_ms;
use crate::support::{App, Arrival, User, device, now_ms, text_of, until};

/// `ws.md` §7.1–§7.6, `rest.md` §21, clarification 19, DEV-20.
#[tokio::test]
async fn ws_07_queue_and_drain() {
    let app = App::start().await;
    what_waited_comes_once_in_order_and_unchanged(&app).await;
    a_drain_without_a_socket_takes_nothing(&app).await;
    all_kinds_wait_in_one_line(&app).await;
    live_messages_keep_their_order(&app).await;
    the_drain_goes_to_the_newest_socket(&app).await;
    two_drains_at_once_are_one(&app).await;
    guest_mode_reads_the_accounts_queue(&app).await;
}

async fn open_pair(app: &App) -> [User; 2] {
    let pair = app.users(["ann", "bob"]).await;
    pair[1].let_strangers_send(2).await;
    pair
}

async fn what_waited_comes_once_in_order_and_unchanged(app: &App) {
    let [ann, bob] = open_pair(app).await;
    let mut sent = Vec::new();
    for number in 0..100 {
        sent.push(ann.send(&bob, &format!("number {number}")).await.ok());
    }
    let mut socket = bob.connect().await;
    socket.is_silent().await; // nothing comes unasked (§3.5)
    let asked = now_ms();
    bob.drain().await;
    for message in &sent {
        let frame = socket.next_frame().await;
        assert_eq!((&frame["type"], &frame["data"]), (&json!("singleChat"), message));
        assert_epoch_ms(&frame["timestamp"]);
        assert!(
            frame["timestamp"].as_i64() >= Some(asked - 1),
            "the time of sending, not of writing: {frame}"
        );
    }
    // Then the queue is empty, for this socket and the next.
    bob.drain().await;
    marker_is_next(&ann, &bob, &mut socket).await;
    socket.close().await;
    let mut socket = bob.connect().await;
    bob.drain().await;
    marker_is_next(&ann, &bob, &mut socket).await;
}

async fn marker_is_next(from: &User, to: &User, socket: &mut crate::support::Socket) {
    let marker = format!("marker {}", now_ms());
    from.send(to, &marker).await.ok();
    assert_eq!(socket.next_text().await, marker);
}

/// DEV-20.
async fn a_drain_without_a_socket_takes_nothing(app: &App) {
    let [ann, bob] = open_pair(app).await;
    for number in 0..5 {
        ann.send(&bob, &format!("number {number}")).await.ok();
        bob.drain().await;
    }
    let mut socket = bob.connect().await;
    bob.drain().await;
    let expected: Vec<String> = (0..5).map(|number| format!("number {number}")).collect();
    assert_eq!(socket.texts_until("number 4").await, expected);
    socket.is_silent().await;
}

async fn all_kinds_wait_in_one_line(app: &App) {
    let [ann, bob] = open_pair(app).await;
    let first = ann.send(&bob, "first").await.ok();
    ann.post("/api/chat/applyfriend", json!({ "friend_id": bob.id })).await.done();
    ann.post("/api/chat/revokeMessage", first.clone()).await.ok();
    bob.befriend(&ann).await;
    ann.send(&bob, "last").await.ok();
    let mut socket = bob.connect().await;
    bob.drain().await;
    let mut texts = Vec::new();
    for _ in 0..5 {
        texts.push(text_of(&socket.next_push().await));
    }
    let name = &ann.username;
    let expected = [
        "first".to_owned(),
        format!("用户[{name}]申请添加您为好友，请尽快处理"),
        format!("{name}撤回了一条消息"),
        "我们已经是好友了，可以开始聊天了".to_owned(),
        "last".to_owned(),
    ];
    assert_eq!(texts, expected);
}

/// One `singleChat` frame each, in acceptance order per recipient (§7.2).
async fn live_messages_keep_their_order(app: &App) {
    let [ann, bob] = open_pair(app).await;
    let cat = app.register("cat").await;
    let mut socket = bob.connect().await;
    let writer = async |from: &User| {
        let mut sent = Vec::new();
        for number in 0..50 {
            sent.push(from.send(&bob, &format!("{number}")).await.ok());
        }
        sent
    };
    let (by_ann, by_cat) = tokio::join!(writer(&ann), writer(&cat));
    let mut seen: Vec<Value> = Vec::new();
    for _ in 0..100 {
        seen.push(socket.next_push().await);
    }
    for (sender, sent) in [(&ann, by_ann), (&cat, by_cat)] {
        let theirs: Vec<Value> =
            seen.iter().filter(|push| push["from_id"] == sender.id).cloned().collect();
        assert_eq!(theirs, sent);
    }
    marker_is_next(&ann, &bob, &mut socket).await;
}

async fn the_drain_goes_to_the_newest_socket(app: &App) {
    let [ann, bob] = open_pair(app).await;
    let mut old = bob.connect().await;
    let mut new = bob.connect().await;
    assert_eq!(old.next_push().await["from_id"], 0); // the alert
    ann.send(&bob, "live").await.ok();
    bob.drain().await;
    assert_eq!(new.next_text().await, "live");
    old.is_silent().await;
    new.close().await;
    // With the newest socket gone the older one stays silent: the user is offline.
    ann.send(&bob, "later").await.ok();
    bob.drain().await;
    old.is_silent().await;
    let mut newest = bob.connect().await;
    bob.drain().await;
    assert_eq!(newest.next_text().await, "later");
}

async fn two_drains_at_once_are_one(app: &App) {
    let [ann, bob] = open_pair(app).await;
    for number in 0..30 {
        ann.send(&bob, &format!("number {number}")).await.ok();
    }
    let mut socket = bob.connect().await;
    join_all((0..5).map(|_| bob.drain())).await;
    let expected: Vec<String> = (0..30).map(|number| format!("number {number}")).collect();
    assert_eq!(socket.texts_until("number 29").await, expected);
    marker_is_next(&ann, &bob, &mut socket).await;
}

/// R1 of `data.md` §10.
async fn guest_mode_reads_the_accounts_queue(app: &App) {
    let guest = app.visitor(&device(1)).await;
    let body = json!({ "username": "the_owner", "password": crate::support::PASSWORD });
    let full =
        crate::support::signed_call(&app.api(), "/api/visitorregChat", &device(1), body).await.ok();
    let ann = app.register("ann").await;
    ann.send(&User::from_login(&app.api(), full), "to the owner").await.ok();
    let mode = app.visitor(&device(1)).await;
    assert_eq!(mode.id, guest.id);
    let mut socket = mode.connect().await;
    mode.drain().await;
    assert_eq!(socket.next_text().await, "to the owner");
}

/// `docs/design/connections.md`:
/// who does not read is dropped without a close frame, holds nobody up, and finds the rest in the queue.
#[tokio::test]
async fn ws_07_a_socket_that_does_not_read_is_dropped() {
    const MESSAGES: u64 = 200; // more than the system's buffers hold
    let mut app = App::configured(&[("LIMITS__WRITE_TIMEOUT_MS", "300")]).await;
    let [ann, bob] = open_pair(&app).await;
    let cat = app.register("cat").await;
    let (mut stuck, mut other) = (bob.connect().await, cat.connect().await);
    let padding = "x".repeat(120_000);
    for number in 0..MESSAGES {
        ann.send(&bob, &format!("{number} {padding}")).await.ok();
    }
    ann.send(&cat, "not held up").await.ok();
    assert_eq!(other.next_text().await, "not held up");
    until("the user is offline", async || (!app.online(&bob).await).then_some(())).await;
    let mut first = Vec::new();
    let end = loop {
        match stuck.next().await {
            Arrival::Frame(frame) => first.push(number_of(&frame["data"])),
            end => break end,
        }
    };
    assert_eq!(end, Arrival::Dropped);
    // This one does read, but perhaps not within 300 ms.
    app.gateways[0].process().kill9();
    app.gateways[0].start_again_alone(&[("LIMITS__WRITE_TIMEOUT_MS", "60000")]);
    assert!(app.gateways[0].ready().await);
    let mut socket = bob.connect().await;
    bob.drain().await;
    ann.send(&bob, &format!("{MESSAGES} and done")).await.ok();
    let mut rest = Vec::new();
    while rest.last() != Some(&MESSAGES) {
        rest.push(number_of(&socket.next_push().await));
    }
    // What was written before the drop counts as delivered (§7.4); the rest comes now, whole and in order.
    assert_eq!(first, (0..first.len() as u64).collect::<Vec<_>>());
    assert_eq!(rest, (rest[0]..=MESSAGES).collect::<Vec<_>>());
    assert!(rest.len() > 1, "the queue was emptied into a socket that did not read");
}

/// The number at the start of a text.
fn number_of(push: &Value) -> u64 {
    text_of(push).split(' ').next().and_then(|word| word.parse().ok()).expect("a number")
}

/// `docs/design/offline-queue.md`:
/// pushes that find no room on their way are dropped, the last ones too, but the queue has them all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ws_07_a_burst_that_finds_no_room_arrives_whole() {
    const MESSAGES: u64 = 1600; // a subscription has room for 1024
    let long = "600000"; // nothing is read until all was sent
    let app =
        App::configured(&[("LIMITS__WRITE_TIMEOUT_MS", long), ("LIMITS__PEER_TIMEOUT_MS", long)])
            .await;
    let [ann, bob] = open_pair(&app).await;
    let mut socket = bob.connect().await; // does not read for now
    let padding = "x".repeat(20_000); // so that the system's buffers are full soon
    let send = async |first: u64| {
        for number in (first..MESSAGES).step_by(8) {
            ann.send(&bob, &format!("{number} {padding}")).await.ok();
        }
    };
    join_all((0..8).map(send)).await;
    app.settle().await;
    let mut seen = Vec::new();
    for _ in 0..MESSAGES {
        seen.push(number_of(&socket.next_push().await));
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..MESSAGES).collect::<Vec<_>>());
    socket.is_silent().await;
}
