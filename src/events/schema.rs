//! Schemas of events: a JSON Schema (2020-12) per type and version, made of the types that are read and written.
//!
//! `x-personal` says what a text, or anything that is passed through, tells about people; so does every id of a person.
//! `x-of` says whose it is, where that is not whom the object around it is about, or who did it (ADR 0038).
//! It is what `docs/events/` shows and what decides which of it leaves the service (`analytics.content`).

use std::{borrow::Cow, collections::BTreeMap};

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Value, json};

use super::{
    AggregateKind,
    ids::{
        ComplaintId, ConnectionId, EdgeId, GroupId, MembershipId, MessageId, NodeId, Position,
        QuickReplyId, RequestId, TokenId, UserId,
    },
    values::{ChatKind, Role, Timestamp, Username},
};

/// The schema of one type of event.
#[derive(Debug, Clone)]
pub struct EventSchema {
    /// Of which aggregates it is.
    pub aggregate: &'static AggregateKind,
    /// JSON Schema of the body, `{"type": …, "data": …}`.
    pub schema: Value,
}

/// The schemas of all events, by type: `message.sent.v1`.
pub fn schemas() -> BTreeMap<String, EventSchema> {
    let mut all = by(SchemaSettings::draft2020_12);
    for (name, found) in &mut all {
        let fields = found.schema.as_object_mut().expect("a schema of an object");
        let rest = std::mem::take(fields);
        fields.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
        fields.insert("$id".into(), json!(format!("urn:hongyan:event:{name}")));
        fields.extend(rest);
    }
    all
}

/// The same for those who know draft 07 alone.
pub fn schemas_of_draft_07() -> BTreeMap<String, EventSchema> {
    by(SchemaSettings::draft07)
}

fn by(draft: fn() -> SchemaSettings) -> BTreeMap<String, EventSchema> {
    let mut all = BTreeMap::new();
    for aggregate in AggregateKind::ALL {
        // A reader of the log meets what older versions wrote, so what has a default may be missing.
        let settings = draft().for_deserialize().with(|settings| settings.inline_subschemas = true);
        let mut of_kind = (aggregate.schema)(&mut settings.into_generator()).to_value();
        let Value::Array(types) = of_kind["oneOf"].take() else {
            unreachable!("events are enums with data beside the type")
        };
        for mut schema in types {
            let name = schema["properties"]["type"]["const"].as_str().expect("a type has a name");
            let name = name.to_owned();
            let (about, rest) = (schema["description"].take(), schema);
            let mut schema = json!({ "title": name, "description": about });
            let fields = schema.as_object_mut().expect("an object");
            for (key, value) in rest.as_object().expect("a schema of an object") {
                fields.entry(key).or_insert_with(|| value.clone());
            }
            all.insert(name, EventSchema { aggregate, schema });
        }
    }
    all
}

macro_rules! schemas {
    ($($type:ident: $schema:tt,)*) => {$(
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

schemas! {
    UserId: { "type": "integer", "x-personal": "person" },
    EdgeId: { "type": "integer" },
    RequestId: { "type": "integer" },
    GroupId: { "type": "integer" },
    MembershipId: { "type": "integer" },
    QuickReplyId: { "type": "integer" },
    ComplaintId: { "type": "integer" },
    Position: { "type": "integer", "minimum": 0 },
    Timestamp: { "type": "integer" },
    MessageId: { "type": "string", "format": "uuid", "x-personal": "none" },
    NodeId: { "type": "string", "format": "uuid", "x-personal": "none" },
    ConnectionId: { "type": "string", "format": "uuid", "x-personal": "session" },
    TokenId: { "type": "string", "format": "uuid", "x-personal": "session" },
    Username: { "type": "string", "x-personal": "name" },
    ChatKind: { "type": "string", "enum": ["single", "group"] },
    Role: { "type": "string", "enum": ["user", "visitor"] },
}
