//! A person's data: it is handed out, and it is erased, for good and everywhere (ADR 0038).

use std::{fs, path::Path, sync::Arc};

use async_nats::jetstream;
use hongyan::{
    adapters::nats::{
        log_error::LogError,
        new_event::{Expect, NewEvent},
    },
    events::{
        Cause, ChatEvent, ChatKey, Event, MessageId, Position, Sent, Subject, Timestamp,
        UploadPlace, Uploaded, UserEvent, UserId, UserSummary,
    },
};
use serde_json::{Value, json};
use testkit::servers;
use uuid::Uuid;

use crate::support::{App, Arrival, Group, PASSWORD, User, device, files, now_ms, until};

/// What nobody else says or is called.
const SECRETS: [&str; 5] = ["zephyrine", "quokka", "heliotrope", "marzipan", "tamarind"];

/// Files below a folder that hold one of some texts, and which.
fn found(folder: &Path, texts: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")) {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(self::found(&path, texts));
        } else {
            let bytes = fs::read(&path).unwrap_or_default();
            let is_held = |text: &&&str| memchr::memmem::find(&bytes, text.as_bytes()).is_some();
            found.extend(
                texts.iter().filter(is_held).map(|text| format!("{text} in {}", path.display())),
            );
        }
    }
    found
}

/// What a server's commands leave behind by themselves sooner or later.
async fn compact(app: &App) {
    let mut redis = app.servers.redis.connect().await;
    let () = redis::cmd("BGREWRITEAOF").query_async(&mut redis).await.expect("Redis rewrites");
    until("Redis has rewritten its file", async || {
        let info: String =
            redis::cmd("INFO").arg("persistence").query_async(&mut redis).await.ok()?;
        let done = ["aof_rewrite_in_progress:0", "aof_rewrite_scheduled:0"];
        done.iter().all(|line| info.contains(line)).then_some(())
    })
    .await;
    for statement in [
        "alter system set wal_recycle = off",
        "select pg_reload_conf()",
        "select pg_switch_wal()",
        "checkpoint",
        "checkpoint",
    ] {
        app.servers.postgres.execute(statement).await;
    }
}

/// Two friends in a group that has both their names, and what they said.
async fn talk(app: &App) -> (User, User, Group) {
    let [ann, bob] = app.friends(["zephyrine", "bob"]).await;
    ann.rename("quokka").await;
    for text in ["heliotrope", "marzipan"] {
        ann.send(&bob, text).await.ok();
        bob.send(&ann, "what Bob says").await.ok();
    }
    let group = app.group(&ann, &[&bob]).await;
    ann.say(group, "heliotrope to all").await.ok();
    bob.say(group, "what Bob says to all").await.ok();
    app.settle().await;
    (ann, bob, group)
}

