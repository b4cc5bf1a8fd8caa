//! Two runners of one read model.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use hongyan::{
    adapters::{
        nats::{
            checkpoints::Checkpoints,
            connect,
            event_log::{EventLog, Promises},
            push::{LocalConnections, Pushes},
            replay::Replay,
            shared_log::SharedLogSubscription,
        },
        postgres,
        redis::Redis,
    },
    events::{NodeId, Position},
    projections::{
        Projection, ProjectionParts,
        address_book::AddressBook,
        engine::{
            blue_green::BlueGreen,
            context::RunnerContext,
            generation::{BuildPurpose, Store},
            runner::Runner,
            stop_reason::StopReason,
        },
    },
    telemetry::ProjectionHealth,
};
use secrecy::SecretString;
use tokio::runtime::Handle;
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{App, Traffic, until};

/// Two runners meet the same event: whoever is late is told so, and does not take the event for one that no store takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_that_was_overtaken_blames_no_event() {
    let app = App::start().await;
    app.friends(["ann", "bob", "cat", "dan", "eve"]).await;
    let (parts, runners) = engine(&app).await;
    let (_, store) = AddressBook::open(&parts);
    let created = runners.log.end().await.expect("the log").created;
    let last = runners.log.end().await.expect("the log").last;
    let generation = store
        .add(AddressBook::NAME, created, BuildPurpose::Rebuild)
        .await
        .expect("a new generation");
    let mut late = Runner::new(&AddressBook, &store, &runners);
    let halt = late.build(&generation, last, |_, _| {
        let mut early = Runner::new(&AddressBook, &store, &runners);
        let all = early.build(&generation, last, |_, _| ());
        block_in_place(|| Handle::current().block_on(all)).expect("nobody overtakes this one");
    });
    let halt = halt.await.expect_err("it was overtaken");
    assert!(matches!(halt, StopReason::Fenced), "{halt}");
}

/// An operator's comparison and the scheduled one go on beside each other; of two by operators one ends, and says why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_compares_while_the_schedule_does() {
    let app = App::start().await;
    app.friends(["ann", "bob", "cat"]).await;
    app.settle().await;
    let (parts, runners) = engine(&app).await;
    let last = runners.log.end().await.expect("the log").last;
    let model = BlueGreen::<AddressBook>::new(&parts, runners.clone());
    let begin = async |purpose| {
        let mut replay = Replay::new(runners.log.clone(), last);
        let build = model.begin(purpose, &mut replay).await.expect("it begins");
        tokio::spawn(replay.run(None));
        build
    };
    let scheduled = begin(BuildPurpose::ScheduledVerify).await;
    let [first, second] = [begin(BuildPurpose::Verify).await, begin(BuildPurpose::Verify).await];
    for build in [second, scheduled] {
        let found = Box::pin(model.verify(build, |_| ())).await.expect("it is compared");
        assert_eq!((found.differing, found.rows > 0), (0, true), "{found:?}");
    }
    let overtaken = Box::pin(model.verify(first, |_| ())).await.expect_err("its build is gone");
    assert!(matches!(overtaken, StopReason::Fenced), "{overtaken}");
}

/// A read model that gathers events does so no longer once somebody waits for it, in whatever process.
#[tokio::test]
async fn whoever_waits_for_a_read_model_is_heard_of() {
    let app = App::start().await;
    let listen = async || {
        let nats = connect::connect(&app.servers.nats.url(), "ops", &"opspw".into()).await;
        let client = nats.expect("nats-server").client;
        let (checkpoints, listen) = Checkpoints::start(client, None).await.expect("nats-server");
        tokio::spawn(listen);
        checkpoints
    };
    let (one, other) = (listen().await, listen().await);
    let (at, beyond) = (Position(1_000), Position(1_001));
    let (name, long) = (["nobody"], Duration::from_mins(1));
    assert!(one.awaited_beyond(at).now_or_never().is_none());
    tokio::select! {
        passed = other.wait_for_projections(beyond, &name, long) => panic!("{passed}"),
        () = one.awaited_beyond(at) => {}
    }
    assert!(one.awaited_beyond(beyond).now_or_never().is_none());
}

