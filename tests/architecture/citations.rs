//! Citations resolve: `rest.md` §41, DEV-16, clarification 25, ADR 0013 and `docs/…` each name a heading or file of ours.
//!
//! A section is a heading (`## 41. …`, `### 6.1 …`) or an item of the numbered list below one (`ws.md` §7.4). A number
//! that follows without a page is of the page named last in the same comment, else of the first one named in the file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::tree::{Complaint, lines, none_of, texts};

/// Where the pages of the contract are.
const CONTRACT: &str = "docs/contract/";

/// Decisions are told as they were taken, when there were other documents.
const AS_THEY_WERE: &str = "docs/adr/";

/// Made by tools; and these files, whose tests cite what is not there.
const NOT_READ: &[&str] = &[".sqlx/", "Cargo.lock", "docs/measured/", "tests/architecture/"];

/// Documents of others, with sections that are not ours to resolve.
const FOREIGN: &[&str] = &["RFC", "ISO/IEC", "Exif", "XMP"];

/// Where a number without any page is one of `rest.md`.
const OF_ROUTES: &[&str] = &["src/api/", "src/protocol/", "tests/it/"];

/// What can be cited.
#[derive(Default)]
struct Cited {
    /// The sections of each page.
    sections: BTreeMap<String, BTreeSet<String>>,
    deviations: BTreeSet<u64>,
    clarifications: BTreeSet<u64>,
    decisions: BTreeSet<u64>,
    files: BTreeSet<String>,
}

impl Cited {
    fn read(files: &[(String, String)]) -> Self {
        let mut cited = Self::default();
        for (file, text) in files {
            cited.files.insert(file.clone());
            if let Some(name) = file.strip_prefix(AS_THEY_WERE) {
                cited.decisions.extend(leading(name));
            }
            let Some(page) = file.strip_prefix(CONTRACT) else { continue };
            cited.sections.insert(page.to_owned(), sections(text));
            for cell in text.lines().filter_map(|line| line.strip_prefix("| ")) {
                match cell.strip_prefix("DEV-") {
                    Some(number) => cited.deviations.extend(leading(number)),
                    None if page == "clarifications.md" => {
                        cited.clarifications.extend(leading(cell));
                    }
                    None => {}
                }
            }
        }
        cited
    }

    /// What a line cites that is not there. `page` is the one that numbers belong to.
    fn missing(&self, file: &str, line: &str, page: &mut Option<String>) -> Vec<String> {
        let mut missing = Vec::new();
        let words: Vec<&str> = line.split_whitespace().collect();
        for (at, word) in words.iter().enumerate() {
            let before = |back: usize| at.checked_sub(back).map_or("", |at| words[at]);
            let is_foreign =
                (1..=3).any(|back| FOREIGN.iter().any(|name| before(back).contains(name)));
            if let Some(named) = page_of(word) {
                *page = Some(named.to_owned());
            } else if trimmed(word) == "DESIGN" {
                *page = Some("DESIGN".to_owned());
            }
            if word.starts_with('§') && ["rest", "ws", "data"].contains(&before(1)) {
                *page = Some(format!("{}.md", before(1)));
            }
            for number in word.split('§').skip(1).filter(|_| !is_foreign) {
                missing.extend(self.section(file, page.as_deref(), number));
            }
            if let Some((_, number)) = word.split_once("DEV-") {
                let unknown = leading(number).filter(|number| !self.deviations.contains(number));
                missing.extend(unknown.map(|number| format!("there is no DEV-{number}")));
            }
            let numbers = |most| numbers(words[at + 1..].iter().take(most));
            match trimmed(word).to_ascii_lowercase().as_str() {
                "clarification" => missing.extend(self.clarification(numbers(1))),
                "clarifications" => missing.extend(self.clarification(numbers(usize::MAX))),
                "adr" | "adrs" => {
                    let unknown =
                        numbers(usize::MAX).filter(|number| !self.decisions.contains(number));
                    missing.extend(unknown.map(|number| format!("there is no ADR {number:04}")));
                }
                _ => {}
            }
            missing.extend(self.document(word));
        }
        missing
    }

