//! Moderation (`docs/operate.md`): what operators do about complaints, accounts, groups and messages. Each change names
//! who decided it and why.

use serde_json::{Value, json};

use crate::support::{App, User, text_of};

const BY: [&str; 4] = ["--as", "鸿 moderator", "--reason", "垃圾广告, again"];

/// A command that changes something, with who and why.
async fn act(app: &App, command: &[&str]) -> Value {
    app.cli(&[command, &BY, &["--json"]].concat()).await.json()
}

/// The last event on a subject.
async fn last_event(app: &App, subject: &str) -> Value {
    let context = async_nats::jetstream::new(app.servers.nats.connect("ops", "opspw").await);
    let stream = context.get_stream("EVENTS").await.expect("the log is there");
    let last = stream.get_last_raw_message_by_subject(subject).await.expect("it has events");
    event_of(app, &json!({ "position": last.sequence })).await
}

#[track_caller]
fn decided(event: &Value, kind: &str, command: &str) {
    let found = ["type", "operator", "reason", "cause", "actor"].map(|name| event[name].clone());
    assert_eq!(found, [json!(kind), json!(BY[1]), json!(BY[3]), json!(command), Value::Null]);
}

/// The event that a command says it appended.
async fn event_of(app: &App, told: &Value) -> Value {
    app.cli(&["events", "show", &told["position"].to_string(), "--json"]).await.json()
}

#[tokio::test]
async fn a_complaint_is_closed_to_its_author() {
    let app = App::start().await;
    let [ann, bob] = app.users(["ann", "bob"]).await;
    let mut ids = Vec::new();
    for name in ["bob", "\u{1b}[2Jbob\u{202e}\n"] {
        let about = json!({ "target_id": bob.id, "target_type": "single", "target_name": name,
            "reason": name, "content": "each day" });
        let filed = ann.post("/api/chat/complaint/create", about).await;
        ids.push(filed.body["data"]["id"].as_u64().expect("a number"));
    }
    let list = app.cli(&["complaints", "list", "--json"]).await.json();
    let listed = list.as_array().expect("a list").iter().map(|row| row["id"].as_u64());
    assert!(listed.eq([Some(ids[1]), Some(ids[0])]), "the newest first: {list}");
    let part = ["complaints", "list", "--limit", "1", "--json"];
    assert_eq!(app.cli(&part).await.json()[0], list[0]);
    let last = ids[1].to_string();
    let after = [&part[..], &["--after", &last]].concat();
    assert_eq!(app.cli(&after).await.json(), json!([list[1]]));
    // Whatever people are called, it moves no cursor.
    for arguments in [&["complaints", "list"][..], &["complaints", "show", &ids[1].to_string()]] {
        let printed = app.cli(arguments).await.ok();
        assert!(printed.contains("\\u001b[2Jbob\\u202e\\n"), "{printed}");
        assert!(!printed.contains(['\u{1b}', '\u{202e}']), "{printed:?}");
    }

    let id = ids[0].to_string();
    let closed = act(&app, &["complaints", "close", &id, "--note", "warned"]).await;
    assert_eq!(closed["status"], 1);
    decided(&event_of(&app, &closed).await, "complaint.closed.v1", "hongyan complaints close");
    let shown = app.cli(&["complaints", "show", &id, "--json"]).await.json();
    assert_eq!((&shown["status"], &shown["note"]), (&json!(1), &json!("warned")));
    let seen = ann.get(&format!("/api/chat/complaint/detail/{id}")).await;
    assert_eq!(seen.body["data"]["status"], 1);
    let update = json!({ "content": "each hour" });
    let refused = ann.post(&format!("/api/chat/complaint/update/{id}"), update).await;
    assert_eq!((refused.status, &refused.body["msg"]), (400, &json!("投诉已处理，无法修改")));
    let again = app.cli(&["complaints", "close", &id]).await;
    assert!(!again.success && again.stderr.contains("is closed"), "{again:?}");
    let open = app.cli(&["complaints", "list", "--open", "--json"]).await.json();
    assert_eq!(open, json!([list[0]]));
    let unknown = app.cli(&["complaints", "close", "77"]).await;
    assert!(!unknown.success && unknown.stderr.contains("there is no complaint 77"), "{unknown:?}");
    app.verify().await;
}

