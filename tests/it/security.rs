//! Who may do what with the servers (SECURITY.md), and where secrets are not.

use sqlx::{Connection, PgConnection, Row};

use crate::support::nats::Nats;
use crate::support::{App, NatsLine, PASSWORD, Servers};

/// Subjects that only the operator may publish to.
const OPERATORS_ONLY: [&str; 8] = [
    "$JS.API.STREAM.CREATE.MORE",
    "$JS.API.STREAM.UPDATE.EVENTS",
    "$JS.API.STREAM.DELETE.EVENTS",
    "$JS.API.STREAM.PURGE.EVENTS",
    "$JS.API.STREAM.MSG.DELETE.EVENTS",
    "$JS.API.STREAM.DELETE.KV_VAULT",
    "$JS.API.STREAM.SNAPSHOT.KV_VAULT",
    "$JS.API.CONSUMER.CREATE.KV_VAULT.spy",
];

/// SECURITY.md, "Least privilege": each user of the log has what it needs and nothing more.
#[tokio::test]
async fn each_user_of_the_log_has_its_own_rights() {
    let Servers { nats, .. } = &Servers::start().await;
    the_gateway_appends_and_keeps_credentials(nats).await;
    the_projector_reads_and_pushes(nats).await;
    analysts_only_pull(nats).await;
    strangers_do_not_get_in(nats).await;
}

async fn check(
    line: &mut NatsLine,
    publish: &[&str],
    not_publish: &[&str],
    subscribe: &[&str],
    not_subscribe: &[&str],
) {
    for (subjects, expected) in [(publish, true), (not_publish, false)] {
        for subject in subjects {
            assert_eq!(line.may_publish(subject).await, expected, "publish to {subject}");
        }
    }
    for (subjects, expected) in [(subscribe, true), (not_subscribe, false)] {
        for subject in subjects {
            assert_eq!(line.may_subscribe(subject).await, expected, "listen to {subject}");
        }
    }
}

async fn the_gateway_appends_and_keeps_credentials(nats: &Nats) {
    let mut line = NatsLine::open(nats, "gateway", "gatewaypw").await.expect("the gateway gets in");
    let not_publish = [
        "push.g.1",
        "push.resync",
        "push.watermarks",
        "$JS.API.DIRECT.GET.KV_VAULT", // many at once, or the next after one
        "$JS.API.DIRECT.GET.KV_VAULT.$KV.VAULT.>",
        "$JS.API.STREAM.MSG.GET.KV_VAULT",
        "_INBOX_projector.x",
        "_INBOX_ops.x",
        "_INBOX.x",
        "$SYS.REQ.SERVER.PING",
    ];
    let not_subscribe = [
        ">",
        "evt.>",
        "evt.user.1",
        "$KV.>",
        "$KV.VAULT.>",
        "_INBOX.>",
        "_INBOX_ops.>",
        "$JS.API.>",
        "$SYS.>",
    ];
    check(
        &mut line,
        &["push.u.1", "$JS.API.DIRECT.GET.KV_VAULT.$KV.VAULT.name.1f"],
        &not_publish,
        &["push.u.1", "push.g.1", "_INBOX_gateway.>"],
        &not_subscribe,
    )
    .await;
    check(&mut line, &[], &OPERATORS_ONLY, &[], &[]).await;
}

async fn the_projector_reads_and_pushes(nats: &Nats) {
    let mut line =
        NatsLine::open(nats, "projector", "projectorpw").await.expect("the projector gets in");
    let not_publish = [
        "evt.user.1",
        "evt.chat.1.2.1",
        "evt.friendship.1.2",
        "$KV.VAULT.name",
        "$JS.API.DIRECT.GET.KV_VAULT",
        "$JS.API.DIRECT.GET.KV_VAULT.$KV.VAULT.name",
        "$JS.API.STREAM.MSG.GET.KV_VAULT",
        "_INBOX_gateway.x",
    ];
    let not_subscribe = [
        ">",
        "evt.>",
        "push.u.1",
        "push.g.1",
        "push.>",
        "$KV.VAULT.>",
        "_INBOX.>",
        "_INBOX_gateway.>",
    ];
    let publish = ["push.u.1", "push.g.1", "push.watermarks"];
    check(&mut line, &publish, &not_publish, &["_INBOX_projector.>"], &not_subscribe).await;
    check(&mut line, &[], &OPERATORS_ONLY, &[], &[]).await;
}

