//! What operators do: the command line against a running service (`docs/operate.md`).

use async_nats::jetstream;
use serde_json::{Value, json};

use crate::support::{App, PASSWORD, api, until};

/// `hongyan check-config`: a stream or a store that is not what is needed is named, and the service refuses to start.
#[tokio::test]
async fn a_stream_that_drifted_is_named() {
    let app = App::start().await;
    let checked = app.cli(&["check-config", "--json"]).await.json();
    assert_eq!(checked["drift"], json!([]));
    let client = app.servers.nats.connect("ops", "opspw").await;
    let context = jetstream::new(client);
    let stream = context.get_stream("EVENTS").await.expect("the log is there");
    let good = stream.cached_info().config.clone();
    let window = std::time::Duration::from_secs(1);
    let drifted = jetstream::stream::Config { duplicate_window: window, ..good.clone() };
    context.update_stream(drifted).await.expect("the operator may");
    let checked = app.cli(&["check-config"]).await;
    assert!(!checked.success && checked.stdout.contains("duplicate_window"), "{checked:?}");
    let ports = [("SERVER__LISTEN", "127.0.0.1:0"), ("SERVER__ADMIN_LISTEN", "127.0.0.1:0")];
    let served = app.cli_with(&ports, &["serve"]).await;
    assert!(!served.success && served.stderr.contains("duplicate_window"), "{served:?}");
    context.update_stream(good).await.expect("the operator may");
    for (folder, reason) in [("", "needs log.store_dir"), ("/tmp", "is not the store")] {
        let own = [("LOG__DURABILITY", "synced"), ("LOG__STORE_DIR", folder), ports[0], ports[1]];
        for command in ["serve", "check-config"] {
            let ran = app.cli_with(&own, &[command]).await;
            assert!(!ran.success && ran.stderr.contains(reason), "{command}: {ran:?}");
        }
    }
}

/// A page elsewhere whose name resolves to this machine reads nothing, and nobody else reaches it without a token.
#[tokio::test]
async fn the_admin_listener_is_for_operators() {
    let app = App::start().await;
    let ask = async |path: &str, host: &str| {
        let url = format!("{}{path}", app.admin_origin());
        let answer = api::client().get(url).header("host", host).send().await;
        answer.expect("it answers")
    };
    for path in
        ["/health/live", "/health/ready", "/metrics", "/positions", "/openapi.json", "/docs"]
    {
        let answer = ask(path, "localhost:7002").await;
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff", "{path}");
        for stranger in ["rebind.example", "rebind.example:7002", "127.0.0.1.rebind.example"] {
            assert_eq!(ask(path, stranger).await.status(), 421, "{path} as {stranger}");
        }
    }
    let docs = ask("/docs", "127.0.0.1").await;
    let policy = docs.headers()["content-security-policy"].to_str().expect("a text");
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");

    let open = [("SERVER__LISTEN", "127.0.0.1:0"), ("SERVER__ADMIN_LISTEN", "0.0.0.0:0")];
    let served = app.cli_with(&open, &["serve"]).await;
    assert!(!served.success && served.stderr.contains("SERVER__ADMIN_TOKEN"), "{served:?}");
}

/// ADR 0010: what can never be applied stops one read model, loudly, until an operator leaves it out. Rebuilds do, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poison_event_stops_one_read_model_until_it_is_skipped() {
    let app = App::start().await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    app.settle().await;
    let position = app.poison().await;
    let state = async |name: &str| {
        let health = app.health().await;
        health["projections"][name]["state"].as_str().unwrap_or_default().to_owned()
    };
    let stopped = async || (state("address_book").await == "stopped").then_some(());
    until("the read model has stopped", stopped).await;
    let health = app.health().await;
    assert_eq!(health["ready"], false);
    let reason = health["projections"]["address_book"]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains(&format!("event {position}")), "{health}");
    let wrong = app.cli(&["projections", "skip", "chat_log", &position]).await;
    assert!(!wrong.success, "it has not stopped there: {wrong:?}");
    // The others go on.
    ann.send(&bob, "still here").await.ok();
    assert_eq!(state("chat_log").await, "live");
    let skip =
        |name| ["projections", "skip", name, &position, "--reason", "rubbish"].map(str::to_owned);
    for name in ["address_book", "message_history", "offline_queue", "analytics"] {
        let skip = skip(name);
        app.cli(&skip.each_ref().map(String::as_str)).await.ok();
    }
    let live = async || (app.health().await["ready"] == true).then_some(());
    until("everything is live again", live).await;
    let late = skip("address_book");
    let told = app.cli(&late.each_ref().map(String::as_str)).await;
    assert!(!told.success, "an event that is behind cannot be skipped: {told:?}");
    ann.befriend(&app.register("cat").await).await;
    app.verify().await;
    app.cli(&["projections", "rebuild", "--all"]).await.ok();
    app.verify().await;
}

