//! The value of a parameter as it was sent, and the reading of JSON and forms into such values.
//!
//! What is read costs about as much memory as it has bytes: an object or a list stays text, since no route needs it as a
//! tree, and a tree of a body of 1 MB can be a hundred times as large.

use std::{borrow::Cow, collections::HashMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{
        Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
        value::{MapAccessDeserializer, SeqAccessDeserializer},
    },
};
use serde_json::Number;
use serde_transcode::Transcoder;

/// How many parameters a body or a query may have.
const MEMBERS: usize = 10_000;

/// Parameters by name, without those that count as missing: `""` and `null` (DEV-32).
pub(super) type Fields = HashMap<String, FieldValue>;

/// What a client sent for one parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldValue {
    /// Text, in JSON or a form.
    Text(String),
    /// A JSON number.
    Number(Number),
    /// A JSON boolean.
    Bool(bool),
    /// A JSON object or array, as compact JSON.
    Json(String),
    /// A form's field that is repeated.
    Repeated(Vec<String>),
}

/// Why a body has no parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// It is not what its type says.
    Syntax,
    /// It has more parameters than anybody needs.
    TooManyMembers,
}

impl FieldValue {
    /// As text; objects and arrays as compact JSON (rest.md §0.3).
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) | Self::Json(text) => Cow::Borrowed(text),
            Self::Number(number) => Cow::Owned(number.to_string()),
            Self::Bool(flag) => Cow::Owned(flag.to_string()),
            Self::Repeated(texts) => Cow::Owned(serde_json::json!(texts).to_string()),
        }
    }

    /// A JSON integer, or decimal text with an optional sign.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// A JSON number, or text that is one.
    pub fn number(&self) -> Option<f64> {
        let number = match self {
            Self::Number(number) => number.as_f64(),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.filter(|number| number.is_finite())
    }

    /// A list of numbers: JSON, JSON in a text, `1,2,3`, or a field that is repeated. What is no number in it is left out.
    pub fn integers(&self) -> Option<Vec<i64>> {
        let json = |text: &str| serde_json::from_str(text).ok().map(|Integers(numbers)| numbers);
        match self {
            Self::Json(text) => json(text),
            Self::Text(text) => json(text).or_else(|| Some(split(text))),
            Self::Repeated(texts) => {
                Some(texts.iter().filter_map(|text| text.trim().parse().ok()).collect())
            }
            Self::Number(_) | Self::Bool(_) => None,
        }
    }
}

fn split(text: &str) -> Vec<i64> {
    text.split(',').filter_map(|item| item.trim().parse().ok()).collect()
}

/// `5.0` is an integer in JavaScript.
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small enough")]
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

/// The members of a JSON object. An array or a scalar has no named parameters.
pub(super) fn json(body: &mut Vec<u8>) -> Result<Fields, Malformed> {
    if body.starts_with(b"\xef\xbb\xbf") {
        body.drain(..3); // a byte order mark (clarification 31)
    }
    let Some(first) = body.iter().find(|byte| !byte.is_ascii_whitespace()) else {
        return Ok(Fields::new());
    };
    if *first != b'{' {
        let other = serde_json::from_slice::<IgnoredAny>(body);
        return other.map(|_| Fields::new()).map_err(|_| Malformed::Syntax);
    }
    replace_unpaired_surrogates(body);
    match serde_json::from_slice(body) {
        Ok(Object(Some(fields))) => Ok(fields),
        Ok(Object(None)) => Err(Malformed::TooManyMembers),
        Err(_) => Err(Malformed::Syntax),
    }
}

/// JSON text without blanks, its unpaired surrogates replaced; `None` if it is none.
pub fn compact(json: String) -> Option<String> {
    let mut json = json.into_bytes();
    replace_unpaired_surrogates(&mut json);
    let mut reader = serde_json::Deserializer::from_slice(&json);
    let text = serde_json::to_string(&Transcoder::new(&mut reader)).ok()?;
    reader.end().is_ok().then_some(text)
}

/// The fields of a form; a repeated one is a list. Broken UTF-8 is replaced.
pub(super) fn form(encoded: &[u8]) -> Result<Fields, Malformed> {
    let mut fields = Fields::new();
    for (index, (name, value)) in pairs(encoded).enumerate() {
        if index == MEMBERS {
            return Err(Malformed::TooManyMembers);
        }
        match fields.get_mut(&name) {
            None => _ = fields.insert(name, FieldValue::Text(value)),
            Some(FieldValue::Repeated(values)) => values.push(value),
            Some(first) => {
                let values = vec![first.text().into_owned(), value];
                *first = FieldValue::Repeated(values);
            }
        }
    }
    fields.retain(|_, value| !is_missing(value));
    Ok(fields)
}