#[tokio::test]
async fn accounts_are_found_and_shut_by_somebody_for_a_reason() {
    let app = App::start().await;
    let [ann, bob] = [app.register("ann").await, app.register("bob").await];
    let cat = app.register("Ann%").await;
    let list = async |arguments: &[&str]| -> Vec<u64> {
        let command = [&["users", "list", "--json"], arguments].concat();
        let rows = app.cli(&command).await.json();
        let rows = rows.as_array().expect("a list").iter();
        rows.map(|row| row["id"].as_u64().expect("an id")).collect()
    };
    assert_eq!(list(&[]).await, [ann.id, bob.id, cat.id]);
    assert_eq!(list(&["--search", "aNN"]).await, [ann.id, cat.id]);
    assert_eq!(list(&["--search", "%"]).await, [cat.id], "an ordinary character");
    assert_eq!(list(&["--limit", "1", "--after", &ann.id.to_string()]).await, [bob.id]);
    assert_eq!(list(&["--disabled"]).await, [0_u64; 0]);

    let disabled = act(&app, &["users", "disable", &bob.username]).await;
    decided(&event_of(&app, &disabled).await, "user.disabled.v1", "hongyan users disable");
    assert_eq!(list(&["--disabled"]).await, [bob.id]);
    // Without a name it is the account's that runs the command.
    let enabled = app.cli(&["users", "enable", &bob.username, "--json"]).await.json();
    let event = event_of(&app, &enabled).await;
    let me = std::process::Command::new("id").arg("-un").output().expect("`id` is there").stdout;
    assert_eq!(event["operator"], String::from_utf8_lossy(&me).trim());
    assert_eq!(event["reason"], "");
    let many = app.cli(&["users", "enable", &bob.username, "--as", "a\nb"]).await;
    assert!(!many.success && many.stderr.contains("an operator's name"), "{many:?}");

    let password = [&["users", "set-password", &ann.username][..], &BY].concat();
    app.cli_told(&password, "another one").await.ok();
    let event = last_event(&app, &format!("evt.user.{}", ann.id)).await;
    decided(&event, "user.password_changed.v1", "hongyan users set-password");
}

#[tokio::test]
async fn a_group_is_dissolved_and_a_member_put_out() {
    let app = App::start().await;
    let [ann, bob, eve] = app.users(["ann", "bob", "eve"]).await;
    let group = app.group(&ann, &[&bob, &eve]).await;
    let id = group.id.to_string();
    let mut sockets = [ann.listen().await, bob.listen().await];
    let name = app.cli(&["groups", "show", &id, "--json"]).await.json()["name"].clone();
    let name = name.as_str().expect("a name");
    for search in [&name[..4], &name[..4].to_uppercase()] {
        let found = app.cli(&["groups", "list", "--search", search, "--json"]).await.json();
        assert_eq!((&found[0]["id"], &found[0]["owner"]), (&json!(group.id), &json!(ann.id)));
    }
    let nothing = app.cli(&["groups", "list", "--search", "%", "--json"]).await.json();
    assert_eq!(nothing, json!([]), "an ordinary character");

    let told = act(&app, &["groups", "remove-member", &id, &eve.username]).await;
    assert_eq!(told["removed"], true);
    let event = event_of(&app, &told).await;
    decided(&event, "group.member_removed.v1", "hongyan groups remove-member");
    eve.say(group, "still here").await.failed(400);
    assert_eq!(bob.roster(group).await, [ann.id, bob.id]);
    let again = act(&app, &["groups", "remove-member", &id, &eve.username]).await;
    assert_eq!(again["removed"], false);
    let owner = app.cli(&["groups", "remove-member", &id, &ann.username]).await;
    assert!(!owner.success && owner.stderr.contains("the owner stays"), "{owner:?}");
    let shown = app.cli(&["groups", "show", &id, "--json"]).await.json();
    assert_eq!((&shown["dissolved"], &shown["member_count"]), (&json!(false), &json!(2)));
    assert_eq!(shown["members"][1]["username"], bob.username);

    let told = act(&app, &["groups", "dissolve", &id]).await;
    decided(&event_of(&app, &told).await, "group.dissolved.v1", "hongyan groups dissolve");
    for socket in &mut sockets {
        let push = socket.next_push().await; // G7, as if the owner had left
        assert_eq!((&push["from_id"], &push["to_id"]), (&json!(ann.id), &json!(group.id)));
        assert!(text_of(&push).ends_with("解散了该群"), "{push}");
    }
    assert!(ann.groups().await.is_empty());
    bob.say(group, "anybody?").await.failed(400);
    let shown = app.cli(&["groups", "show", &id, "--json"]).await.json();
    assert_eq!(shown["dissolved"], true);
    let again = app.cli(&["groups", "dissolve", &id]).await;
    assert!(!again.success && again.stderr.contains("there is no group"), "{again:?}");
    app.verify().await;
}

