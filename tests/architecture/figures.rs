//! Defaults that documents quote are those of `config/default.toml`.

use std::collections::HashMap;

use crate::tree::{Complaint, lines, none_of, texts};

/// A quoted default of a setting: `` `limits.body_bytes`, 1 MiB ``, also in the next cell of a table.
struct Quoted<'a> {
    key: &'a str,
    shown: &'a str,
    number: u64,
}

/// Those of a line. Where a cell has several keys, their figures are in an order that only readers know.
fn quoted(line: &str) -> Vec<Quoted<'_>> {
    let parts: Vec<&str> = line.split('`').collect();
    let keys = (1..parts.len().saturating_sub(1)).step_by(2);
    keys.filter(|&at| !(parts[at - 1] == ", " && at > 1))
        .filter_map(|at| {
            let key = parts[at];
            let is_key = key.split_once('.').is_some_and(|(section, name)| {
                let plain = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
                plain(section) && plain(name)
            });
            let shown = parts[at + 1].trim_start_matches([',', ' ', '|']);
            let shown = &shown[..shown.find([';', ',', '|', '.']).unwrap_or(shown.len())];
            let rest = parts[at + 1].trim_start_matches([',', ' ', '|']);
            is_key.then(|| number(rest)).flatten().map(|number| Quoted { key, shown, number })
        })
        .collect()
}

/// `120,000`, `1 MiB`, `15 min`: in bytes or milliseconds, where there is a unit. `3 or 5` is a choice and no default.
fn number(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == ',')).unwrap_or(text.len());
    let digits: String = text[..end].trim_end_matches(',').replace(',', "");
    if text[end..].starts_with(" or ") {
        return None;
    }
    let unit = text[end..].strip_prefix(' ').unwrap_or_default();
    let unit = unit.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    let each = match unit {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "s" => 1000,
        "min" => 60_000,
        "days" => 86_400_000,
        _ => 1, // milliseconds, or things
    };
    digits.parse::<u64>().ok().map(|number| number * each)
}

/// Each setting that is a number, in the same units.
fn defaults(file: &str) -> HashMap<String, u64> {
    let mut section = "";
    let mut found = HashMap::new();
    for line in file.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        }
        let Some((key, value)) = line.split_once(" = ") else { continue };
        let each = match key.rsplit('_').next() {
            Some("s") => 1000,
            Some("kib") => 1 << 10,
            Some("mib") => 1 << 20,
            _ => 1,
        };
        let value = value.split('#').next().unwrap_or_default().trim();
        if let Ok(number) = value.parse::<u64>() {
            found.insert(format!("{section}.{key}"), number * each);
        }
    }
    found
}

#[test]
fn quoted_defaults_are_the_defaults() {
    let defaults = defaults(include_str!("../../config/default.toml"));
    let (mut complaints, mut checked) = (Vec::new(), 0);
    // A decision is told as it was taken.
    let documents =
        texts("", &[".md"]).into_iter().filter(|(file, _)| !file.starts_with("docs/adr/"));
    for (file, text) in documents {
        for (line, content) in lines(&text) {
            for Quoted { key, shown, number } in quoted(content) {
                let Some(&default) = defaults.get(key) else { continue };
                checked += 1;
                if number != default {
                    let what = format!("`{key}` is {default}, not {shown}");
                    complaints.push(Complaint { file: file.clone(), line, what });
                }
            }
        }
    }
    assert!(checked > 15, "only {checked} are quoted");
    none_of(&complaints);
}

#[test]
fn a_wrong_figure_is_found() {
    let found: Vec<(&str, u64)> = [
        "| size of a body | `limits.body_bytes`, 1 MiB; then 413 |",
        "| `limits.group_members` | 2,000 | memberships |",
        "| `a.b`, `limits.c` | 1 and 2 |",
        "| `log.replicas` | 3 or 5 |",
        "(`limits.login_window_s` 15 min)",
        "(`log.fact_ttl_s`, 30 days)",
    ]
    .iter()
    .flat_map(|line| quoted(line))
    .map(|quoted| (quoted.key, quoted.number))
    .collect();
    let expected = [
        ("limits.body_bytes", 1 << 20),
        ("limits.group_members", 2000),
        ("limits.login_window_s", 900_000),
        ("log.fact_ttl_s", 2_592_000_000),
    ];
    assert_eq!(found, expected);
    assert_eq!(defaults("[a]\nb_s = 3 # c\nd = \"4\"").get("a.b_s"), Some(&3000));
}