async fn erase(app: &App, arguments: &[&str]) -> Value {
    let command = [&["users", "erase"], arguments, &["--reason", "asked for it", "--json"]];
    app.cli(&command.concat()).await.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_person_said_or_was_called_is_left_in_any_store() {
    let app = App::apart_configured(&[("ANALYTICS__CONTENT", "full")]).await;
    let (ann, bob, group) = talk(&app).await;
    let picture = files::uploaded(&ann, "a.gif", b"GIF89a\x01\0\x01\0\0\0\0;heliotrope").await;
    let clip = files::video(app.servers.folder(), "clip.mp4");
    let clip = files::uploaded(&ann, "clip.mp4", &clip).await;
    let shot = json!({ "videoUrl": clip, "time": 20, "width": 260 });
    let poster = bob.post("/api/chat/getVideoScreenshot", shot).await.ok();
    let poster = poster["url"].as_str().expect("an address");
    assert_eq!(bob.get(poster).await.status, 200);
    // What she calls somebody is in what they send her.
    let dan = app.register("dan").await;
    dan.post("/api/chat/applyfriend", json!({ "friend_id": ann.id, "nickname": "hello" }))
        .await
        .done();
    let request = app.request(&dan, &ann).await;
    let agree = json!({ "status": "agree", "nickname": "tamarind" });
    ann.post(&format!("/api/chat/handleapply/{request}"), agree).await.done();
    dan.send(&ann, "what Dan says").await.ok();
    app.settle().await;
    assert!(!found(app.servers.folder(), &SECRETS).is_empty(), "they are somewhere before");
    let id = ann.id.to_string();
    let report = erase(&app, &[&id]).await;
    let told = ["messages", "files", "groups"].map(|key| report[0][key].clone());
    assert_eq!(told, [json!(3), json!(3), json!([group.id])], "{report}");

    // The conversation keeps its order and its numbers, what others said, and one place for each message.
    let chat = app.cli(&["state", "chat", &format!("{}.{}", ann.id, bob.id), "--json"]).await;
    assert_eq!(chat.json()["state"]["messages"], 4);
    let groups = bob.groups().await;
    assert_eq!(groups[0]["name"], "群聊", "{groups:?}");
    for gone in [&picture.replace(bob.origin(), ""), poster] {
        assert_eq!(bob.get(gone).await.status, 404, "{gone}");
    }
    assert_eq!(ann.get("/api/chat/grouplist/1").await.status, 400, "the token is refused");

    app.verify().await;
    app.cli(&["projections", "rebuild", "--all", "--drop-before"]).await.ok();
    app.verify().await;
    compact(&app).await;
    let left = found(app.servers.folder(), &SECRETS);
    assert!(left.is_empty(), "{left:#?}");
    ann.try_login().await.failed(400);
    let again = json!({ "username": ann.username, "password": PASSWORD });
    app.api().post("/api/regChat", again).await.ok(); // the name is free
}

/// By the person themselves, with their password; what is erased then is erased by the next run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_deleted_by_its_owner() {
    let app = App::start().await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let guest = app.visitor(&device(7)).await;
    let delete = async |user: &User, password: &str| {
        user.post("/api/chat/deleteAccount", json!({ "password": password })).await
    };
    delete(&ann, "not her password").await.refused(400, "账户或密码错误");
    delete(&ann, "").await.refused(400, "账户或密码错误");
    ann.send(&bob, "still here").await.ok();
    let mut socket = ann.connect().await;
    delete(&ann, PASSWORD).await.done();
    delete(&guest, "").await.done();
    assert!(!matches!(socket.next().await, Arrival::Frame(_)), "the socket is closed");
    assert_eq!(ann.get("/api/chat/grouplist/1").await.status, 400, "the token is refused");
    ann.try_login().await.failed(400);
    let id = ann.id.to_string();
    let enabled = app.cli(&["users", "enable", &id]).await;
    assert!(!enabled.success && enabled.stderr.contains("was deleted"), "{enabled:?}");
    let reports = erase(&app, &["--pending"]).await;
    let erased = reports.as_array().expect("a list").iter().map(|report| report["user"].as_u64());
    assert!(erased.eq([Some(ann.id), Some(guest.id)]), "{reports}");
    assert_eq!(erase(&app, &["--pending"]).await, json!([]), "once");
    let list = app.cli(&["users", "erasures"]).await.ok();
    assert_eq!(list.lines().count(), 2, "{list}");
    // A list says of whom it is: of another account under the same number nothing is erased.
    let file = app.servers.folder().join("erasures.ndjson");
    let other = json!({ "user": bob.id, "uuid": Uuid::nil(), "at": "2026-11-29T00:00:00Z" });
    fs::write(&file, format!("{}\n{other}\n", list.trim_end())).expect("it is written");
    let again = erase(&app, &["--list", file.to_str().expect("a path")]).await;
    assert_eq!(again.as_array().map(Vec::len), Some(2), "{again}");
    bob.get("/api/chat/grouplist/1").await.ok();
    app.verify().await;
}

/// What an interrupted build has read, it has read with the key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_goes_on_with_no_build_of_before() {
    let app = App::configured(&[("PROJECTIONS__BATCH", "1")]).await;
    let ann = app.register("ann").await;
    ann.rename("quokka").await;
    app.users(["bob", "cat", "dan", "eve", "fay", "gus", "hal", "ida"]).await;
    app.settle().await;
    let named = app.log().await.end().await.expect("the log").last;
    let named = app.log().await.events_until(user_subject(&ann), named).await.expect("the log");
    let named = named.last().expect("an event").position.0;
    let slowly = ["projections", "rebuild", "user_directory", "--max-rate", "2"];
    let mut building = app.begin_cli(&slowly);
    until("the name is read", async || {
        if !building.is_alive() {
            building = app.begin_cli(&slowly); // it came to its end before anybody looked
        }
        let generations = app.generations("user_directory").await;
        let built = generations.iter().find(|one| one["built_for"] == "rebuild")?;
        (built["position"].as_u64()? >= named).then_some(())
    })
    .await;
    building.kill9();
    erase(&app, &[&ann.id.to_string()]).await;
    app.verify().await;
}