#[tokio::test]
async fn a_message_is_revoked_for_its_recipients() {
    let app = App::start().await;
    let [ann, bob, eve] = app.friends(["ann", "bob", "eve"]).await;
    let group = app.group(&ann, &[&bob, &eve]).await;
    let mut socket = bob.listen().await;
    let mut authors = ann.listen().await;
    eve.listen().await.close().await;

    let message = ann.send(&bob, "buy this").await.ok();
    assert_eq!(socket.next_text().await, "buy this");
    let id = message["id"].as_str().expect("an id");
    let shown = app.cli(&["messages", "show", id, "--json"]).await.json();
    assert_eq!((&shown["from"]["id"], &shown["to"]["id"]), (&json!(ann.id), &json!(bob.id)));
    assert!(shown["data"].as_str().expect("a text").contains("buy this"), "{shown}");
    assert_eq!((&shown["chat_type"], &shown["revoked"]), (&json!("single"), &json!(false)));
    for _ in 0..2 {
        let told = act(&app, &["messages", "revoke", id]).await;
        assert_eq!(told, json!({ "id": id, "revoked": true }));
    }
    let push = socket.next_push().await; // V1
    assert_eq!((&push["id"], &push["actionType"]), (&message["id"], &json!("revoke")));
    assert_eq!(text_of(&push), format!("{}撤回了一条消息", ann.username));
    socket.is_silent().await;
    let chat = pair_subject(&ann, &bob);
    let event = last_event(&app, &chat).await;
    decided(&event, "message.revoked.v1", "hongyan messages revoke");
    let shown = app.cli(&["messages", "show", id, "--json"]).await.json();
    assert_eq!((&shown["revoked"], &shown["data"]), (&json!(true), &Value::Null));

    // In a group everybody is told, the author too, and who is away when they come back.
    let message = ann.say(group, "buy that").await.ok();
    assert_eq!(socket.next_text().await, "buy that");
    act(&app, &["messages", "revoke", message["id"].as_str().expect("an id")]).await;
    let mut late = eve.connect().await;
    eve.drain().await;
    assert_eq!(late.next_text().await, "buy that", "unchanged (ws.md §7.3)");
    for socket in [&mut socket, &mut authors, &mut late] {
        let push = socket.next_push().await;
        let found = (&push["id"], &push["actionType"], &push["to_id"]);
        assert_eq!(found, (&message["id"], &json!("revoke"), &json!(group.id)));
        assert_eq!(text_of(&push), format!("{} 撤回了一条消息", ann.username));
    }
    let unknown = "10d0c78a-0133-4be8-9b18-879f9682b246";
    let unknown = app.cli(&["messages", "revoke", unknown]).await;
    assert!(!unknown.success && unknown.stderr.contains("there is no message"), "{unknown:?}");
    app.verify().await;
}

fn pair_subject(from: &User, to: &User) -> String {
    let (lo, hi) = (from.id.min(to.id), from.id.max(to.id));
    format!("evt.chat.{lo}.{hi}.{}", from.id)
}
