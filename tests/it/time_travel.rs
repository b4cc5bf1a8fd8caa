//! Time travel (ADR 0033): aggregates as they were at any moment, who changed what, and who looked at what people say.

use std::sync::Arc;

use async_nats::jetstream;
use futures_util::future::join_all;
use hongyan::{
    adapters::nats::{
        event_log::EventLog,
        new_event::{Expect, NewEvent},
    },
    events::{
        AggregateEvent as _, Cause, ConnectionId, DeliveryEvent, DisconnectReason, Event, NodeId,
        Position, Role, SessionEvent, Subject, TokenId, UserId,
    },
};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{App, api};

const BY: [&str; 4] = ["--as", "鸿 auditor", "--reason", "case 17"];

/// Where the log ends.
async fn end(app: &App) -> String {
    app.admin("/positions").await.expect("positions")["log"]["last"].to_string()
}

/// What the command line says of an aggregate at a position, which is what the admin listener says.
async fn state(app: &App, kind: &str, id: &str, at: &str) -> Value {
    let told = app.cli(&["state", kind, id, "--at", at, "--json"]).await.json();
    let same = app.admin(&format!("/state/{kind}/{id}?at={at}")).await.expect("a state");
    assert_eq!(told, same, "both are folded alike");
    told["state"].clone()
}