/// An account that cannot be erased now keeps nobody else's from it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_cannot_be_erased_holds_up_no_other() {
    let app = App::start().await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let uploaded = UserEvent::FileUploaded(Uploaded {
        place: UploadPlace::ObjectStore,
        path: "images/20250924/1758692400000_20f90b51544f.png".to_owned(),
        bytes: 1,
        media_type: "image/png".to_owned(),
        sha256: String::new(),
    });
    let Subject::User(id) = user_subject(&ann) else { unreachable!("it is a user's") };
    let mut new = NewEvent::new(Event::User(id, uploaded), Some(id), &Cause::own("a test"));
    app.log().await.append(&mut new, Expect::Anything).await.expect("the log takes it");
    for user in [&ann, &bob] {
        user.post("/api/chat/deleteAccount", json!({ "password": PASSWORD })).await.done();
    }
    let command = ["users", "erase", "--pending", "--reason", "asked for it", "--json"];
    let ran = app.cli(&command).await;
    let why = format!("not erased: user {}: ", ann.id);
    assert!(!ran.success && ran.stderr.contains(&why), "{ran:?}");
    let reports: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(reports[0]["user"], bob.id, "{reports}");
    let again = app.cli(&command).await;
    assert!(!again.success && again.stderr.contains(&why), "{again:?}");
    assert_eq!(serde_json::from_str::<Value>(&again.stdout).expect("JSON"), json!([]), "once");
    app.verify().await;
}

fn user_subject(user: &User) -> Subject {
    Subject::User(UserId(i64::try_from(user.id).expect("an id")))
}

/// An erasure gives a group the name again that others gave it; that is still theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_was_sealed_anew_goes_with_who_gave_it() {
    let app = App::start().await;
    let [ann, bob, cat] = app.friends(["ann", "bob", "cat"]).await;
    let group = app.group(&ann, &[&bob, &cat]).await;
    let name = json!({ "id": group.id, "name": "Tea club" });
    ann.post("/api/chat/groupUpdateName", name).await.done();
    let report = erase(&app, &[&bob.id.to_string()]).await;
    assert_eq!(report[0]["groups"], json!([group.id]), "their name was in its first one");
    assert_eq!(cat.groups().await[0]["name"], "Tea club");
    erase(&app, &[&ann.id.to_string()]).await;
    assert_eq!(cat.groups().await[0]["name"], "群聊");
    app.verify().await;
}

/// Read models that could not be built are built by the next run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_erasure_is_pending() {
    let mut app = App::apart().await;
    let (ann, ..) = talk(&app).await;
    let id = ann.id.to_string();
    app.servers.redis.process().kill9();
    let command = ["users", "erase", &id, "--reason", "asked for it"];
    let interrupted = app.cli(&command).await;
    assert!(!interrupted.success, "{interrupted:?}");
    app.servers.redis.start_again().await;
    let reports = erase(&app, &["--pending"]).await;
    assert_eq!(reports[0]["user"], ann.id, "{reports}");
    assert_eq!(erase(&app, &["--pending"]).await, json!([]), "once");
    app.verify().await;
    compact(&app).await;
    let left = found(app.servers.folder(), &SECRETS);
    assert!(left.is_empty(), "{left:#?}");
}

/// A log from before an erasure has the keys again; the list that was kept beside it says whose are to go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_backup_brings_back_is_erased_again() {
    let mut app = App::apart().await;
    let (ann, bob, _) = talk(&app).await;
    let (store, backup) = (app.servers.nats.store_dir(), app.servers.folder().join("backup"));
    app.servers.nats.process().kill9();
    servers::copy_data(&store, &backup).expect("it is copied");
    app.servers.nats.start_again().await;
    erase(&app, &[&ann.id.to_string()]).await;
    let list = app.servers.folder().join("erasures.ndjson");
    fs::write(&list, app.cli(&["users", "erasures"]).await.ok()).expect("it is written");

    app.servers.nats.process().kill9();
    fs::remove_dir_all(&store).expect("it is removed");
    fs::rename(&backup, &store).expect("it is back");
    app.servers.nats.start_again().await;
    let end = app.log().await.end().await.expect("the log").last.0;
    until("no read model is ahead of the log", async || {
        let status = app.cli(&["projections", "status", "--json"]).await.json();
        let models = status.as_array().expect("a list").iter();
        let mut live = models.flat_map(|model| {
            model["generations"].as_array().into_iter().flatten().filter(|one| one["live"] == true)
        });
        live.all(|one| one["position"].as_u64().is_some_and(|at| at <= end)).then_some(())
    })
    .await;
    app.settle().await;
    let shown = app.cli(&["users", "show", &ann.id.to_string()]).await.ok();
    assert!(shown.contains("quokka"), "the account is back as it was: {shown}");
    let again = erase(&app, &["--list", list.to_str().expect("a path")]).await;
    assert_eq!(again[0]["user"], ann.id, "{again}");
    bob.get("/api/chat/grouplist/1").await.ok();
    app.verify().await;
    compact(&app).await;
    let left = found(app.servers.folder(), &SECRETS);
    assert!(left.is_empty(), "{left:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_gets_what_is_theirs() {
    let app = App::start().await;
    let (ann, _, _) = talk(&app).await;
    files::uploaded(&ann, "a.gif", b"GIF89a\x01\0\x01\0\0\0\0;heliotrope").await;
    let folder = app.servers.folder().join("export");
    let output = folder.to_str().expect("a path");
    let export =
        ["users", "export", &ann.username, "--output", output, "--reason", "asked", "--json"];
    let told = app.cli(&export).await.json();
    assert_eq!((&told["messages"], &told["files"]), (&json!(3), &json!(1)), "{told}");
    let read = |name: &str| fs::read_to_string(folder.join(name)).expect("it is there");
    let account: Value = serde_json::from_str(&read("account.json")).expect("JSON");
    assert_eq!(account["nickname"], "quokka");
    let messages = read("messages.ndjson");
    let (hers, his) = (messages.contains("heliotrope to all"), messages.contains("what Bob says"));
    assert!(hers && !his, "{messages}");
    let events = read("events.ndjson");
    for kind in ["user.nickname_changed.v1", "friendship.befriended.v1", "group.created.v1"] {
        assert!(events.contains(kind), "{kind} in {events}");
    }
    assert_eq!(found(&folder.join("files"), &["heliotrope"]).len(), 1);
    let tail = ["events", "tail", "--subject", "evt.operations", "--from", "1", "--count", "1"];
    let noted = app.cli(&tail).await.ok();
    assert!(noted.contains(&format!("user {}", ann.id)), "{noted}");
    let again = app.cli(&export).await;
    assert!(!again.success && again.stderr.contains("cannot make the folder"), "{again:?}");
}

