//! The analysts' stream (`docs/analyse.md`): every event once, as others may see it, for analysts who change nothing.

use std::{fs, path::Path, time::Duration};

use async_nats::{
    ConnectOptions,
    jetstream::{
        self, Context,
        stream::{Info, State},
    },
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::support::{
    App, PASSWORD,
    python::{in_tree, python, told},
    until,
};

/// The analyst, as the clients of any language connect.
async fn analyst(app: &App) -> async_nats::Client {
    let options = ConnectOptions::with_user_and_password("analyst".into(), "analystpw".into());
    options.connect(app.servers.nats.url()).await.expect("the analyst gets in")
}

/// The stream's owner.
async fn owner(app: &App) -> Context {
    jetstream::new(app.servers.nats.connect("analytics-ops", "analyticsopspw").await)
}

async fn info(app: &App) -> Option<Info> {
    let stream = owner(app).await.get_stream("ANALYTICS").await.ok()?;
    Some(stream.cached_info().clone())
}

async fn state(app: &App) -> State {
    info(app).await.expect("it is there").state
}

/// Waits until another generation has so many events.
async fn of_generation(app: &App, generation: &str, events: u64) -> Info {
    until("the stream is filled anew", async || {
        let info = info(app).await?;
        let is_new = info.config.metadata["hy-generation"] == generation;
        (is_new && info.state.messages >= events).then_some(info)
    })
    .await
}

/// Waits until it has all that the log holds now, and answers how much that is.
pub(crate) async fn is_filled(app: &App) -> u64 {
    app.settle().await;
    let last = app.admin("/positions").await.expect("positions")["log"]["last"].clone();
    until("the stream has all events", async || {
        let stream = owner(app).await.get_stream("ANALYTICS").await.ok()?;
        let at = stream.cached_info().state.last_sequence;
        let message = stream.get_raw_message(at).await.ok()?;
        let position: u64 = message.headers.get("hy-position")?.as_str().parse().ok()?;
        (Some(position) >= last.as_u64()).then_some(())
    })
    .await;
    last.as_u64().expect("a number")
}

/// A block of code in a document, with what it is connected to.
fn code(document: &str, language: &str, number: usize, app: &App) -> String {
    let text = fs::read_to_string(in_tree(document)).expect("it is there");
    let begin = format!("```{language}\n");
    let block = text.split(&begin).nth(number).expect("it has such code");
    let (code, _) = block.split_once("```").expect("which ends");
    code.replace("nats://127.0.0.1:7422", &app.servers.nats.url())
}

async fn run_python(code: &str, folder: &Path) -> String {
    let mut command = python("readers", folder);
    command.args(["-c", code]).env("nats_analyst", "analystpw");
    told(command).await
}

#[tokio::test]
async fn ten_lines_read_the_stream() {
    let app = App::start().await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    ann.send(&bob, "good morning").await.ok();
    let last = is_filled(&app).await;
    let folder = tempfile::tempdir().expect("a folder");
    let lines = run_python(&code("README.md", "python", 1, &app), folder.path()).await;
    let positions: Vec<u64> = lines
        .lines()
        .map(|line| line.split(' ').next().and_then(|at| at.parse().ok()).expect("a position"))
        .collect();
    assert_eq!(positions, (1..=last).collect::<Vec<_>>());
    assert!(lines.contains(" message.sent.v1 evt.chat."), "{lines}");
    for secret in ["good morning", &ann.username, PASSWORD, "argon2"] {
        assert!(!lines.contains(secret), "{secret} in {lines}");
    }

    // What is exported is the same.
    let file = folder.path().join("events.ndjson");
    app.cli(&["events", "export", "--output", file.to_str().expect("ASCII")]).await.ok();
    let exported = fs::read_to_string(&file).expect("it is written");
    for (line, exported) in lines.lines().zip(exported.lines()) {
        let exported: Value = serde_json::from_str(exported).expect("JSON");
        let parts: Vec<&str> = line.splitn(4, ' ').collect();
        let told = json!([exported["position"], exported["type"], exported["subject"]]);
        assert_eq!(json!(parts[..3]), told);
        assert_eq!(serde_json::from_str::<Value>(parts[3]).expect("JSON"), exported["data"]);
    }

    // The consumer goes on where it was, until its analyst deletes it.
    ann.send(&bob, "good night").await.ok();
    is_filled(&app).await;
    let more = run_python(&code("README.md", "python", 1, &app), folder.path()).await;
    let first = more.lines().next().expect("a line").split(' ').next().expect("a position");
    assert!(first.parse::<u64>().expect("a number") > last, "{more}");
    run_python(&code("docs/analyse.md", "python", 1, &app), folder.path()).await;
    let again = run_python(&code("README.md", "python", 1, &app), folder.path()).await;
    assert!(again.starts_with("1 "), "{again}");
    app.verify().await;
}

/// An answer goes wherever a request says, and a consumer delivers wherever it is told: neither leads anywhere.
#[tokio::test]
async fn analysts_change_nothing_that_others_read() {
    let app = App::start().await;
    app.friends(["ann", "bob"]).await;
    is_filled(&app).await;
    let before = state(&app).await;
    let analyst = analyst(&app).await;
    let mine = |deliver: Value, subject: &str| {
        let mut config = json!({ "name": "mine", "durable_name": "mine", "ack_policy": "none",
            "headers_only": true, "filter_subject": subject });
        if !deliver.is_null() {
            config["deliver_subject"] = deliver;
        }
        json!({ "stream_name": "ANALYTICS", "config": config, "action": "" }).to_string()
    };
    let create = "$JS.API.CONSUMER.CREATE.ANALYTICS.mine";
    for api in ["STREAM.PURGE", "STREAM.DELETE", "STREAM.UPDATE", "CONSUMER.DELETE"] {
        let target = format!("$JS.API.{api}.ANALYTICS");
        let asked = analyst.request(create, mine(json!(target), "").into()).await;
        let answer: Value =
            serde_json::from_slice(&asked.expect("an answer").payload).expect("JSON");
        assert_eq!(answer["error"]["code"], 400, "{target}: {answer}");
    }
    let asked = analyst.request(create, mine(json!(null), "").into()).await;
    let answer: Value = serde_json::from_slice(&asked.expect("an answer").payload).expect("JSON");
    assert_eq!(answer["config"]["durable_name"], "mine", "{answer}");
    assert_eq!(answer["config"]["headers_only"], Value::Null, "{answer}");
    for reply in [
        "evt.user.3",
        "$JS.API.STREAM.PURGE.ANALYTICS",
        "$JS.API.STREAM.DELETE.ANALYTICS",
        "analysts.consumer.create.x",
    ] {
        for request in [
            "$JS.API.CONSUMER.MSG.NEXT.ANALYTICS.mine",
            "$JS.API.STREAM.INFO.ANALYTICS",
            "$JS.API.CONSUMER.INFO.ANALYTICS.mine",
            "$JS.API.CONSUMER.CREATE.ANALYTICS.mine",
            "$JS.ACK.ANALYTICS.mine.1.1.1.1.0",
        ] {
            let sent = analyst.publish_with_reply(request, reply, "".into()).await;
            sent.expect("it is sent");
        }
    }
    // The server has seen all of that once it has answered this.
    let asked = analyst.request("$JS.API.STREAM.INFO.ANALYTICS", "".into()).await;
    let answer: Value = serde_json::from_slice(&asked.expect("an answer").payload).expect("JSON");
    assert_eq!(answer["config"]["name"], "ANALYTICS", "{answer}");
    app.verify().await;
    let after = state(&app).await;
    assert_eq!(
        (after.first_sequence, after.messages),
        (before.first_sequence, after.last_sequence)
    );
    assert_eq!(after.messages, is_filled(&app).await, "only events came");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_there_once_whichever_projector_dies() {
    let mut app = App::with_gateways(1).await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    for round in 0..3 {
        for number in 0..20 {
            ann.send(&bob, &format!("{round} {number}")).await.ok();
        }
        let name = format!("projector-{round}");
        let next = app.another_projector(&name).await;
        let mut last = app.projector.replace(next).expect("there was one");
        bob.send(&ann, "while two of them work").await.ok();
        last.process().kill9();
    }
    let last = is_filled(&app).await;
    let consumer = owner(&app).await.get_stream("ANALYTICS").await.expect("it is there");
    let consumer = consumer.create_consumer(jetstream::consumer::pull::Config {
        name: Some("test".into()),
        ..jetstream::consumer::pull::Config::default()
    });
    let messages = consumer.await.expect("a consumer").messages().await.expect("messages");
    let positions: Vec<u64> = messages
        .take(usize::try_from(last).expect("few"))
        .map(|message| {
            let message = message.expect("a message");
            let headers = message.headers.as_ref().expect("headers");
            headers
                .get("hy-position")
                .expect("a position")
                .as_str()
                .parse::<u64>()
                .expect("a number")
        })
        .collect()
        .await;
    assert_eq!(positions, (1..=last).collect::<Vec<_>>());
    app.verify().await;
}

#[tokio::test]
async fn another_content_or_a_rebuild_fills_the_stream_anew() {
    let mut app = App::with_gateways(1).await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    ann.send(&bob, "good morning").await.ok();
    let last = is_filled(&app).await;
    let first = info(&app).await.expect("it is there");
    assert_eq!(
        (first.config.metadata["hy-generation"].as_str(), first.state.messages),
        ("1", last)
    );

    let rebuilt = app.cli(&["projections", "rebuild", "analytics", "--json"]).await.json();
    assert_eq!((&rebuilt[0]["before"], &rebuilt[0]["generation"]), (&json!(1), &json!(2)));
    let second = of_generation(&app, "2", last).await;
    assert!(second.state.first_sequence > first.state.last_sequence, "numbers go on");
    app.cli(&["projections", "verify", "analytics"]).await.ok();

    let own = [("ANALYTICS__CONTENT", "pseudonymous"), ("ANALYTICS__MAX_AGE_DAYS", "30")];
    let mut before = app.projector.take().expect("there was one");
    before.process().kill9();
    let next = app.another_projector_with("projector-2", &own).await;
    let third = of_generation(&app, "3", last).await;
    assert_eq!(third.config.max_age, Duration::from_hours(30 * 24));
    let stream = owner(&app).await.get_stream("ANALYTICS").await.expect("it is there");
    let mut texts = Vec::new();
    for sequence in third.state.first_sequence..=third.state.last_sequence {
        let message = stream.get_raw_message(sequence).await.expect("it is there");
        texts.push(String::from_utf8_lossy(&message.payload).into_owned());
    }
    assert!(texts.iter().any(|text| text.contains("good morning")), "contents stay");
    assert!(!texts.iter().any(|text| text.contains(&format!("\"id\":{},", ann.id))), "ids do not");
    let differs = app.cli(&["projections", "verify", "analytics"]).await;
    assert!(!differs.success && differs.stdout.contains("differs at 1"), "{differs:?}");
    app.cli_with(&own, &["projections", "verify", "analytics"]).await.ok();
    app.projector = Some(next);
}
