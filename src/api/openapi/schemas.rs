//! Schemas as clients need them: without what only Rust knows, such as the width of an integer.

use schemars::Schema;
use serde_json::{Value, json};

/// Makes one schema simpler, and exact: an object has the members that it tells of and no others.
pub(super) fn simplify(schema: &mut Schema) {
    schema.remove("x-personal"); // whoever calls the routes sees all of it
    if schema.get("format").and_then(Value::as_str).is_some_and(is_width) {
        for key in ["format", "minimum", "maximum"] {
            schema.remove(key);
        }
    }
    if let Some(texts) = schema.get("oneOf").and_then(texts) {
        schema.remove("oneOf");
        schema.insert("type".into(), json!("string"));
        schema.insert("enum".into(), json!(texts));
    }
    let required = schema.get("required").cloned().unwrap_or_default();
    let required = |name: &str| required.as_array().is_some_and(|all| all.contains(&json!(name)));
    let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
    for (name, property) in properties {
        if *property == true {
            *property = json!({}); // the same, for tools that know objects alone
        }
        if !required(name) {
            not_null(property);
        }
    }
    if schema.get("additionalProperties").is_none() {
        schema.insert("additionalProperties".into(), json!(false));
    }
}

/// `uint8`: nothing that holds of what is sent.
fn is_width(format: &str) -> bool {
    format.starts_with("int") || format.starts_with("uint")
}

/// The texts of an enumeration whose variants are documented.
fn texts(ways: &Value) -> Option<Vec<Value>> {
    ways.as_array()?.iter().map(|way| way.get("const").cloned()).collect()
}

/// What may be missing is never `null`. What may be both says `oneOf`.
fn not_null(property: &mut Value) {
    let Some(schema) = property.as_object_mut() else { return };
    if let Some([kind, Value::String(null)]) = schema.get("type").and_then(array)
        && null == "null"
    {
        let kind = kind.clone();
        schema.insert("type".into(), kind);
    }
    if let Some([Value::Object(way), null]) = schema.get("anyOf").and_then(array)
        && *null == json!({ "type": "null" })
    {
        let mut way = way.clone();
        way.extend(schema.get("description").cloned().map(|told| ("description".to_owned(), told)));
        *schema = way;
    }
}

fn array(value: &Value) -> Option<&[Value]> {
    value.as_array().map(Vec::as_slice)
}
