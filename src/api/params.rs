//! What is asked: path, body and query as one set of parameters, checked as rest.md §0.3 says.

mod value;

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::{HeaderMap, header, request::Parts},
};
use value::Fields;
pub use value::{Malformed, Sent, compact};

use super::refusal::Refusal;
use crate::projections::Page;

type Checked<T> = Result<T, Refusal>;

/// The parameters of a request. When one is looked up, the path wins, then the body, then the query.
#[derive(Debug, Clone, Default)]
pub struct Params {
    path: Fields,
    body: Fields,
    query: Fields,
}

impl Params {
    /// Those of the query.
    pub fn of_query(query: Option<&str>) -> Self {
        Self { query: value::query(query.unwrap_or_default()), ..Self::default() }
    }

    /// Adds those of a body. A body of a type that has no parameters has none.
    ///
    /// # Errors
    /// The body says that it is JSON or a form, and is not, or there are too many.
    pub fn read_body(&mut self, headers: &HeaderMap, mut body: Vec<u8>) -> Result<(), Malformed> {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = kind.unwrap_or("application/json").to_ascii_lowercase();
        self.body = if kind.starts_with("application/x-www-form-urlencoded") {
            value::form(&body)?
        } else if kind.starts_with("multipart/") {
            Fields::new()
        } else {
            match value::json(&mut body) {
                // Some old clients send JSON as text/plain; other text has no parameters.
                Err(Malformed::Syntax) if !kind.contains("json") => Fields::new(),
                read => read?,
            }
        };
        Ok(())
    }

    /// A field of a form that the edge did not read.
    pub fn add_to_body(&mut self, name: String, text: String) {
        self.body.insert(name, Sent::Text(text));
    }

    /// A text in the query.
    pub fn in_query(&self, name: &str) -> Option<&str> {
        text_in(&self.query, name)
    }

    /// A text in the body.
    pub fn in_body(&self, name: &str) -> Option<&str> {
        text_in(&self.body, name)
    }

    /// A parameter as sent; `""` and `null` count as missing (DEV-32).
    pub fn raw(&self, name: &str) -> Option<&Sent> {
        [&self.path, &self.body, &self.query].into_iter().find_map(|fields| fields.get(name))
    }

    /// A text; what is no text is turned into one.
    fn text_of(&self, name: &str) -> Option<String> {
        self.raw(name).map(|value| value.text().into_owned())
    }

    /// A required text.
    ///
    /// # Errors
    /// It is missing.
    pub fn text(&self, name: &str, label: &str) -> Checked<String> {
        self.text_of(name).ok_or_else(|| missing(label))
    }

    /// A required text of `min` to `max` code points; no upper bound for `None`.
    ///
    /// # Errors
    /// It is missing, too short or too long, or holds NUL, which no database column does.
    pub fn text_in(&self, name: &str, label: &str, min: u64, max: Option<u64>) -> Checked<String> {
        let text = self.text(name, label)?;
        if text.contains('\0') {
            return Err(wrong_type(label, &text.replace('\0', "\u{fffd}"), "string"));
        }
        let length = text.chars().count() as u64;
        if length < min || max.is_some_and(|max| length > max) {
            return Err(wrong_length(label, min, max.unwrap_or(10_000_000)));
        }
        Ok(text)
    }

    /// A required text of at least `min` code points and at most `max` bytes, as a database column bounds it.
    ///
    /// # Errors
    /// As for [`Params::text_in`].
    pub fn text_of_bytes(&self, name: &str, label: &str, min: u64, max: u64) -> Checked<String> {
        let text = self.text_in(name, label, min, Some(max))?;
        if text.len() as u64 <= max { Ok(text) } else { Err(wrong_length(label, min, max)) }
    }

    /// A text of `min` to `max` code points that may be left out: an invalid one counts as such.
    pub fn text_or_none(&self, name: &str, min: usize, max: usize) -> Option<String> {
        self.text_of(name)
            .filter(|text| (min..=max).contains(&text.chars().count()) && !text.contains('\0'))
    }

