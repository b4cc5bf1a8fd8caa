//! What may change in the schema of a landed event: fields may be added that may be missing, and values to a list of
//! values. Everything else would make old events unreadable, or surprise those who read new ones: it is a new version.

use serde_json::{Map, Value};

/// Describes, and decides nothing.
const ANNOTATIONS: &[&str] =
    &["$id", "$schema", "default", "description", "title", "x-of", "x-personal"];

/// What `new` does to those who have, or rely on, what `old` says; nothing if it is compatible.
pub fn breaks(old: &Value, new: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", old, new, &mut found);
    found
}

fn compare(at: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        if old != new {
            found.push(format!("`{at}` is another schema"));
        }
        return;
    };
    for key in old.keys().chain(new.keys().filter(|key| !old.contains_key(*key))) {
        match (key.as_str(), old.get(key), new.get(key)) {
            (key, _, _) if ANNOTATIONS.contains(&key) => {}
            ("properties", Some(Value::Object(old)), Some(Value::Object(new))) => {
                properties(at, old, new, found);
            }
            ("required", old, new) => required(at, &list(old), &list(new), found),
            ("enum", Some(old), Some(new)) => {
                let new = list(Some(new));
                let gone = list(Some(old)).into_iter().filter(|value| !new.contains(value));
                found.extend(gone.map(|value| format!("`{at}` is never {value} any more")));
            }
            ("oneOf", Some(old), Some(new)) if is_enumeration(old) && is_enumeration(new) => {
                let new = constants(new);
                let gone = constants(old).into_iter().filter(|value| !new.contains(value));
                found.extend(gone.map(|value| format!("`{at}` is never {value} any more")));
            }
            ("items" | "additionalProperties", Some(old), Some(new)) => {
                compare(&format!("{at}[]"), old, new, found);
            }
            ("anyOf" | "prefixItems", Some(Value::Array(old)), Some(Value::Array(new)))
                if old.len() == new.len() =>
            {
                old.iter().zip(new).for_each(|(old, new)| compare(at, old, new, found));
            }
            (key, old, new) => {
                if old != new {
                    found.push(format!("`{at}` has another `{key}`"));
                }
            }
        }
    }
}

fn properties(
    at: &str,
    old: &Map<String, Value>,
    new: &Map<String, Value>,
    found: &mut Vec<String>,
) {
    for (name, old) in old {
        let at = format!("{at}.{name}");
        match new.get(name) {
            Some(new) => compare(&at, old, new, found),
            None => found.push(format!("`{at}` is gone")),
        }
    }
}

/// Old events lack what is required only now; readers rely on what always was.
fn required(at: &str, old: &[&Value], new: &[&Value], found: &mut Vec<String>) {
    let now = new.iter().filter(|name| !old.contains(name));
    found.extend(now.map(|name| format!("`{at}` must have {name} now")));
    let no_more = old.iter().filter(|name| !new.contains(name));
    found.extend(no_more.map(|name| format!("`{at}` may lack {name} now")));
}

fn list(values: Option<&Value>) -> Vec<&Value> {
    values.and_then(Value::as_array).map(|all| all.iter().collect()).unwrap_or_default()
}

/// A list of values, each with a description of its own.
fn is_enumeration(ways: &Value) -> bool {
    ways.as_array().is_some_and(|all| all.iter().all(|way| way.get("const").is_some()))
}

fn constants(ways: &Value) -> Vec<&Value> {
    list(Some(ways)).into_iter().filter_map(|way| way.get("const")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(fields: &Value, required: &[&str]) -> Value {
        json!({ "type": "object", "properties": { "data": {
            "type": "object", "properties": fields, "required": required } } })
    }

    #[test]
    fn only_what_may_be_missing_may_be_added() {
        let old = event(&json!({ "a": { "type": "integer" } }), &["a"]);
        let grown =
            json!({ "a": { "type": "integer", "description": "A" }, "b": { "type": "string" } });
        assert_eq!(breaks(&old, &event(&grown, &["a"])), Vec::<String>::new());
        assert_eq!(breaks(&old, &event(&grown, &["a", "b"])), ["`.data` must have \"b\" now"]);
    }

    #[test]
    fn nothing_may_go_or_become_something_else() {
        let old = event(&json!({ "a": { "type": "integer" }, "b": { "type": "string" } }), &["a"]);
        let without = event(&json!({ "a": { "type": "integer" } }), &["a"]);
        assert_eq!(breaks(&old, &without), ["`.data.b` is gone"]);
        let other = json!({ "a": { "type": ["integer", "null"] }, "b": { "type": "string" } });
        assert_eq!(breaks(&old, &event(&other, &["a"])), ["`.data.a` has another `type`"]);
        assert_eq!(breaks(&old, &event(&other, &[])).len(), 2, "`a` may be missing as well");
    }

    #[test]
    fn a_list_of_values_may_grow_and_not_shrink() {
        let values = |values: Value| event(&json!({ "a": { "enum": values } }), &["a"]);
        assert_eq!(breaks(&values(json!(["x"])), &values(json!(["x", "y"]))), Vec::<String>::new());
        assert_eq!(
            breaks(&values(json!(["x", "y"])), &values(json!(["x"]))),
            ["`.data.a` is never \"y\" any more"]
        );
        let told = |values: &[&str]| {
            let ways: Vec<_> = values.iter().map(|it| json!({ "const": it })).collect();
            event(&json!({ "a": { "oneOf": ways } }), &["a"])
        };
        assert_eq!(breaks(&told(&["x"]), &told(&["y", "x"])), Vec::<String>::new());
        assert_eq!(breaks(&told(&["x", "y"]), &told(&["y"])).len(), 1);
    }

    #[test]
    fn what_lists_hold_is_compared_too() {
        let list = |kind: &str| event(&json!({ "a": { "items": { "type": kind } } }), &["a"]);
        assert_eq!(breaks(&list("integer"), &list("string")), ["`.data.a[]` has another `type`"]);
    }
}