/// The parameters of a query, of which the first of a name counts (clarification 31).
pub(super) fn query(encoded: &str) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in pairs(encoded.as_bytes()).take(MEMBERS) {
        fields.entry(name).or_insert(FieldValue::Text(value));
    }
    fields.retain(|_, value| !is_missing(value));
    fields
}

fn pairs(encoded: &[u8]) -> impl Iterator<Item = (String, String)> {
    // Early clients wrote URLs over several lines (rest.md §32).
    form_urlencoded::parse(encoded)
        .map(|(name, value)| (name.trim().to_owned(), value.into_owned()))
}

fn is_missing(value: &FieldValue) -> bool {
    matches!(value, FieldValue::Text(text) if text.is_empty())
}

/// `JSON.stringify` writes half an emoji as an escape that is no character (clarification 31): it becomes U+FFFD, as it
/// does in a form. A backslash outside of a text is malformed anyway.
fn replace_unpaired_surrogates(json: &mut [u8]) {
    let unit = |json: &[u8], at: usize| -> Option<u16> {
        let digits = json.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
    };
    let mut at = 0;
    while let Some(found) = json[at..].iter().position(|byte| *byte == b'\\') {
        at += found;
        let (first, second) = (unit(json, at), unit(json, at + 6));
        at += match (first, second) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                json[at..at + 6].copy_from_slice(br"\ufffd");
                6
            }
            (Some(_), _) => 6,
            (None, _) => 2,
        };
        if at >= json.len() {
            return;
        }
    }
}

/// A JSON document as parameters; `None` if it has too many.
struct Object(Option<Fields>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Option<Fields>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Fields::new();
                let mut count = 0;
                while let Some((name, value)) = map.next_entry::<String, Option<FieldValue>>()? {
                    count += 1;
                    if count > MEMBERS {
                        continue;
                    }
                    match value.filter(|value| !is_missing(value)) {
                        Some(value) => fields.insert(name, value),
                        None => fields.remove(&name), // of two of a name the last counts
                    };
                }
                Ok((count <= MEMBERS).then_some(fields))
            }
        }
        deserializer.deserialize_map(Members).map(Self)
    }
}

impl<'de> Deserialize<'de> for FieldValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyValue;
        impl<'de> Visitor<'de> for AnyValue {
            type Value = FieldValue;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a value")
            }

            fn visit_bool<E>(self, flag: bool) -> Result<FieldValue, E> {
                Ok(FieldValue::Bool(flag))
            }

            fn visit_i64<E>(self, number: i64) -> Result<FieldValue, E> {
                Ok(FieldValue::Number(number.into()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<FieldValue, E> {
                Ok(FieldValue::Number(number.into()))
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<FieldValue, E> {
                let number = Number::from_f64(number).map(FieldValue::Number);
                number.ok_or_else(|| E::custom("JSON has no such number"))
            }

            fn visit_str<E>(self, text: &str) -> Result<FieldValue, E> {
                Ok(FieldValue::Text(text.to_owned()))
            }

            fn visit_string<E>(self, text: String) -> Result<FieldValue, E> {
                Ok(FieldValue::Text(text))
            }

            fn visit_unit<E>(self) -> Result<FieldValue, E> {
                Ok(FieldValue::Text(String::new())) // in a list; elsewhere it counts as missing
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FieldValue, A::Error> {
                transcode(MapAccessDeserializer::new(map))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<FieldValue, A::Error> {
                transcode(SeqAccessDeserializer::new(seq))
            }
        }
        deserializer.deserialize_any(AnyValue)
    }
}

fn transcode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<FieldValue, D::Error> {
    let text = serde_json::to_string(&Transcoder::new(deserializer));
    text.map(FieldValue::Json).map_err(D::Error::custom)
}

/// The integers of a JSON array.
struct Integers(Vec<i64>);

impl<'de> Deserialize<'de> for Integers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items;
        impl<'de> Visitor<'de> for Items {
            type Value = Vec<i64>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut numbers = Vec::new();
                while let Some(item) = seq.next_element::<FieldValue>()? {
                    numbers.extend(item.integer());
                }
                Ok(numbers)
            }
        }
        deserializer.deserialize_seq(Items).map(Self)
    }
}
