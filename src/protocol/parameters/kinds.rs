//! Kinds of parameters: what each takes, in which words it refuses the rest, and the schema that says so. Here those that
//! are texts and lists.

use serde_json::{Value, json};

use super::{
    FieldValue, Invalid, Param,
    names::{self, invalid_characters},
};

type Checked<T> = Result<T, Invalid>;

/// What a parameter is.
pub trait ParameterKind {
    /// What becomes of it.
    type Value;

    /// Reads one that is there; refusals call it by its label.
    ///
    /// # Errors
    /// It does not fit.
    fn read(&self, label: &str, value: &FieldValue) -> Checked<Self::Value>;

    /// What fits.
    fn schema(&self) -> Value;

    /// In which words it is refused; `…` stands for any text.
    fn refusals(&self, label: &str) -> Vec<String>;
}

pub(super) fn refused<T>(text: String) -> Checked<T> {
    Err(Invalid::Parameter(text.into()))
}

pub(super) fn wrong_type(label: &str, value: &str, wanted: &str) -> String {
    format!("{label} 的值 `{}` 的类型不是 `{wanted}`", start(value))
}

fn wrong_length(label: &str, min: u64, max: Option<u64>) -> String {
    format!("{label} 的长度 必须 在 {min} 和 {} 之间", max.unwrap_or(10_000_000))
}

/// None of these.
pub(in crate::protocol) fn wrong_choice<'a>(
    label: &str,
    value: &str,
    allowed: impl Iterator<Item = &'a str>,
) -> String {
    let list: Vec<_> = allowed.map(|value| format!("`{value}`")).collect();
    format!("{label} 的值 `{}` 必须在 [{}] 中", start(value), list.join("、"))
}

/// As much as an error repeats of what was sent (clarification 31).
fn start(text: &str) -> &str {
    text.char_indices().nth(100).map_or(text, |(end, _)| &text[..end])
}

/// A text of any length.
#[derive(Debug, Clone, Copy)]
pub struct AnyText {
    or_object: bool,
}

/// A text of any length.
pub(in crate::protocol) fn any_text(
    name: &'static str,
    label: &'static str,
    example: &'static str,
) -> Param<AnyText> {
    Param::new(name, label, AnyText { or_object: false }, example)
}

/// A text of any length, or an object, of which the JSON text is taken.
pub(in crate::protocol) fn text_or_object(
    name: &'static str,
    label: &'static str,
    example: &'static str,
) -> Param<AnyText> {
    Param::new(name, label, AnyText { or_object: true }, example)
}

impl ParameterKind for AnyText {
    type Value = String;

    fn read(&self, _: &str, value: &FieldValue) -> Checked<String> {
        Ok(value.text().into_owned())
    }

    fn schema(&self) -> Value {
        let kind = if self.or_object { json!(["string", "object"]) } else { json!("string") };
        json!({ "type": kind, "minLength": 1 })
    }

    fn refusals(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
}

/// A text of `min` to `max` code points without NUL, which no database column holds.
#[derive(Debug, Clone, Copy)]
pub struct TextKind {
    min: u64,
    max: Option<u64>,
    max_bytes: usize,
}

/// A text of so many code points; of any number from `min` on for `None`.
pub(in crate::protocol) fn text(
    name: &'static str,
    label: &'static str,
    (min, max): (u64, impl Into<Option<u64>>),
    example: &'static str,
) -> Param<TextKind> {
    Param::new(name, label, TextKind { min, max: max.into(), max_bytes: usize::MAX }, example)
}

/// A text of at least `min` code points and at most `max` bytes, as a database column bounds it.
pub(in crate::protocol) fn text_of_bytes(
    name: &'static str,
    label: &'static str,
    (min, max): (u64, u64),
    example: &'static str,
) -> Param<TextKind> {
    let max_bytes = usize::try_from(max).unwrap_or(usize::MAX);
    Param::new(name, label, TextKind { min, max: Some(max), max_bytes }, example)
}

impl ParameterKind for TextKind {
    type Value = String;

    fn read(&self, label: &str, value: &FieldValue) -> Checked<String> {
        let text = value.text();
        if text.contains('\0') {
            return refused(wrong_type(label, &text.replace('\0', "\u{fffd}"), "string"));
        }
        let length = text.chars().count() as u64;
        let is_long = self.max.is_some_and(|max| length > max) || text.len() > self.max_bytes;
        if length < self.min || is_long {
            return refused(wrong_length(label, self.min, self.max));
        }
        Ok(text.into_owned())
    }

