//! Examples of answers, made of their schemas, so that nobody keeps a second copy of either.

use serde_json::{Map, Value, json};

/// What a text of this name looks like.
const TEXTS: &[(&str, &str)] = &[
    ("ask", "When are you open?"),
    ("answer", "From nine to five"),
    ("avatar", "https://h/6.png"),
    ("base64", "data:image/png;base64,iVBORw0KGgo…"),
    ("data", r#"{"data":"hello","dataType":false,"otherData":null}"#),
    ("friend_nickname", "Tom"),
    ("from_avatar", "https://h/6.png"),
    ("from_name", "six"),
    ("gender", "unknown"),
    ("name", "Tea club"),
    ("nickname", "Tom"),
    ("path", "images/20250924/1758692400000_20f90b51544f.png"),
    ("reason", "spam"),
    ("status", "pending"),
    ("target_name", "Tea club"),
    ("title", "H"),
    ("to_avatar", "https://h/10.png"),
    ("to_name", "ten"),
    ("token", "eyJ…"),
    ("type", "text"),
    ("url", "/public/uploads/Diy/chatImgs/20250924/1758692400000_48213377.png"),
    ("username", "alice_01"),
];

/// Adds one to each successful answer in JSON.
pub(super) fn add(paths: &mut Map<String, Value>, schemas: &Map<String, Value>) {
    let operations = paths.values_mut().filter_map(Value::as_object_mut).flatten();
    for (_, operation) in operations {
        let Some(response) = operation.pointer_mut("/responses/200") else { continue };
        let told = response.get("x-texts").and_then(|texts| texts.get(0)).cloned();
        let Some(media) = response.pointer_mut("/content/application~1json") else { continue };
        let mut shown = example(&media["schema"], schemas);
        if let Some(told) = told {
            shown["msg"] = told;
        }
        media["example"] = shown;
    }
}

fn example(schema: &Value, schemas: &Map<String, Value>) -> Value {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return schemas.get(name).map_or(Value::Null, |schema| example(schema, schemas));
    }
    for one in ["examples", "enum"] {
        if let Some(first) = schema[one].get(0) {
            return first.clone();
        }
    }
    for ways in ["anyOf", "oneOf"] {
        if let Some(first) = schema[ways].get(0) {
            return example(first, schemas);
        }
    }
    if let Some(only) = schema.get("const") {
        return only.clone();
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
    match kind.unwrap_or_default() {
        "object" => {
            let fields = schema["properties"].as_object().into_iter().flatten();
            fields.map(|(name, field)| (name.clone(), named(name, field, schemas))).collect()
        }
        "array" if schema["maxItems"] == 0 => json!([]),
        "array" => json!([example(&schema["items"], schemas)]),
        "string" if schema["format"] == "uuid" => json!("be047323-c8e3-4305-b014-3d8c7d24f300"),
        "string" => json!("…"),
        "integer" | "number" => json!(1),
        "boolean" => json!(true),
        _ => Value::Null,
    }
}

/// A text that is a time looks like one, and what may be missing is.
fn named(name: &str, field: &Value, schemas: &Map<String, Value>) -> Value {
    let is_text = field["type"] == "string" && field["format"].is_null();
    match name {
        "create_time" if is_text => json!("2025-09-24 13:33:54"),
        "update_time" | "last_login" | "register_time" if is_text => {
            json!("2025-09-24T05:33:54.000Z")
        }
        "create_time" | "timestamp" if field["type"] == "integer" => {
            json!(1_758_692_034_000_i64)
        }
        "code" => json!(200),
        "options" => json!({}),
        _ if is_text && TEXTS.iter().any(|(known, _)| *known == name) => {
            let text = TEXTS.iter().find(|(known, _)| *known == name);
            text.map_or(Value::Null, |(_, text)| json!(text))
        }
        _ if field["type"][1] == "null" => Value::Null,
        _ => example(field, schemas),
    }
}
