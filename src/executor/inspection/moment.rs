//! A moment of the log: a position, or a time.

use std::{borrow::Cow, str::FromStr};

use time::{
    OffsetDateTime, PrimitiveDateTime,
    format_description::{BorrowedFormatItem, well_known::Rfc3339},
    macros::format_description,
};

use crate::events::{Position, Timestamp};

/// When something is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// When the log ended there.
    Position(Position),
    /// What was stored by then, that millisecond included.
    Time(Timestamp),
}

/// Why that is no moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a moment is a position, like `1004`, or a time, like `2026-11-29T12:00:00+08:00`; without a zone it is UTC, \
     and seconds may be left out"
)]
pub struct UnfitMoment;

impl FromStr for Moment {
    type Err = UnfitMoment;

    fn from_str(text: &str) -> Result<Self, UnfitMoment> {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().map(|at| Self::Position(Position(at))).map_err(|_| UnfitMoment);
        }
        let text = with_seconds(text);
        let time = OffsetDateTime::parse(&text, &Rfc3339).or_else(|_| {
            let formats: [&[BorrowedFormatItem<'_>]; 2] = [
                format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond]"),
                format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]"),
            ];
            let read = |format: &&[_]| PrimitiveDateTime::parse(&text, *format).ok();
            formats.iter().find_map(read).map(PrimitiveDateTime::assume_utc).ok_or(UnfitMoment)
        });
        time.map(|time| Self::Time(Timestamp::of(time)))
    }
}

/// `2026-11-29T12:00`, with a zone or without one, gets the seconds that it leaves out.
fn with_seconds(text: &str) -> Cow<'_, str> {
    match text.split_at_checked("2026-11-29T12:00".len()) {
        Some((minute, zone)) if zone.is_empty() || zone.starts_with(['Z', '+', '-']) => {
            format!("{minute}:00{zone}").into()
        }
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_position_or_a_time() {
        let read = str::parse::<Moment>;
        assert_eq!(read("1004"), Ok(Moment::Position(Position(1004))));
        let noon = Ok(Moment::Time(Timestamp(1_795_953_600_000)));
        for text in [
            "2026-11-29T12:00:00Z",
            "2026-11-29T12:00",
            "2026-11-29T12:00:00",
            "2026-11-29T12:00:00.000",
            "2026-11-29T20:00:00+08:00",
            "2026-11-29T20:00+08:00",
            "2026-11-29T12:00Z",
        ] {
            assert_eq!(read(text), noon, "{text}");
        }
        for text in [
            "",
            "-1",
            "noon",
            "2026-11-29",
            "2026-13-29T12:00",
            "2026-11-29T12:00+",
            "12:00",
            "99999999999999999999",
        ] {
            assert_eq!(read(text), Err(UnfitMoment), "{text}");
        }
    }
}
