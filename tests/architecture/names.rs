//! Every path that a source names, written out from its root, whatever it imports under which name.

use std::collections::BTreeMap;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// `crate::adapters::redis::Redis`, `sqlx::query`, or the word `async`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Counted from 1.
    pub line: usize,
    /// Its segments.
    pub path: Vec<String>,
}

impl Named {
    /// Does it name `path`, or something in it?
    pub fn is_in(&self, path: &str) -> bool {
        let mut own = self.path.iter();
        path.split("::").all(|segment| own.next().is_some_and(|found| found == segment))
    }
}

/// What `source` names. Comments, documentation and texts do not count.
///
/// # Panics
/// It is no Rust.
pub fn named(file: &str, source: &str) -> Vec<Named> {
    let tokens = tokens(file, source);
    let is_tool = file.starts_with("tools/");
    let mut reader = Reader { is_tool, module: module(file), ..Reader::default() };
    reader.read(&tokens); // once for the imports, which may come after their use
    reader.found.clear();
    reader.read(&tokens);
    reader.found
}

/// The tokens of `source`.
///
/// # Panics
/// It is no Rust.
pub fn tokens(file: &str, source: &str) -> Vec<TokenTree> {
    let stream: TokenStream = source.parse().unwrap_or_else(|error| panic!("{file}: {error}"));
    stream.into_iter().collect()
}

/// `src/adapters/redis.rs` is `crate::adapters::redis`.
fn module(file: &str) -> Vec<String> {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    let inner = path.split('/').filter(|part| !["lib", "main"].contains(part));
    std::iter::once("crate").chain(inner).map(str::to_owned).collect()
}

#[derive(Default)]
struct Reader {
    /// To a tool the service is a crate like any other.
    is_tool: bool,
    module: Vec<String>,
    /// Name here → path.
    imports: BTreeMap<String, Vec<String>>,
    found: Vec<Named>,
}

impl Reader {
    fn read(&mut self, tokens: &[TokenTree]) {
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match token {
                TokenTree::Ident(word) if word == "use" => {
                    let end = position(tokens, at, ';');
                    self.import(&[], &tokens[at + 1..end]);
                    at = end;
                }
                TokenTree::Ident(word) if word == "mod" => {
                    at += 1;
                    if let (Some(name), Some(TokenTree::Group(body))) =
                        (tokens.get(at), tokens.get(at + 1))
                    {
                        self.module.push(name.to_string());
                        self.read_group(body);
                        self.module.pop();
                        at += 1;
                    }
                }
                TokenTree::Ident(_) if begins_path(&tokens[..at]) => {
                    let (path, length) = path(&tokens[at..]);
                    // A single word may be anything: a variable, a field.
                    if path.len() > 1 || path[0] == "async" {
                        let resolved = self.resolve(path);
                        self.note(token, resolved);
                    }
                    at += length - 1;
                }
                TokenTree::Group(group) => self.read_group(group),
                _ => {}
            }
            at += 1;
        }
    }

    fn read_group(&mut self, group: &Group) {
        self.read(&group.stream().into_iter().collect::<Vec<_>>());
    }

    fn note(&mut self, token: &TokenTree, path: Vec<String>) {
        self.found.push(Named { line: token.span().start().line, path });
    }

    /// One tree of a `use`: `crate::{clock, events::{Event, Pair as Both}}`.
    fn import(&mut self, before: &[String], tree: &[TokenTree]) {
        let (mut whole, length) = path(tree);
        whole.splice(0..0, before.iter().cloned());
        match tree.get(length..).unwrap_or_default() {
            [.., TokenTree::Group(group)] if group.delimiter() == Delimiter::Brace => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                for part in inner.split(|token| is(token, ',')).filter(|part| !part.is_empty()) {
                    self.import(&whole, part);
                }
                return;
            }
            [TokenTree::Ident(word), TokenTree::Ident(name)] if word == "as" => {
                let whole = self.resolve(whole.clone());
                self.imports.insert(name.to_string(), whole);
            }
            _ => {}
        }
        if whole.last().is_some_and(|last| last == "self") && whole.len() > 1 {
            whole.pop();
        }
        let whole = self.resolve(whole);
        if let (Some(first), Some(last)) = (tree.first(), whole.last().cloned()) {
            self.note(first, whole.clone());
            self.imports.entry(last).or_insert(whole);
        }
    }

    /// From the root: `super::x`, `self::x` and what was imported.
    fn resolve(&self, path: Vec<String>) -> Vec<String> {
        let mut base = self.module.clone();
        let mut up = 0;
        while path.get(up).is_some_and(|segment| segment == "super") {
            base.pop();
            up += 1;
        }
        let rest = |from: usize, mut base: Vec<String>| {
            base.extend(path.iter().skip(from).cloned());
            base
        };
        match path.first().map(String::as_str) {
            _ if up > 0 => rest(up, base),
            Some("self") if path.len() > 1 => rest(1, base),
            Some("hongyan") if !self.is_tool => rest(1, vec!["crate".to_owned()]),
            Some(first) if path.len() > 1 && self.imports.contains_key(first) => {
                rest(1, self.imports[first].clone())
            }
            _ => path,
        }
    }
}

