//! `docs/events/`: a page and a JSON Schema per event, made of the types in `src/events`. They are kept so that a change
//! is seen, and so that one that would break readers is refused. `HONGYAN_WRITE=1 ./test -E 'binary(architecture)'` writes them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use hongyan::events::{EventSchema, schemas};
use serde_json::Value;

use crate::compatibility::breaks;
use crate::golden::{Sample, samples};
use crate::tree::{Complaint, none_of, root, texts};

const FOLDER: &str = "docs/events";

/// What is written there, by name of the file.
fn documents() -> BTreeMap<String, String> {
    let (schemas, samples) = (schemas(), samples());
    let mut all = BTreeMap::from([("README.md".to_owned(), index(&schemas))]);
    for (name, found) in &schemas {
        all.insert(format!("{name}.json"), format!("{:#}\n", found.schema));
        all.insert(format!("{name}.md"), page(name, found, &samples[name][0]));
    }
    all
}

#[test]
fn the_documents_of_events_say_what_the_types_are() {
    let kept: BTreeMap<String, String> = texts(FOLDER, &[".json", ".md"])
        .into_iter()
        .map(|(file, text)| (file[FOLDER.len() + 1..].to_owned(), text))
        .collect();
    let documents = documents();
    let mut complaints = Vec::new();
    let mut complain = |name: &str, what: String| {
        complaints.push(Complaint { file: format!("{FOLDER}/{name}"), line: 1, what });
    };
    for (name, text) in &kept {
        if name.strip_suffix(".json").is_none() {
            continue;
        }
        let Some(written) = documents.get(name) else {
            complain(name, "an event that a log may hold is not in src/events any more".to_owned());
            continue;
        };
        let old: Value = serde_json::from_str(text).expect("a kept schema is JSON");
        let new = serde_json::from_str(written).expect("a schema is JSON");
        let what = breaks(&old, &new).join("; ");
        if !what.is_empty() {
            complain(name, format!("{what}: this is a new version, `…v2`"));
        }
    }
    none_of(&complaints);
    if std::env::var_os("HONGYAN_WRITE").is_some() {
        let folder = root().join(FOLDER);
        for (name, text) in &documents {
            fs::write(folder.join(name), text).expect("the documents can be written");
        }
        return;
    }
    let differ = documents.iter().filter(|(name, text)| kept.get(*name) != Some(text));
    let differ =
        differ.map(|(name, _)| name).chain(kept.keys().filter(|it| !documents.contains_key(*it)));
    let differ: Vec<_> = differ.collect();
    assert!(
        differ.is_empty(),
        "{differ:?} in {FOLDER} differ from the types; see this test's header"
    );
}

/// A text tells something about people, or it is said that it does not; so does what is passed through.
#[test]
fn every_text_of_an_event_says_what_it_tells_about_people() {
    let mut complaints = Vec::new();
    for (name, found) in schemas() {
        for field in fields(&found.schema["properties"]["data"]) {
            let is_text = field.kind.is_empty() || field.kind.contains("string");
            if is_text && !field.is_enumeration && field.personal.is_none() {
                let what = format!("`{}` says nothing as `x-personal`", field.path);
                complaints.push(Complaint { file: name.clone(), line: 1, what });
            }
        }
    }
    none_of(&complaints);
}

#[test]
fn every_event_that_a_log_may_hold_fits_its_schema() {
    let schemas = schemas();
    for (name, samples) in samples() {
        let schema = &schemas[&name].schema;
        let validator = jsonschema::validator_for(schema).expect("a schema is one");
        for sample in samples {
            if let Err(error) = validator.validate(&sample.body) {
                panic!("{name}: {}: {error}", sample.body);
            }
            let mut without = sample.body.clone();
            without["type"] = Value::from("another.v1");
            assert!(!validator.is_valid(&without), "{name}: its schema takes everything");
            let address: Vec<&str> = schemas[&name].aggregate.address.split('.').collect();
            let subject: Vec<&str> = sample.subject.split('.').collect();
            assert_eq!(address.len(), subject.len(), "{name}: {address:?}, {subject:?}");
            let differ = address.iter().zip(&subject).filter(|(part, found)| part != found);
            assert!(
                differ.into_iter().all(|(part, _)| part.starts_with('{')),
                "{name}: {subject:?}"
            );
        }
    }
}

/// A value of an event.
struct Field {
    path: String,
    kind: String,
    is_enumeration: bool,
    may_be_missing: bool,
    personal: Option<String>,
    about: String,
}

/// All values of an event's data that have no parts.
fn fields(data: &Value) -> Vec<Field> {
    let mut all = Vec::new();
    if data.is_null() {
        return all;
    }
    collect("", data, (false, String::new()), &mut all);
    all
}