/// A read model that gathers events does not let those wait that found no room in a batch: it would fall behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_full_batch_leaves_over_does_not_wait() {
    const MANY: i64 = 300;
    let app = App::configured(&[("PROJECTIONS__BATCH", "1")]).await;
    let [ann, bob] = app.users(["ann", "bob"]).await;
    bob.let_strangers_send(2).await;
    for number in 0..MANY {
        ann.send(&bob, &number.to_string()).await.ok();
    }
    let owner = SecretString::from(app.servers.postgres.reader_url());
    let pool = postgres::readers(&owner, 1).expect("a URL");
    until("they are all in the history, though nobody waits for it", async || {
        let count: i64 = sqlx::query_scalar("select count(*) from messages")
            .fetch_one(&pool)
            .await
            .expect("PostgreSQL answers");
        (count == MANY).then_some(())
    })
    .await;
}

/// What is compared is as far as the live one is, however far the log is by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_model_that_lags_does_not_differ() {
    let mut app = App::with_gateways(1).await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    ann.send(&bob, "taken in").await.ok();
    app.settle().await;
    app.projector.as_mut().expect("a projector").process().kill9();
    ann.send(&bob, "not yet").await.ok();
    app.cli(&["projections", "verify", "--json"]).await.ok();
    app.projector.as_mut().expect("a projector").start_again().await;
    app.verify().await;
}

/// One that is slower than the writers is never at the end of the log. It is live all the same once it has taken in what
/// was there when it began, and what comes after is pushed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_model_goes_live_while_messages_flow() {
    let mut app = App::with_gateways_configured(1, &[("PROJECTIONS__BATCH", "1")]).await;
    let [ann, bob, cat, dan, eve] = app.users(["ann", "bob", "cat", "dan", "eve"]).await;
    let traffic = Traffic::start(&[&ann, &bob, &cat, &dan], &eve).await;
    app.projector.as_mut().expect("a projector").process().kill9();
    app.projector.as_mut().expect("a projector").start_again().await;
    traffic.flows().await;
    traffic.end().await;
}

/// Each is ready when it has started, whether it has work or waits for the other to go; and none takes what the other has
/// applied meanwhile for events that the log has lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn projectors_come_and_go_under_traffic_and_nothing_is_built_anew() {
    let mut app = App::with_gateways(1).await;
    let [ann, bob, cat] = app.users(["ann", "bob", "cat"]).await;
    let traffic = Traffic::start(&[&ann, &bob], &cat).await;
    let mut other = app.another_projector("projector-2").await;
    for _ in 0..4 {
        other.process().kill9();
        other.start_again().await;
        let first = app.projector.as_mut().expect("a projector of its own");
        first.process().kill9();
        first.start_again().await;
        traffic.flows().await;
    }
    traffic.end().await;
    let status = app.cli(&["projections", "status", "--json"]).await.json();
    let all = status.as_array().expect("a list");
    let built = all.iter().flat_map(|one| one["generations"].as_array().into_iter().flatten());
    let numbers: Vec<_> = built.map(|one| one["generation"].as_i64()).collect();
    assert!(numbers.iter().all(|number| *number == Some(1)), "{status}");
    app.verify().await;
}

/// What a runner needs, in the test's own process.
async fn engine(app: &App) -> (ProjectionParts, RunnerContext) {
    let url = app.servers.nats.url();
    let nats = connect::connect(&url, "ops", &"opspw".into()).await.expect("nats-server");
    let second = Duration::from_secs(1);
    let node = NodeId(Uuid::new_v4());
    let promises =
        Promises { replicated: false, timeout: second, fact_ttl: second, expires: false };
    let log =
        EventLog::open(nats.clone(), node, None, &promises, Arc::default()).await.expect("the log");
    let (checkpoints, listen) =
        Checkpoints::start(nats.client.clone(), None).await.expect("nats-server");
    tokio::spawn(listen);
    let (health, metrics) = (ProjectionHealth::default(), Arc::default());
    let stop = CancellationToken::new();
    let shared_log = SharedLogSubscription::new(log.clone(), &[]);
    let runners =
        RunnerContext { log, shared_log, checkpoints, node, batch: 1, health, metrics, stop };

    let owner = SecretString::from(app.servers.postgres.owner_url());
    let parts = ProjectionParts {
        pool: postgres::writers(&owner, 4).expect("a URL"),
        redis: Redis::open(&app.servers.redis.url().into()).expect("a URL"),
        pushes: Pushes::new(nats.client, LocalConnections::default()),
        chat_log_length: 5,
        analytics: None,
    };
    (parts, runners)
}