async fn history(app: &App, kind: &str, id: &str) -> Vec<Value> {
    let told = app.cli(&["history", kind, id, "--json"]).await.json();
    let same = app.admin(&format!("/history/{kind}/{id}")).await.expect("a history");
    assert_eq!(told, same, "both read alike");
    told["events"].as_array().expect("events").clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aggregate_is_told_as_of_any_moment_with_who_changed_it() {
    let app = App::start().await;
    let [ann, bob] = app.users(["ann", "bob"]).await;
    let (her, pair) = (ann.id.to_string(), format!("{}.{}", bob.id, ann.id));
    let registered = end(&app).await;
    let rename = json!({ "fieldname": "nickname", "fieldValue": "Queen" });
    let rename = ann.request(Method::POST, "/api/chat/updateUserinfo").json(&rename);
    api::send(rename.header("x-request-id", "rename-1")).await.ok();
    let renamed = end(&app).await;
    let group = app.group(&ann, &[&bob]).await;
    let (befriended, room) = (end(&app).await, group.id.to_string());
    bob.toggle_black(&ann).await;
    bob.leave(group).await.done();
    let disable = [&["users", "disable", &her][..], &BY].concat();
    app.cli(&disable).await.ok();
    let last = end(&app).await;

    for (at, nickname, disabled) in
        [(&registered, "", false), (&renamed, "Queen", false), (&last, "Queen", true)]
    {
        let state = state(&app, "user", &her, at).await;
        assert_eq!((&state["nickname"], &state["disabled"]), (&json!(nickname), &json!(disabled)));
    }
    let by_name = app.cli(&["state", "user", &ann.username, "--json"]).await.json();
    assert_eq!((&by_name["id"], &by_name["state"]["disabled"]), (&json!(her), &json!(true)));
    let session = state(&app, "session", &her, &registered).await;
    assert!(session["user_token"].is_string(), "{session}");
    let blocked = |state: &Value| -> Vec<bool> {
        let edges = state["edges"].as_array().expect("edges").iter();
        edges.map(|edge| edge["blocked"].as_bool().expect("blocked or not")).collect()
    };
    assert_eq!(blocked(&state(&app, "friendship", &pair, &befriended).await), [false, false]);
    // The edge of the one with the smaller number is the first.
    let by_bob = [bob.id < ann.id, ann.id < bob.id];
    assert_eq!(blocked(&state(&app, "friendship", &pair, &last).await), by_bob);
    for (at, count) in [(&befriended, 2), (&last, 1)] {
        let group = state(&app, "group", &room, at).await;
        assert_eq!((&group["member_count"], &group["dissolved"]), (&json!(count), &json!(false)));
    }

    let events = history(&app, "user", &her).await;
    let types: Vec<&Value> = events.iter().map(|event| &event["type"]).collect();
    assert_eq!(types, ["user.registered.v1", "user.nickname_changed.v1", "user.disabled.v1"]);
    let [_, renaming, disabling] = &events[..] else { panic!("{events:?}") };
    assert_eq!((&renaming["actor"], &renaming["cause"]), (&json!(ann.id), &json!("rename-1")));
    assert!(renaming["traceparent"].is_string(), "{renaming}");
    let who = ["operator", "reason", "cause", "actor"].map(|name| disabling[name].clone());
    assert_eq!(who, [json!(BY[1]), json!(BY[3]), json!("hongyan users disable"), Value::Null]);
    // A time is when the log took it, to the millisecond.
    let stored = renaming["stored"].as_str().expect("a time");
    assert_eq!(state(&app, "user", &her, stored).await["nickname"], "Queen");
    let page = app.cli(&["history", "user", &her, "--limit", "1", "--json"]).await.json();
    assert_eq!((&page["events"][0], &page["next"]), (&events[0], &renaming["position"]));
    let printed = app.cli(&["history", "user", &her]).await.ok();
    assert!(printed.contains("actor=") && printed.contains(r#"reason="case 17""#), "{printed}");
    let early = app.cli(&["state", "user", &her, "--at", "2001-01-01T12:00"]).await;
    assert!(!early.success && early.stderr.contains("at position 0"), "{early:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_say_is_shown_to_who_says_why_and_the_log_says_so() {
    let app = App::with_gateways(1).await; // the admin listener is a projector's
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let group = app.group(&ann, &[&bob]).await;
    let (pair, room) = (format!("{}.{}", ann.id, bob.id), format!("group:{}", group.id));
    bob.send(&ann, "good morning").await.ok();
    let message = ann.send(&bob, "buy this").await.ok();
    ann.say(group, "tea at four").await.ok();
    app.settle().await;
    let sent = end(&app).await;
    app.cli(&["messages", "revoke", message["id"].as_str().expect("an id")]).await.ok();
    app.settle().await;
    let revoked = end(&app).await;

    let before = state(&app, "chat", &pair, &sent).await;
    assert_eq!(
        (&before["messages"], &before["last_message"]["sent"]["author"]),
        (&json!(2), &json!(ann.id))
    );
    assert_eq!(before["friendship"]["edges"].as_array().map(Vec::len), Some(2));
    let after = state(&app, "chat", &pair, &revoked).await;
    assert!(after["last_message"]["revoked"].is_array(), "{after}");
    assert_eq!(state(&app, "chat", &room, &revoked).await["messages"], 1);
    assert_eq!(history(&app, "chat", &pair).await.len(), 3);
    assert_eq!(history(&app, "chat", &room).await.len(), 1);

    for (kind, id, said) in [("chat", &pair, "buy this"), ("chat", &room, "tea at four")] {
        for command in ["state", "history"] {
            let hidden = app.cli(&[command, kind, id, "--json"]).await.ok();
            assert!(!hidden.contains(said) && hidden.contains("hidden_characters"), "{hidden}");
            let refused = app.cli(&[command, kind, id, "--content"]).await;
            assert!(!refused.success && refused.stderr.contains("needs --reason"), "{refused:?}");
            let shown = [&[command, kind, id, "--content", "--json"][..], &BY].concat();
            let shown = app.cli(&shown).await.ok();
            assert!(shown.contains(said), "{shown}");
        }
    }
    let noted =
        ["events", "tail", "--subject", "evt.operations", "--from", "1", "--count", "1", "--json"];
    let noted = app.cli(&noted).await.json();
    let found = ["type", "operator", "reason", "cause"].map(|name| noted[name].clone());
    let kind = "operations.content_read.v1";
    assert_eq!(found, [kind, BY[1], BY[3], "hongyan state"].map(Value::from));
    assert_eq!(
        (&noted["data"]["aggregate"], noted["data"]["to"].to_string()),
        (&json!(format!("chat {}.{}", ann.id.min(bob.id), ann.id.max(bob.id))), revoked)
    );
    app.verify().await;
}

#[tokio::test]
async fn strange_questions_are_told_what_is_wrong() {
    let app = App::start().await;
    let ann = app.register("ann").await;
    let ask = async |path: &str| {
        let answer = api::client().get(format!("{}{path}", app.admin_origin())).send().await;
        let answer = answer.expect("it answers");
        let (status, kind) = (answer.status().as_u16(), answer.headers()["content-type"].clone());
        let body: Value = answer.json().await.expect("JSON");
        assert_eq!(
            (kind.as_bytes(), &body["status"]),
            (&b"application/problem+json"[..], &json!(status))
        );
        (status, body["detail"].as_str().expect("a text").to_owned())
    };
    for (path, status, why) in [
        ("/state/user/77", 404, "there is no user 77"),
        ("/history/user/77", 404, "there is no user 77"),
        ("/state/users/3", 400, "a kind is"),
        ("/state/user/%3E", 400, "one number"),
        ("/state/user/*", 400, "one number"),
        ("/state/friendship/3.3", 400, "two users"),
        ("/state/chat/group:", 400, "group:33"),
        ("/state/chat/3.9", 404, "there is no chat 3.9"),
        ("/state/complaint/131072", 404, "there is no complaint"),
        ("/state/user/1?at=noon", 400, "a moment is"),
        ("/state/user/1?at=99999", 400, "the log ends at"),
        ("/state/user/1?when=1", 400, "the parameters are `at`"),
        ("/history/user/1?limit=0", 400, "a limit is"),
        ("/state/user/1?content=true", 403, "--content"),
    ] {
        let (found, detail) = ask(path).await;
        assert!(found == status && detail.contains(why), "{path}: {found} {detail}");
    }
    for arguments in
        [&["state", "user", "0"][..], &["history", "chat", "3"], &["state", "fish", "3"]]
    {
        assert!(!app.cli(arguments).await.success, "{arguments:?}");
    }
    let nobody = app.cli(&["state", "user", "nobody"]).await;
    assert!(!nobody.success && nobody.stderr.contains("there is no user `nobody`"), "{nobody:?}");
    assert_eq!(ann.profile().await["id"], ann.id);
}

async fn append(log: &EventLog, event: Event, expect: Expect) -> Position {
    let mut new = NewEvent::new(event, None, &Cause::own("a test"));
    log.append_unsynced(&mut new, expect).await.expect("the log takes it").position
}

/// Whether the log is read back along expected versions or on, with holes or without: the same events, at each position.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_past_is_what_reading_the_log_from_its_beginning_tells() {
    let app = App::start().await;
    let log = Arc::new(app.log().await);
    let (user, subject) = (UserId(1_000_000), Subject::Session(UserId(1_000_000)));
    let logged_in = || SessionEvent::LoggedIn { token: TokenId(Uuid::new_v4()), role: Role::User };
    let ended = || SessionEvent::Disconnected {
        connection: ConnectionId(Uuid::new_v4()),
        reason: DisconnectReason::Closed,
    };
    // Others' events in between, so that one in 250 is the aggregate's.
    let others = async || {
        let node = NodeId(Uuid::new_v4());
        let other =
            || Event::Delivery(node, DeliveryEvent::Written { users: vec![], groups: vec![] });
        join_all((0..500).map(|_| append(&log, other(), Expect::Anything))).await;
    };
    let (mut last, mut all) = (Position(0), Vec::new());
    for guarded in [true, true, true, false, true, true] {
        others().await;
        let event = if guarded { logged_in() } else { ended() };
        let expect = if guarded { Expect::Last(subject, last) } else { Expect::Anything };
        last = append(&log, event.of(user), expect).await;
        all.push(last);
    }
    let until = async |position: Position| -> Vec<Position> {
        let events = log.events_until(subject, position).await.expect("events");
        events.iter().map(|recorded| recorded.position).collect()
    };
    let compare = async |all: &[Position]| {
        for near in all.iter().flat_map(|at| [at.0 - 1, at.0, at.0 + 1]).chain([0, u64::MAX]) {
            let expected: Vec<Position> = all.iter().copied().filter(|at| at.0 <= near).collect();
            assert_eq!(until(Position(near)).await, expected, "at {near} of {all:?}");
        }
    };
    compare(&all).await;
    // One that expired leaves a hole, and the next one's predecessor is not there.
    let context = jetstream::new(app.servers.nats.connect("ops", "opspw").await);
    let stream = context.get_stream("EVENTS").await.expect("the log");
    for hole in [4, 1] {
        stream.delete_message(all.remove(hole).0).await.expect("the operator may");
        compare(&all).await;
    }
    // Many at once: read on.
    for _ in 0..20 {
        last = append(&log, logged_in().of(user), Expect::Last(subject, last)).await;
        all.push(last);
    }
    compare(&all).await;
    assert_eq!(log.events_until(Subject::User(user), last).await.expect("none").len(), 0);
}
