//! Names of types: one word means one thing, so no two public types of a crate have the same name.

use std::collections::BTreeMap;

use crate::tree::{Complaint, lines, none_of, texts};

/// Names that stand twice, and why that is right.
const TWICE: &[(&str, &str)] = &[
    ("Bucket", "there is one with the feature `s3` and one without"),
    ("BucketError", "as `Bucket`"),
];

/// Where each type is defined that is not a file's own affair.
fn definitions(sources: &[(String, String)]) -> BTreeMap<String, Vec<(String, usize)>> {
    let mut found: BTreeMap<String, Vec<(String, usize)>> = BTreeMap::new();
    for (file, source) in sources {
        for (line, text) in lines(source) {
            if let Some(name) = defined(text) {
                found.entry(name.to_owned()).or_default().push((file.clone(), line));
            }
        }
    }
    found
}

/// `pub(super) struct Name<T> {` defines `Name`.
fn defined(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix("pub")?;
    let rest = match rest.strip_prefix('(') {
        Some(scope) => scope.split_once(')')?.1,
        None => rest,
    };
    let (kind, rest) = rest.trim_start().split_once(' ')?;
    let is_type = ["struct", "enum", "trait", "type"].contains(&kind);
    let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    is_type.then_some(name).filter(|name| name.starts_with(char::is_uppercase))
}

fn complaints(sources: &[(String, String)]) -> Vec<Complaint> {
    let is_allowed = |name: &str| TWICE.iter().any(|(allowed, _)| *allowed == name);
    definitions(sources)
        .into_iter()
        .filter(|(name, places)| places.len() > 1 && !is_allowed(name))
        .flat_map(|(name, places)| {
            let (first, line) = places[0].clone();
            places.into_iter().skip(1).map(move |(file, at)| {
                let what = format!("`{name}` is another type in {first}:{line}");
                Complaint { file, line: at, what }
            })
        })
        .collect()
}

#[test]
fn no_two_public_types_have_the_same_name() {
    none_of(&complaints(&texts("src", &[".rs"])));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_definition_is_named_with_the_first() {
        let sources = [
            ("src/a.rs".to_owned(), "pub struct Lane;\nstruct Own;\npub enum Lanes {".to_owned()),
            ("src/b.rs".to_owned(), "struct Own;\n\npub(super) type Lane<T> = Vec<T>;".to_owned()),
        ];
        let found: Vec<String> = complaints(&sources).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["src/b.rs:3: `Lane` is another type in src/a.rs:1"]);
    }
}
