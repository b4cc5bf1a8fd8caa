//! The upkeep of read models: comparisons that are due by themselves, and commands that are interrupted (ADR 0037).

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _};

use crate::{
    alerts::EVERY_HOUR,
    support::{App, until},
};

/// A projector compares each read model whenever that is due, and says what it found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_models_are_compared_by_themselves() {
    let app = App::configured(&[
        ("PROJECTIONS__VERIFY_EVERY_S", "1"),
        ("PROJECTIONS__VERIFY_AT", EVERY_HOUR),
    ])
    .await;
    app.users(["ann", "bob"]).await;
    let metric = async |name: &str, projection: &str| {
        let all = app.metrics().await;
        let name = format!("hongyan_projection_{name}{{projection=\"{projection}\"}} ");
        all.lines().find_map(|line| line.strip_prefix(&name)?.parse::<u64>().ok())
    };
    let mut projections = hongyan::projections::names();
    projections.retain(|name| hongyan::projections::serves_clients(name));
    for projection in projections {
        until(&format!("{projection} was compared"), async || {
            metric("verified_timestamp_seconds", projection).await
        })
        .await;
        assert_eq!(metric("differs", projection).await, Some(0), "{projection}");
    }
    app.servers.postgres.execute("update live.users set nickname = 'another'").await;
    until("it is told", async || {
        (metric("differs", "user_directory").await == Some(1)).then_some(())
    })
    .await;
    app.cli(&["projections", "rebuild", "user_directory"]).await.ok();
    until("it is the same again", async || {
        (metric("differs", "user_directory").await == Some(0)).then_some(())
    })
    .await;
}

/// What an interrupted build has applied is not applied again, nor is it something to switch to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_build_goes_on() {
    let app = App::configured(&[("PROJECTIONS__BATCH", "1")]).await;
    app.users(["ann", "bob", "cat", "dan", "eve", "fay", "gus", "hal"]).await;
    for command in ["verify", "rebuild"] {
        let slowly = ["projections", command, "user_directory", "--max-rate", "1"];
        let mut building = app.begin_cli(&slowly);
        let built = until("some of it is built", async || {
            if !building.is_alive() {
                building = app.begin_cli(&slowly); // it came to its end before anybody looked
            }
            let generations = app.generations("user_directory").await;
            let mut built = generations.iter().filter(|one| one["built_for"] == command);
            let one = built.next()?;
            (one["position"].as_u64() > Some(0)).then(|| one.clone())
        })
        .await;
        building.kill9();
        let number = built["generation"].to_string();
        let switched = app.cli(&["projections", "switch", "user_directory", &number]).await;
        assert!(
            !switched.success && switched.stderr.contains("not built to its end"),
            "{switched:?}"
        );
        let done = app.cli(&["projections", command, "user_directory", "--json"]).await.json();
        if command == "rebuild" {
            assert_eq!(done[0]["generation"], built["generation"], "the same one");
            let all = app.cli(&["projections", command, "user_directory", "--json"]).await.json();
            assert!(done[0]["events"].as_u64() < all[0]["events"].as_u64(), "{done} of {all}");
        }
        let left = app.generations("user_directory").await;
        assert!(left.iter().all(|one| one["built_for"].is_null()), "{left:?}");
    }
    app.verify().await;
}

/// A reader that holds one view, and wants the other that a switch has locked, is not the one that gives way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_gives_way_to_readers() {
    let app = App::start().await;
    let postgres = &app.servers.postgres;
    app.cli(&["projections", "rebuild", "group_roster"]).await.ok();
    let connect =
        async || PgConnection::connect(&postgres.reader_url()).await.expect("the reader is let in");
    for (to, [held, wanted]) in [("1", ["groups", "group_users"]), ("2", ["group_users", "groups"])]
    {
        let count = |view| AssertSqlSafe(format!("select count(*) from live.{view}"));
        let mut reader = connect().await;
        reader.execute("begin").await.expect("it begins");
        reader.execute(count(held)).await.expect("it holds a view");
        let mut switching = app.begin_cli(&["projections", "switch", "group_roster", to]);
        until("the switch waits for the view", async || {
            let waiting = "select count(*) from pg_locks where not granted and relation = \
                           (select oid from pg_class where relname = $1 and relkind = 'v')";
            let mut other = connect().await;
            let found = sqlx::query(waiting).bind(held).fetch_one(&mut other).await;
            (found.expect("locks are shown").get::<i64, _>(0) > 0).then_some(())
        })
        .await;
        reader.execute(count(wanted)).await.expect("it reads the other, too");
        reader.execute("commit").await.expect("it commits");
        until("it is switched", async || (!switching.is_alive()).then_some(())).await;
        let generations = app.generations("group_roster").await;
        let live = generations.iter().find(|one| one["live"] == true).expect("one is live");
        assert_eq!(live["generation"].to_string(), to);
    }
}
