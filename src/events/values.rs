//! Values that several events share are parsed once and then always valid.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::{
    OffsetDateTime, UtcOffset,
    format_description::BorrowedFormatItem,
    macros::{format_description, offset},
};
use unicode_normalization::UnicodeNormalization;

use super::ids::UserId;

/// Milliseconds since the Unix epoch.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// The zone that clients expect in texts (data.md §1).
const ZONE: UtcOffset = offset!(+8);

impl Timestamp {
    /// Whole milliseconds of `at`.
    pub fn of(at: OffsetDateTime) -> Self {
        Self(i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX))
    }

    /// The same instant for the database.
    pub fn date_time(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// `2025-09-24 13:33:04` in UTC+08:00: `create_time` of a row (data.md §1).
    pub fn row_text(self) -> String {
        self.local_text(format_description!("[year]-[month]-[day] [hour]:[minute]:[second]"))
    }

    /// `2025-09-24T05:33:04.123Z`: the other times of a row (data.md §1).
    pub fn iso_text(self) -> String {
        self.date_time()
            .format(format_description!(
                "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
            ))
            .unwrap_or_default()
    }

    /// The day in UTC, counted from 1970.
    pub fn day(self) -> i64 {
        self.0.div_euclid(86_400_000)
    }

    /// `20250924` in UTC+08:00: the folder of a day's uploads (rest.md §33).
    pub fn day_text(self) -> String {
        self.local_text(format_description!("[year][month][day]"))
    }

    /// In UTC+08:00, the zone that clients expect in texts (data.md §1), in another form.
    pub fn local_text(self, format: &[BorrowedFormatItem<'_>]) -> String {
        self.date_time().to_offset(ZONE).format(format).unwrap_or_default()
    }
}

/// As `encodeURIComponent` does it.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// `text` as a value in the query of a page's address: the contract's `enc(…)`.
pub fn enc(text: &str) -> String {
    utf8_percent_encode(text, COMPONENT).to_string()
}

/// A registered person, or a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Registered.
    #[default]
    User,
    /// A guest, known by a device.
    Visitor,
}

impl Role {
    /// As clients and the database spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Visitor => "visitor",
        }
    }

    /// The reverse of [`Role::as_str`]; anything unknown is a guest, who may do less.
    pub fn parse(text: &str) -> Self {
        if text == "user" { Self::User } else { Self::Visitor }
    }
}

/// A chat is between two people, or in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChatKind {
    /// Between two.
    Single,
    /// In a group.
    Group,
}

impl ChatKind {
    /// As clients and the database spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Group => "group",
        }
    }

    /// The reverse of [`ChatKind::as_str`]; anything unknown is between two.
    pub fn parse(text: &str) -> Self {
        if text == "group" { Self::Group } else { Self::Single }
    }
}

/// A log-in name as typed, with the form by which names are compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Username(pub String);

impl Username {
    /// NFKC, then Unicode simple case folding (clarification 16): what uniqueness is about.
    pub fn folded(&self) -> String {
        let simple = |c: char| unicode_case_mapping::case_folded(c).map(u32::from);
        let fold = |c: char| simple(c).and_then(char::from_u32).unwrap_or(c);
        self.0.nfkc().map(fold).collect()
    }
}

/// How somebody appeared when something happened; messages keep it for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserSummary {
    /// Who.
    pub id: UserId,
    /// Remark, nickname or username.
    #[schemars(extend("x-personal" = "name", "x-of" = ["id", "actor", "other"]))]
    pub name: String,
    /// Picture.
    #[schemars(extend("x-personal" = "picture"))]
    pub avatar: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_the_clients_expect() {
        let at = Timestamp(1_758_675_907_004);
        assert_eq!(at.row_text(), "2025-09-24 09:05:07");
        assert_eq!(at.iso_text(), "2025-09-24T01:05:07.004Z");
        assert_eq!(Timestamp(1_758_729_600_000).day_text(), "20250925", "midnight in Beijing");
    }

    #[test]
    fn an_address_holds_only_what_a_browser_leaves() {
        assert_eq!(enc("a-_.!~*'()z09 /?&=你"), "a-_.!~*'()z09%20%2F%3F%26%3D%E4%BD%A0");
    }

    #[test]
    fn names_that_look_alike_are_one() {
        let fold = |name: &str| Username(name.into()).folded();
        assert_eq!(fold("Alice_01"), fold("ALICE_01"));
        assert_eq!(fold("ａｌｉｃｅ"), fold("alice"));
        assert_eq!(fold("σίσυφος"), fold("ΣΊΣΥΦΟΣ"));
        assert_ne!(fold("alice"), fold("alicf"));
        assert_ne!(fold("straße"), fold("strasse"), "simple folding expands nothing");
    }
}
