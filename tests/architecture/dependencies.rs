//! Dependencies: each that a package of the workspace declares is named in its sources.

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
    process::Command,
};

use proc_macro2::{TokenStream, TokenTree};
use serde_json::Value;

use crate::tree::{Complaint, none_of, root, texts};

/// Package, a dependency that no source names, and why it is there.
const UNNAMED: &[(&str, &str, &str)] = &[
    ("hongyan", "reqwest", "has the TLS of object_store, by a feature"),
    ("hongyan", "sqlx_core", "has the TLS of sqlx, by a feature that its macros do not get"),
];

/// A dependency and where it is declared.
struct Declared {
    package: String,
    /// The folder of the package, from the root of the repository.
    folder: String,
    name: String,
    /// For tests alone?
    is_dev: bool,
}

fn declared() -> Vec<Declared> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    let output = cargo.current_dir(root()).output().expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let mut declared = Vec::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let manifest = text(&package["manifest_path"]);
        let folder = Path::new(&manifest).parent().expect("a folder");
        let folder = folder.strip_prefix(root()).expect("a member").display().to_string();
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let name = dependency["rename"].as_str().or(dependency["name"].as_str());
            declared.push(Declared {
                package: text(&package["name"]),
                folder: folder.clone(),
                name: name.expect("a name").replace('-', "_"),
                is_dev: dependency["kind"] == "dev",
            });
        }
    }
    declared
}

/// Every word of the code below a folder. Comments, documentation and texts do not count.
fn words(folder: &str) -> BTreeSet<String> {
    fn collect(tokens: TokenStream, words: &mut BTreeSet<String>) {
        for token in tokens {
            match token {
                TokenTree::Ident(word) => _ = words.insert(word.to_string()),
                TokenTree::Group(group) => collect(group.stream(), words),
                _ => {}
            }
        }
    }
    let mut words = BTreeSet::new();
    if root().join(folder).is_dir() {
        for (file, text) in texts(folder, &[".rs"]) {
            collect(text.parse().unwrap_or_else(|error| panic!("{file}: {error}")), &mut words);
        }
    }
    words
}

#[test]
fn every_dependency_is_used() {
    let mut complaints = Vec::new();
    let mut known: HashMap<String, BTreeSet<String>> = HashMap::new();
    for Declared { package, folder, name, is_dev } in declared() {
        let folder = if folder.is_empty() { folder } else { folder + "/" };
        let mut is_in = |part: &str| {
            let folder = format!("{folder}{part}");
            known.entry(folder).or_insert_with_key(|folder| words(folder)).contains(&name)
        };
        let is_named = is_in("src") || (is_dev && is_in("tests"));
        let excused = UNNAMED.iter().any(|(of, unnamed, _)| *of == package && *unnamed == name);
        let what = match (is_named, excused) {
            (false, false) => format!("`{name}` is used nowhere in {package}"),
            (true, true) if !is_dev => format!("`{name}` is named in {package}: no exception"),
            _ => continue,
        };
        complaints.push(Complaint { file: format!("{folder}Cargo.toml"), line: 1, what });
    }
    none_of(&complaints);
}
