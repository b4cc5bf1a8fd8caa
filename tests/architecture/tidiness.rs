//! Files that say what they hold, are not too long, and speak of no machine.

use crate::tree::{Complaint, lines, none_of, texts};

/// A file that tells two stories becomes two.
const LONGEST: usize = 430;

/// File, and why it may be longer.
const LONGER: &[(&str, &str)] = &[];

/// Where software is fetched from: the tools know.
const REGISTRIES: &[&[&str]] = &[
    &["pypi", "org"],
    &["pythonhosted", "org"],
    &["crates", "io"],
    &["npmjs", "com"],
    &["npmjs", "org"],
];

/// Folders that only some machine has.
const FOLDERS: &[&str] = &["home", "root", "Users", "work", "workspace"];

/// Files in which cargo and its tools name the registry themselves.
const LOCKS: &[&str] = &["Cargo.lock"];

fn of_source(file: &str, text: &str) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut complain = |line, what: String| {
        complaints.push(Complaint { file: file.to_owned(), line, what });
    };
    if !text.starts_with("//! ") {
        complain(1, "does not begin with `//!` and what it holds".to_owned());
    }
    let length = text.lines().count();
    if length > LONGEST && !LONGER.iter().any(|(longer, _)| *longer == file) {
        complain(length, format!("is longer than {LONGEST} lines"));
    }
    complaints
}

fn of_text(file: &str, text: &str) -> Vec<Complaint> {
    let names_host = |line: &str| {
        let mut hosts = REGISTRIES.iter().map(|parts| parts.join("."));
        hosts.find(|host| line.contains(host.as_str())).map(|host| format!("names `{host}`"))
    };
    let names_folder = |line: &str| {
        let mut folders = FOLDERS.iter().map(|name| format!("/{name}/"));
        let found = folders.find(|folder| begins_with_folder(line, folder))?;
        Some(format!("names `{found}` of some machine"))
    };
    lines(text)
        .filter_map(|(line, content)| {
            let what = names_host(content).or_else(|| names_folder(content))?;
            Some(Complaint { file: file.to_owned(), line, what })
        })
        .collect()
}

/// The folder itself, not one of that name below another, or behind a host.
fn begins_with_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|mark| !mark.is_alphanumeric() && !"_-.}/$)~".contains(mark))
    })
}

#[test]
fn every_source_says_what_it_holds_and_is_not_too_long() {
    let sources = ["src", "tests", "tools"].map(|folder| texts(folder, &[".rs"])).concat();
    let complaints: Vec<_> =
        sources.iter().flat_map(|(file, text)| of_source(file, text)).collect();
    none_of(&complaints);
    for (file, reason) in LONGER {
        let long =
            sources.iter().any(|(name, text)| name == file && text.lines().count() > LONGEST);
        assert!(long, "{file} is not longer any more: {reason}");
    }
}

#[test]
fn nothing_names_a_machine_or_a_registry() {
    let complaints: Vec<_> = texts("", &[])
        .iter()
        .filter(|(file, _)| !LOCKS.contains(&&**file))
        .flat_map(|(file, text)| of_text(file, text))
        .collect();
    none_of(&complaints);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_untidy_is_named_with_its_place() {
        let shown =
            |found: Vec<Complaint>| found.iter().map(ToString::to_string).collect::<Vec<_>>();
        let silent = shown(of_source("src/a.rs", "use x;\n"));
        assert_eq!(silent, ["src/a.rs:1: does not begin with `//!` and what it holds"]);
        let long = format!("//! Long.\n{}", "\n".repeat(LONGEST));
        assert_eq!(shown(of_source("src/a.rs", &long)), ["src/a.rs:431: is longer than 430 lines"]);
        let text = ["fine", &format!("see https://{}/x", REGISTRIES[0].join("."))].join("\n");
        assert_eq!(of_text("a.md", &text).iter().map(|found| found.line).collect::<Vec<_>>(), [2]);
        let own = ["cd ", "home", "ann"].join("/");
        assert_eq!(of_text("run", &own).len(), 1, "{own}");
        let other = format!("\"$base/{}/x\" https://example.org/{}/", FOLDERS[0], FOLDERS[0]);
        assert_eq!(of_text("run", &other), []);
    }
}
