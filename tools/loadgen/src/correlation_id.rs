//! What a message of a run says: which it is, and when it was due. Found in a frame without reading it as JSON.

use std::{fmt::Write as _, time::Duration};

/// No JSON text has to escape any of it.
const BEGIN: &str = "hy-bench:";

/// One message of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marker {
    /// The run: what older ones have left in the queues is not ours.
    pub(super) run: u32,
    /// The author.
    pub(super) author: usize,
    /// How many the author has sent before it.
    pub(super) number: usize,
    /// When it was due, since the run's beginning.
    pub(super) due: Duration,
}

impl Marker {
    /// As text, followed by as many dots as make it `bytes` long.
    pub(super) fn write(&self, bytes: usize, into: &mut String) {
        let begun = into.len();
        let Self { run, author, number, due } = self;
        _ = write!(into, "{BEGIN}{run:08x}:{author}:{number}:{};", due.as_micros());
        let padding = bytes.saturating_sub(into.len() - begun);
        into.extend(std::iter::repeat_n('.', padding));
    }

    /// The marker in a frame, if there is one.
    pub(super) fn find(frame: &str) -> Option<Self> {
        let begin = frame.find(BEGIN)? + BEGIN.len();
        let end = frame[begin..].find(';')?;
        let mut parts = frame[begin..begin + end].split(':');
        let run = u32::from_str_radix(parts.next()?, 16).ok()?;
        let (author, number) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let due = Duration::from_micros(parts.next()?.parse().ok()?);
        parts.next().is_none().then_some(Self { run, author, number, due })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKER: Marker =
        Marker { run: 0xab, author: 12, number: 345, due: Duration::from_micros(6_789_012) };

    #[test]
    fn a_marker_is_found_where_a_frame_holds_it_as_text_within_text() {
        let mut text = String::new();
        MARKER.write(100, &mut text);
        assert_eq!(text.len(), 100);
        let data = serde_json::json!({"data": text, "dataType": false}).to_string();
        let frame = serde_json::json!({"type": "singleChat", "data": {"id": "x", "data": data}});
        assert_eq!(Marker::find(&frame.to_string()), Some(MARKER));
    }

    #[test]
    fn other_frames_have_none() {
        for frame in [r#"{"type":"ping"}"#, "hy-bench:zz:1:2:3;", "hy-bench:ab:1:2", ""] {
            assert_eq!(Marker::find(frame), None, "{frame}");
        }
    }

    #[test]
    fn a_message_is_never_shorter_than_its_marker() {
        let mut text = String::new();
        MARKER.write(1, &mut text);
        assert_eq!(text, "hy-bench:000000ab:12:345:6789012;");
    }
}
