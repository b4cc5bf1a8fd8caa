//! The chat message object (ws.md §6): what clients show, whoever made it.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap as _};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{
    commands::{
        group::ActiveGroup,
        message::{Recipient as _, Target},
    },
    events::{ChatKind, GroupSummary, MessageId, Revocation, Sent, Timestamp, UserId, UserSummary},
};

use super::group_object::{Columns, GroupObject};

/// A message: of a person, or a notice of the service (`type` is `systemNotice`).
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Message")]
#[allow(missing_docs, reason = "ws.md §6.0 documents each field")]
pub struct MessageObject<'a> {
    pub id: MessageId,
    pub from_avatar: &'a str,
    pub from_name: &'a str,
    pub from_id: SenderId<'a>,
    pub to_id: RecipientId,
    pub to_name: &'a str,
    pub to_avatar: &'a str,
    #[serde(rename = "chatType")]
    pub chat_type: ChatKind,
    #[serde(rename = "type")]
    pub kind: &'a str,
    #[serde(rename = "actionType", skip_serializing_if = "Option::is_none")]
    pub action_type: Option<ActionType>,
    pub data: MessageData<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "redirect_or_null")]
    pub redirect: Option<Option<Redirect<'a>>>,
    #[schemars(with = "serde_json::Value")]
    pub options: MessageOptions<'a>,
    pub create_time: Timestamp,
    pub isremove: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupPart<'a>>,
    #[serde(rename = "msgidKey", skip_serializing_if = "Option::is_none")]
    pub msgid_key: Option<&'a str>,
    #[serde(rename = "showModel", skip_serializing_if = "Option::is_none")]
    pub show_model: Option<ShowModel<'a>>,
    #[serde(rename = "sendUUid", skip_serializing_if = "Option::is_none")]
    pub send_uuid: Option<Uuid>,
}

/// When the message was accepted whose object this is; `None` if it is no object.
pub fn accepted_at(object: &str) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Accepted {
        create_time: Timestamp,
    }
    let accepted: Accepted = serde_json::from_str(object).ok()?;
    Some(accepted.create_time)
}

fn redirect_or_null(generator: &mut SchemaGenerator) -> Schema {
    let redirect = generator.subschema_for::<Redirect<'static>>();
    json_schema!({ "oneOf": [redirect, { "type": "null" }] })
}

/// What a notice asks clients to do.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum ActionType {
    /// Take a message back.
    Revoke,
}

/// Who it is from: a person, or the name of a page.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum SenderId<'a> {
    /// A user's number; 0 for the account alert.
    User(UserId),
    /// `redirect-…`.
    Page(&'a str),
}

/// Whom it is to, or which group.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct RecipientId(i64);

impl From<Target> for RecipientId {
    fn from(target: Target) -> Self {
        match target {
            Target::User(user) => Self(user.0),
            Target::Group(group) => Self(group.0),
        }
    }
}

/// The content: text of a person, or an object made by the server.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum MessageData<'a> {
    /// Passed through.
    Person(&'a str),
    /// A text of ours.
    Server(ServerData<'a>),
}

/// What the server says.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[schemars(rename = "NoticeData")]
pub struct ServerData<'a> {
    data: &'a str,
    #[serde(rename = "dataType")]
    data_type: bool,
    #[serde(rename = "otherData")]
    other_data: Option<()>,
}

impl<'a> MessageData<'a> {
    /// What somebody wrote. It is empty if it was erased (ADR 0038); a client reads an empty text then.
    fn person(data: &'a str) -> Self {
        const ERASED: &str = r#"{"data":"","dataType":false,"otherData":null}"#;
        Self::Person(if data.is_empty() { ERASED } else { data })
    }

    /// A text of the server.
    pub fn server(text: &'a str) -> Self {
        Self::Server(ServerData { data: text, data_type: false, other_data: None })
    }
}

/// Where the client goes when the entry is tapped.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct Redirect<'a> {
    /// The page.
    pub url: &'a str,
    /// The navigation verb.
    #[serde(rename = "type")]
    pub verb: &'static str,
    /// What the page needs beside its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desc: Option<&'a RawValue>,
}

