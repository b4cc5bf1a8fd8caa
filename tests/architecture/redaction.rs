//! Of no event that a log may hold does `analytics.content = none` leave a text, a name, a picture, a device or a
//! session; what people's ids become is a number, or a UUID, of another one.

use hongyan::events::{Disclosure, Redaction};
use serde_json::Value;

use crate::golden::samples;

#[test]
fn no_event_tells_others_who_it_is_about_or_what_they_say() {
    let redaction = Redaction::new(Disclosure::None, b"a secret of the tests, of no use elsewhere");
    let schemas = hongyan::events::schemas();
    let mut personal = 0;
    for (name, samples) in samples() {
        for sample in samples {
            let mut seen = Vec::new();
            let body = sample.body.to_string();
            assert!(redaction.body(&name, body.as_bytes(), &mut seen), "{name}: {body}");
            let seen: Value = serde_json::from_slice(&seen).expect("JSON");
            compare(&name, &schemas[&name].schema, Some(&sample.body), Some(&seen), &mut personal);
            let subject = redaction.subject(&sample.subject).expect("a subject that is known");
            let has_people = !["group", "groupchat", "complaint", "delivery", "operations"]
                .contains(&sample.subject.split('.').nth(1).expect("a kind"));
            assert_eq!(subject != sample.subject, has_people, "{subject}");
        }
    }
    assert!(personal > 100, "the events tell something about people");
}

/// Walks a schema, what the log holds and what others see, side by side.
fn compare(
    path: &str,
    schema: &Value,
    held: Option<&Value>,
    seen: Option<&Value>,
    personal: &mut usize,
) {
    let Some(held) = held else { return assert_eq!(seen, None, "{path}") };
    let ways = schema["anyOf"].as_array().into_iter().flatten();
    if let Some(way) = ways.clone().find(|way| way["type"] != "null") {
        return compare(path, way, Some(held), seen, personal);
    }
    match schema["x-personal"].as_str() {
        Some("person") => {
            *personal += 1;
            assert_ne!(Some(held), seen, "{path}");
            let kind = |value: &Value| (value.is_i64(), value.is_string());
            assert!(seen.is_none_or(|seen| kind(seen) == kind(held)), "{path}: {seen:?}");
        }
        Some("none") => assert_eq!(Some(held), seen, "{path}"),
        Some(_) => {
            *personal += 1;
            assert_eq!(seen, None, "{path}");
        }
        None => {
            if let Some(fields) = schema["properties"].as_object() {
                let Some(held) = held.as_object() else {
                    return assert_eq!(Some(held), seen, "{path}: null");
                };
                let seen = seen.and_then(Value::as_object).expect("an object stays one");
                assert!(seen.keys().all(|name| fields.contains_key(name)), "{path}: {seen:?}");
                for (name, field) in fields {
                    let path = format!("{path}.{name}");
                    compare(&path, field, held.get(name), seen.get(name), personal);
                }
            } else if schema["items"].is_object() {
                let (held, seen) = (held.as_array(), seen.and_then(Value::as_array));
                let (held, seen) = (held.expect("a list"), seen.expect("a list stays one"));
                assert_eq!(held.len(), seen.len(), "{path}");
                for (held, seen) in held.iter().zip(seen) {
                    compare(path, &schema["items"], Some(held), Some(seen), personal);
                }
            } else {
                assert_eq!(Some(held), seen, "{path}: it tells nothing");
            }
        }
    }
}