/// `a::b::c` at the beginning of `tokens`, and how many tokens it takes.
fn path(tokens: &[TokenTree]) -> (Vec<String>, usize) {
    let mut path = Vec::new();
    let mut at = 0;
    while tokens.get(at).is_some_and(|token| is(token, ':')) {
        at += 1; // `::std` of a `use`
    }
    while let Some(TokenTree::Ident(segment)) = tokens.get(at) {
        path.push(segment.to_string());
        at += 1;
        let colons = tokens.get(at..at + 2).is_some_and(|pair| pair.iter().all(|t| is(t, ':')));
        if !colons {
            break;
        }
        if !matches!(tokens.get(at + 2), Some(TokenTree::Ident(_))) {
            break;
        }
        at += 2;
    }
    (path, at.max(1))
}

/// Not a field, a method, a lifetime, or the rest of `<T as Trait>::`.
fn begins_path(before: &[TokenTree]) -> bool {
    match before {
        [.., first, second] if is(first, '.') && is(second, '.') => true,
        [.., last] => !['.', '\'', ':'].iter().any(|mark| is(last, *mark)) || is_type(before),
        [] => true,
    }
}

/// After one colon, not two.
fn is_type(before: &[TokenTree]) -> bool {
    matches!(before, [.., first, second] if is(second, ':') && !is(first, ':'))
}

fn position(tokens: &[TokenTree], from: usize, mark: char) -> usize {
    let found = tokens[from..].iter().position(|token| is(token, mark));
    found.map_or(tokens.len(), |found| from + found)
}

/// Is it this punctuation mark?
pub fn is(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(source: &str) -> Vec<String> {
        let all = named("src/api/mod.rs", source);
        all.iter().map(|named| format!("{} {}", named.line, named.path.join("::"))).collect()
    }

    #[test]
    fn nested_imports_are_written_out() {
        let source =
            "use crate::{\n    clock,\n    events::{self, Pair as Both},\n};\nuse ::std::fs;";
        let expected = ["2 crate::clock", "3 crate::events", "3 crate::events::Pair", "5 std::fs"];
        assert_eq!(paths(source), expected);
    }

    #[test]
    fn a_path_is_followed_to_where_its_first_word_comes_from() {
        let ours =
            paths("use crate::adapters::redis;\nfn f() { redis::cmd(x.sqlx, 0..time::now()) }");
        assert_eq!(ours[1..], ["2 crate::adapters::redis::cmd", "2 time::now"]);
        assert_eq!(paths("async fn f(redis: u8) { redis::cmd() }"), ["1 async", "1 redis::cmd"]);
        let outer =
            paths("mod tests {\n    use super::*;\n    fn f() { super::super::ws::x() }\n}");
        assert_eq!(outer, ["2 crate::api", "3 crate::ws::x"]);
    }

    #[test]
    fn comments_and_texts_name_nothing() {
        let source = "//! sqlx::query\n/// [`tokio::spawn`]\n// redis::cmd\nconst A: &str = \"axum::Router\";";
        assert_eq!(paths(source), [""; 0]);
    }
}
