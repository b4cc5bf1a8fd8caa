//! Links between our documents, and the files that they name, lead somewhere.

use std::path::{Component, Path, PathBuf};

use crate::tree::{Complaint, lines, none_of, root, texts};

/// Folders whose files documents name as `src/…`, from the root of the repository.
const NAMED: &[&str] =
    &[".ci", ".config", "bench", "config", "docs", "migrations", "scripts", "src", "tests", "web"];

/// Does this file or folder, from the root of the repository, exist?
type Exists = fn(&Path) -> bool;

fn dangling(file: &str, text: &str, exists: Exists) -> Vec<Complaint> {
    let folder = Path::new(file).parent().unwrap_or(Path::new(""));
    let mut in_example = false;
    let mut complaints = Vec::new();
    for (line, content) in lines(text) {
        if content.trim_start().starts_with("```") {
            in_example = !in_example;
            continue;
        }
        let links = targets(content).filter(|_| !in_example).map(|link| (link, folder.join(link)));
        let named = files(content).filter(|_| !in_example).map(|name| (name, PathBuf::from(name)));
        for (shown, path) in links.chain(named) {
            if !inside(&path).is_some_and(|path| exists(&path)) {
                let what = format!("`{shown}` leads nowhere");
                complaints.push(Complaint { file: file.to_owned(), line, what });
            }
        }
    }
    complaints
}

/// The files of `[text](target)` and `[text]: target`; not addresses, not places in the same document.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    let inline = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    let apart = line.starts_with('[').then(|| line.split("]: ").nth(1)).flatten();
    inline
        .chain(apart)
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .filter_map(|target| target.split('#').next())
        .filter(|path| !path.is_empty())
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

#[test]
fn every_link_between_documents_leads_somewhere() {
    let complaints: Vec<_> = texts("", &[])
        .iter()
        .filter(|(file, _)| Path::new(file).extension().is_some_and(|ending| ending == "md"))
        .flat_map(|(file, text)| dangling(file, text, |path| root().join(path).exists()))
        .collect();
    none_of(&complaints);
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
}
