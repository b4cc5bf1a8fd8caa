//! Exports (`docs/analyse.md`): files of events for analysts, as `DuckDB` and the SDK of `CloudEvents` read them.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::{
    App, User, device,
    python::{in_tree, read_by},
};

/// What `tests/readers/exports.py` makes of a file.
#[derive(Deserialize)]
struct Read {
    rows: Vec<Vec<String>>,
    events: Vec<Value>,
}

/// The statements of the manual, of which the last one counts events by type.
async fn read(file: &Path) -> Read {
    let manual = fs::read_to_string(in_tree("docs/analyse.md")).expect("the manual");
    let (_, sql) = manual.split_once("```sql\n").expect("it has SQL");
    let (sql, _) = sql.split_once("```").expect("which ends");
    let name = file.file_name().expect("a name").to_str().expect("ASCII");
    let sql = sql.replace("events.ndjson", name);
    let sql: Vec<&str> = sql.split(';').map(str::trim).filter(|it| !it.is_empty()).collect();
    read_by("exports.py", &json!({ "sql": sql, "file": file }).to_string()).await
}

async fn export(app: &App, file: &Path, more: &[&str]) -> String {
    let file = file.to_str().expect("ASCII");
    app.cli(&[&["events", "export", "--output", file][..], more].concat()).await.ok();
    file.to_owned()
}

fn lines(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).expect("it is written");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// What is counted by type.
fn types<'a>(events: impl Iterator<Item = &'a Value>) -> BTreeMap<String, u64> {
    let mut types = BTreeMap::new();
    for event in events {
        *types.entry(event["type"].as_str().expect("a type").to_owned()).or_default() += 1;
    }
    types
}

struct Story {
    app: App,
    ann: User,
    bob: User,
    group: String,
}

impl Story {
    async fn told() -> Self {
        let app = App::start().await;
        let [ann, bob] = app.friends(["ann", "bob"]).await;
        app.visitor(&device(7)).await;
        ann.send(&bob, "good morning").await.ok();
        bob.send(&ann, "and to you").await.ok();
        let group = app.group(&ann, &[&bob]).await;
        bob.say(group, "tea at four").await.ok();
        app.cli(&["users", "disable", &bob.username, "--reason", "spam in the park"]).await.ok();
        app.settle().await;
        Self { app, ann, bob, group: format!("group:{}", group.id) }
    }
}

#[tokio::test]
async fn every_event_is_a_line_that_tells_nobody_who_it_is_about() {
    let Story { app, ann, bob, .. } = Story::told().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("events.ndjson");
    export(&app, &file, &[]).await;
    let text = fs::read_to_string(&file).expect("it is written");
    for secret in [
        "good morning",
        "and to you",
        "tea at four",
        "spam in the park",
        &device(7),
        &ann.username,
        &bob.username,
        "x-request",
        "traceparent",
        "00000000-0000",
    ] {
        assert!(!text.contains(secret), "{secret}");
    }
    let lines = lines(&file);
    let positions: Vec<u64> = lines
        .iter()
        .map(|line| line["position"].as_str().and_then(|at| at.parse().ok()).expect("a number"))
        .collect();
    assert_eq!(positions, (1..=positions.len() as u64).collect::<Vec<_>>());

    let Read { rows, events } = read(&file).await;
    let stats = app.cli(&["events", "stats", "--json"]).await.json();
    assert_eq!(json!(types(events.iter())), stats["types"]);
    let counted: BTreeMap<String, u64> =
        rows.iter().map(|row| (row[0].clone(), row[1].parse().expect("a count"))).collect();
    assert_eq!(json!(counted), stats["types"]);
    let sent: Vec<&Value> = events.iter().filter(|it| it["type"] == "message.sent.v1").collect();
    let [morning, answer] = sent[..] else { panic!("{sent:?}") };
    for (event, other) in [(morning, answer), (answer, morning)] {
        let data = &event["data"]["data"];
        let (from, to) = (&data["from"]["id"], &data["to"]["id"]);
        assert_ne!(*from, json!(ann.id));
        assert_eq!(event["attributes"]["actor"], from.to_string());
        assert_eq!(*from, other["data"]["data"]["to"]["id"]);
        let (lower, higher) = (from.as_u64().min(to.as_u64()), from.as_u64().max(to.as_u64()));
        let pair = [lower, higher].map(|id| id.expect("a number"));
        assert_eq!(event["subject"], format!("evt.chat.{}.{}.{from}", pair[0], pair[1]));
    }

    let compressed = folder.path().join("events.ndjson.zst");
    export(&app, &compressed, &["--zstd"]).await;
    assert_eq!(read(&compressed).await.rows, rows);
    let whole = fs::read(&compressed).expect("it is written");
    assert!(whole.len() * 2 < text.len(), "{} of {}", whole.len(), text.len());

    // What was interrupted is gone on with, to the same bytes.
    for torn in [text.len() - 1, text.len() / 2, 10, 0] {
        fs::write(&file, &text[..torn]).expect("it is written");
        export(&app, &file, &[]).await;
        assert!(fs::read_to_string(&file).expect("it is written") == text, "torn at {torn}");
    }
    fs::write(&compressed, &whole[..whole.len() - 7]).expect("it is written");
    export(&app, &compressed, &["--zstd"]).await;
    assert!(fs::read(&compressed).expect("it is written") == whole);
}

