//! The servers of the tests themselves.

use crate::support::Servers;

#[tokio::test]
async fn servers_survive_a_kill_on_the_same_port() {
    let mut servers = Servers::apart().await;
    let url = servers.nats.url();
    servers
        .postgres
        .execute("create schema ids; create schema live; create table live.x (y int)")
        .await;
    servers.nats.process().kill9();
    servers.postgres.process().kill9();
    servers.redis.process().kill9();
    tokio::join!(
        servers.nats.start_again(),
        servers.postgres.start_again(),
        servers.redis.start_again()
    );
    assert_eq!(servers.nats.url(), url);
    servers.postgres.lose_everything().await;
    servers.postgres.execute("create schema live").await;
    servers.redis.wipe().await;
    servers.redis.connect().await;
}
