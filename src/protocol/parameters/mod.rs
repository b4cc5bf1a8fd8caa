//! Parameters: what requests send, in path, body and query, as one set. A request is a type that says once what it takes:
//! how each parameter is read, checked and refused (rest.md §0.3), and what the document tells of it.

mod declare;
mod kinds;
mod names;
mod number_kinds;
mod value;

pub use declare::{
    Declare, Invalid, Optional, OrDefault, Param, Parameter, ParameterPlace, ParameterSet,
};
pub(super) use declare::{all, request};
pub use kinds::{OneOf, ParameterKind, TextKind};
pub(super) use kinds::{
    any_text, name, numbers, one_of, text, text_of_bytes, text_or_object, username, wrong_choice,
};
pub(super) use names::{invalid_characters, is_name};
pub(super) use number_kinds::{flag, id, in_time, int, int_from, moment, number, up_to};
use value::Fields;
pub use value::{FieldValue, Malformed, compact};

/// The parameters of a request. When one is looked up, the path wins, then the body, then the query.
#[derive(Debug, Clone, Default)]
pub struct Parameters {
    path: Fields,
    body: Fields,
    query: Fields,
}

impl Parameters {
    /// Those of the query.
    pub fn of_query(query: Option<&str>) -> Self {
        Self { query: value::query(query.unwrap_or_default()), ..Self::default() }
    }

    /// Adds those of a body of some media type. One whose type has no parameters has none.
    ///
    /// # Errors
    /// The body says that it is JSON or a form, and is not, or there are too many.
    pub fn read_body(&mut self, kind: Option<&str>, mut body: Vec<u8>) -> Result<(), Malformed> {
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

    /// Adds one of the path.
    pub fn add_to_path(&mut self, name: String, text: String) {
        self.path.insert(name, FieldValue::Text(text));
    }

    /// Adds a field of a form that was not read as a whole.
    pub fn add_to_body(&mut self, name: String, text: String) {
        self.body.insert(name, FieldValue::Text(text));
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
    pub fn get(&self, name: &str) -> Option<&FieldValue> {
        [&self.path, &self.body, &self.query].into_iter().find_map(|fields| fields.get(name))
    }
}

fn text_in<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    match fields.get(name) {
        Some(FieldValue::Text(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}

/// A part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// How many rows at most.
    pub limit: i64,
    /// How many come before it.
    pub offset: i64,
}

/// Which page of a list whose pages have so many rows, unless the client says otherwise. Pages are counted from 1.
pub(super) fn page(usual: i64) -> impl Declare<Value = Page> {
    const MOST: i64 = 2000; // DEV-27
    let limit = int_from(1, "limit", "每页多少条", usual)
        .note("1 or more, counted as 2000 at most; anything else counts as the default.")
        .or_default(usual);
    (id("page", "页码"), limit).map(move |(number, limit)| {
        let limit = limit.unwrap_or(usual).min(MOST);
        Page { limit, offset: (number - 1).saturating_mul(limit) }
    })
}

#[cfg(test)]
mod tests;
