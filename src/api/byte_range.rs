//! Byte ranges as clients ask for them (RFC 9110 §14.2), in the one form that the file service knows.
//!
//! The service takes a single `bytes=first-last` that fits the file, and refuses all else with 416. But what a server
//! does not understand it must ignore, and a suffix that is longer than the file is the whole file (clarification 32).

use axum::http::{HeaderMap, HeaderValue, header};

/// What to do about a request for a part of a file.
#[derive(Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// Answer with the whole file.
    Whole,
    /// Answer with these bytes, both included.
    Part(u64, u64),
    /// Nothing of what is asked for is there: 416.
    Unsatisfiable,
}

impl ByteRange {
    /// The range that the headers of a GET ask for, of a file of so many bytes.
    pub fn of(headers: &HeaderMap, bytes: u64) -> Self {
        let mut lines = headers.get_all(header::RANGE).iter();
        let (Some(line), None) = (lines.next(), lines.next()) else { return Self::Whole };
        // An empty file has no byte that a range could name, and all of it is there.
        line.to_str()
            .ok()
            .filter(|_| bytes > 0)
            .and_then(|line| parse(line, bytes))
            .unwrap_or(Self::Whole)
    }

    /// The header that makes the file service do so.
    pub fn header(&self) -> Option<HeaderValue> {
        let text = match self {
            Self::Whole => return None,
            Self::Part(first, last) => format!("bytes={first}-{last}"),
            Self::Unsatisfiable => "bytes=-0".to_owned(),
        };
        HeaderValue::try_from(text).ok()
    }
}

/// `None` for what is malformed or in another unit, and for several ranges.
fn parse(line: &str, bytes: u64) -> Option<ByteRange> {
    let (unit, ranges) = line.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let blank = |c: char| c == ' ' || c == '\t';
    // A list may have empty elements (RFC 9110 §5.6.1.2).
    let mut ranges = ranges.split(',').map(|it| it.trim_matches(blank)).filter(|it| !it.is_empty());
    let (Some(range), None) = (ranges.next(), ranges.next()) else { return None };
    let end = bytes - 1;
    let range = match range.split_once('-')? {
        ("", suffix) => match number(suffix)? {
            0 => ByteRange::Unsatisfiable,
            length => ByteRange::Part(bytes.saturating_sub(length), end),
        },
        (first, "") => part(number(first)?, end, end),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then(|| part(first, last, end))?
        }
    };
    Some(range)
}

fn part(first: u64, last: u64, end: u64) -> ByteRange {
    if first > end { ByteRange::Unsatisfiable } else { ByteRange::Part(first, last.min(end)) }
}

/// Digits alone; more than there can be bytes counts as the most there can be.
fn number(text: &str) -> Option<u64> {
    let is_one = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_one.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::{ByteRange::*, *};

    fn asked(line: &str, bytes: u64) -> ByteRange {
        let line = HeaderValue::from_str(line).expect("a header");
        ByteRange::of(&HeaderMap::from_iter([(header::RANGE, line)]), bytes)
    }

    #[test]
    fn clarification_32_one_range_is_answered_and_what_is_odd_is_ignored() {
        for (line, meant) in [
            ("bytes=2-4", Part(2, 4)),
            ("bytes=7-", Part(7, 9)),
            ("bytes=-2", Part(8, 9)),
            ("bytes=-100", Part(0, 9)),
            ("bytes=0-99999999999999999999", Part(0, 9)),
            ("Bytes=0-1", Part(0, 1)),
            ("BYTES=00-01", Part(0, 1)),
            ("bytes= 0-1 ,, ", Part(0, 1)),
            ("bytes=10-", Unsatisfiable),
            ("bytes=99999999999999999999-", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("items=0-1", Whole),
            ("bytes=0-0,2-3", Whole),
            ("bytes=0-9,0-9,0-9", Whole),
            ("bytes=4-2", Whole),
            ("bytes=", Whole),
            ("bytes", Whole),
            ("=0-1", Whole),
            ("bytes=-", Whole),
            ("bytes=--1", Whole),
            ("bytes=+0-1", Whole),
            ("bytes=0-1-2", Whole),
            ("bytes=a-b", Whole),
        ] {
            assert_eq!(asked(line, 10), meant, "{line}");
        }
    }

    #[test]
    fn an_empty_file_is_whole_whatever_is_asked_of_it() {
        for line in ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0", "items=0-1"] {
            assert_eq!(asked(line, 0), Whole, "{line}");
        }
    }

    #[test]
    fn of_two_lines_neither_counts() {
        let line = HeaderValue::from_static("bytes=0-1");
        let mut headers = HeaderMap::from_iter([(header::RANGE, line.clone())]);
        headers.append(header::RANGE, line);
        assert_eq!(ByteRange::of(&headers, 10), Whole);
    }
}
