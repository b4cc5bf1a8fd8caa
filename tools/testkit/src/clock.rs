//! The time of day and randomness, as the tools' clients need them.
#![expect(clippy::disallowed_methods, reason = "the tools have no other home of time and chance")]

use std::time::{SystemTime, UNIX_EPOCH};

use uuid::Uuid;

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A time in milliseconds since 1970 as events have it, `2026-11-29T12:00:00.000Z`: days become dates as Howard Hinnant's
/// `civil_from_days` does it.
pub fn iso_text(ms: i64) -> String {
    let (days, of_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153; // from March on
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, milli) = (of_day / 1000 % 60, of_day % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// An id that nothing else has.
pub fn random_id() -> Uuid {
    Uuid::new_v4()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_events_have_them() {
        assert_eq!(iso_text(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(iso_text(1_758_675_907_004), "2025-09-24T01:05:07.004Z");
        assert_eq!(iso_text(951_782_400_000), "2000-02-29T00:00:00.000Z");
    }
}