/// Nothing is read as erased, or left out, because its key cannot be found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sealed_by_a_lost_key_is_an_error() {
    let app = App::start().await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let lost = say_days_ago(&app, (&ann, &bob), "heliotrope", 0).await;
    app.settle().await;
    let ops = jetstream::new(app.servers.nats.connect("ops", "opspw").await);
    let keys = ops.get_stream("KEYS").await.expect("the keys");
    let key = keys.get_last_raw_message_by_subject(&format!("key.u{}", ann.id)).await;
    keys.delete_message(key.expect("a key").sequence).await.expect("operators may");
    let log = app.log().await;
    assert!(
        matches!(log.at(lost).await, Err(LogError::Corrupt { position, .. }) if position == lost)
    );
    let mut reader = log.read_between(&["evt.chat.>"], (lost, lost)).await.expect("the log");
    let batch = reader.next_batch(10).await.expect("the log").expect("there is one");
    assert!(batch[0].as_ref().is_err_and(|unreadable| unreadable.position == lost));
    assert!(reader.next_batch(10).await.expect("the log").is_none());
}

/// A message that was sent some days ago, where messages are kept for so long only.
async fn say_days_ago(app: &App, (from, to): (&User, &User), text: &str, days: i64) -> Position {
    let [author, recipient] = [from, to].map(|user| UserId(i64::try_from(user.id).expect("an id")));
    let summary = |id| UserSummary { id, name: String::new(), avatar: String::new() };
    let sent = Sent {
        id: MessageId(Uuid::new_v4()),
        from: summary(author),
        from_uuid: Uuid::nil(),
        to: summary(recipient),
        kind: "text".to_owned(),
        data: text.to_owned(),
        options: None,
        sent_at: Timestamp(now_ms()),
    };
    let event = Event::Chat(ChatKey::of(author, recipient), ChatEvent::Sent(Arc::new(sent)));
    let mut new = NewEvent::new(event, Some(author), &Cause::own("a test"));
    new.at.0 -= days * 24 * 60 * 60 * 1000;
    app.log().await.append(&mut new, Expect::Anything).await.expect("the log takes it").position
}

/// Messages of days that are over are emptied, and only these.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_long_ago_is_emptied() {
    let app = App::configured(&[("RETENTION__MESSAGES_DAYS", "30")]).await;
    let [ann, bob] = app.friends(["ann", "bob"]).await;
    let expire = ["messages", "expire", "--reason", "as we promised", "--json"];
    let new = say_days_ago(&app, (&ann, &bob), "still here", 29).await;
    assert_eq!(app.cli(&expire).await.json()["days"], 0, "nothing is that old");
    let old = say_days_ago(&app, (&ann, &bob), "heliotrope", 32).await;
    app.settle().await;
    assert_eq!(app.cli(&expire).await.json()["days"], 1);
    for (position, text) in [(old, ""), (new, "still here")] {
        let event = app.log().await.at(position).await.expect("the log").expect("it is there");
        let Event::Chat(_, ChatEvent::Sent(sent)) = event.event else { panic!("{event:?}") };
        assert_eq!(sent.data, text);
    }
    assert_eq!(app.cli(&expire).await.json()["days"], 0, "once");
    let refused = app.cli_with(&[("RETENTION__MESSAGES_DAYS", "0")], &expire).await;
    assert!(!refused.success && refused.stderr.contains("kept for ever"), "{refused:?}");
    app.verify().await;
}
