//! What operators see of requests: ids, failures, answers; and what keeps a service from starting with a setting that is
//! not what it was meant to be.

use reqwest::Method;
use serde_json::json;

use crate::support::{App, PASSWORD, SEND, User, send, text_to, until};

const FREE: [(&str, &str); 2] =
    [("SERVER__LISTEN", "127.0.0.1:0"), ("SERVER__ADMIN_LISTEN", "127.0.0.1:0")];

/// The lines of the service's log that hold all of these words.
fn logged(app: &App, words: &[&str]) -> Vec<String> {
    let log = std::fs::read_to_string(app.servers.folder().join("hongyan.log")).expect("a log");
    let has_all = |line: &&str| words.iter().all(|word| line.contains(word));
    log.lines().filter(has_all).map(str::to_owned).collect()
}

#[tokio::test]
async fn every_answer_has_the_id_of_its_request() {
    let app = App::configured(&[("TELEMETRY__LOG", "warn,hongyan::access=debug")]).await;
    let ann = app.register("ann").await;
    let secret = "a-word-that-nobody-writes-down";
    for (method, path, status, route) in [
        (
            Method::GET,
            format!("/api/userinfo/{}?x={secret}", ann.uuid),
            200,
            "/api/userinfo/{uuid}",
        ),
        (
            Method::POST,
            "/api/chat/chatGetmessageOffLine".into(),
            200,
            "/api/chat/chatGetmessageOffLine",
        ),
        (Method::POST, SEND.into(), 422, SEND),
        (Method::GET, format!("/nowhere/{secret}"), 404, "route=\"\""),
        (Method::OPTIONS, SEND.into(), 204, SEND),
    ] {
        let id = format!("{method}-{status}");
        let request = ann.request(method.clone(), &path).header("x-request-id", &id);
        let reply = send(request.header("x-other", secret)).await;
        assert_eq!(
            (reply.status, reply.headers["x-request-id"].as_bytes()),
            (status, id.as_bytes())
        );
        let line = async || logged(&app, &["hongyan::access", &id]).pop();
        let line = until("the answer is in the log", line).await;
        let facts = [route, &format!("status={status}"), method.as_str(), "duration_us="];
        assert!(facts.iter().all(|fact| line.contains(fact)), "{line}");
        let is_protected = path.starts_with("/api/chat/") && status != 204;
        assert_eq!(line.contains(&format!("user.id={}", ann.id)), is_protected, "{line}");
    }
    assert_eq!(logged(&app, &[secret]), [""; 0]);
    assert_eq!(logged(&app, &[ann.token()]), [""; 0]);
    assert_eq!(logged(&app, &["127.0.0.1"]), [""; 0]);
    // Without a good one it is made: what is too long or no word would be somebody else's text in our log.
    let long = "x".repeat(65);
    for bad in [None, Some(""), Some("not one word"), Some(long.as_str())] {
        let request = ann.request(Method::GET, "/api/chat/grouplist/1");
        let request =
            bad.into_iter().fold(request, |request, id| request.header("x-request-id", id));
        let reply = send(request).await;
        let id = reply.headers["x-request-id"].to_str().expect("a text").to_owned();
        assert!(id.parse::<uuid::Uuid>().is_ok(), "{id}");
    }
}

#[tokio::test]
async fn a_failure_is_logged_once_with_its_cause() {
    let mut app = App::apart_configured(&[("LOG__APPEND_TIMEOUT_MS", "5000")]).await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    app.servers.postgres.process().kill9();
    fails(&app, &ann, ("/api/chat/searchUser", json!({ "keyword": "bob" })), 500).await;
    // These have envelopes of their own, one of which says 200 to everything.
    fails(&app, &ann, ("/api/chat/complaint/create", complaint()), 500).await;
    app.servers.postgres.start_again().await;
    app.servers.nats.process().kill9();
    let list = json!({ "type": "single", "userId": ann.id });
    fails(&app, &ann, (SEND, text_to("single", bob.id, "hello")), 500).await;
    fails(&app, &ann, ("/api/chat/askanswer/list", list), 0).await;
}

fn complaint() -> serde_json::Value {
    json!({ "target_id": 1, "target_type": "single", "target_name": "x", "reason": "x" })
}

/// Insists that a call fails, and that this is in the log once; with any status where `status` is 0.
async fn fails(app: &App, user: &User, (path, body): (&str, serde_json::Value), status: u16) {
    let id = format!("failure-of-{}", path.replace('/', "-"));
    let request = user.request(Method::POST, path).header("x-request-id", &id).json(&body);
    let reply = send(request).await;
    assert!(status == 0 || reply.status == status, "{path}: {}", reply.text());
    let lines = async || Some(logged(app, &["ERROR", &id])).filter(|lines| !lines.is_empty());
    let lines = until("the failure is in the log", lines).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    let facts = ["a request failed", path, "cause=", "method=POST"];
    assert!(facts.iter().all(|fact| lines[0].contains(fact)), "{lines:?}");
    assert!(!lines[0].contains("unknown"), "{lines:?}");
}

/// `inof` is a target to the library, of which nobody ever writes a line.
#[tokio::test]
async fn a_log_filter_that_names_nothing_known_stops_the_start() {
    let app = App::start().await;
    let own = [FREE[0], FREE[1], ("TELEMETRY__LOG", "inof")];
    let served = app.cli_with(&own, &["serve"]).await;
    assert!(!served.success && served.stderr.contains("`inof` is no level"), "{served:?}");
}

/// `docs/configure.md`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_changed_stops_the_start_until_it_is_accepted() {
    let mut app = App::start().await;
    let ann = app.register("ann").await;
    app.gateways[0].process().terminate();
    let other = "another secret of the tests, of no use elsewhere";
    for (key, setting, name) in [
        ("AUTH__TOKEN_SECRET", "auth.token_secret", "token-secret"),
        ("AUTH__PASSWORD_PEPPER", "auth.password_pepper", "password-pepper"),
    ] {
        let own = [FREE[0], FREE[1], (key, other)];
        let served = app.cli_with(&own, &["serve"]).await;
        assert!(!served.success, "{served:?}");
        let accept = format!("hongyan secrets accept {name}");
        for fact in [setting, "put the old one back", &accept] {
            assert!(served.stderr.contains(fact), "{fact}: {served:?}");
        }
        assert!(!served.stderr.contains(other), "{served:?}");
        // Meant to be so: from now on the old one is refused.
        let accepted = app.cli_with(&own, &["secrets", "accept", name, "--json"]).await.json();
        assert_eq!(accepted, json!({ "secret": setting, "changed": true }));
        let served = app.cli_with(&FREE, &["serve"]).await;
        assert!(!served.success && served.stderr.contains(setting), "{served:?}");
        if name == "password-pepper" {
            let set = ["users", "set-password", &ann.username];
            let set = app.cli_told(&set, "another one").await;
            assert!(!set.success && set.stderr.contains(setting), "{set:?}");
        }
        let back = app.cli(&["secrets", "accept", name, "--json"]).await.json();
        assert_eq!(back["changed"], true);
        let again = app.cli(&["secrets", "accept", name, "--json"]).await.json();
        assert_eq!(again["changed"], false);
    }
    app.gateways[0].start_again().await;
    ann.drain().await;
    let log_in = json!({ "username": ann.username, "password": PASSWORD });
    app.api().post("/api/loginChat", log_in).await.ok();
}
