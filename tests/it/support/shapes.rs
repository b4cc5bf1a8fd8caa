//! Values that recur in the contract, and checks of values that differ at each run.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use time::macros::format_description;
use time::{Duration, OffsetDateTime, PrimitiveDateTime, UtcOffset};
use uuid::Uuid;

/// A picture of `data.md` §1.
pub fn asset(path: &str) -> String {
    format!("https://docs-51yrc-com.oss-cn-hangzhou.aliyuncs.com/chat/{path}")
}

/// What a browser's component encoder makes of a text.
pub fn enc(text: &str) -> String {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'!')
        .remove(b'~')
        .remove(b'*')
        .remove(b'\'')
        .remove(b'(')
        .remove(b')');
    utf8_percent_encode(text, KEPT).to_string()
}

/// The names of an object's members, in their order.
pub fn keys(value: &Value) -> Vec<&str> {
    let object = value.as_object().unwrap_or_else(|| panic!("an object instead of {value}"));
    object.keys().map(String::as_str).collect()
}

/// Insists on a lower-case UUID of version 4.
#[track_caller]
pub fn assert_uuid(value: &Value) {
    let text = value.as_str().unwrap_or_else(|| panic!("a UUID instead of {value}"));
    let uuid = Uuid::parse_str(text).unwrap_or_else(|_| panic!("a UUID instead of {text}"));
    assert_eq!((uuid.get_version_num(), uuid.to_string().as_str()), (4, text));
}

/// Insists on a time of this test in epoch milliseconds.
#[track_caller]
pub fn assert_epoch_ms(value: &Value) {
    let ms = value.as_i64().unwrap_or_else(|| panic!("epoch milliseconds instead of {value}"));
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000);
    assert_now(time.expect("a time"), value);
}

/// Insists on a time of this test as `YYYY-MM-DD HH:mm:ss` in UTC+08:00 (`data.md` §1).
#[track_caller]
pub fn assert_row_time(value: &Value) {
    let form = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    let text = value.as_str().unwrap_or_else(|| panic!("a time instead of {value}"));
    let time = PrimitiveDateTime::parse(text, form)
        .unwrap_or_else(|_| panic!("a row's time instead of {text}"));
    assert_now(time.assume_offset(UtcOffset::from_hms(8, 0, 0).expect("an offset")), value);
}

/// Insists on a time of this test as ISO-8601 in UTC with milliseconds (`data.md` §1).
#[track_caller]
pub fn assert_iso_time(value: &Value) {
    let form =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    let text = value.as_str().unwrap_or_else(|| panic!("a time instead of {value}"));
    let time = PrimitiveDateTime::parse(text, form)
        .unwrap_or_else(|_| panic!("an ISO time instead of {text}"));
    assert_now(time.assume_utc(), value);
}

/// A wide net: it catches wrong zones and units, not slow machines.
#[track_caller]
fn assert_now(time: OffsetDateTime, value: &Value) {
    let distance = (OffsetDateTime::now_utc() - time).abs();
    assert!(distance < Duration::minutes(30), "{value} is {distance} away");
}
