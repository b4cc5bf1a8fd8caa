//! Schemathesis makes requests out of the document: answers must be as told, whatever is asked. Its settings are in
//! `tests/schemathesis`; what it is run with, `scripts/setup --test` brings.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::App;
use crate::support::document::document;

/// What fits is never refused for its parameters.
#[tokio::test]
async fn schema_what_fits_is_taken() {
    let mut document = document().clone();
    each_field(&mut document, |_, name, schema| {
        if name == "create_time" {
            schema["maximum"] = json!(1_700_000_000_000_i64); // in truth now, which moves
        }
    });
    attack(document, "positive").await;
}

/// What does not fit is refused. The service takes more than the document tells clients to send: what is no text becomes
/// one (`rest.md` §0.3), and that is no reason to refuse it.
#[tokio::test]
async fn schema_what_does_not_fit_is_refused() {
    let mut document = document().clone();
    each_field(&mut document, |kind, _, schema| {
        if kind == "application/json" && schema["type"] == "string" {
            schema["type"] = json!(["string", "number", "boolean", "object", "array"]);
        }
    });
    attack(document, "negative").await;
}

/// Is it OpenAPI 3.1?
#[test]
fn schema_of_the_document_is_valid() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("openapi.json");
    fs::write(&file, document().to_string()).expect("the folder takes files");
    let mut validator = python(folder.path());
    run(validator.args(["-m", "openapi_spec_validator", "--schema", "3.1.0"]).arg(file));
}

fn each_field(document: &mut Value, change: impl Fn(&str, &str, &mut Value)) {
    let items = document["paths"].as_object_mut().expect("the document has paths");
    let operations = items.values_mut().filter_map(Value::as_object_mut).flatten();
    for (_, operation) in operations {
        let content =
            operation.get_mut("requestBody").and_then(|body| body["content"].as_object_mut());
        for (kind, media) in content.into_iter().flatten() {
            let fields = media["schema"]["properties"].as_object_mut();
            for (name, schema) in fields.into_iter().flatten() {
                change(kind, name, schema);
            }
        }
    }
}

/// As somebody with a friend and a group, so that the examples' numbers name something.
async fn attack(document: Value, mode: &str) {
    let app = App::start().await;
    let [bob, ann] = [app.register("bob").await, app.register("ann").await];
    app.group(&ann, &[&bob]).await;
    let folder = app.servers.folder().join("schemathesis");
    let file = folder.join("openapi.json");
    fs::create_dir(&folder).expect("the folder takes folders");
    fs::write(&file, document.to_string()).expect("the folder takes files");
    let settings =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemathesis/schemathesis.toml");
    let mut command = python(&folder);
    command.args(["-m", "schemathesis.cli", "--config-file"]).arg(settings);
    command.arg("run").arg(file).args(["--url", app.api().origin(), "--mode", mode, "--no-color"]);
    command.arg("--header").arg(format!("token: {}", ann.token()));
    let told = tokio::task::spawn_blocking(move || run(&mut command)).await;
    let told = told.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    assert!(told.contains("No issues found"), "{told}");
    app.verify().await;
}

/// Python with what was brought for these tests.
fn python(folder: &Path) -> Command {
    let brought = std::env::var_os("HONGYAN_TEST_SCHEMATHESIS").map(PathBuf::from);
    let brought = brought
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".hongyan/schemathesis"));
    assert!(
        brought.is_dir(),
        "no schemathesis in {}: `scripts/setup --test` brings it",
        brought.display()
    );
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", brought).current_dir(folder).stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (told, complaint) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{told}\n{complaint}");
    told
}
