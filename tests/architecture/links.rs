//! Links between our documents, and the files and headings that they name, lead somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use crate::tree::{Complaint, lines, none_of, root, texts};

/// Folders whose files documents name as `src/…`, from the root of the repository.
const NAMED: &[&str] =
    &[".ci", ".config", "config", "docs", "migrations", "scripts", "src", "tests", "tools", "web"];

/// Does this file or folder, from the root of the repository, exist?
type Exists = fn(&Path) -> bool;

fn dangling(file: &str, text: &str, exists: Exists) -> Vec<Complaint> {
    let folder = Path::new(file).parent().unwrap_or(Path::new(""));
    let mut complaints = Vec::new();
    for (line, content) in prose(text) {
        let links = targets(content).map(|link| (link, folder.join(link)));
        let named = files(content).map(|name| (name, PathBuf::from(name)));
        for (shown, path) in links.chain(named) {
            if !inside(&path).is_some_and(|path| exists(&path)) {
                let what = format!("`{shown}` leads nowhere");
                complaints.push(Complaint { file: file.to_owned(), line, what });
            }
        }
    }
    complaints
}

/// The targets of `[text](target)` and `[text]: target`; not addresses.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let inline = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    let apart = line.starts_with('[').then(|| line.split("]: ").nth(1)).flatten();
    let is_ours = |target: &&str| !target.contains("://") && !target.starts_with("mailto:");
    inline.chain(apart).filter(is_ours)
}

/// The files of links; not places in the same document.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    links(line).filter_map(|target| target.split('#').next()).filter(|path| !path.is_empty())
}

/// Links to headings that are not there.
fn lost_headings(documents: &[(String, String)]) -> Vec<Complaint> {
    let known: BTreeMap<PathBuf, BTreeSet<String>> =
        documents.iter().map(|(file, text)| (PathBuf::from(file), headings(text))).collect();
    let mut complaints = Vec::new();
    for (file, text) in documents {
        let folder = Path::new(file).parent().unwrap_or(Path::new(""));
        let links =
            prose(text).flat_map(|(line, content)| links(content).map(move |link| (line, link)));
        for (line, link) in links {
            let Some((path, heading)) = link.split_once('#') else { continue };
            let path = if path.is_empty() {
                Some(PathBuf::from(file))
            } else {
                inside(&folder.join(path))
            };
            let Some(found) = path.and_then(|path| known.get(&path)) else { continue };
            if !found.contains(heading) {
                let what = format!("`{link}` is no heading");
                complaints.push(Complaint { file: file.to_owned(), line, what });
            }
        }
    }
    complaints
}

/// As links name them: lower case, hyphens for spaces, no other marks.
fn headings(text: &str) -> BTreeSet<String> {
    let titles = prose(text).filter_map(|(_, line)| line.strip_prefix('#'));
    let name = |title: &str| {
        let title = title.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|mark| mark.is_alphanumeric() || " -_".contains(*mark));
        kept.map(|mark| if mark == ' ' { '-' } else { mark }).collect()
    };
    titles.map(name).collect()
}

/// The lines that are in no example.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_example = false;
    lines(text).filter(move |(_, content)| {
        let is_fence = content.trim_start().starts_with("```");
        in_example ^= is_fence;
        !in_example && !is_fence
    })
}

/// `src/clock.rs` between backticks; not a pattern such as `src/api/*.rs`.
fn files(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2).filter(|name| {
        let begins = NAMED.iter().any(|folder| {
            name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/') && rest.len() > 1)
        });
        begins && name.chars().all(|c| c.is_alphanumeric() || "/._-".contains(c))
    })
}

/// Without `..`; `None` if it leaves the repository.
fn inside(path: &Path) -> Option<PathBuf> {
    let mut inside = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => inside.pop().then_some(())?,
            Component::Normal(name) => inside.push(name),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(inside)
}

fn documents() -> Vec<(String, String)> {
    let mut documents = texts("", &[]);
    documents.retain(|(file, _)| Path::new(file).extension().is_some_and(|ending| ending == "md"));
    documents
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let complaints: Vec<_> = documents()
        .iter()
        .flat_map(|(file, text)| dangling(file, text, |path| root().join(path).exists()))
        .collect();
    none_of(&complaints);
}

#[test]
fn every_link_to_a_heading_finds_it() {
    none_of(&lost_headings(&documents()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dangling_link_is_named_with_its_place() {
        let text = "# [A](b.md#c)\n\n[x]: ../no.md\n[good](../src/main.rs) [web](https://h/x) [here](#a)\n\
                    `src/gone.rs` and `src/api/*.rs` and `src/main.rs`\n```text\n[in](an/example)\n```\n\
                    [out](../../x)";
        let exists: Exists = |path| path == Path::new("src/main.rs");
        let found: Vec<_> =
            dangling("docs/a.md", text, exists).iter().map(ToString::to_string).collect();
        let expected = [
            "docs/a.md:1: `b.md` leads nowhere",
            "docs/a.md:3: `../no.md` leads nowhere",
            "docs/a.md:5: `src/gone.rs` leads nowhere",
            "docs/a.md:9: `../../x` leads nowhere",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_lost_heading_is_named_with_its_place() {
        let of = |file: &str, text: &str| (file.to_owned(), text.to_owned());
        let found = lost_headings(&[
            of(
                "a.md",
                "# One, `two` & 3\n[x](#one-two--3) [y](docs/b.md#here) [z](docs/b.md#gone)\n",
            ),
            of("docs/b.md", "## Here\n```\n# gone\n```\n[a](../a.md#one) [n](c.rs#L3)\n"),
        ]);
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        let expected =
            ["a.md:2: `docs/b.md#gone` is no heading", "docs/b.md:5: `../a.md#one` is no heading"];
        assert_eq!(found, expected);
    }
}