fn collect(path: &str, schema: &Value, (optional, about): (bool, String), all: &mut Vec<Field>) {
    let text = |key: &str| schema[key].as_str().unwrap_or_default().to_owned();
    let described = text("description").replace('\n', " ");
    let about = if described.is_empty() { about } else { described };
    let ways = || schema["anyOf"].as_array().into_iter().flatten();
    if let Some(way) = ways().find(|way| way["type"] != "null") {
        return collect(path, way, (true, about), all);
    }
    if let Some(properties) = schema["properties"].as_object() {
        let required = schema["required"].as_array();
        for (name, property) in properties {
            let optional = optional || !required.is_some_and(|all| all.iter().any(|it| it == name));
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            collect(&path, property, (optional, String::new()), all);
        }
        return;
    }
    if schema["items"].is_object() {
        return collect(&format!("{path}[]"), &schema["items"], (optional, about), all);
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let constants = |key: &str| -> Vec<String> {
        let all = schema[key].as_array().into_iter().flatten();
        all.map(|it| it.get("const").unwrap_or(it).to_string()).collect()
    };
    let values = [constants("enum"), constants("oneOf")].concat();
    let mut kind =
        kinds.iter().filter(|kind| **kind != "null").copied().collect::<Vec<_>>().join(" or ");
    if let Some(format) = schema["format"].as_str().filter(|format| *format == "uuid") {
        kind = format!("{kind}, {format}");
    }
    if !values.is_empty() {
        kind = values.join(" or ");
    }
    all.push(Field {
        path: path.to_owned(),
        kind,
        is_enumeration: !values.is_empty(),
        may_be_missing: optional || kinds.contains(&"null"),
        personal: schema["x-personal"].as_str().map(str::to_owned),
        about,
    });
}

fn page(name: &str, found: &EventSchema, sample: &Sample) -> String {
    let EventSchema { aggregate, schema } = found;
    let about = schema["description"].as_str().expect("every event is documented");
    let mut page = format!("# {name}\n\n{about}\n\n");
    _ = writeln!(
        page,
        "Subject: `{}`. [JSON Schema]({name}.json) of the body.\n",
        aggregate.address
    );
    let fields = fields(&schema["properties"]["data"]);
    if fields.is_empty() {
        page.push_str("It has no data.\n\n");
    } else {
        page.push_str(
            "| Field of `data` | Type | Personal | Meaning |\n| --- | --- | --- | --- |\n",
        );
        for field in fields {
            let missing = if field.may_be_missing { ", may be missing" } else { "" };
            let personal = field.personal.filter(|personal| personal != "none").unwrap_or_default();
            let kind = if field.kind.is_empty() { "any JSON" } else { &field.kind };
            _ = writeln!(
                page,
                "| `{}` | {kind}{missing} | {personal} | {} |",
                field.path, field.about
            );
        }
        page.push('\n');
    }
    _ = write!(page, "On `{}`:\n\n```json\n{:#}\n```\n", sample.subject, sample.body);
    page
}

fn index(schemas: &BTreeMap<String, EventSchema>) -> String {
    let mut page = String::from(INDEX);
    for (name, found) in schemas {
        let about = found.schema["description"].as_str().unwrap_or_default().replace('\n', " ");
        _ = writeln!(page, "| [{name}]({name}.md) | {about} |");
    }
    page
}

const INDEX: &str = "\
# Events

Every user action is one event on the JetStream stream `EVENTS`: CloudEvents 1.0 in NATS binary mode. The headers say who,
when and why, the body what: `{\"type\": …, \"data\": …}`. These pages and schemas are made of the types in `src/events`, and a
test keeps them true; `hongyan events schema [TYPE]` prints a schema. A change that would make an old event unreadable, or
surprise a reader of new ones, is a new version of its type: fields may be added that may be missing, and values to a list.

| Header | Holds |
| --- | --- |
| `ce-specversion` | `1.0` |
| `ce-id` | a UUID (version 7): the event's identity, whatever its place |
| `ce-type` | the type and its version |
| `ce-source` | the gateway, projector or command that appended it |
| `ce-subject` | the subject: the aggregate that it is about |
| `ce-time` | when it was decided, RFC 3339 in UTC |
| `hy-actor` | the user on whose behalf, if one |
| `hy-cause` | the request that led to it |
| `traceparent` | the trace that the request is part of (W3C Trace Context) |
| `hy-operator`, `hy-reason` | who decided it, if an operator, and why (ADR 0027) |

The position of an event is its sequence number in the stream. Times in `data` are milliseconds since 1970-01-01 UTC.

In the stream all that is of class name, content, picture (but a group's) or device is sealed under a key of whom it is about or who said it
(`x-of` in the schema; [erasure](../design/erasure.md)): an object with the one field `$` is in its place. `hongyan events
show`, `tail` and `export` read it. What was erased is an empty text, `null` or an empty list.

What a field tells about people is in the column *Personal* of each page, and as `x-personal` in its schema:

| Class | Means |
| --- | --- |
| person | the number or the public identifier of a person |
| name | what a person or a group is called |
| content | what a person or an operator wrote or set |
| picture | the address of a picture or another file |
| device | what a guest's device tells of itself |
| session | a token or a connection |

| Event | Happens when |
| --- | --- |
";
