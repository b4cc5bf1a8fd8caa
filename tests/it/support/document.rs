//! The document of the routes, and every answer of every story held against it.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use hongyan::api::openapi;
use jsonschema::Validator;
use reqwest::Method;
use serde_json::Value;

use super::api::Reply;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| openapi::document("http://127.0.0.1"));

/// A route as the document tells of it.
#[derive(Debug, Clone)]
pub struct Operation {
    /// GET or POST.
    pub method: Method,
    /// `/api/userinfo/{uuid}`.
    pub path: &'static str,
    /// The rest.
    pub entry: &'static Value,
}

/// All of them.
pub fn operations() -> Vec<Operation> {
    let paths = DOCUMENT["paths"].as_object().expect("the document has paths");
    let of_path = |(path, item): (&'static String, &'static Value)| {
        let methods = item.as_object().expect("a path has methods");
        methods.iter().map(move |(method, entry)| Operation {
            method: method.to_uppercase().parse().expect("a method"),
            path,
            entry,
        })
    };
    paths.iter().flat_map(of_path).collect()
}

/// What a body is to be, by its media type.
pub fn body(operation: &Operation, media_type: &str) -> &'static Value {
    let schema = &operation.entry["requestBody"]["content"][media_type]["schema"];
    schema["$ref"].as_str().map_or(schema, |name| {
        DOCUMENT.pointer(name.trim_start_matches('#')).expect("references lead somewhere")
    })
}

/// The whole document.
pub fn document() -> &'static Value {
    &DOCUMENT
}

/// Insists that the document tells of this answer: its status, its type and what it says.
#[track_caller]
pub fn check(method: &Method, path: &str, reply: &Reply) {
    let mut operations = operations().into_iter();
    let Some(operation) =
        operations.find(|known| known.method == method && is_at(known.path, path))
    else {
        let refused = [400, 404].contains(&reply.status); // the token comes first
        assert!(
            refused || !path.starts_with("/api/") || *method == Method::OPTIONS,
            "{method} {path} is not in the document: {}",
            reply.text()
        );
        return;
    };
    let status = reply.status.to_string();
    let place = ["paths", operation.path, &method.as_str().to_lowercase(), "responses", &status];
    let (pointer, response) = resolve(&place);
    let told = response.unwrap_or_else(|| {
        panic!("{method} {path}: {status} is not in the document: {}", reply.text())
    });
    if let Some(texts) = told["x-texts"].as_array() {
        let said =
            if reply.body["msg"] == "fail" { &reply.body["data"] } else { &reply.body["msg"] };
        let said = said.as_str().unwrap_or_default();
        let known = texts.iter().filter_map(Value::as_str).any(|text| is_like(text, said));
        assert!(known, "{method} {path}: `{said}` is not among the texts of {status}");
    }
    let Some(content) = told["content"].as_object() else { return };
    let kind = reply.headers.get("content-type").and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default();
    assert!(
        content.contains_key(kind) || content.contains_key("*/*"),
        "{method} {path}: `{kind}` is not in the document"
    );
    if kind == "application/json" && content.contains_key(kind) {
        let pointer = format!("{pointer}/content/application~1json/schema");
        let fault = fault(pointer, &reply.body);
        assert!(fault.is_none(), "{method} {path}: {fault:?} in {status} {}", reply.text());
    }
}

/// Is it this text? `…` stands for any.
fn is_like(text: &str, said: &str) -> bool {
    let mut parts = text.split('…');
    let Some(mut rest) = said.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut last = None;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        last = Some(part);
    }
    rest.is_empty() || last.is_some_and(|last| last.is_empty() || rest.ends_with(last))
}

/// Does a path fit a template?
fn is_at(template: &str, path: &str) -> bool {
    if template == "/public/uploads/{path}" {
        return path.starts_with("/public/uploads/");
    }
    let (mut template, mut path) = (template.split('/'), path.split('/'));
    let fits = |(known, asked): (&str, &str)| known.starts_with('{') || known == asked;
    template.by_ref().zip(path.by_ref()).all(fits)
        && template.next().is_none()
        && path.next().is_none()
}

/// What is at a place of the document, and its JSON pointer; one `$ref` is followed.
fn resolve(place: &[&str]) -> (String, Option<&'static Value>) {
    let escaped = place.iter().map(|key| key.replace('~', "~0").replace('/', "~1"));
    let pointer = "/".to_owned() + &escaped.collect::<Vec<_>>().join("/");
    let found = DOCUMENT.pointer(&pointer);
    match found.and_then(|found| found["$ref"].as_str()?.strip_prefix('#')) {
        Some(other) => (other.to_owned(), DOCUMENT.pointer(other)),
        None => (pointer, found),
    }
}

fn fault(pointer: String, body: &Value) -> Option<String> {
    static VALIDATORS: LazyLock<Mutex<HashMap<String, Validator>>> = LazyLock::new(Mutex::default);
    let mut validators = VALIDATORS.lock().expect("no test panics in here");
    let validator = validators.entry(pointer).or_insert_with_key(|pointer| {
        let mut schema = DOCUMENT.pointer(pointer).cloned().expect("a response has a schema");
        schema["components"] = DOCUMENT["components"].clone(); // where its references lead
        jsonschema::validator_for(&schema).expect("the document's schemas are schemas")
    });
    validator
        .iter_errors(body)
        .next()
        .map(|error| format!("{} at `{}`", error, error.instance_path()))
}
