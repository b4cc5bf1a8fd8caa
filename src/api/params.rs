//! What is asked: path, body and query as one set of parameters, checked as rest.md §0.3 says.

use std::collections::HashMap;

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::{HeaderMap, Method, header, request::Parts},
};
use serde_json::{Map, Value};

use super::refusal::Refusal;
use crate::projections::Page;

type Checked<T> = Result<T, Refusal>;

/// The parameters of a request. When one is looked up, the path wins, then the body, then the query.
#[derive(Debug, Clone, Default)]
pub struct Params {
    path: HashMap<String, Value>,
    body: Map<String, Value>,
    query: Map<String, Value>,
}

/// Why a body has no parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl Params {
    /// Reads query and body. A body of a type that has no parameters has none.
    ///
    /// # Errors
    /// The body says that it is JSON or a form, and is not.
    pub fn read(
        method: &Method,
        query: Option<&str>,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Self, Malformed> {
        let body = if *method == Method::GET || body.iter().all(u8::is_ascii_whitespace) {
            Map::new()
        } else {
            read_body(headers, body)?
        };
        let query = fields(query.unwrap_or_default().as_bytes());
        Ok(Self { path: HashMap::new(), body, query })
    }

    /// Only the query, as where the body is not read.
    pub fn of_query(query: Option<&str>) -> Self {
        Self { query: fields(query.unwrap_or_default().as_bytes()), ..Self::default() }
    }

    /// A field of a form that the edge did not read.
    pub fn add_to_body(&mut self, name: String, text: String) {
        self.body.insert(name, Value::String(text));
    }

    /// A text in the query.
    pub fn in_query(&self, name: &str) -> Option<&str> {
        self.query.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// A text in the body.
    pub fn in_body(&self, name: &str) -> Option<&str> {
        self.body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// A parameter as sent; `""` and `null` count as missing (DEV-32).
    pub fn raw(&self, name: &str) -> Option<&Value> {
        [self.path.get(name), self.body.get(name), self.query.get(name)]
            .into_iter()
            .flatten()
            .find(|value| !value.is_null() && value.as_str() != Some(""))
    }

    /// A text; what is no text is turned into one.
    fn text_of(&self, name: &str) -> Option<String> {
        self.raw(name).map(|value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(), // compact, keys in their order, nothing escaped
        })
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
            Refusal::parameter(format!("{label} 的值 `{text}` 必须在 [{list}] 中"))
        })
    }

    /// A required integer.
    ///
    /// # Errors
    /// It is missing, or no integer.
    pub fn int(&self, name: &str, label: &str) -> Checked<i64> {
        let value = self.raw(name).ok_or_else(|| missing(label))?;
        integer(value)
            .ok_or_else(|| wrong_type(label, &self.text_of(name).unwrap_or_default(), "int"))
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
        let limit = self.raw("limit").and_then(integer).filter(|limit| *limit >= 1);
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
        self.raw(name).and_then(integer).unwrap_or(default)
    }

    /// A required list of numbers: JSON, JSON in a text, `1,2,3`, or a field that is repeated. What is
    /// no number in it is left out.
    ///
    /// # Errors
    /// It is missing, or no list.
    pub fn ids(&self, name: &str, label: &str) -> Checked<Vec<i64>> {
        let value = self.raw(name).ok_or_else(|| missing(label))?;
        Ok(match value {
            Value::Array(items) => items.iter().filter_map(integer).collect(),
            Value::String(text) => match serde_json::from_str(text) {
                Ok(Value::Array(items)) => items.iter().filter_map(integer).collect(),
                _ => text.split(',').filter_map(|item| item.trim().parse().ok()).collect(),
            },
            _ => return Err(wrong_type(label, &value.to_string(), "array")),
        })
    }
}

fn missing(label: &str) -> Refusal {
    Refusal::parameter(format!("{label}不能为空"))
}

