//! The log itself: what an event looks like there (ADR 0001).

use std::future::ready;

use async_nats::HeaderMap;
use async_nats::jetstream::{self, message::StreamMessage};
use futures_util::{TryStreamExt as _, future::join_all};
use hongyan::{
    adapters::nats::{
        event_log::EventLog,
        new_event::{Expect, NewEvent},
        reader::position_of,
        shared_log::SharedLogSubscription,
    },
    events::{
        Cause, DeliveryEvent, Event, NodeId, Position, UploadPlace, Uploaded, UserEvent, UserId,
    },
};
use reqwest::Method;

use crate::support::{App, Arrival, SEND, send, text_to, until};

/// CloudEvents 1.0 in binary mode, and why it happened: the caller's request id and trace, or new ones.
#[tokio::test]
async fn every_event_says_what_it_is_and_why() {
    let app = App::start().await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let _socket = bob.connect().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = ann.request(Method::POST, SEND).json(&text_to("single", bob.id, "hello"));
    let request = request.header("x-request-id", "a-call-of-ann").header("traceparent", trace);
    send(request).await.ok();
    let broken = ann.request(Method::POST, SEND).json(&text_to("single", bob.id, "again"));
    send(broken.header("x-request-id", "not one word").header("traceparent", "00-x")).await.ok();

    let (lo, hi) = (ann.id.min(bob.id), ann.id.max(bob.id));
    let sent = last_on(&app, &format!("evt.chat.{lo}.{hi}.{}", ann.id)).await;
    assert_eq!(header(&sent.headers, "ce-type"), "message.sent.v1");
    assert_ne!(header(&sent.headers, "hy-cause"), "not one word");
    let begun = header(&sent.headers, "traceparent");
    assert!(begun.starts_with("00-") && begun.len() == 55, "{begun}");

    let first = before(&app, &sent).await;
    let said = |name| header(&first.headers, name);
    assert_eq!(said("hy-cause"), "a-call-of-ann");
    assert_eq!(said("traceparent"), trace);
    assert_eq!(said("hy-actor"), ann.id.to_string());
    assert_eq!(said("ce-specversion"), "1.0");
    assert_eq!(said("ce-subject"), first.subject.as_str());
    assert_eq!(said("ce-id"), said("Nats-Msg-Id"));
    let id: uuid::Uuid = said("ce-id").parse().expect("a UUID");
    assert_eq!(id.get_version_num(), 7);
    assert!(said("ce-source").starts_with("/hongyan/") && said("ce-time").ends_with('Z'));

    let connected = last_on(&app, &format!("evt.session.{}", bob.id)).await;
    assert_eq!(header(&connected.headers, "ce-type"), "session.connected.v1");
    assert_eq!(header(&connected.headers, "Nats-TTL"), "2592000");
}

/// ADR 0003: connects and disconnects vanish by themselves. Read models that took them in are still what a
/// rebuild gives, and a socket that outlives its connect is not forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_after_facts_have_expired_changes_nothing() {
    let app = App::configured(&[("LOG__FACT_TTL_S", "10")]).await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    ann.connect().await.close().await;
    let mut socket = bob.connect().await;
    app.settle().await;
    let session = format!("evt.session.{}", bob.id);
    let connected = last_on(&app, &session).await;
    let expired = async || {
        let first = log(&app).await.get_raw_message(connected.sequence).await;
        first.is_err().then_some(())
    };
    until("the connect has expired", expired).await;
    app.verify().await;
    app.cli(&["projections", "rebuild", "--all"]).await.ok();
    app.verify().await;
    assert!(app.online(&bob).await && !app.online(&ann).await);
    ann.send(&bob, "still there?").await.ok();
    assert_eq!(socket.next_text().await, "still there?");
    socket.close().await;
    until("the user is offline", async || (!app.online(&bob).await).then_some(())).await;
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .map_or_else(|| panic!("{name} in {headers:?}"), async_nats::HeaderValue::as_str)
}

async fn log(app: &App) -> jetstream::stream::Stream {
    let client = app.servers.nats.connect("ops", "opspw").await;
    jetstream::new(client).get_stream("EVENTS").await.expect("the log is there")
}

async fn last_on(app: &App, subject: &str) -> StreamMessage {
    let last = log(app).await.get_last_raw_message_by_subject(subject).await;
    last.unwrap_or_else(|error| panic!("an event on {subject}: {error}"))
}

