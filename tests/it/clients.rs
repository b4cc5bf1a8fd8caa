//! Clients made of the document: generators understand all of it, and what they make has the names of the protocol.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::document::document;
use crate::support::python::{brought, in_tree, python, told};

/// What a client works with.
const NAMED: [&str; 4] = ["User", "Group", "Message", "Refusal"];

#[tokio::test]
async fn a_client_in_python_is_generated_without_a_warning() {
    let folder = with_document();
    let mut generator = python("python_client", folder.path());
    generator.args(["-m", "openapi_python_client", "generate", "--fail-on-warning"]);
    generator.args(["--path", "openapi.json", "--output-path", "client", "--meta", "none"]);
    generator.arg("--config").arg(in_tree("tests/python_client/config.yaml"));
    told(generator).await;
    for name in NAMED {
        let model = folder.path().join("client/models").join(format!("{}.py", name.to_lowercase()));
        let model = fs::read_to_string(&model).expect("each schema is a model");
        assert!(model.contains(&format!("class {name}:")), "no {name}");
    }
}

#[tokio::test]
async fn types_of_typescript_are_generated_without_a_warning() {
    let folder = with_document();
    let generator = node("openapi-typescript", folder.path(), &["openapi.json", "-o", "api.ts"]);
    let said = told(generator).await.to_lowercase();
    assert!(!said.contains("warn"), "{said}");
    let types = fs::read_to_string(folder.path().join("api.ts")).expect("it was written");
    for name in NAMED {
        assert!(types.contains(&format!("\n        {name}: {{")), "no {name}");
    }
    told(node("tsc", folder.path(), &["--noEmit", "--strict", "api.ts"])).await;
}

fn with_document() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("openapi.json"), document().to_string())
        .expect("the folder takes files");
    folder
}

/// A program that `tests/typescript_client/package.json` names; what it complains of comes with what it says.
fn node(program: &str, folder: &Path, arguments: &[&str]) -> Command {
    let program = brought("typescript_client").join("node_modules/.bin").join(program);
    assert!(program.exists(), "no {}: `scripts/setup --test` brings it", program.display());
    let mut command = Command::new("sh");
    command.args(["-c", r#"exec "$@" 2>&1"#, "sh"]).arg(program).args(arguments);
    command.current_dir(folder).stdin(Stdio::null());
    command
}
