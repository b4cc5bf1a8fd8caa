//! What an answer looks like: an example, and the schema that it implies.

use serde_json::{Map, Value, json};

/// An example with its schema.
#[derive(Debug, Clone)]
pub struct Shape {
    /// What the document shows.
    pub example: Value,
    /// What holds of every answer.
    pub schema: Value,
}

/// The shape of everything that is like `example`: the same keys with values of the same types. `null` stands for a
/// text that may be missing.
pub fn like(example: Value) -> Shape {
    Shape { schema: schema_of(&example), example }
}

/// One of a few texts.
pub fn texts(texts: &[&str]) -> Shape {
    Shape { example: json!(texts[0]), schema: json!({ "enum": texts }) }
}

fn schema_of(example: &Value) -> Value {
    match example {
        Value::Null => json!({ "type": ["string", "null"] }),
        Value::Bool(_) => json!({ "type": "boolean" }),
        Value::Number(_) => json!({ "type": "integer" }),
        Value::String(_) => json!({ "type": "string" }),
        Value::Array(items) => match items.first() {
            Some(item) => json!({ "type": "array", "items": schema_of(item) }),
            None => json!({ "type": "array" }),
        },
        Value::Object(fields) => {
            let keys: Vec<&String> = fields.keys().collect();
            let schemas: Map<_, _> =
                fields.iter().map(|(key, value)| (key.clone(), schema_of(value))).collect();
            json!({ "type": "object", "properties": schemas, "required": keys, "additionalProperties": false })
        }
    }
}

impl Shape {
    /// What is at `path` (`"rows.name"`) is so instead.
    pub fn but(mut self, path: &str, schema: Value) -> Self {
        *at(&mut self.schema, path) = schema;
        self
    }

    /// What is at `path` may also be so.
    pub fn also(mut self, path: &str, schema: &Value) -> Self {
        let place = at(&mut self.schema, path);
        *place = json!({ "anyOf": [place.take(), schema] });
        self
    }

    /// What is at `path` may be missing.
    pub fn may_lack(mut self, path: &str) -> Self {
        let (parent, key) = path.rsplit_once('.').unwrap_or(("", path));
        if let Some(required) = at(&mut self.schema, parent)["required"].as_array_mut() {
            required.retain(|name| name != key);
        }
        self
    }
}

/// The schema of the keys in `path`, one in the other; lists are passed through.
fn at<'a>(schema: &'a mut Value, path: &str) -> &'a mut Value {
    let keys = path.split('.').filter(|key| !key.is_empty());
    let inner = |schema: &'a mut Value| {
        if schema["items"].is_object() { &mut schema["items"] } else { schema }
    };
    keys.fold(schema, |schema, key| &mut inner(schema)["properties"][key])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_implies_a_schema() {
        let shape = like(json!({ "id": 1, "bio": null, "rows": [{ "name": "a" }] }));
        let row = json!({ "type": "object", "properties": { "name": { "type": "string" } },
            "required": ["name"], "additionalProperties": false });
        let expected = json!({ "type": "object", "properties": {
            "id": { "type": "integer" },
            "bio": { "type": ["string", "null"] },
            "rows": { "type": "array", "items": row },
        }, "required": ["id", "bio", "rows"], "additionalProperties": false });
        assert_eq!(shape.schema, expected);
        let other = shape.but("rows.name", json!({})).also("id", &json!(true)).may_lack("bio");
        assert_eq!(other.schema["properties"]["rows"]["items"]["properties"]["name"], json!({}));
        let id = json!({ "anyOf": [{ "type": "integer" }, true] });
        assert_eq!(other.schema["properties"]["id"], id);
        assert_eq!(other.schema["required"], json!(["id", "rows"]));
    }
}
