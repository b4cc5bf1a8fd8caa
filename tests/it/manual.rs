//! The manuals (`docs/operate.md`, `docs/analyse.md`): every command that they show runs as it is written, with the ids,
//! names and moments of a story in the place of theirs.

use std::{collections::BTreeSet, fs};

use serde_json::{Value, json};

use crate::support::{App, python::in_tree};

/// A command of a manual without its comment, and what is run for it: the input, and the arguments, in which a word in
/// braces is one of the story's.
type Shown = (&'static str, &'static [(&'static str, &'static str)]);

const SHOWN: &[Shown] = &[
    ("projections status", &[("", "projections status")]),
    (
        "projections verify [NAME…]",
        &[("", "projections verify"), ("", "projections verify sessions")],
    ),
    (
        "projections rebuild NAME… | --all",
        &[("", "projections rebuild sessions"), ("", "projections rebuild --all")],
    ),
    ("projections switch NAME GENERATION", &[("", "projections switch sessions {generation}")]),
    ("projections skip NAME POSITION [--reason WHY]", &[]), // `operating` has an event that cannot be applied
    (
        "secrets accept token-secret | password-pepper",
        &[("", "secrets accept token-secret"), ("", "secrets accept password-pepper")],
    ),
    (
        "events tail [--subject evt.chat.3.9.*] [--from POSITION] [--count N]",
        &[("", "events tail --subject evt.chat.{pair}.* --from {position} --count 1")],
    ),
    ("events show POSITION", &[("", "events show {position}")]),
    ("events stats", &[("", "events stats")]),
    (
        "events export [--output FILE]",
        &[("", "events export"), ("", "events export --output {file}")],
    ),
    ("events export --output events.ndjson", &[("", "events export --output {file}")]),
    ("events schema [TYPE]", &[("", "events schema"), ("", "events schema message.sent.v1")]),
    ("events asyncapi", &[("", "events asyncapi")]),
    (
        "complaints list [--open] | show ID",
        &[("", "complaints list --open"), ("", "complaints show {complaint}")],
    ),
    ("complaints close ID [--note TEXT]", &[("", "complaints close {complaint} --note warned")]),
    (
        "users list [--search TEXT] [--disabled]",
        &[("", "users list --search ann"), ("", "users list --disabled")],
    ),
    (
        "users show | disable | enable USER",
        &[("", "users show {cat}"), ("", "users disable {cat}"), ("", "users enable {cat}")],
    ),
    ("users export USER --output FOLDER", &[("", "users export {dan} --output {folder}")]),
    ("users erase USER", &[("", "users erase {dan}")]),
    ("users erase --pending", &[("", "users erase --pending")]),
    ("users erasures > erasures.ndjson", &[("", "users erasures")]),
    ("users erase --list erasures.ndjson", &[("", "users erase --list {list}")]),
    ("messages expire", &[("", "messages expire")]),
    ("users set-password USER", &[("anotherpassword1\n", "users set-password {cat}")]),
    (
        "groups list [--search TEXT] | show ID",
        &[("", "groups list --search ann"), ("", "groups show {group}")],
    ),
    ("groups remove-member GROUP USER", &[("", "groups remove-member {group} {cat}")]),
    ("groups dissolve ID", &[("", "groups dissolve {group}")]),
    ("messages show ID", &[("", "messages show {message}")]),
    ("messages revoke ID", &[("", "messages revoke {message}")]),
    ("state user 3 --at 2026-11-29T12:00", &[("", "state user {ann} --at {moment}")]),
    ("state friendship 3.9 --at 1004", &[("", "state friendship {pair} --at {position}")]),
    ("state group 33", &[("", "state group {group}")]),
    ("history user 3", &[("", "history user {ann}")]),
    (
        "history chat 3.9 --from 2026-11-29T08:00+08:00 --to 2026-11-29T12:00+08:00 --limit 1000",
        &[("", "history chat {pair} --from 2026-11-29T08:00+08:00 --to {moment} --limit 1000")],
    ),
    ("explain MESSAGE", &[("", "explain {message}")]),
    ("explain MESSAGE --user cat_0003", &[("", "explain {message} --user {bob}")]),
    (
        "explain --from ann --user bob [--at TIME]",
        &[
            ("", "explain --from {ann} --user {bob}"),
            ("", "explain --from {ann} --user {bob} --at {moment}"),
        ],
    ),
    ("explain --batch < lines", &[("{message}\n{message} {bob}\n", "explain --batch")]),
];

