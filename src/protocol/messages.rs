//! Messages: the parameters of sending them and taking them back (rest.md §36, §41).

use percent_encoding::percent_decode_str;
use serde_json::{Value, json, value::RawValue};

use super::parameters::{
    FieldValue, Invalid, Param, ParameterKind, any_text, compact, id, in_time, moment, one_of,
    request, text, text_or_object,
};
use crate::events::{ChatKind, MessageId, Timestamp};

const CHAT_KINDS: &[(&str, ChatKind)] = &[("single", ChatKind::Single), ("group", ChatKind::Group)];

request! {
    /// A message to somebody, or to a group.
    SendMessage {
        to: i64 = id("sendto_id", "接收人/群的id值"),
        chat: ChatKind = one_of("chatType", "接收类型", CHAT_KINDS),
        kind: String = text("type", "消息类型", (1, 50), "text")
            .note("`text`, `iconMenus`, `image`, `audio`, `video`, or another, but not `systemNotice`."),
        data: String = text_or_object("data", "消息内容", r#"{"data":"hello","dataType":false,"otherData":null}"#)
            .note("A text, or an object, which is passed on as its compact JSON text."),
        options: Option<Box<RawValue>> = Param::new("options", "额外参数json字符串", Options, "%7B%7D")
            .note("Percent-encoded JSON text, or an object; anything else counts as none.")
            .or_default(""),
    }
}

request! {
    /// Which message to take back, and how the other or the group is called meanwhile.
    RevokeMessage {
        to: i64 = id("to_id", "接收者id或者群id"),
        name: String = text("to_name", "接收者或者群名称", (1, 50), "seven"),
        avatar: String = text("to_avatar", "接收者或者群头像", (10, 4000), "https://h/u7.png"),
        // What is no UUID is the id of no message.
        message: MessageId = any_text("id", "消息uuid", "594fe1bd-4943-466b-a787-8bb2e5e864ce")
            .map(|text| MessageId(text.parse().unwrap_or_default())),
        chat: ChatKind = one_of("chatType", "聊天类型", CHAT_KINDS),
        sent_at: Timestamp = moment(EARLIEST, "create_time", SENT_AT, 1_758_692_100_000)
            .note("Epoch milliseconds, at most a minute ahead of now.")
            .map(Timestamp),
    }
}

const EARLIEST: i64 = 1_000_000_000_000;
const SENT_AT: &str = "消息发送时间";

impl RevokeMessage {
    /// The message cannot have been sent later than a minute from now.
    ///
    /// # Errors
    /// It was, or long ago.
    pub fn check_time(&self, now: Timestamp) -> Result<(), Invalid> {
        in_time(SENT_AT, self.sent_at.0, (EARLIEST, now.0 + 60_000))
    }
}

/// What becomes of `options` (ws.md §6.0.3): percent-encoded JSON text, or JSON as it is (clarification 1).
struct Options;

impl ParameterKind for Options {
    type Value = Box<RawValue>;

    fn read(&self, _: &str, value: &FieldValue) -> Result<Box<RawValue>, Invalid> {
        let text = match value {
            FieldValue::Text(text) => percent_decode(text).and_then(compact),
            FieldValue::Json(text) => Some(text.clone()),
            _ => None,
        };
        let options = text.and_then(|text| RawValue::from_string(text).ok());
        options.ok_or(Invalid::Parameter("".into()))
    }

    fn schema(&self) -> Value {
        json!({})
    }

    fn refusals(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
}

/// As `decodeURIComponent` does it: `None` for a `%` without two hexadecimal digits.
fn percent_decode(text: &str) -> Option<String> {
    let valid = |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|b| b.is_ascii_hexdigit());
    if !text.split('%').skip(1).all(valid) {
        return None;
    }
    Some(percent_decode_str(text).decode_utf8().ok()?.into_owned())
}
