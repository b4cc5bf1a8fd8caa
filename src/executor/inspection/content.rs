//! The content of events and states: what people say and what is nobody's business but theirs, which operators are
//! shown only if they say why.

use serde_json::{Value, json};

use crate::events::{Event, Recorded};

/// Fields of events and states that are content, at any depth: what messages, requests, announcements, remarks,
/// complaints and quick replies say, where uploads are, and the fingerprint that a guest's device logs in by.
const FIELDS: &[&str] = &[
    "data",
    "options",
    "text",
    "remark",
    "statement",
    "note",
    "ask",
    "answer",
    "path",
    "fingerprint",
];

/// Answers to a request are one of these: no content, though the field is called like one.
const NO_CONTENT: &[&str] = &["agree", "refuse", "ignore"];

/// Is content shown?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Only how long it is.
    Hidden,
    /// As it is; the log says who looked.
    Shown,
}

impl Content {
    /// Puts the length of content in its place, unless it is shown.
    pub(super) fn apply(self, shown: &mut Value) {
        if self == Self::Hidden {
            hide(shown);
        }
    }

    /// An event, with its content or without.
    pub(super) fn describe(self, recorded: &Recorded<Event>) -> Value {
        let mut shown = described(recorded);
        self.apply(&mut shown["data"]);
        shown
    }
}

fn hide(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if FIELDS.contains(&name.as_str()) {
                    withhold(field);
                } else {
                    hide(field);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide),
        _ => {}
    }
}

fn withhold(field: &mut Value) {
    let length = match &*field {
        Value::Null => return,
        Value::String(text) if NO_CONTENT.contains(&text.as_str()) => return,
        Value::String(text) => text.chars().count(),
        other => other.to_string().chars().count(),
    };
    *field = json!({ "hidden_characters": length });
}

/// An event and what led to it, as operators see it.
pub fn described(recorded: &Recorded<Event>) -> Value {
    let body: Value = serde_json::from_slice(&recorded.event.encode()).unwrap_or_default();
    let operator = recorded.cause.operator.as_ref();
    json!({
        "position": recorded.position,
        "id": recorded.id,
        "time": recorded.at.iso_text(),
        "stored": recorded.stored_at.iso_text(),
        "subject": recorded.subject().to_string(),
        "type": body["type"],
        "actor": recorded.actor,
        "cause": recorded.cause.request,
        "traceparent": recorded.cause.trace,
        "operator": operator.map(|operator| &operator.name),
        "reason": operator.map(|operator| &operator.reason),
        "data": body["data"],
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The names of the fields that hold a text which is left.
    fn left(value: &Value, name: &str, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                fields.iter().for_each(|(name, field)| left(field, name, found));
            }
            Value::Array(items) => items.iter().for_each(|item| left(item, name, found)),
            Value::String(_) => _ = found.insert(name.to_owned()),
            _ => {}
        }
    }

    const PLAIN: &[&str] = &[
        "aggregate",
        "answer", // to a friend request
        "avatar",
        "brand",
        "change",
        "connection",
        "from_uuid",
        "icon",
        "id",
        "kept",
        "kind",
        "media_type",
        "message",
        "model",
        "name",
        "nickname",
        "node",
        "notice",
        "os",
        "place",
        "projection",
        "reason", // of a disconnect, or an operator's
        "role",
        "sha256",
        "token",
        "uniplatform",
        "username",
        "userset",
        "uuid",
    ];

    /// A text in an event is content, or here: names, pictures, ids, kinds, and settings that rules read. Whoever adds
    /// a field to an event decides.
    #[test]
    fn every_text_of_an_event_is_content_or_known_to_be_none() {
        let mut found = BTreeSet::new();
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/events");
        for file in std::fs::read_dir(golden).expect("golden events").flatten() {
            let text = std::fs::read_to_string(file.path()).expect("a file");
            let samples: Value = serde_json::from_str(&text).expect("JSON");
            let samples = samples.as_array().cloned().unwrap_or_else(|| vec![samples]);
            for mut sample in samples {
                let data = &mut sample["body"]["data"];
                Content::Hidden.apply(data);
                left(data, "", &mut found);
            }
        }
        let strange: Vec<_> = found.iter().filter(|name| !PLAIN.contains(&&***name)).collect();
        assert!(strange.is_empty(), "content or not? {strange:?}");
    }

    #[test]
    fn content_is_told_by_its_length() {
        let mut shown = json!({
            "kind": "text", "data": "你好", "options": {"a": [1]}, "edges": [{"remark": "", "owner": 3}],
            "answer": "agree", "statement": {"reason": "spam"}, "text": null,
        });
        Content::Shown.apply(&mut shown);
        assert_eq!(shown["data"], "你好");
        Content::Hidden.apply(&mut shown);
        let hidden = |length: usize| json!({ "hidden_characters": length });
        assert_eq!(
            shown,
            json!({
                "kind": "text", "data": hidden(2), "options": hidden(9),
                "edges": [{"remark": hidden(0), "owner": 3}], "answer": "agree",
                "statement": hidden(17), "text": null,
            })
        );
    }
}