/// The event before another one on the same subject.
async fn before(app: &App, later: &StreamMessage) -> StreamMessage {
    let log = log(app).await;
    for position in (1..later.sequence).rev() {
        match log.get_raw_message(position).await {
            Ok(found) if found.subject == later.subject => return found,
            _ => {}
        }
    }
    panic!("{} has one event only", later.subject)
}

/// With several filters the server searches for each event, so slowly that who has fallen behind would fall behind more.
#[tokio::test]
async fn a_reader_that_falls_behind_is_sent_all_events() {
    const MANY: usize = 1200;
    let app = App::start().await;
    let log = app.log().await;
    let end = log.end().await.expect("the log").last;
    let reader = log.read(&["evt.delivery.>", "evt.complaint.>"], Position(end.0 + 1)).await;
    let mut reader = reader.expect("a reader");
    let before = consumers_without_filters(&app).await;
    let mut reports: Vec<NewEvent> = (0..MANY)
        .map(|_| {
            let event = DeliveryEvent::Written { users: Vec::new(), groups: Vec::new() };
            let node = NodeId(uuid::Uuid::nil());
            NewEvent::new(Event::Delivery(node, event), None, &Cause::own("a test"))
        })
        .collect();
    for some in reports.chunks_mut(50) {
        let appended = some.iter_mut().map(|report| log.append_unsynced(report, Expect::Anything));
        for appended in join_all(appended).await {
            appended.expect("the log takes it");
        }
    }
    let mut found = Vec::new();
    while found.len() < MANY {
        found.extend(reader.next_batch(50).await.expect("a batch").iter().map(position_of));
    }
    assert!(found.is_sorted_by(|one, next| one < next), "{found:?}");
    assert_eq!(consumers_without_filters(&app).await, before + 1);
}

/// Where the log ends with what is none of its business, a follower is at the end all the same, and gets what comes then.
#[tokio::test]
async fn a_follower_reaches_an_end_that_is_not_his() {
    let app = App::start().await;
    app.register("ann").await;
    let log = app.log().await;
    let shared_log = SharedLogSubscription::new(log.clone(), &["evt.>"]);
    tokio::spawn(shared_log.clone().run());
    let end = log.end().await.expect("the log").last;
    let mut follower =
        shared_log.follow(&["evt.delivery.>"], Position(1)).await.expect("a follower");
    let none = follower.next_before(10, Some(end), ready(())).await.expect("the log");
    assert!(none.is_empty() && follower.reached() >= end, "{none:?}");
    let at = report(&log).await;
    let next = follower.next_before(10, Some(at), ready(())).await.expect("the log");
    assert_eq!(next.iter().map(position_of).collect::<Vec<_>>(), [at]);
}

/// That nothing is pending is what a consumer said once, and on a replicated log it may be on a replica that lags. A
/// follower does not join the shared log on its word alone.
#[tokio::test]
async fn a_follower_passes_over_nothing_when_it_joins() {
    let app = App::start().await;
    let log = app.log().await;
    let shared_log = SharedLogSubscription::new(log.clone(), &["evt.>"]);
    let from = Position(log.end().await.expect("the log").last.0 + 1);
    let mut follower = shared_log.follow(&["evt.delivery.>"], from).await.expect("a follower");
    assert_eq!(follower.pending(), 0);
    let at = report(&log).await;
    tokio::spawn(shared_log.clone().run());
    let mut other = shared_log.follow(&["evt.complaint.>"], Position(1)).await.expect("a follower");
    other.next_before(1, Some(at), ready(())).await.expect("the shared log is read");
    let next = follower.next_before(10, Some(at), ready(())).await.expect("the log");
    assert_eq!(next.iter().map(position_of).collect::<Vec<_>>(), [at]);
}

/// A read model that takes its time takes more at once.
#[tokio::test]
async fn what_comes_while_a_follower_gathers_comes_along() {
    let app = App::start().await;
    let log = app.log().await;
    let shared_log = SharedLogSubscription::new(log.clone(), &["evt.>"]);
    tokio::spawn(shared_log.clone().run());
    let from = Position(log.end().await.expect("the log").last.0 + 1);
    let subjects = &["evt.delivery.>"];
    let mut follower = shared_log.follow(subjects, from).await.expect("a follower");
    let mut other = shared_log.follow(subjects, from).await.expect("a follower");
    let first = report(&log).await;
    let gathered = async {
        let second = report(&log).await;
        while other.reached() < second {
            other.next_batch(1).await.expect("the shared log is read");
        }
    };
    let both = follower.next_before(10, None, gathered).await.expect("the log");
    let positions: Vec<_> = both.iter().map(position_of).collect();
    assert_eq!(positions, [first, Position(first.0 + 1)]);
}

