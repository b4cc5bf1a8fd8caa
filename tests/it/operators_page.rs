//! The operators' page in a real browser: what it shows of a system, by keyboard alone, in both themes and at both widths;
//! `tests/browser/operators.mjs` is what a person does.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    App, api,
    python::{brought, in_tree, told},
    send, until,
};

const PARTS: [&str; 5] = ["gateway", "log", "postgres", "projections", "redis"];

/// What the page is expected to show of a system that is well.
fn expected(origin: &str, folder: &Path) -> Value {
    json!({
        "url": format!("{origin}/"),
        "folder": folder,
        "ready": "ready",
        "parts": PARTS.map(|part| format!("well {part}")),
        "projections": hongyan::projections::names(),
        "sockets": 0,
        "gateways": 1,
        "errors": [],
        "lookUps": [],
        "refused": [],
    })
}

/// Has a person look. Pictures stay in the folder that `HONGYAN_TEST_PICTURES` names, if it does.
async fn look(expected: &Value) {
    let mut node = Command::new("node");
    node.arg(in_tree("tests/browser/operators.mjs")).stdin(Stdio::null());
    node.env("HONGYAN_TEST_BROWSER", brought("browser")).env("EXPECTED", expected.to_string());
    told(node).await;
    let folder = Path::new(expected["folder"].as_str().expect("a folder"));
    assert!(folder.join("done").exists(), "it did not come to its end");
}

fn pictures(of: &str) -> (PathBuf, Option<tempfile::TempDir>) {
    if let Some(folder) = std::env::var_os("HONGYAN_TEST_PICTURES") {
        let folder = PathBuf::from(folder).join(of);
        fs::create_dir_all(&folder).expect("the folder can be made");
        return (folder, None);
    }
    let folder = tempfile::tempdir().expect("a folder");
    (folder.path().to_owned(), Some(folder))
}

/// On a projector, which hears of sockets by heartbeats; a rebuild that somebody else runs is in the store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_sees_how_the_system_is_and_looks_things_up() {
    let app = App::with_gateways(2).await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let _socket = bob.connect().await;
    for number in 0..20 {
        ann.send(&bob, &format!("message {number}")).await.ok();
    }
    let cat = app.register("cat").await;
    let message = ann.send(&cat, "hi").await.ok()["id"].as_str().expect("an id").to_owned();
    app.settle().await;
    // As a rebuild that has just begun leaves it.
    let begun = "insert into hongyan.generations (projection, generation, shape, log_created, position) \
                 select projection, generation + 1, shape, log_created, position / 3 from hongyan.generations \
                 where projection = 'message_history' and active";
    app.servers.postgres.execute(begun).await;
    let (folder, _kept) = pictures("projector");
    let mut expected = expected(&app.admin_origin(), &folder);
    expected["sockets"] = json!(1);
    expected["gateways"] = json!(2);
    expected["building"] = json!("message_history");
    let friends = format!("{}.{}", ann.id.min(bob.id), ann.id.max(bob.id));
    expected["lookUps"] = json!([
        { "form": "explain", "fields": { "message": message, "user": cat.id.to_string() }, "path": format!("explain/{message}?user={}", cat.id), "says": "never_connected_since" },
        { "form": "state", "fields": { "kind": "user", "id": ann.id.to_string() }, "path": format!("state/user/{}", ann.id), "says": ann.username },
        { "form": "history", "fields": { "kind": "friendship", "id": friends, "limit": "3" }, "path": format!("history/friendship/{friends}?limit=3"), "says": "friendship.befriended.v1" },
        // What the log has none of is refused in words.
        { "form": "state", "fields": { "kind": "group", "id": "no/such id", "at": "5" }, "path": "state/group/no%2Fsuch%20id?at=5", "says": "it is named by one number" },
    ]);
    expected["refused"] = json!(["/state/group/"]);
    look(&expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_sees_what_is_away_and_what_went_wrong() {
    let mut app = App::apart().await;
    let ann = app.register("ann").await;
    app.servers.postgres.process().kill9();
    let search = ann.request(Method::POST, "/api/chat/searchUser");
    assert_eq!(send(search.json(&json!({ "keyword": "bob" }))).await.status, 500);
    let (folder, _kept) = pictures("away");
    let mut expected = expected(&app.admin_origin(), &folder);
    expected["ready"] = json!("not ready");
    let is_well =
        |part: &str| if part == "postgres" || part == "projections" { "not well" } else { "well" };
    expected["parts"] = json!(PARTS.map(|part| format!("{} {part}", is_well(part))));
    expected["errors"] = json!(["a request failed"]);
    // Projections that have nothing to write do not notice at once.
    until("it is noticed", async || {
        let health = api::client().get(format!("{}/health/ready", app.admin_origin()));
        let health: Value = health.send().await.ok()?.json().await.ok()?;
        (health["parts"]["postgres"] == false && health["parts"]["projections"] == false)
            .then_some(())
    })
    .await;
    look(&expected).await;
}

/// A browser sends no token when it opens a page: the page has nothing to tell, and asks for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_asks_for_the_token_of_the_listener() {
    let mut app = App::start().await;
    let token = "0123456789abcdef, of the tests";
    app.gateways[0].process().terminate();
    app.gateways[0].start_again_alone(&[("SERVER__ADMIN_TOKEN", token)]);
    let origin = app.admin_origin();
    let (folder, _kept) = pictures("token");
    let mut expected = expected(&origin, &folder);
    expected["token"] = json!(token);
    expected["refused"] = json!(["/live"]);
    let answers = async || api::client().get(&origin).send().await.ok();
    let page = until("it answers", answers).await;
    let policy = page.headers()["content-security-policy"].to_str().expect("a text").to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    for path in ["/live", "/health/ready", "/metrics", "/docs"] {
        let refused =
            api::client().get(format!("{origin}{path}")).send().await.expect("it answers");
        assert_eq!(refused.status(), 401, "{path}");
    }
    look(&expected).await;
}

/// Whoever watches does not keep a process from ending.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_what_is_watched() {
    let mut app = App::start().await;
    let mut watched = Vec::new();
    for _ in 0..16 {
        let live = api::client().get(format!("{}/live", app.admin_origin()));
        let mut live = live.send().await.expect("it answers");
        assert_eq!(live.headers()["content-type"], "text/event-stream");
        live.chunk().await.expect("a sample");
        watched.push(live);
    }
    let more = api::client().get(format!("{}/live", app.admin_origin()));
    assert_eq!(more.send().await.expect("it answers").status(), 503);
    app.gateways[0].process().terminate();
    for mut live in watched {
        while live.chunk().await.expect("it ends in order").is_some() {}
    }
}
