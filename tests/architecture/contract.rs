//! Every part of the contract is held by a test that names it.
//!
//! A test names what its own name begins with (`rest_04_05_06_…`, `ws_03_…`, `dev_16_…`) and what the comment right above
//! it names (`rest.md` §4–§6, `ws.md` §9, DEV-7). In the stories each function counts: one that no story calls would not
//! pass the lints.

use std::collections::BTreeSet;

use crate::tree::texts;

/// The routes of rest.md (§42: later ones), the sections of ws.md that bind (§10 tells of later versions), the deviations of data.md §10.
const PARTS: [(&str, u8); 3] = [("rest", 42), ("ws", 9), ("dev", 34)];

/// `("rest", 14)`.
type Part = (&'static str, u8);

#[test]
fn every_part_of_the_contract_is_named_by_a_test() {
    let stories = texts("tests/it", &[".rs"]).into_iter();
    let stories = stories.filter(|(file, _)| !file.starts_with("tests/it/support/"));
    let mut named: BTreeSet<Part> = stories.flat_map(|(_, text)| named_in(&text, true)).collect();
    named.extend(texts("src", &[".rs"]).iter().flat_map(|(_, text)| named_in(text, false)));
    let mut missing = Vec::new();
    for (document, last) in PARTS {
        let parts = (1..=last).filter(|part| !named.contains(&(document, *part)));
        missing.extend(parts.map(|part| format!("{document}_{part:02}")));
    }
    assert!(missing.is_empty(), "no test names {}", missing.join(", "));
}

/// `/ws` is no call: the document tells of it in prose.
#[test]
fn every_route_is_an_entry_of_the_document() {
    let beside = |(file, text): &(String, String)| {
        let routes = text.matches(".route(").count();
        let known = [(".route(route.path, route.handler)", 1), (".route(\"/ws\", ", 1)];
        let known = known.iter().all(|(route, times)| text.matches(route).count() == *times);
        routes > 0 && !(file == "src/api/mod.rs" && known && routes == 2)
    };
    let mut sources = texts("src", &[".rs"]);
    sources.retain(|source| source.0 != "src/api/admin.rs" && beside(source));
    let files: Vec<String> = sources.into_iter().map(|(file, _)| file).collect();
    assert!(files.is_empty(), "routes that are no entries of their chapter: {}", files.join(", "));
}

/// What the functions of a source name, or only those that are tests.
fn named_in(source: &str, all: bool) -> Vec<Part> {
    let (mut above, mut found) = (Vec::new(), Vec::new());
    for line in source.lines().map(str::trim) {
        if line.starts_with("///") || line.starts_with("#[") {
            above.push(line);
            continue;
        }
        let name = ["fn ", "async fn "].iter().find_map(|start| line.strip_prefix(start));
        if let Some(name) = name
            && (all || above.iter().any(|mark| mark.ends_with("test]")))
            && !above.iter().any(|mark| mark.starts_with("#[ignore"))
        {
            found.extend(of_name(name));
            found.extend(of_comment(&above.join(" ")));
        }
        above.clear();
    }
    found
}

/// `rest_04_05_guests`: twice.
fn of_name(name: &str) -> Vec<Part> {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default();
    let document = PARTS.iter().map(|(document, _)| *document).find(|known| *known == first);
    let numbers = words.map_while(|word| word.parse().ok());
    document
        .into_iter()
        .flat_map(|document| numbers.clone().map(move |part| (document, part)))
        .collect()
}

fn of_comment(text: &str) -> Vec<Part> {
    let (mut document, mut found) = (None, Vec::new());
    for word in text.split_whitespace() {
        if let Some((_, number)) = word.split_once("DEV-") {
            found.extend(leading(number).map(|part| ("dev", part)));
        } else if word.contains(".md`") {
            document =
                ["rest", "ws"].into_iter().find(|known| word.contains(&format!("`{known}.md")));
        } else if let (Some(document), Some(range)) = (document, word.strip_prefix('§')) {
            let mut ends = range.split('–').filter_map(|end| leading(end.trim_start_matches('§')));
            let first = ends.next().unwrap_or_default();
            found.extend((first..=ends.next().unwrap_or(first)).map(|part| (document, part)));
        }
    }
    found
}

/// The number that a text begins with.
fn leading(text: &str) -> Option<u8> {
    let end = text.find(|mark: char| !mark.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_the_comments_above_them_count() {
        let story = "/// `rest.md` §4–§6 (checks 1–6), §0.5, `data.md` §9, `ws.md` §7.1–§7.3, DEV-5, DEV-16.\n\
            #[tokio::test]\nasync fn rest_02_03_guests_of_4() {}\n";
        let parts = [
            ("rest", 2),
            ("rest", 3),
            ("rest", 4),
            ("rest", 5),
            ("rest", 6),
            ("rest", 0),
            ("ws", 7),
            ("dev", 5),
            ("dev", 16),
        ];
        assert_eq!(named_in(story, false), parts);
        let part = "/// DEV-9.\nasync fn a_clash(app: &App) {}\n\nasync fn dev_10_none() {}\n";
        assert_eq!(named_in(part, true), [("dev", 9), ("dev", 10)]);
        assert_eq!(named_in(part, false), []);
        assert_eq!(
            named_in("/// DEV-9.\n#[test]\n#[ignore = \"slow\"]\nfn dev_09_x() {}", true),
            []
        );
        assert_eq!(named_in("/// DEV-9.\nlet x = 1;\n#[test]\nfn f() {}", true), []);
    }
}
