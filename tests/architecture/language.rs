//! Chinese is what clients are shown, and `src/protocol/` alone says it: strings, labels of parameters, and quotations of
//! either in comments. What tests type in may be of any script.

use crate::tree::{Complaint, lines, none_of, texts};

/// Where it stands, and why there too.
const EXCEPT: &[(&str, &str)] = &[
    ("src/protocol/", "it is the one place"),
    ("src/commands/properties/mod.rs", "tests only: names to be had"),
];

#[test]
fn chinese_is_in_the_protocol_alone() {
    let sources = texts("src", &[]);
    let elsewhere = |file: &str| !EXCEPT.iter().any(|(except, _)| file.starts_with(except));
    let complaints: Vec<_> = sources
        .iter()
        .filter(|(file, _)| elsewhere(file) && !file.ends_with("/tests.rs"))
        .flat_map(|(file, text)| complaints(file, text))
        .collect();
    none_of(&complaints);
}

fn complaints(file: &str, text: &str) -> Vec<Complaint> {
    let product = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
    let chinese = lines(product).filter(|(_, line)| line.chars().any(is_ideograph));
    let told = chinese.map(|(line, _)| Complaint {
        file: file.to_owned(),
        line,
        what: "says something in Chinese, as `src/protocol/` alone does".to_owned(),
    });
    told.collect()
}

/// A CJK ideograph.
fn is_ideograph(mark: char) -> bool {
    matches!(mark, '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_comments_count_and_what_tests_type_in_does_not() {
        let source = "const A: &str = \"x\";\n/// `群`\nfn f() {}\n\n#[cfg(test)]\nmod tests {\n    // 群\n}\n";
        let found = complaints("src/a.rs", source);
        assert_eq!(found.iter().map(|found| found.line).collect::<Vec<_>>(), [2]);
        assert!(!is_ideograph('、') && is_ideograph('鸿'));
    }
}
