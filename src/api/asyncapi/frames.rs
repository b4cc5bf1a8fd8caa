//! Frames of the socket, each kind that ws.md names.

use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use crate::protocol::{frames::Frame, reply::Failed};

/// What clients send.
pub(super) const FROM_CLIENTS: [&str; 2] = ["ClientPing", "ClientPong"];

/// Whom a message object is from, by its `from_id`.
#[derive(Clone, Copy)]
enum From {
    User,
    /// The number 0.
    Nobody,
    /// `redirect-…`, the name of a page.
    Page(&'static str),
}

/// A kind of message object (ws.md §6): what tells it from others, and what it has beside the fields that all have.
struct Kind {
    name: &'static str,
    title: &'static str,
    section: &'static str,
    from: From,
    chat: &'static str,
    /// What a person sends has any.
    r#type: Option<&'static str>,
    also: &'static [&'static str],
}

/// In all message objects.
const ALWAYS: [&str; 13] = [
    "id",
    "from_avatar",
    "from_name",
    "from_id",
    "to_id",
    "to_name",
    "to_avatar",
    "chatType",
    "type",
    "data",
    "options",
    "create_time",
    "isremove",
];

const HINT: &[&str] = &["group", "redirect", "msgidKey"];
const NOTICE: &[&str] = &["group"];

macro_rules! kinds {
    ($($name:ident: $title:literal, $section:literal, $from:expr, $chat:literal, $type:expr, $also:expr;)+) => {
        const KINDS: &[Kind] = &[$(Kind {
            name: stringify!($name),
            title: $title,
            section: $section,
            from: $from,
            chat: $chat,
            r#type: $type,
            also: $also,
        },)+];
    };
}

kinds! {
    H1: "Start-up hint: my groups", "6.1", From::Page("groupList"), "single", Some("text"), HINT;
    H2: "Start-up hint: my address book", "6.1", From::Page("friendsList"), "single", Some("text"), HINT;
    H3: "Start-up hint: my picture", "6.1", From::Page("userInfoSet"), "single", Some("text"), HINT;
    H4: "Start-up hint: who may write to me", "6.1", From::Page("whoCanChatMe"), "single", Some("text"), HINT;
    H5: "Start-up hint: my QR code", "6.1", From::Page("myQrcode"), "single", Some("text"), HINT;
    H6: "Start-up hint: search", "6.1", From::Page("search"), "single", Some("text"), HINT;
    H7: "Start-up hint of guests: log in", "6.1", From::Page("visitorLogin"), "single", Some("text"), HINT;
    C1: "Message of a person to another", "6.2", From::User, "single", None, &["sendUUid"];
    P1: "Friend request", "6.2", From::Page("applyFriend"), "single", Some("text"), &["redirect", "msgidKey"];
    P2: "Now friends", "6.2", From::User, "single", Some("systemNotice"), &[];
    C2: "Message of a person to a group", "6.3", From::User, "group", None, &["sendUUid", "group"];
    G1: "A group was created", "6.3", From::User, "group", Some("systemNotice"), NOTICE;
    G2: "A group was renamed", "6.3", From::User, "group", Some("systemNotice"), NOTICE;
    G3: "Announcement in a group", "6.3", From::User, "group", Some("systemNotice"), NOTICE;
    G4: "Somebody joined a group", "6.3", From::Page("applyAddGroup"), "group", Some("systemNotice"), NOTICE;
    G5: "An application to a group was approved", "6.3", From::Page("applyAddGroup"), "group", Some("systemNotice"), NOTICE;
    G6: "An application to a group waits", "6.3", From::Page("applyAddGroup"), "single", Some("text"), HINT;
    G7: "A group was dissolved", "6.3", From::User, "group", Some("systemNotice"), NOTICE;
    G8: "A member left a group", "6.3", From::User, "group", Some("systemNotice"), NOTICE;
    V1: "A message was taken back", "6.3", From::User, "single or group", Some("systemNotice"), &["group", "actionType"];
    F1: "Logged in elsewhere", "6.4", From::Nobody, "single", Some("text"), &["group", "redirect", "msgidKey", "showModel"];
}

/// All of them, by name.
pub(super) fn messages(schemas: &mut SchemaGenerator) -> Map<String, Value> {
    let refusal = schemas.subschema_for::<Failed<'static>>().to_value();
    let frame = schemas.subschema_for::<Frame<'static>>().to_value();
    let of_type = |name: &str| json!({ "allOf": [frame.clone(), { "properties": { "type": { "const": name } } }] });
    let ping = json!({
        "type": "object",
        "properties": {
            "type": { "const": "ping" },
            "token": { "type": "string", "description": "Checked if it is there." },
            "timestamp": {},
        },
        "required": ["type"],
    });
    let mut all = Map::new();
    let mut add = |name: &str, title: &str, section: &str, payload: Value| {
        let summary = format!("{title} (ws.md §{section}).");
        let message =
            json!({ "name": name, "title": title, "summary": summary, "payload": payload });
        all.insert(name.to_owned(), message);
    };
    add("Refusal", "Why the socket is closed again", "2", refusal);
    add("Welcome", "The first frame", "3", of_type("system"));
    add("Heartbeat", "Every 30 s; no answer is needed", "4", of_type("ping"));
    add("Pong", "The answer to a client's ping", "8", of_type("pong"));
    for kind in KINDS {
        let payload =
            json!({ "allOf": [of_type("singleChat"), { "properties": { "data": object(kind) } }] });
        add(kind.name, kind.title, kind.section, payload);
    }
    add(
        "ClientPing",
        "A client's ping: an object, or the bare word",
        "8",
        json!({ "anyOf": [ping, { "const": "ping" }] }),
    );
    add(
        "ClientPong",
        "A client's answer to a heartbeat",
        "8",
        json!({
            "type": "object",
            "properties": { "type": { "const": "pong" } },
            "required": ["type"],
        }),
    );
    all
}

/// What a message object of this kind has.
fn object(kind: &Kind) -> Value {
    let from = match kind.from {
        From::User => json!({ "type": "integer", "minimum": 1 }),
        From::Nobody => json!({ "const": 0 }),
        From::Page(page) => {
            json!({ "type": "string", "pattern": format!("^redirect-{page}[-0-9]+$") })
        }
    };
    let chats: Vec<&str> = kind.chat.split(" or ").collect();
    let mut properties = json!({ "from_id": from, "chatType": { "enum": chats } });
    if let Some(name) = kind.r#type {
        properties["type"] = json!({ "const": name });
    }
    let required = [&ALWAYS, kind.also].concat();
    json!({ "properties": properties, "required": required })
}
