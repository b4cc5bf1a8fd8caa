//! The files of this repository.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// Made by tools, not by hand.
const NOT_OURS: &[&str] = &[".git", ".hongyan", "node_modules", "target"];

/// Something wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// The file, from the root of the repository.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

/// Fails with everything that is wrong, not only with what is first.
pub fn none_of(complaints: &[Complaint]) {
    let lines: Vec<String> = complaints.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "\n{}", lines.join("\n"));
}

/// Where the repository is.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text files below `folder` with one of these endings, or all: path from the root, and text.
pub fn texts(folder: &str, endings: &[&str]) -> Vec<(String, String)> {
    let mut files = Vec::new();
    collect(&root().join(folder), &mut files);
    let mut texts: Vec<(String, String)> = files
        .into_iter()
        .filter_map(|path| {
            let name = path.strip_prefix(root()).ok()?.to_str()?.to_owned();
            let wanted = endings.is_empty() || endings.iter().any(|ending| name.ends_with(ending));
            wanted.then(|| Some((name, fs::read_to_string(&path).ok()?)))?
        })
        .collect();
    texts.sort();
    assert!(!texts.is_empty(), "no {endings:?} in {folder}: is this the repository?");
    texts
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if NOT_OURS.iter().any(|ours| name == *ours) {
            continue;
        }
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => collect(&path, files),
            Ok(kind) if kind.is_file() => files.push(path),
            _ => {}
        }
    }
}

/// The lines of a text, counted from 1.
pub fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}
