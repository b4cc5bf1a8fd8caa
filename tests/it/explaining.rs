//! The delivery audit (ADR 0034): why somebody got a message, or did not.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    App, User, api, until,
    user::{SEND, text_to},
};

/// With so many members a group is large.
const LARGE: i64 = 51;

/// What the command line says of a message, which is what the admin listener says, and names.
async fn explained(app: &App, message: &Value, user: Option<&User>) -> Value {
    let id = message["id"].as_str().expect("an id");
    let (mut arguments, mut path) = (vec!["explain", id, "--json"], format!("/explain/{id}"));
    if let Some(user) = user {
        arguments.extend(["--user", &user.username]);
        path = format!("{path}?user={}", user.id);
    }
    let told = app.cli(&arguments).await.json();
    let same = app.admin(&path).await.expect("an explanation");
    let mut unnamed = told.clone();
    for recipient in unnamed["recipients"].as_array_mut().expect("recipients") {
        let recipient = recipient.as_object_mut().expect("an object");
        assert!(recipient.remove("username").is_some_and(|name| name.is_string()), "{told}");
    }
    assert_eq!(unnamed, same, "both are judged alike");
    told
}

/// What became of a message for one user.
async fn of(app: &App, message: &Value, user: &User) -> Value {
    let mut told = explained(app, message, Some(user)).await;
    let recipient = told["recipients"][0].take();
    assert_eq!(
        (&recipient["user"], &recipient["username"]),
        (&json!(user.id), &json!(user.username))
    );
    assert_eq!(recipient["delivered"].is_null(), recipient["reason"].is_string(), "{recipient}");
    recipient
}

/// Insists that somebody does not have a message, and why.
async fn stays(app: &App, message: &Value, user: &User, reason: &str) {
    let found = of(app, message, user).await;
    assert_eq!(found["reason"], reason, "{found}");
    assert!(found["why"].as_str().is_some_and(|why| why.len() > 10), "{found}");
}

/// What the admin listener says of that as it changes.
async fn so_far(app: &App, message: &Value, user: &User) -> Value {
    let path = format!("/explain/{}?user={}", message["id"].as_str().expect("an id"), user.id);
    app.admin(&path).await.expect("an explanation")["recipients"][0].take()
}

