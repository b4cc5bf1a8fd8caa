//! Because of what something happened: the request, and the trace that it is part of.

use std::fmt;

use serde::{Serialize, Serializer};

/// What led to an event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cause {
    /// The request, by the name that the caller or the edge gave it (`hy-cause`).
    pub request: String,
    /// The trace it is part of (`traceparent`); none for what the service does by itself.
    pub trace: Option<TraceParent>,
}

impl Cause {
    /// Something that the service does by itself, or an operator.
    pub fn own(name: &str) -> Self {
        Self { request: name.to_owned(), trace: None }
    }
}

/// A `traceparent` header of W3C Trace Context, version 00; passed on as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceParent(String);

impl TraceParent {
    /// A trace that begins here: `trace` and `span` are random; it asks nobody to record it.
    pub fn begin(trace: u128, span: u64) -> Self {
        Self(format!("00-{trace:032x}-{span:016x}-00"))
    }

    /// `00-{32 hex digits}-{16 hex digits}-{2 hex digits}`, lower case, neither id all zeros; `None` for
    /// anything else, which the specification tells to ignore.
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = |part: &str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let is_id = |part: &str, length| {
            part.len() == length && is_hex(part) && part.bytes().any(|byte| byte != b'0')
        };
        let parts: Vec<&str> = text.split('-').collect();
        match parts[..] {
            ["00", trace, span, flags]
                if is_id(trace, 32) && is_id(span, 16) && flags.len() == 2 && is_hex(flags) =>
            {
                Some(Self(text.to_owned()))
            }
            _ => None,
        }
    }

    /// As in the header.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for TraceParent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_trace_is_passed_on() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(TraceParent::parse(good).map(|trace| trace.to_string()).as_deref(), Some(good));
        let begun = TraceParent::begin(1, 2);
        assert_eq!(TraceParent::parse(begun.as_str()), Some(begun));
        for bad in [
            "",
            "00",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert_eq!(TraceParent::parse(bad), None, "{bad}");
        }
    }
}