    /// A required text out of a few.
    ///
    /// # Errors
    /// It is missing or another one.
    pub fn one_of<'a>(&self, name: &str, label: &str, allowed: &[&'a str]) -> Checked<&'a str> {
        let text = self.text(name, label)?;
        allowed.iter().copied().find(|&value| value == text).ok_or_else(|| {
            let list = allowed.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>();
            let list = list.join("、");
            Refusal::parameter(format!("{label} 的值 `{}` 必须在 [{list}] 中", start(&text)))
        })
    }

    /// A required integer.
    ///
    /// # Errors
    /// It is missing, or no integer.
    pub fn int(&self, name: &str, label: &str) -> Checked<i64> {
        let value = self.raw(name).ok_or_else(|| missing(label))?;
        value.integer().ok_or_else(|| wrong_type(label, &value.text(), "int"))
    }

    /// A required integer of at least 1.
    ///
    /// # Errors
    /// It is missing, no integer, or too small.
    pub fn id(&self, name: &str, label: &str) -> Checked<i64> {
        self.int_in(name, label, 1, None)
    }

    /// A required integer within bounds that are not zero; no upper bound for `None`.
    ///
    /// # Errors
    /// It is missing, no integer, or out of bounds.
    pub fn int_in(&self, name: &str, label: &str, min: i64, max: Option<i64>) -> Checked<i64> {
        let number = self.int(name, label)?;
        if number < min || max.is_some_and(|max| number > max) {
            let max = max.unwrap_or(10_000_000_000_000_000);
            return Err(Refusal::parameter(format!("{label} 的数值 必须 在 {min} 和 {max} 之间")));
        }
        Ok(number)
    }

    /// A required 0 or 1.
    ///
    /// # Errors
    /// It is missing, no integer, or another one.
    pub fn flag(&self, name: &str, label: &str) -> Checked<bool> {
        match self.int(name, label)? {
            0 => Ok(false),
            1 => Ok(true),
            other => {
                Err(Refusal::parameter(format!("{label} 的值 `{other}` 必须在 [`0`、`1`] 中")))
            }
        }
    }

    /// A page of a list: `page` counts from 1, `limit` is `usual` unless it is a sensible one.
    ///
    /// # Errors
    /// `page` is missing, no integer, or too small.
    pub fn page(&self, usual: i64) -> Checked<Page> {
        const MOST: i64 = 2000; // DEV-27
        let number = self.id("page", "页码")?;
        let limit = self.raw("limit").and_then(Sent::integer).filter(|limit| *limit >= 1);
        let limit = limit.unwrap_or(usual).min(MOST);
        Ok(Page { limit, offset: (number - 1).saturating_mul(limit) })
    }

    /// A required integer from 0 to `max`.
    ///
    /// # Errors
    /// It is missing, no integer, or out of bounds.
    pub fn int_up_to(&self, name: &str, label: &str, max: i64) -> Checked<i64> {
        let number = self.int(name, label)?;
        if !(0..=max).contains(&number) {
            let bounds = format!("大于等于 `0` 小于等于 `{max}`");
            return Err(Refusal::parameter(format!("{label} 的数值 必须 {bounds}")));
        }
        Ok(number)
    }

    /// An integer that may be left out: an invalid one counts as such.
    pub fn int_or(&self, name: &str, default: i64) -> i64 {
        self.raw(name).and_then(Sent::integer).unwrap_or(default)
    }

    /// A required list of numbers: JSON, JSON in a text, `1,2,3`, or a field that is repeated. What is
    /// no number in it is left out.
    ///
    /// # Errors
    /// It is missing, or no list.
    pub fn ids(&self, name: &str, label: &str) -> Checked<Vec<i64>> {
        let value = self.raw(name).ok_or_else(|| missing(label))?;
        value.integers().ok_or_else(|| wrong_type(label, &value.text(), "array"))
    }
}

fn missing(label: &str) -> Refusal {
    Refusal::parameter(format!("{label}不能为空"))
}

fn wrong_length(label: &str, min: u64, max: u64) -> Refusal {
    Refusal::parameter(format!("{label} 的长度 必须 在 {min} 和 {max} 之间"))
}

fn wrong_type(label: &str, value: &str, wanted: &str) -> Refusal {
    Refusal::parameter(format!("{label} 的值 `{}` 的类型不是 `{wanted}`", start(value)))
}

/// As much as an error repeats of what was sent (clarification 31).
pub(super) fn start(text: &str) -> &str {
    text.char_indices().nth(100).map_or(text, |(end, _)| &text[..end])
}

fn text_in<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    match fields.get(name) {
        Some(Sent::Text(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Refusal;

    /// What the edge has read, with the path of the route at hand.
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Checked<Self> {
        let mut params = parts.extensions.remove::<Self>().unwrap_or_default();
        let path = RawPathParams::from_request_parts(parts, state).await;
        let path = path.map_err(|_| Refusal::not_found())?;
        for (name, value) in &path {
            params.path.insert(name.to_owned(), Sent::Text(value.to_owned()));
        }
        Ok(params)
    }
}

#[cfg(test)]
mod tests;