/// Both come while the queue is busy with an earlier message, so they are in one batch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_before_a_poison_event_is_pushed() {
    let mut app = App::start().await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let mut socket = bob.connect().await;
    bob.drain().await;
    ann.send(&bob, "is everybody there?").await.ok();
    socket.texts_until("is everybody there?").await;
    app.servers.redis.process().stop_signal();
    ann.send(&bob, "busy").await.ok();
    ann.send(&bob, "before it").await.ok();
    app.poison().await;
    app.servers.redis.process().cont_signal();
    assert_eq!(socket.texts_until("before it").await, ["busy", "before it"]);
}

/// Gateways show what other processes build: they tell what stands still there, and when nobody is there at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_tell_of_a_read_model_that_stands_still() {
    let mut app = App::with_gateways(2).await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    app.settle().await;
    let position = app.poison().await;
    let why = format!("event {position}");
    for gateway in 0..2 {
        let stopped = async || {
            let (status, health) = app.health_of(gateway).await;
            let found = &health["projections"]["address_book"];
            let told = found["state"] == "stopped" && found["reason"].as_str()?.contains(&why);
            told.then_some((status, health))
        };
        let (status, health) = until("the gateway tells of it", stopped).await;
        assert_eq!((status, &health["parts"]["projections"]), (503, &json!(false)), "{health}");
        assert_eq!(health["projections"]["presence"]["state"], "running", "{health}");
        let url = format!("{}/health/ready", app.gateways[gateway].admin_origin());
        let request = api::client().get(url).header("accept", "text/plain");
        let text = request.send().await.expect("it answers").text().await.expect("a text");
        let line = format!("address_book is stopped: {why}");
        assert!(text.lines().any(|found| found.starts_with(&line)), "{text}");
    }
    ann.send(&bob, "still here").await.ok();
    for name in ["address_book", "message_history", "offline_queue", "analytics"] {
        app.cli(&["projections", "skip", name, &position, "--reason", "rubbish"]).await.ok();
    }
    for gateway in &mut app.gateways {
        assert!(gateway.ready().await);
    }
    app.projector.as_mut().expect("there is one").process().kill9();
    let silent = async || {
        let (status, health) = app.health_of(0).await;
        (health["projections"]["address_book"]["state"] == "silent").then_some(status)
    };
    assert_eq!(until("the gateway tells that nobody is there", silent).await, 503);
    app.projector.as_mut().expect("there is one").start_again().await;
    assert!(app.gateways[0].ready().await);
}

/// ADR 0005: read models of another shape, or ahead of the log, are built anew before anybody sees them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_models_that_do_not_fit_are_built_anew() {
    let mut app = App::start().await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    ann.send(&bob, "waits").await.ok();
    app.settle().await;
    app.gateways[0].process().terminate();
    app.servers
        .postgres
        .execute(
            "update hongyan.generations set shape = 'another' where projection = 'address_book';
             update hongyan.generations set position = position + 1000 \
             where projection = 'message_history'",
        )
        .await;
    let mut redis = app.servers.redis.connect().await;
    let () = redis::cmd("HSET")
        .arg(&["hy:chat_log:g1", "shape", "another"])
        .query_async(&mut redis)
        .await
        .expect("Redis answers");
    app.gateways[0].start_again().await;
    app.verify().await;
    let status = app.cli(&["projections", "status", "--json"]).await.json();
    let live = |name: &str| {
        let all = status.as_array().expect("a list");
        let found = all.iter().find(|model| model["name"] == name).expect("it is listed");
        let generations = found["generations"].as_array().expect("a list");
        generations.iter().find(|one| one["live"] == true).expect("one is live")["generation"]
            .clone()
    };
    for (name, generation) in
        [("address_book", 2), ("message_history", 2), ("chat_log", 2), ("user_directory", 1)]
    {
        assert_eq!(live(name), generation, "{name} in {status}");
    }
    // Back to the one before, but not to what this version cannot read.
    let outdated = app.cli(&["projections", "switch", "chat_log", "1"]).await;
    assert!(!outdated.success && outdated.stderr.contains("by another version"), "{outdated:?}");
    let rebuilt = app.cli(&["projections", "rebuild", "chat_log", "address_book", "--json"]).await;
    let rebuilt = rebuilt.json();
    let names = rebuilt.as_array().expect("a list").iter().map(|built| &built["name"]);
    assert_eq!(names.collect::<Vec<_>>(), ["address_book", "chat_log"], "{rebuilt}");
    ann.send(&bob, "later").await.ok();
    app.cli(&["projections", "switch", "chat_log", "2"]).await.ok();
    app.verify().await;
}