fn wrong_length(label: &str, min: u64, max: u64) -> Refusal {
    Refusal::parameter(format!("{label} 的长度 必须 在 {min} 和 {max} 之间"))
}

fn wrong_type(label: &str, value: &str, wanted: &str) -> Refusal {
    Refusal::parameter(format!("{label} 的值 `{value}` 的类型不是 `{wanted}`"))
}

/// A JSON integer, or decimal text with an optional sign.
fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// `5.0` is an integer in JavaScript.
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small enough")]
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

fn read_body(headers: &HeaderMap, body: &[u8]) -> Result<Map<String, Value>, Malformed> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.unwrap_or("application/json").to_ascii_lowercase();
    if kind.starts_with("application/x-www-form-urlencoded") {
        return Ok(fields(body));
    }
    if kind.starts_with("multipart/") {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) if kind.contains("json") => Ok(Map::new()), // an array has no named parameters
        // Some old clients send JSON as text/plain; other text has no parameters.
        _ if !kind.contains("json") => Ok(Map::new()),
        _ => Err(Malformed),
    }
}

/// The fields of a form or a query; a repeated one is an array. Broken UTF-8 is replaced.
fn fields(encoded: &[u8]) -> Map<String, Value> {
    let mut fields = Map::new();
    for (name, value) in form_urlencoded::parse(encoded) {
        // Early clients wrote URLs over several lines (rest.md §32).
        let name = name.trim().to_owned();
        let value = Value::String(value.into_owned());
        match fields.get_mut(&name) {
            None => _ = fields.insert(name, value),
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    fields
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Refusal;

    /// What the edge has read, with the path of the route at hand.
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Checked<Self> {
        let mut params = parts.extensions.get::<Self>().cloned().unwrap_or_default();
        let path = RawPathParams::from_request_parts(parts, state).await;
        let path = path.map_err(|_| Refusal::not_found())?;
        for (name, value) in &path {
            params.path.insert(name.to_owned(), Value::String(value.to_owned()));
        }
        Ok(params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(body: &str) -> Params {
        let headers = HeaderMap::new();
        Params::read(&Method::POST, None, &headers, body.as_bytes()).expect("well formed")
    }

    fn text<T: std::fmt::Debug>(result: Checked<T>) -> String {
        format!("{:?}", result.expect_err("refused"))
    }

    #[test]
    fn dev_32_null_and_the_empty_text_are_missing() {
        for body in [r#"{"a":null}"#, r#"{"a":""}"#, "{}"] {
            assert!(text(json(body).text("a", "账号")).contains("账号不能为空"), "{body}");
        }
    }

    #[test]
    fn what_is_no_text_becomes_text() {
        let params = json(r#"{"n":5,"b":true,"o":{"z":1,"a":"\u4f60"},"l":[1, 2]}"#);
        let read = |name| params.text(name, "x").expect("there");
        assert_eq!([read("n"), read("b")], ["5", "true"]);
        assert_eq!([read("o"), read("l")], [r#"{"z":1,"a":"你"}"#, "[1,2]"]);
    }

    #[test]
    fn integers_are_numbers_or_decimal_text() {
        let params = json(r#"{"a":7,"b":"+7","c":"-7","d":7.0,"e":"7x","f":7.5,"g":[7]}"#);
        for name in ["a", "b", "d"] {
            assert_eq!(params.int(name, "x"), Ok(7), "{name}");
        }
        assert_eq!(params.int("c", "x"), Ok(-7));
        for name in ["e", "f", "g"] {
            assert!(text(params.int(name, "页码")).contains("的类型不是 `int`"), "{name}");
        }
    }

    #[test]
    fn bounds_are_told_in_the_contracts_words() {
        let params = json(r#"{"name":"你好","page":0,"kind":"x"}"#);
        let refused = text(params.text_in("name", "账号", 4, Some(20)));
        assert!(refused.contains("账号 的长度 必须 在 4 和 20 之间"), "{refused}");
        let refused = text(params.id("page", "页码"));
        assert!(refused.contains("页码 的数值 必须 在 1 和 10000000000000000 之间"), "{refused}");
        let refused = text(params.one_of("kind", "类型", &["a", "b"]));
        assert!(refused.contains("类型 的值 `x` 必须在 [`a`、`b`] 中"), "{refused}");
    }

    #[test]
    fn the_body_wins_over_the_query_and_forms_are_bodies() {
        let mut headers = HeaderMap::new();
        let form = header::HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(header::CONTENT_TYPE, form);
        let read = Params::read(&Method::POST, Some("a=1&b=2"), &headers, b"a=%E4%BD%A0&c=+x");
        let params = read.expect("well formed");
        assert_eq!(params.text("a", "x").as_deref(), Ok("你"));
        assert_eq!(params.text("b", "x").as_deref(), Ok("2"));
        assert_eq!(params.text("c", "x").as_deref(), Ok(" x"));
    }

    #[test]
    fn an_invalid_optional_text_counts_as_left_out() {
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(51));
        assert_eq!(json(&long).text_or_none("a", 1, 50), None);
        assert_eq!(json(r#"{"a":"ok"}"#).text_or_none("a", 1, 50).as_deref(), Some("ok"));
    }

    #[test]
    fn a_flag_is_0_or_1() {
        let params = json(r#"{"a":1,"b":"0","c":2,"d":true}"#);
        assert_eq!([params.flag("a", "x"), params.flag("b", "x")], [Ok(true), Ok(false)]);
        let refused = text(params.flag("c", "开关"));
        assert!(refused.contains("开关 的值 `2` 必须在 [`0`、`1`] 中"), "{refused}");
        assert!(text(params.flag("d", "x")).contains("的类型不是 `int`"));
    }

    #[test]
    fn dev_27_limits_are_tamed() {
        for (limit, taken) in [
            ("null", 30),
            ("\"x\"", 30),
            ("1.5", 30),
            ("0", 30),
            ("-1", 30),
            ("\"99999999999999999999\"", 30),
            ("1", 1),
            ("\"7\"", 7),
            ("2000", 2000),
            ("2001", 2000),
            ("9007199254740992", 2000),
        ] {
            let page = json(&format!(r#"{{"page":3,"limit":{limit}}}"#)).page(30);
            assert_eq!(page, Ok(Page { limit: taken, offset: 2 * taken }), "{limit}");
        }
        let far = json(r#"{"page":9223372036854775807,"limit":2000}"#).page(30);
        assert_eq!(far, Ok(Page { limit: 2000, offset: i64::MAX }));
    }

    #[test]
    fn a_list_comes_in_four_forms() {
        for body in [r#"{"l":[3,"4",5.0]}"#, r#"{"l":"[3, 4, 5]"}"#, r#"{"l":"3, 4,5"}"#] {
            assert_eq!(json(body).ids("l", "x"), Ok(vec![3, 4, 5]), "{body}");
        }
        let repeated = Params::of_query(Some("l=3&l=4&l=5"));
        assert_eq!(repeated.ids("l", "x"), Ok(vec![3, 4, 5]));
        assert_eq!(json(r#"{"l":[]}"#).ids("l", "x"), Ok(vec![]));
        assert_eq!(json(r#"{"l":"7"}"#).ids("l", "x"), Ok(vec![7]));
        assert!(text(json(r#"{"l":{}}"#).ids("l", "x")).contains("的类型不是 `array`"));
        assert!(text(json(r#"{"l":""}"#).ids("l", "x")).contains("x不能为空"));
    }

    #[test]
    fn malformed_json_is_told_apart_from_none() {
        let headers = HeaderMap::new();
        for body in ["{", "{\"a\":}", "\u{0}", "nonsense"] {
            let read = Params::read(&Method::POST, None, &headers, body.as_bytes());
            assert_eq!(read.err(), Some(Malformed), "{body}");
        }
    }
}
