//! The correlation id in the text of a message: which message of a run it is, and for when it was scheduled. It is found in
//! a frame without reading that as JSON.

use std::{fmt::Write as _, time::Duration};

/// No JSON text has to escape any of it.
const BEGIN: &str = "hy-bench:";

/// One message of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CorrelationId {
    /// The run: what older ones have left in the queues is not ours.
    pub(super) run: u32,
    /// The author.
    pub(super) author: usize,
    /// How many the author has sent before it.
    pub(super) number: usize,
    /// Since the run's beginning.
    pub(super) scheduled_at: Duration,
}

impl CorrelationId {
    /// As text, followed by as many dots as make it `bytes` long.
    pub(super) fn write(&self, bytes: usize, into: &mut String) {
        let begun = into.len();
        let Self { run, author, number, scheduled_at } = self;
        _ = write!(into, "{BEGIN}{run:08x}:{author}:{number}:{};", scheduled_at.as_micros());
        let padding = bytes.saturating_sub(into.len() - begun);
        into.extend(std::iter::repeat_n('.', padding));
    }

    /// The id in a frame, if there is one.
    pub(super) fn find(frame: &str) -> Option<Self> {
        let begin = frame.find(BEGIN)? + BEGIN.len();
        let end = frame[begin..].find(';')?;
        let mut parts = frame[begin..begin + end].split(':');
        let run = u32::from_str_radix(parts.next()?, 16).ok()?;
        let (author, number) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let scheduled_at = Duration::from_micros(parts.next()?.parse().ok()?);
        parts.next().is_none().then_some(Self { run, author, number, scheduled_at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORRELATION_ID: CorrelationId = CorrelationId {
        run: 0xab,
        author: 12,
        number: 345,
        scheduled_at: Duration::from_micros(6_789_012),
    };

    #[test]
    fn a_correlation_id_is_found_where_a_frame_holds_it_as_text_within_text() {
        let mut text = String::new();
        CORRELATION_ID.write(100, &mut text);
        assert_eq!(text.len(), 100);
        let data = serde_json::json!({"data": text, "dataType": false}).to_string();
        let frame = serde_json::json!({"type": "singleChat", "data": {"id": "x", "data": data}});
        assert_eq!(CorrelationId::find(&frame.to_string()), Some(CORRELATION_ID));
    }

    #[test]
    fn other_frames_have_none() {
        for frame in [r#"{"type":"ping"}"#, "hy-bench:zz:1:2:3;", "hy-bench:ab:1:2", ""] {
            assert_eq!(CorrelationId::find(frame), None, "{frame}");
        }
    }

    #[test]
    fn a_message_is_never_shorter_than_its_marker() {
        let mut text = String::new();
        CORRELATION_ID.write(1, &mut text);
        assert_eq!(text, "hy-bench:000000ab:12:345:6789012;");
    }
}