    fn section(&self, file: &str, page: Option<&str>, number: &str) -> Option<String> {
        let end = number.find(|mark: char| !(mark.is_ascii_digit() || mark == '.'));
        let number = number[..end.unwrap_or(number.len())].trim_end_matches('.');
        if number.is_empty() {
            return None;
        }
        let Some(page) = page else {
            return Some(format!("§{number} names no page"));
        };
        match self.sections.get(page) {
            Some(sections) if sections.contains(number) => None,
            Some(_) => Some(format!("`{page}` has no §{number}")),
            None if file.starts_with(AS_THEY_WERE) => None,
            None => Some(format!("`{page}` §{number} is not in this repository")),
        }
    }

    fn clarification(&self, numbers: impl Iterator<Item = u64>) -> Option<String> {
        let mut unknown = numbers.filter(|number| !self.clarifications.contains(number));
        unknown.next().map(|number| format!("there is no clarification {number}"))
    }

    fn document(&self, word: &str) -> Option<String> {
        let path = &word[word.find("docs/")?..];
        let end = path.find(|mark: char| !(mark.is_ascii_alphanumeric() || "/._-".contains(mark)));
        let path = path[..end.unwrap_or(path.len())].trim_end_matches('.');
        let is_gone = is_markdown(path) && !self.files.contains(path);
        is_gone.then(|| format!("there is no `{path}`"))
    }
}

/// The numbers of headings, and of items of lists below them.
fn sections(text: &str) -> BTreeSet<String> {
    let (mut heading, mut found) = (None, BTreeSet::new());
    for line in text.lines() {
        let title = line.trim_start_matches('#').trim_start();
        let end = title.find(|mark: char| !(mark.is_ascii_digit() || mark == '.'));
        let number = title[..end.unwrap_or(title.len())].trim_end_matches('.');
        if number.is_empty() {
            continue;
        }
        if line.starts_with('#') {
            heading = Some(number.to_owned());
            found.insert(number.to_owned());
        } else if let Some(heading) = &heading
            && title[number.len()..].starts_with(". ")
        {
            found.insert(format!("{heading}.{number}"));
        }
    }
    found
}

/// `rest.md` of `` (`rest.md`, `` or `docs/contract/rest.md`; not a path to another document.
fn page_of(word: &str) -> Option<&str> {
    let name = trimmed(word);
    let name = name.split_once('§').map_or(name, |(name, _)| name);
    let name = name.rsplit_once(CONTRACT).map_or(name, |(_, name)| name);
    let stem = name.strip_suffix(".md")?;
    stem.bytes().all(|letter| letter.is_ascii_lowercase()).then_some(name)
}

fn is_markdown(file: &str) -> bool {
    Path::new(file).extension().is_some_and(|ending| ending == "md")
}

fn trimmed(word: &str) -> &str {
    word.trim_matches(|mark: char| !mark.is_alphanumeric())
}

/// The numbers of a list that begins with these words: `16`, `13 and 12`, `0011, 0013);`.
fn numbers<'a>(words: impl Iterator<Item = &'a &'a str>) -> impl Iterator<Item = u64> {
    let mut goes_on = true;
    let listed = words.map_while(move |word| match trimmed(word) {
        "and" | "or" | "to" => {
            goes_on = true;
            Some(None)
        }
        number if goes_on => {
            goes_on = word.ends_with(',');
            leading(number).map(Some)
        }
        _ => None,
    });
    listed.flatten()
}