#[tokio::test]
async fn every_command_runs_as_the_manuals_show_it() {
    let shown: BTreeSet<String> = ["docs/operate.md", "docs/analyse.md"]
        .iter()
        .flat_map(|manual| commands(&fs::read_to_string(in_tree(manual)).expect("a manual")))
        .collect();
    let known: BTreeSet<String> = SHOWN.iter().map(|(shown, _)| (*shown).to_owned()).collect();
    assert_eq!(shown, known, "a command that the manuals show is run here, and no other");

    let app = App::configured(&[("RETENTION__MESSAGES_DAYS", "30")]).await;
    let [ann, bob, cat] = app.friends(["ann", "bob", "cat"]).await;
    let dan = app.register("dan").await;
    let group = app.group(&ann, &[&bob, &cat]).await;
    let message = ann.send(&bob, "hello").await.ok()["id"].as_str().expect("an id").to_owned();
    let about = json!({ "target_id": bob.id, "target_type": "single", "target_name": "bob",
        "reason": "noise", "content": "each day" });
    let complaint = ann.post("/api/chat/complaint/create", about).await;
    app.settle().await;
    let position = last_message(&app).await;
    let event = app.cli(&["events", "show", &position, "--json"]).await.json();
    app.cli(&["projections", "rebuild", "sessions"]).await.ok();
    let kept = app.generations("sessions").await;
    let kept = kept.iter().find(|one| one["live"] == false).expect("the one before");
    let folder = tempfile::tempdir().expect("a folder");
    let list = folder.path().join("erasures.ndjson");
    fs::write(&list, "").expect("it is written");
    let story = [
        ("{ann}", ann.username.clone()),
        ("{bob}", bob.username.clone()),
        ("{cat}", cat.username.clone()),
        ("{pair}", format!("{}.{}", ann.id.min(bob.id), ann.id.max(bob.id))),
        ("{group}", group.id.to_string()),
        ("{message}", message),
        ("{complaint}", complaint.body["data"]["id"].to_string()),
        ("{position}", position),
        ("{moment}", event["time"].as_str().expect("a time").to_owned()),
        ("{generation}", kept["generation"].to_string()),
        ("{dan}", dan.username.clone()),
        ("{folder}", folder.path().join("export").display().to_string()),
        ("{list}", list.display().to_string()),
        ("{file}", folder.path().join("events.ndjson").display().to_string()),
    ];
    let of_story = |text: &str| {
        story.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    };
    // First what changes nothing, then what does.
    let changes = |arguments: &str| {
        [
            "switch",
            "rebuild",
            "close",
            "disable",
            "enable",
            "set-password",
            "remove-member",
            "dissolve",
            "revoke",
            "erase",
            "expire",
        ]
        .iter()
        .position(|word| arguments.split(' ').any(|it| it == *word))
    };
    let mut runs: Vec<&(&str, &str)> = SHOWN.iter().flat_map(|(_, runs)| *runs).collect();
    runs.sort_by_key(|(_, arguments)| changes(arguments));
    for (input, arguments) in runs {
        let arguments = of_story(arguments);
        let words: Vec<&str> = arguments.split(' ').collect();
        let ran = app.cli_told(&words, &of_story(input)).await;
        assert!(ran.success, "hongyan {arguments}: {ran:?}");
    }
    app.verify().await;
}

/// The commands of a manual's listings, without comments.
fn commands(manual: &str) -> Vec<String> {
    let listings = manual.split("```bash\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines = listings.flat_map(str::lines).filter_map(|line| line.strip_prefix("hongyan "));
    lines.map(|line| line.split(" #").next().unwrap_or(line).trim().to_owned()).collect()
}

/// Where the last message between two people is.
async fn last_message(app: &App) -> String {
    let stats = app.cli(&["events", "stats", "--json"]).await.json();
    let end = stats["last"].as_u64().expect("a position");
    for position in (1..=end).rev() {
        let event: Value =
            app.cli(&["events", "show", &position.to_string(), "--json"]).await.json();
        if event["type"] == "message.sent.v1" {
            return position.to_string();
        }
    }
    panic!("there is a message");
}