/// What the client shows at once (ws.md §6.4).
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct ShowModel<'a> {
    /// `forceLogin`.
    #[serde(rename = "showModelType")]
    pub kind: &'static str,
    /// The text.
    pub content: &'a str,
}

/// The author's parameters, or `{}`, or `null`.
#[derive(Debug, Clone, Copy)]
pub enum MessageOptions<'a> {
    /// Of a notice.
    Empty,
    /// Of a person.
    Person(Option<&'a RawValue>),
}

impl Serialize for MessageOptions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Empty => serializer.serialize_map(Some(0))?.end(),
            Self::Person(options) => options.serialize(serializer),
        }
    }
}

/// The group of a message, with the two forms in which clients expect none.
#[derive(Debug, Clone)]
pub enum GroupPart<'a> {
    /// `{}`.
    Empty,
    /// `null`.
    Null,
    /// It.
    Of(Box<GroupObject<'a>>),
}

impl Serialize for GroupPart<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Empty => serializer.serialize_map(Some(0))?.end(),
            Self::Null => serializer.serialize_none(),
            Self::Of(group) => group.serialize(serializer),
        }
    }
}

impl JsonSchema for GroupPart<'_> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "AnyGroup".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let group = generator.subschema_for::<GroupObject<'static>>();
        json_schema!({ "anyOf": [group, { "type": "object", "maxProperties": 0 }, { "type": "null" }] })
    }
}

impl<'a> MessageObject<'a> {
    fn single(id: MessageId, from: &'a UserSummary, to: &'a UserSummary, at: Timestamp) -> Self {
        Self::notice(id, from, (to.target(), &to.name, &to.avatar), at)
    }

    /// What is said in a group, or of it.
    pub fn in_group(
        id: MessageId,
        from: &'a UserSummary,
        to: &'a GroupSummary,
        at: Timestamp,
    ) -> Self {
        Self::notice(id, from, (to.target(), &to.name, &to.avatar), at)
    }

    /// What all have in common; a notice of the server until more is said.
    fn notice(
        id: MessageId,
        from: &'a UserSummary,
        (to, to_name, to_avatar): (Target, &'a str, &'a str),
        at: Timestamp,
    ) -> Self {
        Self {
            id,
            from_avatar: &from.avatar,
            from_name: &from.name,
            from_id: SenderId::User(from.id),
            to_id: to.into(),
            to_name,
            to_avatar,
            chat_type: match to {
                Target::User(_) => ChatKind::Single,
                Target::Group(_) => ChatKind::Group,
            },
            kind: "systemNotice",
            action_type: None,
            data: MessageData::server(""),
            redirect: None,
            options: MessageOptions::Empty,
            create_time: at,
            isremove: 0,
            group: None,
            msgid_key: None,
            show_model: None,
            send_uuid: None,
        }
    }

    /// C2: a message to a group, with the group as it was then.
    pub fn group_chat(sent: &'a Sent<GroupSummary>, group: Option<&'a ActiveGroup>) -> Self {
        let group = group.map(|group| GroupObject::of(group, Columns::Chat));
        Self {
            kind: if sent.data.is_empty() { "text" } else { &sent.kind },
            data: MessageData::person(&sent.data),
            options: MessageOptions::Person(sent.options.as_deref()),
            send_uuid: Some(sent.from_uuid),
            group: group.map(|group| GroupPart::Of(Box::new(group))),
            ..Self::in_group(sent.id, &sent.from, &sent.to, sent.sent_at)
        }
    }

    /// C2 with a place for the group, which [`with_group`] fills.
    pub fn without_group(sent: &'a Sent<GroupSummary>) -> Self {
        Self { group: Some(GroupPart::Null), ..Self::group_chat(sent, None) }
    }

