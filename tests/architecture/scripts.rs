//! Scripts for Redis: what they touch they were given (ADR 0032).

use crate::tree::{Complaint, lines, none_of, texts};

/// The first key of a call in a script: its second word, or the third of a command of several words.
fn key_of(call: &str) -> &str {
    let mut words = call.split([',', ')']).map(str::trim).skip(1);
    let second = words.next().unwrap_or_default();
    if second == "'STREAM'" { words.next().unwrap_or_default() } else { second }
}

fn of_text(file: &str, text: &str) -> Vec<Complaint> {
    let calls = |(line, content): (usize, &str)| {
        let calls: Vec<String> = content.split("redis.call(").skip(1).map(str::to_owned).collect();
        calls.into_iter().map(move |call| (line, call))
    };
    let builds = |(_, call): &(usize, String)| key_of(call).contains(['\'', '.', '"']);
    lines(text)
        .flat_map(calls)
        .filter(builds)
        .map(|(line, call)| {
            let what =
                format!("a script builds the key `{}` instead of having it in KEYS", key_of(&call));
            Complaint { file: file.to_owned(), line, what }
        })
        .collect()
}

#[test]
fn scripts_build_no_keys() {
    let sources = texts("src", &[".rs"]);
    let complaints = sources.iter().flat_map(|(file, text)| of_text(file, text));
    none_of(&complaints.collect::<Vec<_>>());
}

#[test]
fn a_key_that_is_built_is_found() {
    let found = |script| of_text("a.rs", script).len();
    assert_eq!(found("return redis.call('GET', p .. 'queue_' .. ARGV[1])"), 1);
    assert_eq!(found("redis.call('SET', 'hy:x', 1) redis.call('DEL', KEYS[1])"), 1);
    assert_eq!(found("redis.call('XINFO', 'STREAM', queue)"), 0);
    assert_eq!(found("redis.call(name, KEYS[key], unpack(ARGV, i + 3, last))"), 0);
}
