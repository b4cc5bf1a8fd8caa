//! The start (`docs/operate.md`): parts come in any order, and operators are told from the beginning what is waited for.

use async_nats::jetstream;
use serde_json::{Value, json};

use crate::support::{App, api, until};

/// The lines of the service's log that hold this.
fn logged(app: &App, words: &str) -> usize {
    let log = std::fs::read_to_string(app.servers.folder().join("hongyan.log")).expect("a log");
    log.lines().filter(|line| line.contains(words)).count()
}

/// All that the service says once it waits for a part for such a reason. It may have another before that: no answer in time.
async fn waits_for(app: &App, part: &str, because: &str) -> Value {
    let why = async || {
        let (status, health) = app.try_health().await?;
        let waiting = health["waiting_for"].as_array()?;
        let found = waiting.iter().find(|waiting| waiting["part"] == part)?;
        assert_eq!((status, &health["ready"]), (503, &json!(false)), "{health}");
        found["why"].as_str()?.contains(because).then(|| health.clone())
    };
    until(&format!("the service says that it waits for {part}: {because}"), why).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_lives_and_says_why_it_waits_while_nats_is_away() {
    let mut app = App::start().await;
    let ann = app.register("ann").await;
    app.gateways[0].process().terminate();
    app.servers.nats.process().kill9();
    app.gateways[0].start_again_alone(&[]);
    let health = waits_for(&app, "nats", "cannot connect to nats at").await;
    assert!(health["waiting_for"].to_string().contains("`projector`"), "{health}");
    assert_eq!(health["started"], false);
    let others = async || (app.try_health().await?.1["parts"]["postgres"] == true).then_some(());
    until("the others are there", others).await;
    let origin = app.gateways[0].admin_origin();
    let get = async |path: &str| {
        let request = api::client().get(format!("{origin}{path}")).header("accept", "text/plain");
        let reply = request.send().await.expect("it answers");
        (reply.status().as_u16(), reply.text().await.expect("a text"))
    };
    assert_eq!(get("/health/live").await, (200, "ok".to_owned()));
    let (status, text) = get("/health/ready").await;
    assert!(status == 503 && text.starts_with("nats is waited for: "), "{text}");
    assert_eq!(get("/positions").await.0, 503);
    assert!(get("/metrics").await.1.contains("# EOF"));
    app.servers.nats.start_again().await;
    assert!(app.gateways[0].ready().await);
    // However many attempts that took.
    assert_eq!(logged(&app, "the start waits for nats why="), 1);
    assert_eq!(logged(&app, "the start waits for nats no more"), 1);
    ann.drain().await;
}

/// Whoever reads of a wrong password does not read the password.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_named_as_such() {
    let mut app = App::start().await;
    let wrong = "no-password-of-anybody";
    let postgres = app.servers.postgres.reader_url().replace(":gateway@", &format!(":{wrong}@"));
    let redis = app.servers.redis.url();
    let redis = redis.replace("redis://", &format!("redis://:{wrong}@"));
    for (part, setting, value, expected) in [
        ("nats", "NATS__GATEWAY_PASSWORD", wrong, "refuses the user `gateway`: wrong password"),
        ("postgres", "POSTGRES__READER_URL", postgres.as_str(), "password authentication failed"),
        ("redis", "REDIS__URL", redis.as_str(), "assword"),
    ] {
        app.gateways[0].process().terminate();
        app.gateways[0].start_again_alone(&[(setting, value)]);
        let health = waits_for(&app, part, expected).await;
        assert!(!health.to_string().contains(wrong), "{health}");
        assert!(app.gateways[0].process().is_alive(), "it waits: the server may be told of it");
    }
    assert_eq!(logged(&app, wrong), 0);
}

/// What no waiting mends ends the start, with a reason.
#[tokio::test]
async fn a_log_that_was_never_made_stops_the_start() {
    let app = App::start().await;
    let context = jetstream::new(app.servers.nats.connect("ops", "opspw").await);
    context.delete_stream("EVENTS").await.expect("the operator may");
    let free = [("SERVER__LISTEN", "127.0.0.1:0"), ("SERVER__ADMIN_LISTEN", "127.0.0.1:0")];
    let served = app.cli_with(&free, &["serve"]).await;
    let told = "there is no stream EVENTS; run `hongyan migrate`";
    assert!(!served.success && served.stderr.contains(told), "{served:?}");
}

/// Also when nothing fails and the store just does not answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_model_that_waits_for_its_store_is_counted() {
    let mut app = App::start().await;
    app.settle().await;
    app.servers.redis.process().stop_signal();
    let waits = async |projection: &str| -> Option<u64> {
        let url = format!("{}/metrics", app.gateways[0].admin_origin());
        let text = api::client().get(url).send().await.ok()?.text().await.ok()?;
        let label = format!("hongyan_projection_waiting_seconds{{projection=\"{projection}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&label)?.parse().ok())
    };
    until("it is counted", async || waits("sessions").await.filter(|waited| *waited > 0)).await;
    until("one whose store is there is not", async || {
        let (there, away) = (waits("address_book").await?, waits("sessions").await?);
        (there == 0 && away > 0).then_some(())
    })
    .await;
    app.servers.redis.process().cont_signal();
    until("it goes on", async || waits("sessions").await.filter(|waited| *waited == 0)).await;
}

impl App {
    async fn try_health(&self) -> Option<(u16, Value)> {
        let url = format!("{}/health/ready", self.gateways[0].admin_origin());
        let reply = api::client().get(url).send().await.ok()?;
        Some((reply.status().as_u16(), reply.json().await.ok()?))
    }
}
