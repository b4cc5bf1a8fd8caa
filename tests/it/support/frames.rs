//! The AsyncAPI document, and every frame of every story held against it.

use std::sync::LazyLock;

use hongyan::api::asyncapi;
use jsonschema::Validator;
use serde_json::{Value, json};

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| asyncapi::document("http://127.0.0.1"));

static MESSAGES: LazyLock<Vec<(&'static str, Validator)>> = LazyLock::new(|| {
    let messages = DOCUMENT["channels"]["socket"]["messages"].as_object().expect("an object");
    let of_message = |name: &'static String| {
        let payload = format!("#/components/messages/{name}/payload");
        let schema = json!({ "$ref": payload, "components": DOCUMENT["components"] });
        let validator =
            jsonschema::draft7::new(&schema).expect("the document's schemas are schemas");
        (name.as_str(), validator)
    };
    messages.keys().map(of_message).collect()
});

/// The whole document.
pub fn document() -> &'static Value {
    &DOCUMENT
}

/// The messages that a frame may be, by their names in the document.
pub fn kinds(frame: &Value) -> Vec<&'static str> {
    let fitting = MESSAGES.iter().filter(|(_, validator)| validator.is_valid(frame));
    fitting.map(|(name, _)| *name).collect()
}

/// Insists that the document tells of this frame.
pub fn check(frame: &Value) {
    let known = MESSAGES.iter().any(|(_, validator)| validator.is_valid(frame));
    assert!(known, "the document tells of no such frame: {frame}");
}
