//! The load generator: what it says of promises, never how fast anything was (`docs/performance.md`).

use serde_json::{Value, json};

use crate::support::App;

/// Messages were acknowledged, and each arrived once and in order.
#[track_caller]
fn is_good(result: &Value) {
    let messages = &result["messages"];
    assert!(messages["acknowledged"].as_u64() > Some(0), "{result}");
    for promise in ["lost", "doubled", "out_of_order", "unexpected", "refused", "unknown"] {
        assert_eq!(messages[promise], 0, "{promise} in {result}");
    }
    assert_eq!((&result["good"], &messages["arrived"]), (&json!(true), &messages["due"]));
}

impl App {
    /// Runs the load generator against the first gateway.
    pub(crate) async fn bench(&self, arguments: &[&str]) -> Value {
        let gateway = &self.gateways[0];
        let (url, admin) = (gateway.origin(), gateway.admin_origin());
        let target = ["--url", &url, "--admin", &admin, "--json"];
        self.tool("loadgen", &[arguments, &target].concat()).await.json()
    }
}

/// `loadgen send`: in a closed loop to sockets, and at a rate into queues that are read at the end, by the same accounts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_senders_are_promised_is_checked() {
    let app = App::start().await;
    let file = app.servers.folder().join("users");
    let file = ["--users-file", file.to_str().expect("a path")];
    let send =
        ["send", "--warm-up", "200ms", "--senders", "4", "--in-flight", "2", "--seconds", "2"];
    let result = app.bench(&[&send, &file[..]].concat()).await;
    is_good(&result);
    assert_eq!(result["accounts"], json!({"made": 4, "kept": 0}));
    let server = &result["setting"]["server"];
    assert_eq!(server["durability"], "acked");
    for part in ["hongyan", "nats", "postgres", "redis"] {
        assert!(server["versions"][part].is_string(), "{part} in {server}");
    }
    let measured = &result["measured"];
    assert!(measured["answer_ms"]["p99_9"].is_number(), "{result}");
    assert!(measured["frame_ms"]["max"].is_number(), "{result}");
    let send = [
        "send",
        "--warm-up",
        "200ms",
        "--senders",
        "3",
        "--offline",
        "--rate",
        "50",
        "--seconds",
        "1",
    ];
    let result = app.bench(&[&send, &file[..]].concat()).await;
    is_good(&result);
    assert_eq!(result["accounts"], json!({"made": 0, "kept": 3}));
    // What is due when the time is over and was not begun is left out.
    let acknowledged = result["messages"]["acknowledged"].as_u64();
    assert!((Some(1)..=Some(60)).contains(&acknowledged), "{result}");
    assert_eq!((&result["online"], &result["measured"]["frame_ms"]), (&json!(0), &Value::Null));
    app.verify().await;
}

/// `loadgen chat`: people and groups.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_and_groups_write_is_checked() {
    let app = App::start().await;
    let chat = [
        "chat",
        "--warm-up",
        "200ms",
        "--users",
        "6",
        "--rate",
        "100",
        "--seconds",
        "2",
        "--groups",
        "2",
    ];
    let shares = ["--group-size", "4", "--group-share", "0.5", "--connections", "3"];
    let result = app.bench(&[&chat[..], &shares].concat()).await;
    is_good(&result);
    let messages = &result["messages"];
    assert!(messages["due"].as_u64() > messages["acknowledged"].as_u64(), "{result}");
    app.verify().await;
}

/// `loadgen connect`: sockets are opened, held and counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_are_opened_and_held() {
    let app = App::start().await;
    let connect = ["connect", "--sockets", "40", "--rate", "200", "--hold", "500ms"];
    let result = app.bench(&connect).await;
    let counted = ["opened", "failed", "dropped"].map(|key| &result[key]);
    assert_eq!(counted, [&json!(40), &json!(0), &json!(0)], "{result}");
    assert!(result["gateway_memory"]["after_bytes"].as_u64() > Some(0), "{result}");
    assert_eq!(result["open_ms"]["count"], 40);
}

/// `loadgen storm`: everybody is back, with what waited.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_comes_back_to_what_waited() {
    let app = App::start().await;
    let result = app.bench(&["storm", "--sockets", "20", "--waiting", "2"]).await;
    is_good(&result);
    assert_eq!((&result["back"], &result["messages"]["due"]), (&json!(20), &json!(40)));
    app.verify().await;
}

/// `loadgen group`: members with a socket at once, the others when they come. `loadgen rebuild`: what all that becomes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_groups_members_get_everything_online_or_not() {
    let app = App::start().await;
    let group = ["group", "--members", "5", "--online", "3", "--senders", "2", "--rate", "20"];
    let times = ["--warm-up", "200ms", "--seconds", "1"];
    let result = app.bench(&[&group[..], &times].concat()).await;
    is_good(&result);
    let messages = &result["messages"];
    let acknowledged = messages["acknowledged"].as_u64().expect("a number");
    assert!((1..=24).contains(&acknowledged), "{result}");
    assert_eq!(messages["due"], 4 * acknowledged);
    let rebuilt = app.tool("loadgen", &["rebuild", "message_history", "--json"]).await.json();
    assert_eq!(rebuilt["read_models"][0]["name"], "message_history");
    assert!(rebuilt["events"].as_u64() >= Some(acknowledged), "{rebuilt}");
    app.verify().await;
}

/// `loadgen upkeep`: nobody notices that read models are rebuilt, compared and switched. How long a call takes is not for
/// a test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_the_upkeep_of_read_models() {
    let app = App::configured(&[("LIMITS__REQUESTS_PER_USER", "100000")]).await;
    let load = ["--rate", "50", "--senders", "4", "--reads", "40", "--warm-up", "0s"];
    let round = ["--seconds", "5", "--longest", "5m"];
    let result = app.bench(&[&["upkeep"][..], &load, &round].concat()).await;
    assert_eq!(
        (&result["bad_rounds"], &result["wrong_reads"]),
        (&json!([]), &json!(0)),
        "{result}"
    );
    assert!(result["reads"].as_u64() > Some(0) && result["acknowledged"].as_u64() > Some(0));
    let commands = result["commands"].as_array().expect("a list");
    let mut models = hongyan::projections::names();
    models.retain(|name| hongyan::projections::serves_clients(name));
    assert_eq!(commands.len(), 3 + 2 * models.len(), "{commands:?}");
    app.verify().await;
}

/// `loadgen fill` writes what the service would have written, and `loadgen states` finds it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_filled_as_the_service_would_have_filled_it() {
    let app = App::start().await;
    let filled = app.tool("loadgen", &["fill", "--events", "3000", "--json"]).await.json();
    assert_eq!((&filled["events"], &filled["users"]), (&json!(3000), &json!(6)));
    app.verify().await;
    let admin = app.admin_origin();
    let states = ["states", "--count", "20", "--admin", &admin, "--json"];
    let states = app.tool("loadgen", &states).await.json();
    assert_eq!(states["log"], 3000);
    for kind in states["kinds"].as_array().expect("kinds") {
        assert!(kind["events"].as_u64() >= Some(20) && kind["ms"]["count"] == 20, "{kind}");
    }
    let chat = app.cli(&["state", "chat", "1.2", "--json"]).await.json();
    assert!(chat["state"]["messages"].as_u64() > Some(200), "{chat}");
    let again = app.tool("loadgen", &["fill", "--events", "10"]).await;
    assert!(!again.success && again.stderr.contains("3000 events already"), "{again:?}");
}
