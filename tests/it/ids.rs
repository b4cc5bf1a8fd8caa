//! Ids are given once, whatever becomes of the database (ADR 0014).

use futures_util::future::{join_all, try_join_all};
use hongyan::{
    adapters::{
        id_allocation::Sequence,
        nats::new_event::{Expect, NewEvent},
        postgres,
    },
    events::{Cause, Event, Position, Role, Timestamp, UserEvent, UserId, Username},
};
use serde_json::json;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::support::App;

/// People come into two groups at once, make groups and befriend each other while PostgreSQL dies, which forgets what it
/// had not written. Nothing has an id twice, so every read model takes all of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_dies_gives_no_id_twice() {
    let mut app = App::with_gateways_apart(2).await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let row = ann.friend_row(&bob).await;
    for _ in 0..5 {
        let groups = [app.group(&ann, &[&bob]).await, app.group(&ann, &[&bob]).await];
        let people = join_all((0..10).map(|_| app.register("eve"))).await;
        let mut calls = JoinSet::new();
        for (n, user) in people.iter().enumerate() {
            let user = user.via(app.gateways[n % 2].origin());
            let (ann, bob) = (ann.clone(), bob.id);
            for group in groups {
                let user = user.clone();
                calls.spawn(async move { user.join(group).await });
            }
            calls.spawn(async move {
                user.post("/api/chat/autoAddFriendAndAgree", json!({ "friend_id": bob })).await;
                ann.post("/api/chat/group/create", json!({ "userIds": [row] })).await
            });
        }
        // Some have their answers, the others are on their way.
        for _ in 0..people.len() {
            _ = calls.join_next().await;
        }
        app.servers.postgres.process().kill9();
        app.servers.postgres.start_again().await;
        calls.join_all().await;
        for gateway in &mut app.gateways {
            assert!(gateway.ready().await);
        }
        app.settle().await;
        let mut expected: Vec<u64> = people.iter().map(|user| user.id).collect();
        expected.extend([ann.id, bob.id]);
        expected.sort_unstable();
        for group in groups {
            let mut roster = ann.roster(group).await;
            roster.sort_unstable();
            assert_eq!(roster, expected, "to join, nobody needs the database");
        }
    }
    app.verify().await;
}

/// Also where commits wait for no disk, and for an id that the sequence had written ahead for somebody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_allocated_id_is_not_forgotten() {
    let mut app = App::apart().await;
    app.gateways[0].process().terminate();
    let database = &mut app.servers.postgres;
    for _ in 0..5 {
        let pool = postgres::readers(&database.reader_url().into(), 1).expect("a URL");
        database.execute("set synchronous_commit = off; select nextval('ids.users')").await;
        let id = Sequence::Users.allocate(&pool, 0).await.expect("PostgreSQL answers");
        database.process().kill9();
        database.start_again().await;
        let last = database.number("select last_value from ids.users").await;
        assert!(last >= id, "{id} would be given again: the sequence is at {last}");
    }
}

/// Each refusal skips twice as far: 1, 3, 7 … 511.
#[tokio::test]
async fn ids_in_use_are_skipped_ever_further() {
    let app = App::start().await;
    let log = app.log().await;
    let mut crowd: Vec<NewEvent> = (1..=300).map(registered).collect();
    let appends = crowd.iter_mut().map(|new| {
        let first = Expect::Last(new.event.subject(), Position(0));
        log.append_unsynced(new, first)
    });
    try_join_all(appends).await.expect("the log takes them");
    app.settle().await;
    app.servers.postgres.execute("alter sequence ids.users restart").await;
    let ann = app.register("ann").await;
    assert_eq!(ann.id, 511);
    let bob = app.register("bob").await;
    assert_eq!(bob.id, 512);
    ann.befriend(&bob).await;
    for _ in 0..5 {
        app.group(&ann, &[&bob]).await;
    }
    app.settle().await;
    app.servers.postgres.execute("alter sequence ids.groups restart").await;
    assert_eq!(app.group(&ann, &[&bob]).await.id, 7);
    app.verify().await;
}

fn registered(id: i64) -> NewEvent {
    let event = UserEvent::Registered {
        id: UserId(id),
        uuid: Uuid::new_v4(),
        username: Username(format!("stranger_{id}")),
        role: Role::User,
        device: None,
        avatar: String::new(),
        at: Timestamp(1_758_675_907_004),
    };
    NewEvent::new(Event::User(UserId(id), event), None, &Cause::own("a test"))
}