/// The number that a text begins with.
fn leading(text: &str) -> Option<u64> {
    let end = text.find(|mark: char| !mark.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

/// Everything that a file cites and that is not there.
fn dangling(cited: &Cited, file: &str, text: &str) -> Vec<Complaint> {
    let first = text.split_whitespace().find_map(page_of).map(str::to_owned);
    let of_routes = OF_ROUTES.iter().any(|folder| file.starts_with(folder));
    let usual = of_routes.then(|| "rest.md".to_owned());
    let own = file.strip_prefix(CONTRACT).map(str::to_owned).or(first).or(usual);
    let is_page = file.starts_with(CONTRACT);
    let mut page = own.clone();
    let mut complaints = Vec::new();
    for (line, content) in lines(text) {
        let bare = content.trim().trim_start_matches(['/', '!', '#', '-', ' ']);
        let is_comment =
            ["//", "#", "--"].iter().any(|mark| content.trim_start().starts_with(mark));
        if bare.is_empty() || is_page || !(is_comment || is_markdown(file)) {
            page.clone_from(&own);
        }
        let missing = cited.missing(file, content, &mut page).into_iter();
        complaints.extend(missing.map(|what| Complaint { file: file.to_owned(), line, what }));
    }
    complaints
}

#[test]
fn every_citation_resolves() {
    let files = texts("", &[]);
    let cited = Cited::read(&files);
    assert!(cited.sections.len() >= 4, "where are the pages of the contract?");
    let read = files.iter().filter(|(file, _)| !NOT_READ.iter().any(|not| file.starts_with(not)));
    let complaints: Vec<_> = read.flat_map(|(file, text)| dangling(&cited, file, text)).collect();
    none_of(&complaints);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(file: &str, text: &str) -> Vec<String> {
        let page = |name: &str, text: &str| (format!("{CONTRACT}{name}"), text.to_owned());
        let cited = Cited::read(&[
            page("rest.md", "## 0. General\n### 0.1 Envelope\n## 36. POST x · Visitor+\n"),
            page("ws.md", "## 7. Delivery\n\n1. **Online** = so.\n2. Else so.\n"),
            page("data.md", "| DEV-3 | B | x | y |\n"),
            page("clarifications.md", "| No | Where |\n|---|---|\n| 12 | rest §1 |\n| 13 | §2 |\n"),
            ("docs/adr/0013-large.md".to_owned(), String::new()),
            ("docs/design/here.md".to_owned(), String::new()),
        ]);
        dangling(&cited, file, text).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_there_may_be_cited() {
        let text = "//! Of `rest.md` §0.1, §36 and `ws.md` §7–§7.2 (RFC 1122 §4.2.3.2), DEV-3.\n\n\
                    /// A route (§36).\n/// Clarifications 12, 13 and 12, ADR 0013, `docs/design/here.md`.\n";
        assert_eq!(found("src/a.rs", text), [] as [&str; 0]);
        assert_eq!(
            found("docs/contract/rest.md", "As §36 says, and `ws.md` §7.\nNot §0.1.\n"),
            [] as [&str; 0]
        );
        assert_eq!(found("docs/adr/0013-large.md", "As DESIGN §6 has it.\n"), [] as [&str; 0]);
    }

    #[test]
    fn what_is_not_there_is_named_with_its_place() {
        let text = "//! `rest.md` §36,\n//! §37, and `ws.md` §7.3.\n//! See DESIGN §6 or `log.md` §1.\n\
                    /// DEV-4, clarification 14, ADR 0013, 0018, `docs/design/gone.md`.\n";
        let expected = [
            "src/a.rs:2: `rest.md` has no §37",
            "src/a.rs:2: `ws.md` has no §7.3",
            "src/a.rs:3: `DESIGN` §6 is not in this repository",
            "src/a.rs:3: `log.md` §1 is not in this repository",
            "src/a.rs:4: there is no DEV-4",
            "src/a.rs:4: there is no clarification 14",
            "src/a.rs:4: there is no ADR 0018",
            "src/a.rs:4: there is no `docs/design/gone.md`",
        ];
        assert_eq!(found("src/a.rs", text), expected);
        assert_eq!(found("a.md", "As §3 says.\n"), ["a.md:1: §3 names no page"]);
        let text = "Of `rest.md`: see [ws](docs/contract/ws.md) §36.\n";
        assert_eq!(found("a.md", text), ["a.md:1: `ws.md` has no §36"]);
    }
}
