//! Published events: their envelopes, schemas and subjects, as programs that know nothing of Hongyan read them.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use async_nats::jetstream;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use crate::support::{
    App, Arrival, User, device, frames,
    python::{brought, fed, in_tree, read_by},
    until,
};

/// A message of the stream, as a reader of CloudEvents takes it.
async fn stored(app: &App) -> Vec<(Value, String)> {
    let log = jetstream::new(app.servers.nats.connect("ops", "opspw").await);
    let mut stream = log.get_stream("EVENTS").await.expect("it is there");
    let last = stream.info().await.expect("its state").state.last_sequence;
    let mut messages = Vec::new();
    for sequence in 1..=last {
        let message = stream.get_raw_message(sequence).await.expect("it is there");
        let headers = message.headers.iter();
        let headers = headers.map(|(name, values)| (name.to_string(), values[0].as_str().into()));
        let headers: serde_json::Map<String, Value> = headers.collect();
        let body = String::from_utf8(message.payload.to_vec()).expect("UTF-8");
        messages.push((json!({ "headers": headers, "body": body }), message.subject.to_string()));
    }
    messages
}

/// Every envelope of the log is one of CloudEvents 1.0, and what it says of the event is so.
#[tokio::test]
async fn the_sdk_of_cloudevents_reads_every_envelope() {
    let app = App::start().await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let mut socket = bob.connect().await;
    ann.send(&bob, "你好 %41").await.ok();
    socket.next_push().await;
    app.cli(&["users", "disable", &bob.username, "--reason", "垃圾 %41"]).await.ok();
    let stored = stored(&app).await;
    let messages: Vec<&Value> = stored.iter().map(|(message, _)| message).collect();
    let read: Vec<Value> = read_by("events.py", &json!(messages).to_string()).await;
    assert_eq!(read.len(), stored.len());
    let types: Vec<&str> = read.iter().filter_map(|event| event["type"].as_str()).collect();
    for wanted in
        ["user.registered.v1", "message.sent.v1", "session.connected.v1", "user.disabled.v1"]
    {
        assert!(types.contains(&wanted), "{types:?}");
    }
    for (event, (message, subject)) in read.iter().zip(&stored) {
        assert_eq!(event["subject"], **subject, "{message}");
        assert!(event["time"].as_str().is_some_and(|time| time.ends_with("+00:00")), "{message}");
        assert!(event["source"].as_str().is_some_and(|source| !source.is_empty()), "{message}");
    }
}

/// `hongyan events schema` needs no server, and minds nobody who reads no further.
#[test]
fn schemas_are_printed_without_a_server() {
    let events = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hongyan"));
        command.arg("events").args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("it starts")
    };
    let one = events(&["schema", "message.sent.v1"]).wait_with_output().expect("it ends");
    let one: Value = serde_json::from_slice(&one.stdout).expect("JSON");
    assert_eq!(one["$id"], "urn:hongyan:event:message.sent.v1");
    let all = events(&["schema"]).wait_with_output().expect("it ends");
    let all: Value = serde_json::from_slice(&all.stdout).expect("JSON");
    assert_eq!(all["message.sent.v1"], one);
    let unknown = events(&["schema", "message.sent"]).wait_with_output().expect("it ends");
    let why = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(!unknown.status.success() && why.contains("there are complaint.closed.v1"), "{why}");

    let mut head = events(&["schema"]);
    let mut line = String::new();
    BufReader::new(head.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    let ended = head.wait_with_output().expect("it ends");
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
}

/// The document of frames and events is one, by the parser of those who specify AsyncAPI; served and printed.
#[tokio::test]
async fn the_parser_of_asyncapi_takes_the_document() {
    let app = App::start().await;
    let served = app.admin("/asyncapi.json").await.expect("it is served");
    let mut command = Command::new("node");
    command.arg(in_tree("tests/asyncapi/validate.cjs")).arg(brought("asyncapi"));
    let judged: Value = fed(command, &served.to_string()).await;
    let messages = served["components"]["messages"].as_object().expect("an object").len();
    assert_eq!(judged["messages"], messages);
    assert_eq!(served["servers"]["gateway"]["host"], app.api().origin()["http://".len()..]);
    let mut printed = app.cli(&["events", "asyncapi"]).await.json();
    printed["servers"] = served["servers"].clone();
    assert_eq!(printed, served);
}

/// What came over the sockets of a story, by the names of the document.
type Met = Arc<Mutex<BTreeSet<&'static str>>>;

fn meet(met: &Met, frame: &Value) {
    met.lock().expect("no test panicked").extend(frames::kinds(frame));
}

/// Reads all that comes over a new socket, once it is open.
async fn listen(user: &User, met: &Met) {
    let (mut socket, met) = (user.connect_raw().await, Arc::clone(met));
    meet(&met, &socket.next_frame().await); // the welcome
    tokio::spawn(async move {
        while let Arrival::Frame(frame) = socket.next_unhurried().await {
            meet(&met, &frame);
        }
    });
}

/// Every kind of frame of ws.md comes from the service, and is as the document tells; so is every frame of every story
/// (`support/frames.rs`).
#[tokio::test]
async fn every_kind_of_frame_is_told_of() {
    let app = App::start().await;
    let met = Met::default();
    let [ann, bob, eve] = app.users(["ann", "bob", "eve"]).await;
    let guest = app.visitor(&device(1)).await;
    let mut refused = crate::support::Socket::open(ann.origin(), "/ws").await.expect("accepted");
    meet(&met, &refused.next_frame().await);
    for user in [&ann, &bob, &eve, &guest] {
        listen(user, &met).await;
    }
    let asked = json!({ "friend_id": bob.id, "content": "please" });
    eve.post("/api/chat/applyfriend", asked).await.done();
    let group = app.group(&ann, &[&bob]).await; // P2, G1
    listen(&ann, &met).await; // F1, and the hints of who has friends and groups
    ann.say(group, "hello").await.ok();
    let sent = ann.send(&bob, "hello").await.ok();
    ann.post("/api/chat/revokeMessage", sent).await.ok();
    let name = json!({ "id": group.id, "name": "Tea club" });
    ann.post("/api/chat/groupUpdateName", name).await.done();
    let remark = json!({ "id": group.id, "remark": "at five" });
    ann.post("/api/chat/groupremark", remark).await.done();
    ann.invite(group, &eve).await.ok(); // G4
    eve.leave(group).await.done(); // G8
    ann.set_policy(group, 1).await.ok();
    eve.join(group).await.ok(); // G6
    ann.decide(group, &eve, "agree").await.ok(); // G5
    ann.leave(group).await.done(); // G7
    let mut bare = bob.connect().await;
    bare.say("ping").await;
    meet(&met, &bare.next_frame().await);

    let told = frames::document()["channels"]["socket"]["messages"].as_object().expect("an object");
    let from_service = told.keys().filter(|name| !name.starts_with("Client"));
    // The first heartbeat comes after 30 s.
    let wanted: BTreeSet<&str> =
        from_service.map(String::as_str).filter(|it| *it != "Heartbeat").collect();
    until("every kind has come", async || {
        let met = met.lock().expect("no test panicked");
        let missing: Vec<_> = wanted.difference(&met).collect();
        if missing.is_empty() {
            Some(())
        } else {
            eprintln!("not yet: {missing:?}");
            None
        }
    })
    .await;
    assert_eq!(frames::kinds(&json!({ "type": "ping" })), ["Heartbeat", "ClientPing"]);
}
