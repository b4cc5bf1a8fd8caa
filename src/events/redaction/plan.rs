//! The plan of a redaction: which values of an event tell what about people, made of its schema.

use std::collections::BTreeMap;

use serde_json::Value;

/// What a value tells about people, as far as it matters to who may see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::events) enum Class {
    /// Nothing.
    Nothing,
    /// Who they are, by number or public identifier.
    Person,
    /// Which device, token, connection or request it was.
    Session,
    /// What they are called, say or show.
    Content,
}

impl Class {
    /// By its name in a schema; what is not known there counts as content.
    fn named(name: &str) -> Self {
        match name {
            "none" => Self::Nothing,
            "person" => Self::Person,
            "session" | "device" => Self::Session,
            _ => Self::Content,
        }
    }
}

/// What is done with a value and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::events) enum Plan {
    /// A value without parts, or one whose parts are alike.
    Whole(Class),
    /// An object. Fields that it does not name are taken out.
    Fields(BTreeMap<String, Plan>),
    /// A list of such values.
    Items(Box<Plan>),
}

impl Plan {
    /// Of a schema without references.
    pub(in crate::events) fn of(schema: &Value) -> Self {
        if let Some(class) = schema["x-personal"].as_str() {
            return Self::Whole(Class::named(class));
        }
        let ways = |key: &str| schema[key].as_array().map(Vec::as_slice).unwrap_or_default();
        let is_null = |way: &&Value| way["type"] == "null";
        if let [way] = ways("anyOf").iter().filter(|way| !is_null(way)).collect::<Vec<_>>()[..] {
            return Self::of(way);
        }
        if let Some(fields) = schema["properties"].as_object() {
            let fields = fields.iter().map(|(name, field)| (name.clone(), Self::of(field)));
            return Self::Fields(fields.collect());
        }
        if schema["items"].is_object() {
            return match Self::of(&schema["items"]) {
                whole @ Self::Whole(Class::Nothing) => whole,
                item => Self::Items(Box::new(item)),
            };
        }
        let all_nothing = |parts: &[Value]| {
            !parts.is_empty()
                && parts.iter().all(|part| Self::of(part) == Self::Whole(Class::Nothing))
        };
        let is_constant = schema.get("const").is_some() || schema.get("enum").is_some();
        if is_constant || all_nothing(ways("oneOf")) || all_nothing(ways("prefixItems")) {
            return Self::Whole(Class::Nothing);
        }
        let types = match &schema["type"] {
            Value::Array(types) => types.as_slice(),
            one => std::slice::from_ref(one),
        };
        let tells_nothing =
            |name: &Value| ["integer", "number", "boolean", "null"].iter().any(|it| name == it);
        let is_plain = types.iter().all(tells_nothing);
        Self::Whole(if is_plain { Class::Nothing } else { Class::Content })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_schema_does_not_classify_is_content() {
        let of = |schema: Value| Plan::of(&schema);
        for unknown in [
            json!({ "type": "string" }),
            json!({ "type": ["string", "null"] }),
            json!({ "type": "array" }),
            json!({ "type": "object" }),
            json!({ "x-personal": "a class of tomorrow" }),
            json!({ "anyOf": [{ "type": "integer" }, { "type": "string" }] }),
            json!({ "prefixItems": [{ "type": "integer" }, { "type": "string" }] }),
            json!(true),
            json!({}),
        ] {
            assert_eq!(of(unknown.clone()), Plan::Whole(Class::Content), "{unknown}");
        }
        for plain in [
            json!({ "type": "integer" }),
            json!({ "type": ["boolean", "null"] }),
            json!({ "type": "string", "enum": ["a", "b"] }),
            json!({ "oneOf": [{ "type": "string", "const": "a" }] }),
            json!({ "type": "array", "items": { "type": "array", "prefixItems": [{ "type": "integer" }] } }),
        ] {
            assert_eq!(of(plain.clone()), Plan::Whole(Class::Nothing), "{plain}");
        }
    }
}
