//! What a log once held stays readable: `tests/events/` has every version of every event, for ever.
//!
//! A file is named after its type and holds `{"subject": …, "body": …}`, or several. `reads_as` is there where an old
//! shape is read as a newer one. A change that this test does not take is a new version: `x.y.v2`.

use std::collections::{BTreeMap, BTreeSet};

use hongyan::events::{Event, Subject};
use proc_macro2::{Delimiter, Group, TokenTree};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::names::{is, tokens};
use crate::tree::{Complaint, none_of, texts};

/// An event as a log may hold it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    pub subject: String,
    pub body: Value,
    reads_as: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Samples {
    One(Box<Sample>),
    Many(Vec<Sample>),
}

/// By type.
pub fn samples() -> BTreeMap<String, Vec<Sample>> {
    let read = |(file, text): (String, String)| {
        let name = file.strip_prefix("tests/events/")?.strip_suffix(".json")?.to_owned();
        let samples = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        Some(match samples {
            Samples::One(sample) => (name, vec![*sample]),
            Samples::Many(samples) => (name, samples),
        })
    };
    texts("tests/events", &[".json"]).into_iter().filter_map(read).collect()
}

fn decode(name: &str, sample: &Sample, body: &Value) -> Event {
    let subject = Subject::parse(&sample.subject)
        .unwrap_or_else(|| panic!("{name}: no such subject: {}", sample.subject));
    assert_eq!(subject.to_string(), sample.subject, "{name}");
    Event::decode(&subject, body.to_string().as_bytes())
        .unwrap_or_else(|error| panic!("{name}: {body}: {error}"))
}

#[test]
fn every_event_that_a_log_may_hold_reads_and_writes_as_ever() {
    for (name, samples) in samples() {
        for sample in &samples {
            let event = decode(&name, sample, &sample.body);
            let bytes = event.encode();
            let written: Value = serde_json::from_slice(&bytes).expect("events are JSON");
            assert_eq!(&written, sample.reads_as.as_ref().unwrap_or(&sample.body), "{name}");
            assert_eq!(Event::type_name(&bytes), name);
            assert_eq!(decode(&name, sample, &written), event, "{name}: what was read is written");
        }
    }
}

/// A newer version may add fields; an older one, still running beside it, must read on. An event that has no data at
/// all (`user.disabled.v1`) cannot grow any: it takes a new version.
#[test]
fn fields_that_this_version_does_not_know_do_no_harm() {
    for (name, samples) in samples() {
        for sample in &samples {
            let event = decode(&name, sample, &sample.body);
            let mut body = sample.body.clone();
            grow(&mut body);
            assert_eq!(decode(&name, sample, &body), event, "{name}");
        }
    }
}

/// Adds a field to every object but the author's own parameters, which are kept as they are.
fn grow(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.iter_mut().filter(|(name, _)| *name != "options").for_each(|(_, it)| grow(it));
            fields.insert("a field of tomorrow".to_owned(), json!({ "a": [1, null] }));
        }
        Value::Array(items) => items.iter_mut().for_each(grow),
        _ => {}
    }
}

#[test]
fn every_event_has_its_golden_file_and_every_golden_file_its_event() {
    let samples = samples();
    let mut known = BTreeSet::new();
    let mut complaints = Vec::new();
    for (file, source) in texts("src/events", &[".rs"]) {
        for variant in variants(&file, &source) {
            let Variant { line, name, on_the_wire } = variant;
            let mut complain = |what| complaints.push(Complaint { file: file.clone(), line, what });
            match on_the_wire {
                None => complain(format!("`{name}` has no name of its own on the wire")),
                Some(wire) if !samples.contains_key(&wire) => {
                    complain(format!("`{wire}` has no tests/events/{wire}.json"));
                }
                Some(wire) => {
                    if !known.insert(wire.clone()) {
                        complain(format!("`{wire}` is the name of another event"));
                    }
                }
            }
        }
    }
    for name in samples.keys().filter(|name| !known.contains(*name)) {
        let what = "an event that a log may hold is not in src/events any more".to_owned();
        complaints.push(Complaint { file: format!("tests/events/{name}.json"), line: 1, what });
    }
    none_of(&complaints);
}

/// A kind of event in the sources.
#[derive(Debug, PartialEq)]
struct Variant {
    line: usize,
    name: String,
    on_the_wire: Option<String>,
}

/// The variants of every enum that is tagged as events are.
fn variants(file: &str, source: &str) -> Vec<Variant> {
    let tokens = tokens(file, source);
    let mut variants = Vec::new();
    let mut is_event = false;
    for token in &tokens {
        let TokenTree::Group(group) = token else { continue };
        match group.delimiter() {
            Delimiter::Bracket => is_event |= attribute(group, "tag").is_some(),
            Delimiter::Brace => {
                if is_event {
                    variants.extend(of_enum(group));
                }
                is_event = false;
            }
            _ => {}
        }
    }
    variants
}

fn of_enum(body: &Group) -> Vec<Variant> {
    let tokens: Vec<TokenTree> = body.stream().into_iter().collect();
    let parts = tokens.split(|token| is(token, ',')).filter(|part| !part.is_empty());
    parts
        .filter_map(|part| {
            let name = part.iter().find(|token| matches!(token, TokenTree::Ident(_)))?;
            let on_the_wire = part.iter().find_map(|token| match token {
                TokenTree::Group(group) => attribute(group, "rename"),
                _ => None,
            });
            let line = name.span().start().line;
            Some(Variant { line, name: name.to_string(), on_the_wire })
        })
        .collect()
}

/// The text of `key = "text"` in `#[serde(…)]`.
fn attribute(attribute: &Group, key: &str) -> Option<String> {
    let inner: Vec<TokenTree> = attribute.stream().into_iter().collect();
    let [TokenTree::Ident(serde), TokenTree::Group(arguments)] = &inner[..] else { return None };
    if serde != "serde" || attribute.delimiter() != Delimiter::Bracket {
        return None;
    }
    let arguments: Vec<TokenTree> = arguments.stream().into_iter().collect();
    arguments.split(|token| is(token, ',')).find_map(|argument| match argument {
        [TokenTree::Ident(name), _, TokenTree::Literal(text)] if name == key => {
            Some(text.to_string().trim_matches('"').to_owned())
        }
        _ => None,
    })
}

#[test]
fn an_event_without_a_name_is_noticed() {
    let source = "#[serde(tag = \"type\", content = \"data\")]\npub enum E {\n    /// A.\n    \
                  #[serde(rename = \"e.a.v1\")]\n    A { x: u8, y: u8 },\n    B(u8),\n}\n\
                  enum Other { C, D }";
    let variant = |line, name: &str, wire: Option<&str>| Variant {
        line,
        name: name.to_owned(),
        on_the_wire: wire.map(str::to_owned),
    };
    assert_eq!(variants("e.rs", source), [variant(5, "A", Some("e.a.v1")), variant(6, "B", None)]);
}
