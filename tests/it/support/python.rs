//! Programs in Python, with what `scripts/setup --test` brought for them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt as _;

/// Python in `folder`, with what `tests/<tools>/requirements.txt` names.
pub fn python(tools: &str, folder: &Path) -> Command {
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", brought(tools)).current_dir(folder).stdin(Stdio::null());
    command
}

/// Where that is.
pub fn brought(tools: &str) -> PathBuf {
    let named = std::env::var_os(format!("HONGYAN_TEST_{}", tools.to_uppercase()));
    let brought = named.map_or_else(|| in_tree(".hongyan").join(tools), PathBuf::from);
    let brings = "`scripts/setup --test` brings it";
    assert!(brought.is_dir(), "no {tools} in {}: {brings}", brought.display());
    brought
}

/// A file of this tree.
pub fn in_tree(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What a program of `tests/readers` makes of `input`.
pub async fn read_by<T: DeserializeOwned>(reader: &str, input: &str) -> T {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = python("readers", folder.path());
    command.arg(in_tree("tests/readers").join(reader));
    fed(command, input).await
}

/// What a program that prints JSON makes of `input`.
pub async fn fed<T: DeserializeOwned>(command: Command, input: &str) -> T {
    let mut command = tokio::process::Command::from(command);
    let mut reader = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3");
    let mut stdin = reader.stdin.take().expect("it reads");
    stdin.write_all(input.as_bytes()).await.expect("it takes the input");
    drop(stdin);
    let read = reader.wait_with_output().await.expect("it ends");
    assert!(read.status.success(), "it cannot read:\n{input}");
    serde_json::from_slice(&read.stdout).expect("it prints JSON")
}

/// What a program writes when it succeeds.
pub async fn told(mut command: Command) -> String {
    let output = tokio::task::spawn_blocking(move || {
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
    });
    let output = output.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (told, complaint) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{told}\n{complaint}");
    told
}
