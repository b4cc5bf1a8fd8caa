//! Schemathesis makes requests out of the document: answers must be as told, whatever is asked. Its settings are in
//! `tests/schemathesis`; what it is run with, `scripts/setup --test` brings.

use std::fs;

use serde_json::{Value, json};

use crate::support::App;
use crate::support::document::document;
use crate::support::python::{in_tree, python, told};

/// What fits is never refused for its parameters.
#[tokio::test]
async fn schema_what_fits_is_taken() {
    let mut document = with_bodies();
    each_field(&mut document, |name, in_json, schema| {
        if name == "create_time" {
            schema["maximum"] = json!(1_700_000_000_000_i64); // in truth now, which moves
        }
        if ["username", "name", "nickname", "fieldValue"].contains(&name) {
            schema["pattern"] = json!("^[0-9A-Za-z_]*$"); // no schema tells of the characters of names (clarification 25)
        }
        if !in_json {
            no_fractions(schema);
        }
    });
    each_operation(&mut document, |operation| {
        for parameter in operation["parameters"].as_array_mut().into_iter().flatten() {
            no_fractions(&mut parameter["schema"]);
        }
    });
    attack(document, "positive", "negative_data_rejection").await;
}

/// Schemas call 5.0 an integer, but as text it is none.
fn no_fractions(schema: &mut Value) {
    if schema["type"] == "integer" {
        let bound =
            |key: &str| schema[key].as_i64().map(|bound| bound.clamp(-1, 1_600_000_000_000));
        if let (Some(min), Some(max)) = (bound("minimum"), bound("maximum")) {
            *schema = json!({ "enum": [min, max] });
        }
    }
}

/// What does not fit is refused. The service takes more than the document tells clients to send: what is no text becomes
/// one, and `null` or `""` is as good as nothing (`rest.md` §0.3).
#[tokio::test]
async fn schema_what_does_not_fit_is_refused() {
    let mut document = with_bodies();
    each_field(&mut document, |_, in_json, schema| {
        if schema["type"] == "string" && in_json {
            schema["type"] = json!(["string", "number", "boolean", "object", "array"]);
        }
    });
    each_optional_field(&mut document, |schema| {
        if schema["minLength"].is_u64() {
            let taken = schema.take();
            *schema = json!({ "anyOf": [taken, { "enum": ["", null] }] });
        }
    });
    attack(document, "negative", "positive_data_acceptance").await;
}

/// Is it OpenAPI 3.1?
#[tokio::test]
async fn schema_of_the_document_is_valid() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("openapi.json");
    fs::write(&file, document().to_string()).expect("the folder takes files");
    let mut validator = python("schemathesis", folder.path());
    validator.args(["-m", "openapi_spec_validator", "--schema", "3.1.0"]).arg(file);
    told(validator).await;
}

/// The document with the named schemas of bodies where they are used, so that one use of them can be changed.
fn with_bodies() -> Value {
    let mut changed = document().clone();
    each_body(&mut changed, |_, schema| {
        if let Some(name) = schema["$ref"].as_str().and_then(|name| name.strip_prefix('#')) {
            *schema = document().pointer(name).cloned().expect("references lead somewhere");
        }
    });
    changed
}

/// Changes the schemas of all fields of bodies: by name, and whether it is in JSON.
fn each_field(document: &mut Value, change: impl Fn(&str, bool, &mut Value)) {
    each_body(document, |kind, schema| {
        for (name, field) in schema["properties"].as_object_mut().into_iter().flatten() {
            change(name, kind == "application/json", field);
        }
    });
}

/// Changes the schemas of those that may be missing.
fn each_optional_field(document: &mut Value, change: impl Fn(&mut Value)) {
    each_body(document, |_, schema| {
        let required = schema["required"].clone();
        let required =
            |name: &str| required.as_array().is_some_and(|all| all.contains(&json!(name)));
        let fields = schema["properties"].as_object_mut().into_iter().flatten();
        for (_, field) in fields.filter(|(name, _)| !required(name)) {
            change(field);
        }
    });
}

fn each_body(document: &mut Value, change: impl Fn(&str, &mut Value)) {
    each_operation(document, |operation| {
        let body = operation.get_mut("requestBody");
        let content = body.and_then(|body| body["content"].as_object_mut());
        for (kind, media) in content.into_iter().flatten() {
            change(kind, &mut media["schema"]);
        }
    });
}

fn each_operation(document: &mut Value, change: impl Fn(&mut Value)) {
    let items = document["paths"].as_object_mut().expect("the document has paths");
    let operations = items.values_mut().filter_map(Value::as_object_mut).flatten();
    operations.for_each(|(_, operation)| change(operation));
}

/// As somebody with a friend and a group, so that the examples' numbers name something.
async fn attack(document: Value, mode: &str, unchecked: &str) {
    let app = App::start().await;
    let [bob, ann] = [app.register("bob").await, app.register("ann").await];
    app.group(&ann, &[&bob]).await;
    let folder = app.servers.folder().join("schemathesis");
    let file = folder.join("openapi.json");
    fs::create_dir(&folder).expect("the folder takes folders");
    fs::write(&file, document.to_string()).expect("the folder takes files");
    let settings = in_tree("tests/schemathesis/schemathesis.toml");
    let mut command = python("schemathesis", &folder);
    command.args(["-m", "schemathesis.cli", "--config-file"]).arg(settings);
    command.arg("run").arg(file).args(["--url", app.api().origin(), "--mode", mode, "--no-color"]);
    command
        .args(["--exclude-checks", unchecked, "--header"])
        .arg(format!("token: {}", ann.token()));
    let told = told(command).await;
    assert!(told.contains("No issues found"), "{told}");
    app.verify().await;
}
