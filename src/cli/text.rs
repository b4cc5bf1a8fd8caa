//! Printed text has a form in which no name can spoil a terminal.

use std::{fmt::Write as _, io::Write as _};

use serde_json::Value;

/// Prints lines. Who reads no further (`… | head`) wants no more of them, and no complaint.
pub(super) fn print(text: &str) {
    if writeln!(std::io::stdout(), "{text}").is_err() {
        std::process::exit(0);
    }
}

/// Writes characters that move the cursor, hide something or turn the direction of writing as `\u202e`: in JSON that is
/// what they are, and in a text they can be seen. What people are called is theirs to choose.
pub(super) fn harmless(text: &str) -> String {
    let mut harmless = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' || !is_hidden(c) {
            harmless.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                _ = write!(harmless, "\\u{unit:04x}");
            }
        }
    }
    harmless
}

fn is_hidden(c: char) -> bool {
    let is_space = c.is_whitespace() && !matches!(c, '\u{2028}' | '\u{2029}');
    // Behind another one, so that a combining character counts as what it is.
    let is_printable = || ['_', c].iter().collect::<String>().escape_debug().count() == 2;
    c.is_control() || !(c.is_ascii() || is_space || is_printable())
}

/// Rows, one a line, with these of their fields in columns.
pub(super) fn table(rows: &[Value], columns: &[&str]) -> String {
    let head = columns.iter().map(|name| (*name).to_owned()).collect();
    let body = rows.iter().map(|row| columns.iter().map(|name| cell(&row[name])).collect());
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(body).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns.len()).filter_map(width).collect();
    let lines = lines.iter().map(|line| {
        let padded = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.replace('\n', "\\n"),
        other => other.to_string(),
    }
}

/// An object's fields, one a line.
pub(super) fn fields(shown: &Value) -> String {
    let fields = shown.as_object().into_iter().flatten();
    let lines = fields.map(|(name, value)| format!("{name:<20}{value}"));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_name_moves_the_cursor_or_hides() {
        for (name, shown) in [
            ("ann", "ann"),
            ("鸿雁 e\u{301} 茶\u{3000}🪿", "鸿雁 e\u{301} 茶\u{3000}🪿"),
            ("\u{1b}[2Jann", "\\u001b[2Jann"),
            ("a\r\u{7f}\u{9b}b", "a\\u000d\\u007f\\u009bb"),
            ("nna\u{202e}\u{200b}\u{2028}\u{feff}", "nna\\u202e\\u200b\\u2028\\ufeff"),
            ("\u{e0041}", "\\udb40\\udc41"),
        ] {
            assert_eq!(harmless(name), shown);
            let printed = harmless(&json!({ "name": name }).to_string());
            let read: Value = serde_json::from_str(&printed).expect("it is JSON still");
            assert_eq!(read["name"], name);
        }
    }

    #[test]
    fn a_name_is_one_cell() {
        let rows = [json!({"id": 7, "name": "a\nb"}), json!({"id": 12, "name": "c"})];
        assert_eq!(table(&rows, &["id", "name"]), "id  name\n7   a\\nb\n12  c");
    }
}
