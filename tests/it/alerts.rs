//! What Prometheus and Grafana are given in `ops/`: rules that promtool takes and whose alerts fire when they should,
//! and expressions that name nothing but what `/metrics` has.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::support::{
    App,
    python::{in_tree, told},
    until,
};

const RULES: &str = "ops/prometheus/rules.yml";
/// Hours in which read models may be compared.
pub const EVERY_HOUR: &str = "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23";

const DASHBOARD: &str = "ops/grafana/hongyan.json";

fn read(path: &str) -> String {
    fs::read_to_string(in_tree(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

async fn promtool(folder: &Path, arguments: &[&str]) -> String {
    let mut promtool = Command::new("promtool");
    promtool.args(arguments).current_dir(folder).stdin(Stdio::null());
    told(promtool).await
}

/// The example refers to the rules, and to a token that only an operator has.
#[tokio::test]
async fn promtool_takes_the_rules_and_the_example() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["rules.yml", "prometheus.yml"] {
        let text = read(&format!("ops/prometheus/{name}"));
        fs::write(folder.path().join(name), text).expect("the folder takes files");
    }
    fs::write(folder.path().join("admin_token"), "a token").expect("the folder takes files");
    let told = promtool(folder.path(), &["check", "config", "--lint=all", "prometheus.yml"]).await;
    assert!(told.contains("1 rule files found"), "{told}");
    promtool(folder.path(), &["check", "rules", "--lint=all", "--lint-fatal", "rules.yml"]).await;
}

#[tokio::test]
async fn every_alert_fires_when_it_should_and_not_before() {
    promtool(&in_tree("ops/prometheus"), &["test", "rules", "rules.test.yml"]).await;
}

/// What an alert means and what to do is said where operators read, and each has its test.
#[test]
fn every_alert_has_a_test_and_a_row_in_the_manual() {
    let (rules, tests) = (read(RULES), read("ops/prometheus/rules.test.yml"));
    let manual = read("docs/operate.md");
    let (_, manual) = manual.split_once("\n## Alerts\n").expect("the rules lead to it");
    let alerts: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 15, "{alerts:?}");
    for alert in &alerts {
        assert!(tests.contains(&format!("ALERTS{{alertname=\"{alert}\"")), "no test of {alert}");
        assert!(manual.contains(&format!("\n| `{alert}` |")), "docs/operate.md lacks {alert}");
    }
    let quiet = tests.matches("exp_samples: []").count();
    assert!(quiet >= alerts.len(), "{quiet} times no alert, of {} alerts", alerts.len());
    let told = manual.lines().filter_map(|line| line.strip_prefix("| `Hongyan")).count();
    assert_eq!(told, alerts.len(), "docs/operate.md has an alert that is not there");
}

/// All expressions of the dashboard, those of its variables too.
fn expressions(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().expect("a list");
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let shown = targets.map(|target| &target["expr"]);
    let expression = |expr: &Value| expr.as_str().expect("an expression").to_owned();
    shown.map(expression).collect()
}

#[tokio::test]
async fn the_dashboard_is_valid_and_its_expressions_are_too() {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).expect("JSON");
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().expect("a list") {
        assert!(ids.insert(panel["id"].as_u64()), "twice: {panel}");
        let place = &panel["gridPos"];
        let right = place["x"].as_u64().zip(place["w"].as_u64()).map(|(x, width)| x + width);
        assert!(right.is_some_and(|right| right <= 24), "out of the grid: {panel}");
    }
    let shown = expressions(&dashboard);
    assert!(shown.len() > 40, "{}", shown.len());
    let rules: Vec<Value> = (1..)
        .zip(&shown)
        .map(|(number, expr)| {
            let expr = expr.replace("$__rate_interval", "5m").replace("$instance", ".*");
            json!({ "record": format!("panel:{number}"), "expr": expr.replace("$job", "hongyan") })
        })
        .collect();
    let rules = json!({ "groups": [{ "name": "dashboard", "rules": rules }] }).to_string();
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("dashboard.yml"), rules).expect("the folder takes files");
    promtool(folder.path(), &["check", "rules", "dashboard.yml"]).await;
}

/// The names of metrics in a text, and of what is recorded of them.
fn named(text: &str) -> BTreeSet<&str> {
    let is_mark = |mark: char| !(mark.is_ascii_alphanumeric() || mark == '_' || mark == ':');
    let begins = ["hongyan_", "hongyan:", "process_"];
    text.split(is_mark).filter(|word| begins.iter().any(|begin| word.starts_with(begin))).collect()
}

/// Of `wanted`, what is neither on a page of metrics nor recorded by the rules.
fn unknown<'a>(wanted: &BTreeSet<&'a str>, page: &str, rules: &str) -> BTreeSet<&'a str> {
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    let samples = samples.filter_map(|line| line.split(['{', ' ']).next());
    let recorded = rules.lines().filter_map(|line| line.trim().strip_prefix("- record: "));
    let known: BTreeSet<&str> = samples.chain(recorded).collect();
    wanted.iter().filter(|name| !known.contains(**name)).copied().collect()
}

/// A metric that was renamed would never alert anybody again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_and_dashboard_name_only_what_is_measured() {
    let app = App::configured(&[
        ("LIMITS__LOGIN_FAILURES", "1"),
        ("LOG__DURABILITY", "synced"),
        ("PROJECTIONS__VERIFY_EVERY_S", "1"),
        ("PROJECTIONS__VERIFY_AT", EVERY_HOUR),
    ])
    .await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    ann.send(&bob, "hello").await.ok();
    for _ in 0..2 {
        let body = json!({ "username": ann.username, "password": "not theirs" });
        app.api().post("/api/loginChat", body).await;
    }
    let (rules, dashboard) = (read(RULES), read(DASHBOARD));
    let wanted = &named(&rules) | &named(&dashboard);
    assert!(wanted.len() > 40, "{}", wanted.len());
    // What the alerts of a system that is well look at.
    let mut well: Vec<String> = ["log", "postgres", "redis", "projections", "gateway"]
        .map(|part| format!("\nhongyan_part_ready{{part=\"{part}\"}} 1\n"))
        .into();
    let lines = ["hongyan_ready 1", "hongyan_log_sync_failed 0", "hongyan_gateways 1"];
    well.extend(lines.map(|line| format!("\n{line}\n")));
    // Some of it is counted after a client has its answer.
    let all = async || {
        let page = app.metrics().await;
        let unknown = unknown(&wanted, &page, &rules);
        let missing: Vec<_> = well.iter().filter(|line| !page.contains(*line)).collect();
        if unknown.is_empty() && missing.is_empty() {
            return Some(page);
        }
        eprintln!("not measured: {unknown:?}, not so: {missing:?}");
        None
    };
    let page = until("all that is named is measured", all).await;
    for wrong in ["hongyan_append_duration_bucket", "hongyan:recorded_nowhere"] {
        assert_eq!(unknown(&named(wrong), &page, &rules), BTreeSet::from([wrong]));
    }
    let free = "\nhongyan_file_system_free_bytes{setting=\"log.store_dir\"} ";
    assert!(page.contains(free), "{page}");
}