/// Appends something, and tells where it is.
async fn report(log: &EventLog) -> Position {
    let event = DeliveryEvent::Written { users: Vec::new(), groups: Vec::new() };
    let node = NodeId(uuid::Uuid::nil());
    let mut new = NewEvent::new(Event::Delivery(node, event), None, &Cause::own("a test"));
    log.append_unsynced(&mut new, Expect::Anything).await.expect("the log takes it").position
}

/// The server cuts a connection off in which more than `max_pending` waits (`nats.conf`). What a reader asks for is
/// bounded by bytes, so it never comes to that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_megabytes_are_read_without_a_break() {
    const MANY: u64 = 200;
    let app = App::start().await;
    let ann = app.register("ann").await;
    let log = app.log().await;
    let user = UserId(i64::try_from(ann.id).expect("an id"));
    let path = "x".repeat(1_000_000);
    for _ in 0..MANY / 4 {
        let appended = join_all((0..4).map(async |_| {
            let (place, path) = (UploadPlace::Folder, path.clone());
            let (media_type, sha256) = (String::new(), String::new());
            let file = Uploaded { place, path, bytes: 1, media_type, sha256 };
            let event = Event::User(user, UserEvent::FileUploaded(file));
            let mut new = NewEvent::new(event, None, &Cause::own("a test"));
            log.append_unsynced(&mut new, Expect::Anything).await
        }));
        for appended in appended.await {
            appended.expect("the log takes it");
        }
    }
    app.settle().await;
    let stats = app.cli(&["events", "stats", "--json"]).await;
    assert!(!stats.stderr.contains("WARN"), "{}", stats.stderr);
    assert_eq!(stats.json()["types"]["user.file_uploaded.v1"], MANY);
    let rebuild = app.cli(&["projections", "rebuild", "user_directory", "--json"]).await;
    assert!(!rebuild.stderr.contains("WARN"), "{}", rebuild.stderr);
    assert!(rebuild.json()[0]["events"].as_u64() > Some(MANY));
}

async fn consumers_without_filters(app: &App) -> usize {
    let ops = jetstream::new(app.servers.nats.connect("ops", "opspw").await);
    let stream = ops.get_stream_no_info("EVENTS").await.expect("a handle");
    let consumers: Vec<_> = stream.consumers().try_collect().await.expect("the server tells");
    let is_without = |consumer: &&jetstream::consumer::Info| {
        consumer.config.filter_subjects.is_empty() && consumer.config.filter_subject.is_empty()
    };
    consumers.iter().filter(is_without).count()
}

/// An append without an answer may have happened: the log has a connect then of which its gateway does not know.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connect_without_an_answer_leaves_nobody_online() {
    let once = ("LOG__APPEND_TIMEOUT_MS", "1400"); // less than an attempt waits for its answer
    let mut app = App::start().await;
    let ann = app.register("ann").await;
    app.gateways[0].process().kill9();
    app.gateways[0].start_again_alone(&[once]);
    assert!(app.gateways[0].ready().await);
    let ops = jetstream::new(app.servers.nats.connect("ops", "opspw").await);
    let mut stream = ops.get_stream("EVENTS").await.expect("a stream");
    let config = stream.cached_info().config.clone();
    let mut end = async || stream.info().await.expect("nats-server").state.last_sequence;
    let unanswered = jetstream::stream::Config { no_ack: true, ..config.clone() };
    ops.update_stream(unanswered).await.expect("it does as it is told");
    let before = end().await;
    until("the log has the connect", async || {
        assert_eq!(ann.connect_raw().await.next_unhurried().await, Arrival::Dropped);
        (end().await > before).then_some(())
    })
    .await;
    ops.update_stream(config).await.expect("it does as it is told");
    until("nobody is online", async || {
        app.settle().await;
        (!app.online(&ann).await).then_some(())
    })
    .await;
    ann.listen().await.is_silent().await;
}