    /// V1 in a group. `text` is [`revoked_text_in_group`].
    pub fn revoked_in_group(revocation: &'a Revocation<GroupSummary>, text: &'a str) -> Self {
        Self {
            action_type: Some(ActionType::Revoke),
            data: MessageData::server(text),
            group: Some(GroupPart::Null),
            ..Self::in_group(revocation.message, &revocation.by, &revocation.to, revocation.at)
        }
    }

    /// C1: a message between two people.
    pub fn chat(sent: &'a Sent) -> Self {
        Self {
            kind: if sent.data.is_empty() { "text" } else { &sent.kind },
            data: MessageData::person(&sent.data),
            options: MessageOptions::Person(sent.options.as_deref()),
            send_uuid: Some(sent.from_uuid),
            ..Self::single(sent.id, &sent.from, &sent.to, sent.sent_at)
        }
    }

    /// V1: a message taken back. `text` is [`revoked_text`].
    pub fn revoked(revocation: &'a Revocation, text: &'a str) -> Self {
        Self {
            action_type: Some(ActionType::Revoke),
            data: MessageData::server(text),
            group: Some(GroupPart::Null),
            ..Self::single(revocation.message, &revocation.by, &revocation.to, revocation.at)
        }
    }

    /// P2: now friends, from one side to the other.
    pub fn now_friends(
        id: MessageId,
        from: &'a UserSummary,
        to: &'a UserSummary,
        at: Timestamp,
    ) -> Self {
        Self {
            data: MessageData::server("我们已经是好友了，可以开始聊天了"),
            ..Self::single(id, from, to, at)
        }
    }

    /// An entry that opens a page: P1 and the start-up hints.
    pub fn page(
        id: MessageId,
        (key, from): (&'a str, &'a UserSummary),
        to: &'a UserSummary,
        text: &'a str,
        url: &'a str,
        at: Timestamp,
    ) -> Self {
        Self {
            from_id: SenderId::Page(key),
            kind: "text",
            data: MessageData::server(text),
            redirect: Some(Some(Redirect { url, verb: "navigateTo", desc: None })),
            msgid_key: Some(key),
            ..Self::single(id, from, to, at)
        }
    }

    /// As JSON text.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("a message object is plain data")
    }
}

/// What [`MessageObject::without_group`] leaves open.
const NO_GROUP: &str = r#""group":null"#;

/// A message to a group as JSON text, with the group in its place. After that comes nothing that a person wrote.
pub fn with_group(object: &str, group: &str) -> String {
    match object.rsplit_once(NO_GROUP) {
        Some((before, after)) => format!(r#"{before}"group":{group}{after}"#),
        None => object.to_owned(),
    }
}

/// `six撤回了一条消息`.
pub fn revoked_text(revocation: &Revocation) -> String {
    format!("{}撤回了一条消息", revocation.by.name)
}

/// `six 撤回了一条消息`, with a space.
pub fn revoked_text_in_group(revocation: &Revocation<GroupSummary>) -> String {
    format!("{} 撤回了一条消息", revocation.by.name)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::events::GroupId;

    fn sent(data: &str, options: &str) -> Sent<GroupSummary> {
        Sent {
            id: MessageId(Uuid::from_u128(1)),
            from: UserSummary { id: UserId(6), name: "six".into(), avatar: "/6.png".into() },
            from_uuid: Uuid::from_u128(2),
            to: GroupSummary { id: GroupId(33), name: "Tea".into(), avatar: "/33.png".into() },
            kind: "image".into(),
            data: data.into(),
            options: Some(RawValue::from_string(options.into()).expect("JSON")),
            sent_at: Timestamp(1_758_692_500_000),
        }
    }

    #[test]
    fn a_group_comes_to_its_place_whatever_was_written() {
        let theirs = r#"{"group":null,"a":["\"group\":null"]}"#;
        let object = MessageObject::without_group(&sent(r#""group":null"#, theirs)).json();
        let found: Value =
            serde_json::from_str(&with_group(&object, r#"{"id":33}"#)).expect("JSON");
        assert_eq!(found["group"]["id"], 33);
        assert_eq!(found["options"].to_string(), theirs);
        assert_eq!(found["data"], r#""group":null"#);
    }
}