#[tokio::test]
async fn the_log_can_be_looked_at() {
    let app = App::start().await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    ann.send(&bob, "hello").await.ok();
    let stats = app.cli(&["events", "stats", "--json"]).await.json();
    assert_eq!(stats["types"]["message.sent.v1"], 1);
    assert_eq!(stats["types"]["user.registered.v1"], 2);
    assert_eq!(stats["events"], stats["last"]);
    let (lo, hi) = (ann.id.min(bob.id), ann.id.max(bob.id));
    let subject = format!("evt.chat.{lo}.{hi}.*");
    let tail = ["events", "tail", "--subject", &subject, "--from", "1", "--count", "1", "--json"];
    let shown = app.cli(&tail).await.json();
    assert_eq!(shown["type"], "message.sent.v1");
    assert_eq!(shown["actor"], ann.id);
    let position = shown["position"].to_string();
    assert_eq!(app.cli(&["events", "show", &position, "--json"]).await.json(), shown);
    for (wrong, why) in [
        (["show", "0"].as_slice(), "invalid value '0'"),
        (&["tail", "--subject", "evt..3"], "a subject is like"),
        (&["tail", "--count", "0"], "invalid value '0'"),
    ] {
        let ran = app.cli(&[&["events"], wrong].concat()).await;
        assert!(!ran.success && ran.stderr.contains(why), "{wrong:?}: {ran:?}");
    }
    // Without a position it waits, and says so.
    let waiting = tokio::select! {
        ran = app.cli(&["events", "tail", "--count", "1"]) => ran,
        () = async { loop { ann.send(&bob, "more").await.ok(); } } => unreachable!("it goes on"),
    };
    assert!(waiting.success && waiting.stderr.contains("waiting for new events"), "{waiting:?}");
    let gone = app.cli(&["events", "show", "999999"]).await;
    assert!(!gone.success && gone.stderr.contains("there is no event at 999999"), "{gone:?}");
    assert!(app.cli(&["version", "--json"]).await.json()["version"].is_string());
    for (wrong, why) in [
        (["chat_log", "nothing"].as_slice(), "there is no read model `nothing`; there are"),
        (&["chat_log", "--all"], "cannot be used with"),
        (&[], "required"),
    ] {
        let ran = app.cli(&[&["projections", "rebuild"], wrong].concat()).await;
        assert!(!ran.success && ran.stderr.contains(why), "{wrong:?}: {ran:?}");
    }
}

/// ADR 0017: what a process saw whose sync failed holds for those that start later. Nothing is acknowledged, and nothing
/// appended, until what is read is known to be on the disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_failed_is_remembered() {
    let mut app = App::configured(&[("LOG__DURABILITY", "synced")]).await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    app.settle().await;
    app.gateways[0].process().kill9();
    let mark = app.servers.nats.store_dir().join("hongyan-sync-failed");
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("a kernel");
    std::fs::write(&mark, format!("{boot}a bad sector\n")).expect("a mark");
    app.gateways[0].start_again_and_answer().await;
    let health = app.health().await;
    assert_eq!((&health["ready"], &health["parts"]["log"]), (&json!(false), &json!(false)));
    assert!(health["sync_failure"].as_str().is_some_and(|why| why.contains("a bad sector")));
    assert_eq!(ann.send(&bob, "refused").await.status, 500);

    app.gateways[0].process().kill9();
    std::fs::remove_file(&mark).expect("it is there");
    app.gateways[0].start_again().await;
    ann.send(&bob, "accepted").await.ok();
    let stats = app.cli(&["events", "stats", "--json"]).await.json();
    assert_eq!(stats["types"]["message.sent.v1"], 1, "what was refused was not appended");
}

#[tokio::test]
async fn a_password_can_be_set_and_ends_all_sessions() {
    let app = App::start().await;
    let ann = app.register("ann").await;
    app.cli_told(&["users", "set-password", &ann.username], "another one").await.ok();
    ann.drain_refused("Token 令牌不合法！").await;
    let log_in = |password: &str| json!({ "username": ann.username, "password": password });
    app.api().post("/api/loginChat", log_in(PASSWORD)).await.refused(400, "账户或密码错误");
    app.api().post("/api/loginChat", log_in("another one")).await.ok();
    let short = app.cli_told(&["users", "set-password", &ann.username], "short").await;
    assert!(!short.success && short.stderr.contains("6 to 20"), "{short:?}");
    let nobody = app.cli(&["users", "show", "nobody_here"]).await;
    assert!(!nobody.success && nobody.stderr.contains("there is no user"), "{nobody:?}");
}

impl App {
    /// What `/health/ready` says, also when it says no.
    async fn health(&self) -> Value {
        self.health_of(0).await.1
    }

    /// Puts something into the log that those who follow friendships cannot read; answers where.
    async fn poison(&self) -> String {
        let gateway = self.servers.nats.connect("gateway", "gatewaypw").await;
        let context = jetstream::new(gateway);
        let sent = context.publish("evt.friendship.900.901", "no event".into()).await;
        sent.expect("sent").await.expect("stored").sequence.to_string()
    }

    pub(crate) async fn health_of(&self, gateway: usize) -> (u16, Value) {
        let url = format!("{}/health/ready", self.gateways[gateway].admin_origin());
        let reply = api::client().get(url).send().await.expect("it answers");
        (reply.status().as_u16(), reply.json().await.expect("it is JSON"))
    }
}
