//! Published events: their envelopes, schemas and subjects, as programs that know nothing of Hongyan read them.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use async_nats::jetstream;
use serde_json::{Value, json};

use crate::support::{App, python::read_by};

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