/// Waits until the log says that somebody has a message; answers with that.
async fn arrives(app: &App, message: &Value, user: &User) -> Value {
    app.settle().await; // the history knows the message
    until("it is reported", async || {
        (!so_far(app, message, user).await["delivered"].is_null()).then_some(())
    })
    .await;
    of(app, message, user).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_at_once_names_its_request_its_number_and_its_connection() {
    let app = App::with_gateways(2).await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let mut socket = bob.via(app.gateways[1].origin()).listen().await;
    let request = ann.request(Method::POST, SEND).header("x-request-id", "send-1");
    let message = api::send(request.json(&text_to("single", bob.id, "hi"))).await.ok();
    assert_eq!(socket.next_push().await, message);
    let found = arrives(&app, &message, &bob).await;
    let (delivered, connections) = (&found["delivered"], &found["connections"]);
    assert_eq!((&delivered["by"], connections.as_array().map(Vec::len)), (&json!("live"), Some(1)));
    for (of_delivery, name) in [("connection", "connection"), ("gateway", "gateway")] {
        assert_eq!(delivered[of_delivery], connections[0][name], "{found}");
    }
    assert!(found["place"]["queue"].as_u64() > Some(1), "friendship came first: {found}");
    let told = explained(&app, &message, None).await;
    let accepted = &told["accepted"];
    assert_eq!(
        ["request", "author", "revoked"].map(|name| &accepted[name]),
        [&json!("send-1"), &json!(ann.id), &Value::Null]
    );
    assert_eq!((&accepted["to"], &told["entitled"]), (&json!({ "user": bob.id }), &json!(1)));
    assert!(accepted["position"].as_u64() < delivered["position"].as_u64(), "{told}");
    let printed = app.cli(&["explain", message["id"].as_str().expect("an id")]).await.ok();
    for part in ["send-1", &bob.username, "queue, number", "reported at", "live"] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    stays(&app, &message, &ann, "author").await;
    let cat = app.register("cat").await;
    stays(&app, &message, &cat, "not_a_recipient").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_says_for_what_until_a_drain_brings_it() {
    let app = App::with_gateways(2).await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let message = ann.send(&bob, "hi").await.ok();
    app.settle().await;
    stays(&app, &message, &bob, "never_connected_since").await;
    let first = bob.connect().await;
    app.settle().await;
    stays(&app, &message, &bob, "not_drained").await;
    first.close().await;
    until("the user is offline", async || (!app.online(&bob).await).then_some(())).await;
    app.settle().await;
    stays(&app, &message, &bob, "not_drained").await;
    let there = bob.via(app.gateways[1].origin());
    let mut second = there.connect().await;
    there.drain().await;
    while second.next_push().await["id"] != message["id"] {}
    let found = arrives(&app, &message, &bob).await;
    assert_eq!(found["delivered"]["by"], "drain");
    let connections = found["connections"].as_array().expect("connections");
    assert_eq!(connections.len(), 2, "{found}");
    assert_eq!(connections[0]["to"][1], "closed", "{found}");
    assert_eq!(found["delivered"]["connection"], connections[1]["connection"]);

    // What is taken back before they have it comes first, and then that.
    let regretted = ann.send(&bob, "oops").await.ok();
    while second.next_push().await["id"] != regretted["id"] {}
    ann.post("/api/chat/revokeMessage", regretted.clone()).await.ok();
    app.settle().await;
    let told = explained(&app, &regretted, None).await;
    assert!(told["accepted"]["revoked"].is_string(), "{told}");
    arrives(&app, &regretted, &bob).await;
}

/// Who blocks the author later has what was accepted before; what is refused is in no log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blacklist_keeps_nothing_back_that_was_accepted_and_what_is_refused_has_no_id() {
    let app = App::start().await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let message = ann.send(&bob, "hi").await.ok();
    app.settle().await;
    let open = app.admin("/positions").await.expect("positions")["log"]["last"].to_string();
    bob.toggle_black(&ann).await;
    ann.send(&bob, "are you there?").await.failed(400);
    app.settle().await;
    let cat = app.register("cat").await;
    let judged = async |from: &User, user: &User, at: Option<&str>| -> Value {
        let mut arguments = vec!["explain", "--from", &from.username, "--user", &user.username];
        let mut path = format!("/explain?from={}&user={}", from.id, user.id);
        if let Some(at) = at {
            arguments.extend(["--at", at]);
            path = format!("{path}&at={at}");
        }
        arguments.push("--json");
        let mut told = app.cli(&arguments).await.json();
        assert_eq!(told, app.admin(&path).await.expect("a judgement"), "both are judged alike");
        told["reason"].take()
    };
    assert_eq!(judged(&ann, &bob, None).await, "blocked");
    assert_eq!(judged(&ann, &bob, Some(&open)).await, Value::Null);
    assert_eq!(judged(&cat, &bob, None).await, Value::Null);
    cat.send(&bob, "one, as a stranger may").await.ok();
    assert_eq!(judged(&cat, &bob, None).await, "quota_used");
    bob.let_strangers_send(0).await;
    assert_eq!(judged(&cat, &bob, None).await, "friends_only");
    stays(&app, &message, &bob, "never_connected_since").await;
    let mut socket = bob.connect().await;
    bob.drain().await;
    while socket.next_push().await["id"] != message["id"] {}
    arrives(&app, &message, &bob).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_who_was_in_it_then() {
    let app = App::start().await;
    let [ann, bob, cat, dan] = app.users(["ann", "bob", "cat", "dan"]).await;
    let group = app.group(&ann, &[&bob, &cat]).await;
    let early = bob.say(group, "early").await.ok();
    cat.leave(group).await.ok();
    let between = bob.say(group, "between").await.ok();
    dan.join(group).await.ok();
    let late = bob.say(group, "late").await.ok();
    ann.remove(group, &dan).await.ok();
    let last = bob.say(group, "last").await.ok();
    app.settle().await;
    let waits = "never_connected_since";
    for (message, ann_s, cat_s, dan_s) in [
        (&early, waits, waits, "not_a_member"),
        (&between, waits, "left_before", "not_a_member"),
        (&late, waits, "left_before", waits),
        (&last, waits, "left_before", "left_before"),
    ] {
        stays(&app, message, &bob, "author").await;
        for (user, reason) in [(&ann, ann_s), (&cat, cat_s), (&dan, dan_s)] {
            stays(&app, message, user, reason).await;
        }
        let told = explained(&app, message, None).await;
        let entitled = [ann_s, cat_s, dan_s].into_iter().filter(|reason| *reason == waits).count();
        assert_eq!(told["recipients"].as_array().map(Vec::len), Some(entitled), "{told}");
        assert_eq!(told["accepted"]["to"], json!({ "group": group.id }));
    }
    // Who asked to be let in, and withdrew, never was a member.
    let eve = app.register("eve").await;
    ann.set_policy(group, 1).await.ok();
    eve.join(group).await.ok();
    let asked = bob.say(group, "asked").await.ok();
    eve.leave(group).await.ok();
    app.settle().await;
    stays(&app, &asked, &eve, "not_a_member").await;
    assert_eq!(explained(&app, &asked, None).await["recipients"].as_array().map(Vec::len), Some(1));
    // Also of a group that is no more.
    ann.leave(group).await.ok();
    app.settle().await;
    stays(&app, &late, &dan, waits).await;
    stays(&app, &between, &cat, "left_before").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_group_has_a_timeline() {
    let app = App::with_gateways(2).await;
    let [ann, bob, cat, dan] = app.users(["ann", "bob", "cat", "dan"]).await;
    let group = app.group(&ann, &[&bob, &cat]).await;
    app.crowd(&ann, group, LARGE - 3).await;
    let mut socket = bob.via(app.gateways[1].origin()).listen().await;
    let message = ann.say(group, "hello all").await.ok();
    while socket.next_push().await["id"] != message["id"] {}
    let found = arrives(&app, &message, &bob).await;
    assert_eq!((&found["place"], &found["delivered"]["by"]), (&json!("timeline"), &json!("live")));
    app.settle().await;
    stays(&app, &message, &cat, "never_connected_since").await;
    stays(&app, &message, &ann, "author").await;
    stays(&app, &message, &dan, "not_a_member").await;
    let mut late = cat.connect().await;
    cat.drain().await;
    while late.next_push().await["id"] != message["id"] {}
    assert_eq!(arrives(&app, &message, &cat).await["delivered"]["by"], "drain");
    let path = format!("/explain/{}?limit=20", message["id"].as_str().expect("an id"));
    let told = app.admin(&path).await.expect("an explanation");
    let count = told["recipients"].as_array().map(Vec::len);
    assert_eq!((&told["entitled"], count), (&json!(LARGE - 1), Some(20)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_beyond_the_quota_is_in_the_history_until_it_is_drained() {
    let app = App::start().await;
    let [ann, bob] = app.users(["ann", "bob"]).await;
    bob.let_strangers_send(2).await;
    let mut messages = Vec::new();
    for number in 0..505 {
        messages.push(ann.send(&bob, &format!("number {number}")).await.ok());
    }
    app.settle().await;
    let (first, last) = (&messages[0], &messages[504]);
    stays(&app, first, &bob, "beyond_quota").await;
    stays(&app, last, &bob, "never_connected_since").await;
    for (message, number) in [(first, 1), (&messages[4], 5), (&messages[5], 6), (last, 505)] {
        assert_eq!(of(&app, message, &bob).await["place"], json!({ "queue": number }));
    }
    let mut socket = bob.connect().await;
    bob.drain().await;
    while socket.next_push().await["id"] != last["id"] {}
    for (message, number) in [(last, 505), (first, 1)] {
        let found = arrives(&app, message, &bob).await;
        assert_eq!(found["place"], json!({ "queue": number }), "{found}");
    }
}

/// What was on its way to a gateway that is gone comes again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lost_gateway_had_comes_again() {
    let mut app = App::with_gateways(2).await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let there = bob.via(app.gateways[1].origin());
    let socket = there.listen().await;
    app.gateways[1].process().stop_signal();
    let message = ann.send(&bob, "hi").await.ok();
    app.settle().await;
    stays(&app, &message, &bob, "not_acknowledged").await;
    app.gateways[1].process().kill9();
    until("it is known to be lost", async || {
        (so_far(&app, &message, &bob).await["reason"] == "gateway_lost").then_some(())
    })
    .await;
    drop(socket);
    let mut socket = bob.connect().await;
    bob.drain().await;
    while socket.next_push().await["id"] != message["id"] {}
    let found = arrives(&app, &message, &bob).await;
    assert_eq!(found["connections"][0]["to"][1], "gateway_lost", "{found}");
    assert_eq!(found["delivered"]["connection"], found["connections"][1]["connection"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strange_questions_about_messages_are_told_what_is_wrong() {
    let app = App::start().await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let message = ann.send(&bob, "hi").await.ok();
    app.settle().await;
    let known = message["id"].as_str().expect("an id").to_owned();
    let unknown = "00000000-0000-4000-8000-000000000001";
    for (path, status, why) in [
        (format!("/explain/{unknown}"), 404, "no message 00000000"),
        (format!("/explain/{known}?user=77777"), 404, "there is no user 77777"),
        (format!("/explain/{known}?user=bob"), 400, "a user is one number"),
        (format!("/explain/{known}?limit=0"), 400, "a limit is"),
        (format!("/explain/{known}?name=1"), 400, "the parameters are `user`, `limit`"),
        ("/explain/send-1".to_owned(), 400, "a UUID"),
        ("/explain/1004".to_owned(), 400, "a UUID"),
        (format!("/explain?from={}", ann.id), 400, "`from` and `user`"),
        (format!("/explain?from=77777&user={}", ann.id), 404, "there is no user 77777"),
    ] {
        let answer = api::client().get(format!("{}{path}", app.admin_origin())).send().await;
        let answer = answer.expect("it answers");
        let (found, kind) = (answer.status().as_u16(), answer.headers()["content-type"].clone());
        let body: Value = answer.json().await.expect("JSON");
        let detail = body["detail"].as_str().expect("a text");
        assert!(found == status && detail.contains(why), "{path}: {found} {detail}");
        assert_eq!(kind.as_bytes(), b"application/problem+json");
    }
    for arguments in [
        &["explain"][..],
        &["explain", "--from", &ann.username],
        &["explain", "send-1"],
        &["explain", unknown],
        &["explain", &known, "--user", "nobody"],
        &["explain", &known, "--limit", "0"],
        &["explain", &known, "--batch"],
    ] {
        assert!(!app.cli(arguments).await.success, "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_answered_line_by_line() {
    let app = App::start().await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let messages = join_all((0..20).map(|number| {
        let (ann, bob) = (&ann, &bob);
        async move { ann.send(bob, &number.to_string()).await.ok() }
    }))
    .await;
    app.settle().await;
    let ids: Vec<&str> = messages.iter().filter_map(|message| message["id"].as_str()).collect();
    let mut lines: Vec<String> = ids.iter().map(|id| format!("{id} {}", bob.id)).collect();
    lines.extend([ids[0].to_owned(), "send-1".to_owned(), format!("{} nobody", ids[0])]);
    let told = app.cli_told(&["explain", "--batch"], &lines.join("\n")).await.ok();
    let answers: Vec<Value> =
        told.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(answers.len(), lines.len(), "{told}");
    for (answer, id) in answers.iter().zip(ids) {
        assert_eq!(answer["message"], id);
        assert_eq!(answer["recipients"][0]["reason"], "never_connected_since", "{answer}");
    }
    assert_eq!(answers[20]["recipients"], answers[0]["recipients"]);
    for (answer, why) in [(&answers[21], "a UUID"), (&answers[22], "no user `nobody`")] {
        assert!(answer["error"].as_str().is_some_and(|error| error.contains(why)), "{answer}");
    }
}
