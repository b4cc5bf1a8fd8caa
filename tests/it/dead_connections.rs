//! Connections that ended without a word: what they carried is not lost, and not told twice.

use crate::support::App;

/// Whoever closes a connection that nobody uses, Redis' own `timeout` or something on the way to it: no request pays.
#[tokio::test]
async fn an_idle_connection_to_redis_that_was_closed_costs_no_request() {
    let app = App::start().await;
    let ann = app.register("ann").await;
    let _first = ann.connect().await; // has used the gateway's connection
    close_idle(&app).await;
    ann.rename("Ann").await;
    close_idle(&app).await;
    let again = ann.login().await;
    assert_eq!(again.profile().await["nickname"], "Ann");
    // The marker of the change is there, too (clarification 4).
    let mut redis = app.servers.redis.connect().await;
    let mut look = redis::cmd("GET");
    let mark: Result<Option<i64>, _> =
        look.arg(format!("user:modify:{}", ann.id)).query_async(&mut redis).await;
    assert_eq!(mark.expect("Redis answers"), Some(1));
}

/// As `timeout` does it: from Redis' side, while nothing is asked.
async fn close_idle(app: &App) {
    let mut redis = app.servers.redis.connect().await;
    let mut kill = redis::cmd("CLIENT");
    let closed: Result<u64, _> =
        kill.arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"]).query_async(&mut redis).await;
    assert!(closed.expect("Redis closes connections") > 0);
}
