//! The example of an analysis (`examples/analytics/`): its page's commands, and numbers that are what was sent.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{
    analytics::is_filled,
    support::{
        App,
        python::{in_tree, python, told},
        until,
    },
};

/// The programs that the page of the example runs.
fn programs() -> Vec<String> {
    let page = fs::read_to_string(in_tree("examples/analytics/README.md")).expect("the page");
    let lines = page.lines().filter_map(|line| line.strip_prefix("python examples/analytics/"));
    lines.map(|line| line.split_whitespace().next().expect("a name").to_owned()).collect()
}

async fn run(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let mut command = python("readers", folder);
    command.arg(in_tree("examples/analytics").join(program)).args(arguments);
    command.env("nats_analyst", "analystpw");
    told(command).await
}

fn sum(rows: &Value, column: &str) -> u64 {
    let rows = rows.as_array().expect("rows").iter();
    rows.map(|row| row[column].as_u64().unwrap_or_else(|| panic!("{column} of {row}"))).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_counts_what_was_sent() {
    let app = App::start().await;
    let chat = ["chat", "--warm-up", "200ms", "--users", "6", "--rate", "60", "--seconds", "2"];
    let groups = ["--groups", "2", "--group-size", "4", "--group-share", "0.5"];
    let sent = app.bench(&[&chat[..], &groups].concat()).await;
    let closed = async || {
        let stats = app.cli(&["events", "stats", "--json"]).await.json();
        let of = |kind| stats["types"][format!("session.{kind}.v1")].as_u64();
        (of("connected") == of("disconnected")).then_some(())
    };
    until("all sockets are known to be closed", closed).await;
    is_filled(&app).await;
    let folder = tempfile::tempdir().expect("a folder");
    let url = app.servers.nats.url();
    assert_eq!(programs(), ["fetch.py", "report.py"]);
    run(folder.path(), "fetch.py", &[&url]).await;
    run(folder.path(), "report.py", &[]).await;
    let report = run(folder.path(), "report.py", &["--json"]).await;
    let report: Value = serde_json::from_str(&report).expect("JSON");

    let stats = app.cli(&["events", "stats", "--json"]).await.json();
    let of = |kind: &str| stats["types"][kind].as_u64().unwrap_or(0);
    let messages = sum(&report["messages_per_hour"], "messages");
    assert_eq!(json!(messages), sent["messages"]["acknowledged"]);
    let single = report["messages_per_hour"].as_array().expect("rows").iter();
    let single: Vec<Value> = single.filter(|row| row["chat"] == "single").cloned().collect();
    assert_eq!(sum(&json!(single), "messages"), of("message.sent.v1"));
    let friendships = of("friendship.befriended.v1") + of("friendship.answered.v1");
    assert_eq!(sum(&report["new_friendships"], "friendships"), friendships);
    let growth = report["group_growth"].as_array().and_then(|days| days.last()).expect("a day");
    assert_eq!((&growth["groups"], &growth["members"]), (&json!(2), &json!(8)), "{report}");
    // A run may go on past midnight.
    let active = report["daily_active_users"].as_array().expect("days").iter();
    assert!(active.clone().all(|day| day["people"].as_u64() <= Some(6)), "{report}");
    assert!(active.clone().any(|day| day["people"] == 6), "{report}");
    let came = report["retention"].as_array().expect("cohorts").iter();
    let came: u64 = came
        .filter(|cohort| cohort["days_later"] == 0)
        .map(|cohort| cohort["people"].as_u64().expect("a number"))
        .sum();
    assert_eq!(came, 6, "{report}");
    let answers = &report["time_to_first_answer"][0];
    assert!(answers["chats"].as_u64() >= answers["answered"].as_u64(), "{answers}");
    assert!(answers["chats"].as_u64() > Some(0), "{answers}");
    let picture = fs::read_to_string(folder.path().join("messages.svg")).expect("a picture");
    assert!(picture.starts_with("<svg") && picture.ends_with("</svg>\n"));

    // What is new comes when it runs again, and after a torn line; an export tells the same.
    let file = folder.path().join("events.ndjson");
    let fetched = fs::read(&file).expect("it is there");
    fs::write(&file, &fetched[..fetched.len() - 9]).expect("it is written");
    for _ in 0..2 {
        run(folder.path(), "fetch.py", &[&url]).await;
        assert!(fs::read(&file).expect("it is there") == fetched);
    }
    let exported = folder.path().join("exported.ndjson");
    let exported = exported.to_str().expect("ASCII");
    app.cli(&["events", "export", "--output", exported]).await.ok();
    let same = run(folder.path(), "report.py", &["--json", exported]).await;
    assert_eq!(serde_json::from_str::<Value>(&same).expect("JSON"), report);
}
