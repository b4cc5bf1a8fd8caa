//! Replies: the envelopes of success and of refusal (rest.md §0.1).

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Serialize;

/// `{"msg":"ok","data":…}`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Reply<T> {
    msg: Okay,
    data: T,
}

#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum Okay {
    Ok,
}

impl<T: Serialize> Reply<T> {
    /// A success.
    pub const fn of(data: T) -> Self {
        Self { msg: Okay::Ok, data }
    }

    /// As it is sent.
    pub fn json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("replies are plain data")
    }
}

/// The answer of many routes.
pub type Plain = Reply<OkText>;

/// Done.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum OkText {
    /// Nothing else is to be said.
    Ok,
}

/// The answer of many routes.
pub const OK: Plain = Reply::of(OkText::Ok);

/// `{"msg":"…","data":…}`: complaints, where `msg` has the text, on yes and on no (rest.md §42).
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct TextReply<T> {
    msg: Cow<'static, str>,
    data: T,
}

impl<T: Serialize> TextReply<T> {
    /// An answer in these words.
    pub fn new(msg: impl Into<Cow<'static, str>>, data: T) -> Self {
        Self { msg: msg.into(), data }
    }
}

/// What a refusal of [`TextReply`] has for data: `{}`.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
pub struct Nothing {}

/// `{"code":…,"msg":"…","data":…}`: questions, whose status is always 200 (rest.md §42).
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct CodedReply<T> {
    code: u16,
    msg: Cow<'static, str>,
    data: T,
}

impl<T: Serialize> CodedReply<T> {
    /// An answer in these words, with the status that it would have elsewhere.
    pub fn new(code: u16, msg: impl Into<Cow<'static, str>>, data: T) -> Self {
        Self { code, msg: msg.into(), data }
    }
}

/// A refusal: `data` is to be shown.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Refusal")]
pub struct Failed<'a> {
    msg: Fail,
    data: Cow<'a, str>,
}

#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum Fail {
    Fail,
}

impl<'a> Failed<'a> {
    /// A refusal in these words.
    pub fn because(text: &'a str) -> Self {
        Self { msg: Fail::Fail, data: Cow::Borrowed(text) }
    }

    /// As it is sent.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("a text is plain data")
    }
}
