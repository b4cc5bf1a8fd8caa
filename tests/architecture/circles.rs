//! Circles: no file names another that leads back to it, so each can be read before those that name it.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::named;
use crate::tree::{Complaint, none_of, texts};

/// Files that may be in a circle with each other, and why.
const ALLOWED: &[(&str, &str)] = &[
    ("src/api/error.rs", HTTP),
    ("src/api/middleware/auth.rs", HTTP),
    ("src/api/middleware/observed.rs", HTTP),
    ("src/api/params.rs", HTTP),
    ("src/api/reply.rs", HTTP),
    ("src/api/route.rs", HTTP),
    ("src/api/upload_form.rs", HTTP),
    ("src/api/uploads.rs", HTTP),
];

const HTTP: &str =
    "a refusal is an answer, which the middleware logs, which reads what handlers are handed";

type Graph = BTreeMap<String, BTreeSet<String>>;

/// Which file names which. That a file of a folder names what the folder's own `mod.rs` holds is no circle: it holds what
/// they share.
fn graph(sources: &[(String, String)]) -> Graph {
    let files: BTreeMap<String, &str> =
        sources.iter().map(|(file, _)| (module(file), file.as_str())).collect();
    let mut graph = Graph::new();
    for (file, source) in sources.iter().filter(|(file, _)| !file.ends_with("/tests.rs")) {
        let product = source.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        let own = module(file);
        for named in named(file, product) {
            let Some((module, target)) = (1..=named.path.len())
                .rev()
                .map(|length| named.path[..length].join("::"))
                .find_map(|path| files.get(&path).map(|target| (path, *target)))
            else {
                continue;
            };
            let is_own_folder = own.starts_with(&format!("{module}::"));
            if target != file && !is_own_folder {
                graph.entry(file.clone()).or_default().insert(target.to_owned());
            }
        }
    }
    graph
}

/// `src/ws/mod.rs` is `crate::ws`.
fn module(file: &str) -> String {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    let path = path.split('/').filter(|part| !["lib", "main"].contains(part));
    std::iter::once("crate").chain(path).collect::<Vec<_>>().join("::")
}

/// All that can be reached from a file, which is not among it unless there is a circle.
fn reached<'a>(graph: &'a Graph, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&str> = graph.get(from).into_iter().flatten().map(String::as_str).collect();
    while let Some(file) = open.pop() {
        if reached.insert(file) {
            open.extend(graph.get(file).into_iter().flatten().map(String::as_str));
        }
    }
    reached
}

fn complaints(sources: &[(String, String)]) -> Vec<Complaint> {
    let graph = graph(sources);
    let is_allowed = |file: &str| ALLOWED.iter().any(|(allowed, _)| *allowed == file);
    let mut complaints = Vec::new();
    for file in graph.keys().filter(|file| !is_allowed(file)) {
        let circle: Vec<&str> = reached(&graph, file)
            .into_iter()
            .filter(|other| *other != file && reached(&graph, other).contains(file.as_str()))
            .collect();
        if !circle.is_empty() {
            let what = format!("is in a circle with {}", circle.join(", "));
            complaints.push(Complaint { file: file.clone(), line: 1, what });
        }
    }
    complaints
}

#[test]
fn no_file_leads_back_to_itself() {
    none_of(&complaints(&texts("src", &[".rs"])));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_is_named_with_all_that_are_in_it() {
        let source = |file: &str, text: &str| (file.to_owned(), text.to_owned());
        let sources = [
            source("src/a.rs", "use crate::b::B;"),
            source("src/b.rs", "fn f() { crate::c::g() }"),
            source("src/c.rs", "use super::a::A;"),
            source("src/d.rs", "use crate::a::A;\n#[cfg(test)]\nmod tests { use crate::e::E; }"),
            source("src/e.rs", "use crate::d::D;"),
            source("src/f/mod.rs", "use self::g::G;"),
            source("src/f/g.rs", "use super::F;"),
        ];
        let found: Vec<String> = complaints(&sources).iter().map(ToString::to_string).collect();
        let expected = [
            "src/a.rs:1: is in a circle with src/b.rs, src/c.rs",
            "src/b.rs:1: is in a circle with src/a.rs, src/c.rs",
            "src/c.rs:1: is in a circle with src/a.rs, src/b.rs",
        ];
        assert_eq!(found, expected);
    }
}
