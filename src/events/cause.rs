//! The cause of an event is the request, the trace that it is part of, and the operator who wanted it.

use std::fmt;

use serde::{Serialize, Serializer};

/// What led to an event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cause {
    /// The request, by the name that the caller or the edge gave it (`hy-cause`).
    pub request: String,
    /// The trace it is part of (`traceparent`); none for what the service does by itself.
    pub trace: Option<TraceParent>,
    /// Who decided it, if that was an operator.
    pub operator: Option<Operator>,
}

impl Cause {
    /// Something that the service does by itself.
    pub fn own(name: &str) -> Self {
        Self { request: name.to_owned(), ..Self::default() }
    }

    /// Something that an operator does by a command.
    pub fn of_operator(command: &str, operator: Operator) -> Self {
        Self { operator: Some(operator), ..Self::own(command) }
    }
}

/// An operator, and why they decided what happened. Beside the event and not in it: some events have no data, and all
/// that operators do is recorded in the same way (ADR 0027).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// What they are called (`hy-operator`).
    pub name: String,
    /// In their words (`hy-reason`); may be empty.
    pub reason: String,
}

/// Why somebody cannot be named so, or something not be said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnfitOperator {
    /// Empty, too long, or with control characters.
    #[error("an operator's name has 1 to 64 characters and no control characters")]
    Name,
    /// Too long, or with control characters.
    #[error("a reason has at most 500 characters, on one line")]
    Reason,
}

impl Operator {
    /// Both without white space at their ends: headers keep none.
    ///
    /// # Errors
    /// A header would not bring them back as they are.
    pub fn new(name: &str, reason: &str) -> Result<Self, UnfitOperator> {
        let (name, reason) = (name.trim(), reason.trim());
        let fits =
            |text: &str, most| text.chars().count() <= most && !text.chars().any(char::is_control);
        if name.is_empty() || !fits(name, 64) {
            return Err(UnfitOperator::Name);
        }
        if !fits(reason, 500) {
            return Err(UnfitOperator::Reason);
        }
        Ok(Self { name: name.to_owned(), reason: reason.to_owned() })
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
    fn operators_are_named_so_that_a_header_can_hold_it() {
        let fit = Operator::new(" ann ", " 垃圾广告 ").expect("fits");
        assert_eq!((fit.name.as_str(), fit.reason.as_str()), ("ann", "垃圾广告"));
        assert!(Operator::new("ann", "").is_ok());
        for name in ["", " ", "a\nb", "a\u{9b}b", &"x".repeat(65)] {
            assert_eq!(Operator::new(name, ""), Err(UnfitOperator::Name), "{name:?}");
        }
        for reason in ["a\r\nhy-actor: 1", &"x".repeat(501)] {
            assert_eq!(Operator::new("ann", reason), Err(UnfitOperator::Reason), "{reason:?}");
        }
    }

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
