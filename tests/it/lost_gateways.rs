//! What becomes of the sockets of a gateway that is gone (`docs/design/presence-and-liveness.md`).

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use hongyan::{
    adapters::{
        nats::{
            checkpoints::Checkpoints,
            connect,
            event_log::{EventLog, Promises},
            new_event::{Expect, NewEvent},
            shared_log::SharedLogSubscription,
        },
        postgres,
        redis::Redis,
    },
    events::{Cause, ConnectionId, Event, NodeId, Position, Role, SessionEvent, TokenId, UserId},
    executor::{Executor, ExecutorSettings, reaper::Reaper},
    projections::{
        Projection as _,
        engine::{
            context::RunnerContext, generation::Store as _, redis::RedisStore, runner::Runner,
        },
        presence::{self, Presence},
    },
    telemetry::ProjectionHealth,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{App, until};

const SOCKETS: usize = 3_000;

/// All are ended, once each; and nobody's, as long as it is not certain that the read model is whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_sockets_of_a_lost_gateway_are_ended_once_presence_is_whole() {
    let mut app = App::with_gateways(1).await;
    app.projector.as_mut().expect("a projector").process().kill9();
    let url = app.servers.nats.url();
    let nats = connect::connect(&url, "ops", &"opspw".into()).await.expect("nats-server");
    let node = NodeId(Uuid::new_v4());
    let second = Duration::from_secs(1);
    let promises = Promises {
        replicated: false,
        timeout: 20 * second,
        fact_ttl: 600 * second,
        expires: false,
    };
    let log =
        EventLog::open(nats.clone(), node, None, &promises, Arc::default()).await.expect("the log");
    let (checkpoints, listen) = Checkpoints::start(nats.client, None).await.expect("nats-server");
    tokio::spawn(listen);
    let redis = Redis::open(&app.servers.redis.url().into()).expect("a URL");
    let (health, metrics) = (ProjectionHealth::default(), Arc::default());
    let stop = CancellationToken::new();
    let shared_log = SharedLogSubscription::new(log.clone(), &[]);
    let runners =
        RunnerContext { log, shared_log, checkpoints, node, batch: 100, health, metrics, stop };

    let half = connect(&runners.log, node, 0).await;
    let last = connect(&runners.log, node, SOCKETS / 2).await;
    Box::pin(build(&redis, &runners, last)).await;
    let url = app.servers.postgres.reader_url().into();
    let pool = postgres::readers(&url, 1).expect("a URL");
    let reaper = |health: &ProjectionHealth| {
        let (log, checkpoints) = (runners.log.clone(), runners.checkpoints.clone());
        let stores = (pool.clone(), redis.clone());
        let node = NodeId(Uuid::new_v4());
        let settings = ExecutorSettings { node, replicated: false, wait: second };
        let executor = Executor::new(log, checkpoints, stores, settings, Arc::default());
        Reaper::new(executor, health.clone())
    };
    let (caught_up, begun) = (ProjectionHealth::default(), ProjectionHealth::default());
    caught_up.live("presence");
    begun.live("presence");
    begun.begun("presence");
    let (mut acts, mut waits) = (reaper(&caught_up), reaper(&begun));
    let ended = until("the silence is long enough", async || {
        assert_eq!(waits.reap().await.expect("a round"), 0);
        let ended = acts.reap().await.expect("a round");
        (ended > 0).then_some(ended)
    });
    assert_eq!(ended.await, SOCKETS, "in one look");

    // A Redis that came back empty, before anybody has noticed: half of it is there again.
    let mut emptied = app.servers.redis.connect().await;
    let done: Result<(), _> = redis::cmd("FLUSHALL").query_async(&mut emptied).await;
    done.expect("Redis answers");
    Box::pin(build(&redis, &runners, half)).await;
    assert!(presence::nodes(&redis).await.expect("presence").1.contains_key(&node));
    assert_eq!(acts.reap().await.expect("a round"), 0, "they ended long ago");

    app.projector.as_mut().expect("a projector").start_again().await;
    app.settle().await;
    let (_, nodes) = presence::nodes(&redis).await.expect("presence");
    assert!(!nodes.contains_key(&node), "{nodes:?}");
}

/// Brings the live read model to a position.
async fn build(redis: &Redis, runners: &RunnerContext, to: Position) {
    let store = RedisStore::new(redis.clone());
    let created = runners.log.end().await.expect("the log").created;
    let generation = store.live(Presence::NAME, created).await.expect("a generation");
    let mut runner = Runner::new(&Presence, &store, runners);
    runner.build(&generation, to, |_, _| ()).await.expect("nobody else builds it");
}

/// Half of the sockets of one gateway, as the log tells of them; answers where the last one is.
async fn connect(log: &EventLog, node: NodeId, first: usize) -> Position {
    let users: Vec<_> = (1_000_000..).skip(first).take(SOCKETS / 2).map(UserId).collect();
    let mut last = Position(0);
    for users in users.chunks(100) {
        let connected = users.iter().map(async |user| {
            let connection = ConnectionId(Uuid::new_v4());
            let (token, role) = (TokenId(Uuid::new_v4()), Role::User);
            let event = SessionEvent::Connected { connection, node, token, role };
            let cause = Cause::own("test");
            let mut new = NewEvent::new(Event::Session(*user, event), Some(*user), &cause);
            log.append_unsynced(&mut new, Expect::Anything).await.expect("an event").position
        });
        last = join_all(connected).await.into_iter().fold(last, Position::max);
    }
    last
}