async fn analysts_only_pull(nats: &Nats) {
    let mut line = NatsLine::open(nats, "analyst", "analystpw").await.expect("the analyst gets in");
    let not_publish = [
        "evt.user.1",
        "push.u.1",
        "$KV.VAULT.name",
        "$JS.API.CONSUMER.CREATE.EVENTS.spy",
        "$JS.API.CONSUMER.DURABLE.CREATE.ANALYTICS.spy",
        "$JS.API.STREAM.PURGE.ANALYTICS",
        "$JS.API.STREAM.DELETE.ANALYTICS",
        "$JS.API.STREAM.UPDATE.ANALYTICS",
        "$JS.API.STREAM.MSG.DELETE.ANALYTICS",
        "$JS.API.STREAM.CREATE.SPY",
        "$JS.API.STREAM.MSG.GET.ANALYTICS",
        "$JS.API.STREAM.MSG.GET.EVENTS",
        "$JS.API.STREAM.MSG.GET.KV_VAULT",
        "$JS.API.DIRECT.GET.KV_VAULT.$KV.VAULT.name.1f",
        "analysts.consumer.create.spy",
    ];
    let not_subscribe = [
        ">",
        "evt.>",
        "push.>",
        "analysts.>",
        "analytics.>",
        "_INBOX_analytics-ops.>",
        "$JS.API.>",
    ];
    let publish = [
        "$JS.API.STREAM.INFO.ANALYTICS",
        "$JS.API.CONSUMER.CREATE.ANALYTICS.mine",
        "$JS.API.CONSUMER.DELETE.ANALYTICS.mine",
    ];
    check(&mut line, &publish, &not_publish, &["_INBOX.>"], &not_subscribe).await;
    check(&mut line, &[], &OPERATORS_ONLY, &[], &[]).await;
    let mut line = NatsLine::open(nats, "analytics-ops", "analyticsopspw")
        .await
        .expect("its operator gets in");
    let publish = ["evt.user.1", "$JS.API.STREAM.PURGE.ANALYTICS"];
    let not_publish = [
        "push.u.1",
        "$KV.VAULT.name",
        "$JS.API.STREAM.DELETE.ANALYTICS",
        "$JS.API.STREAM.CREATE.SPY",
        "$JS.API.STREAM.MSG.GET.EVENTS",
    ];
    check(&mut line, &publish, &not_publish, &[], &[">", "push.>", "_INBOX.>"]).await;
}

async fn strangers_do_not_get_in(nats: &Nats) {
    for (user, password) in [
        ("gateway", ""),
        ("gateway", "opspw"),
        ("ops", "gatewaypw"),
        ("sys", ""),
        ("", ""),
        ("$G", ""),
    ] {
        let complaint = NatsLine::open(nats, user, password).await.expect_err("nobody of ours");
        assert!(complaint.contains("Authorization Violation"), "{complaint}");
    }
}

/// SECURITY.md, "Secrets": no password, hash or token is ever in EVENTS, in the read models or in a log.
#[tokio::test]
async fn secrets_stay_where_they_belong() {
    let app = App::start().await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let mut socket = bob.connect().await;
    ann.send(&bob, "between the two of us").await.ok();
    socket.texts_until("between the two of us").await;
    ann.login().await;
    app.settle().await;
    let signature = ann.token().rsplit('.').next().expect("a signature").to_owned();
    let secrets = [PASSWORD, "argon2", &signature];
    the_log_holds_none(&app, &secrets).await;
    let log = std::fs::read_to_string(app.servers.folder().join("hongyan.log")).expect("a log");
    for secret in secrets.into_iter().chain(["between the two of us"]) {
        assert!(!log.contains(secret), "{secret:?} in the service's log");
    }
    the_reader_only_reads(&app).await;
}

async fn the_log_holds_none(app: &App, secrets: &[&str]) {
    let client = app.servers.nats.connect("ops", "opspw").await;
    let context = async_nats::jetstream::new(client);
    let stream = context.get_stream("EVENTS").await.expect("the log is there");
    let last = stream.get_info().await.expect("it answers").state.last_sequence;
    assert!(last > 5, "{last}");
    for position in 1..=last {
        let event = stream.get_raw_message(position).await.expect("nothing is deleted");
        let text = format!("{:?} {}", event.headers, String::from_utf8_lossy(&event.payload));
        assert!(secrets.iter().all(|secret| !text.contains(secret)), "a secret in {text}");
    }
}

async fn the_reader_only_reads(app: &App) {
    let mut reader = PgConnection::connect(&app.servers.postgres.reader_url())
        .await
        .expect("the gateway gets in");
    let rights = "select table_schema || '.' || table_name || ': ' || privilege_type from \
                  information_schema.table_privileges where grantee in (current_user, 'PUBLIC') \
                  and table_schema not in ('pg_catalog', 'information_schema') and privilege_type <> 'SELECT'";
    let more = sqlx::query(rights).fetch_all(&mut reader).await.expect("the catalogue can be read");
    let more: Vec<String> = more.iter().map(|row| row.get(0)).collect();
    assert_eq!(more, Vec::<String>::new());
    for statement in
        ["create table live.mine (x int)", "create table public.mine (x int)", "create schema mine"]
    {
        sqlx::query(statement).execute(&mut reader).await.expect_err("it may only read");
    }
}
