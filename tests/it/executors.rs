//! Two executors on one log, as two gateways have them, and neither hears of what the other appends: what each may
//! think, and what the log refuses.

use std::{sync::Arc, time::Duration};

use hongyan::{
    adapters::{nats::checkpoints::Checkpoints, postgres, redis::Redis},
    commands::session::{CurrentConnection, Session, SessionCommand, SessionRejection},
    events::{Cause, ConnectionId, DisconnectReason, NodeId, Role, TokenId, UserId},
    executor::{
        CommandError, Executor, ExecutorSettings, Wait, authority::Authority,
        connections::Disconnect,
    },
};
use uuid::Uuid;

use crate::support::App;

async fn executor(app: &App) -> Executor {
    let client = app.servers.nats.connect("gateway", "gatewaypw").await;
    let (checkpoints, listen) = Checkpoints::start(client, None).await.expect("nats-server");
    tokio::spawn(listen);
    let pool = postgres::readers(&app.servers.postgres.reader_url().into(), 1).expect("a URL");
    let redis = Redis::open(&app.servers.redis.url().into()).expect("a URL");
    let (node, wait) = (NodeId(Uuid::new_v4()), Duration::from_secs(10));
    let settings = ExecutorSettings { node, replicated: false, wait };
    Executor::new(app.log().await, checkpoints, (pool, redis), settings, Arc::default())
}

/// A disconnect conflicts with nothing, so it may come after something that its gateway has yet to hear of. Whoever took
/// it for the session's last word would serve a token that was logged out, for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disconnect_hides_nothing_that_came_before_it() {
    let app = App::start().await;
    let (here, there) = (executor(&app).await, executor(&app).await);
    let (user, token, role) = (UserId(1_000_000), TokenId(Uuid::new_v4()), Role::User);
    let connection = ConnectionId(Uuid::new_v4());
    let cause = Cause::own("a test");
    let run = async |executor: &Executor, command| {
        let authority = Authority::without_token(user, &cause);
        executor.execute::<Session>(user, &command, authority, Wait::Durable).await
    };
    run(&here, SessionCommand::LogIn { token, role }).await.expect("nobody is logged in");
    run(&there, SessionCommand::LogOut(token)).await.expect("it is current");
    let ended = Disconnect { user, connection, reason: DisconnectReason::Closed };
    ended.run(&here, &cause).await.expect("the log takes it");
    let opened = CurrentConnection { connection, node: here.node, token, role };
    let refused = run(&here, SessionCommand::Connect(opened)).await;
    let not_current = CommandError::Rejected(SessionRejection::NotCurrent);
    assert_eq!(refused.expect_err("it was logged out").to_string(), not_current.to_string());
}