#[tokio::test]
async fn events_are_chosen_by_moment_type_person_and_chat() {
    let Story { app, ann, bob, group } = Story::told().await;
    let full = [("ANALYTICS__CONTENT", "full"), ("ANALYTICS__PSEUDONYM_SECRET", "")];
    let chosen = async |more: &[&str]| -> Vec<Value> {
        let printed = app.cli_with(&full, &[&["events", "export"][..], more].concat()).await.ok();
        printed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let all = chosen(&[]).await;
    let of = |wanted: &dyn Fn(&Value) -> bool| -> Vec<Value> {
        all.iter().filter(|event| wanted(event)).cloned().collect()
    };
    let messages = ["message.sent.v1", "group_message.sent.v1"];
    let both = chosen(&["--type", messages[0], "--type", messages[1]]).await;
    assert_eq!(both, of(&|event| messages.iter().any(|kind| event["type"] == **kind)));
    assert_eq!(both.len(), 3);
    let hers = chosen(&["--user", &ann.id.to_string()]).await;
    let id = ann.id.to_string();
    let is_hers = |event: &Value| {
        let subject: Vec<&str> = event["subject"].as_str().expect("a text").split('.').collect();
        let is_about = !["group", "groupchat"].contains(&subject[1]) && subject.contains(&&*id);
        event["actor"] == *id || is_about
    };
    assert_eq!(hers, of(&is_hers));
    assert!(hers.iter().any(|event| event["type"] == "group.created.v1"));
    let pair = chosen(&["--chat", &format!("{}.{}", ann.id, bob.id)]).await;
    assert_eq!(pair, of(&|event| event["type"] == "message.sent.v1"));
    assert_eq!(pair[0]["data"]["data"]["data"], both[0]["data"]["data"]["data"]);
    assert_eq!(chosen(&["--chat", &group]).await, both[2..]);

    let at = |index: usize| all[index]["position"].as_str().expect("a text").to_owned();
    assert_eq!(chosen(&["--from", &at(3), "--to", &at(6)]).await, all[3..=6]);
    let noon = app.cli(&["events", "show", &at(4), "--json"]).await.json();
    let noon = noon["stored"].as_str().expect("a time").to_owned();
    let (before, after) = (chosen(&["--to", &noon]).await, chosen(&["--from", &noon]).await);
    assert!(before.contains(&all[4]) && after.contains(&all[4]));
    assert!(before.len() + after.len() >= all.len() && before.len() < all.len());
    assert_eq!(chosen(&["--from", "999999"]).await, [json!(null); 0]);

    let refused = app.cli(&["events", "export", "--to", "999999"]).await;
    assert!(!refused.success && refused.stderr.contains("the log ends at"), "{refused:?}");
    let unknown = app.cli(&["events", "export", "--type", "message.sent"]).await;
    assert!(!unknown.success && unknown.stderr.contains("message.sent.v1"), "{unknown:?}");
    let without = [("ANALYTICS__PSEUDONYM_SECRET", "")];
    let refused = app.cli_with(&without, &["events", "export"]).await;
    assert!(!refused.success && refused.stderr.contains("PSEUDONYM_SECRET"), "{refused:?}");
}