    fn schema(&self) -> Value {
        let mut schema = json!({ "type": "string", "minLength": self.min });
        if let Some(max) = self.max {
            schema["maxLength"] = json!(max);
        }
        schema
    }

    fn refusals(&self, label: &str) -> Vec<String> {
        vec![wrong_length(label, self.min, self.max), wrong_type(label, "…", "string")]
    }
}

/// A name that is given from now on (clarification 25).
#[derive(Debug, Clone, Copy)]
pub struct NameKind {
    text: TextKind,
    fits: fn(&str) -> bool,
    /// What is told to have the invalid character.
    of: &'static str,
}

/// A name of 1 to `max` code points; `of` is told to have the invalid character.
pub(in crate::protocol) fn name(
    name: &'static str,
    label: &'static str,
    max: u64,
    of: &'static str,
    example: &'static str,
) -> Param<NameKind> {
    let text = TextKind { min: 1, max: Some(max), max_bytes: usize::MAX };
    Param::new(name, label, NameKind { text, fits: names::is_name, of }, example)
}

/// A log-in name to be.
pub(in crate::protocol) fn username(
    name: &'static str,
    label: &'static str,
    (min, max): (u64, u64),
    example: &'static str,
) -> Param<NameKind> {
    let text = TextKind { min, max: Some(max), max_bytes: usize::MAX };
    Param::new(name, label, NameKind { text, fits: names::is_username, of: label }, example)
}

impl ParameterKind for NameKind {
    type Value = String;

    fn read(&self, label: &str, value: &FieldValue) -> Checked<String> {
        if !(self.fits)(&value.text()) {
            return refused(invalid_characters(self.of));
        }
        self.text.read(label, value)
    }

    fn schema(&self) -> Value {
        self.text.schema()
    }

    fn refusals(&self, label: &str) -> Vec<String> {
        let mut texts = self.text.refusals(label);
        texts.push(invalid_characters(self.of));
        texts
    }
}

/// One of a few texts, each with what it means.
#[derive(Debug, Clone, Copy)]
pub struct OneOf<T: 'static>(&'static [(&'static str, T)]);

/// One of a few texts.
pub(in crate::protocol) fn one_of<T: Copy>(
    name: &'static str,
    label: &'static str,
    choices: &'static [(&'static str, T)],
) -> Param<OneOf<T>> {
    Param::new(name, label, OneOf(choices), choices[0].0)
}

impl<T: Copy> OneOf<T> {
    fn texts(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|(text, _)| *text)
    }
}

impl<T: Copy> ParameterKind for OneOf<T> {
    type Value = T;

    fn read(&self, label: &str, value: &FieldValue) -> Checked<T> {
        let text = value.text();
        match self.0.iter().find(|(choice, _)| *choice == text) {
            Some((_, meaning)) => Ok(*meaning),
            None => refused(wrong_choice(label, &text, self.texts())),
        }
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "enum": self.texts().collect::<Vec<_>>() })
    }

    fn refusals(&self, label: &str) -> Vec<String> {
        vec![wrong_choice(label, "…", self.texts())]
    }
}

/// A list of integers: JSON, JSON in a text, `1,2,3`, or a field that is repeated. What is no number in it is left out.
#[derive(Debug, Clone, Copy)]
pub struct NumbersKind;

/// A list of integers.
pub(in crate::protocol) fn numbers(name: &'static str, label: &'static str) -> Param<NumbersKind> {
    Param::new(name, label, NumbersKind, super::declare::Example::Json("[5, 9]"))
}

impl ParameterKind for NumbersKind {
    type Value = Vec<i64>;

    fn read(&self, label: &str, value: &FieldValue) -> Checked<Vec<i64>> {
        let numbers = value.integers();
        numbers.map_or_else(|| refused(wrong_type(label, &value.text(), "array")), Ok)
    }

    fn schema(&self) -> Value {
        json!({ "type": "array", "items": { "type": "integer" }, "minItems": 1 })
    }

    fn refusals(&self, label: &str) -> Vec<String> {
        vec![wrong_type(label, "…", "array")]
    }
}
