//! Message events say what was sent and taken back, between two people and in groups.

#![expect(missing_docs, reason = "a field whose name says what it is needs no comment")]

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{
    ids::{GroupId, MessageId},
    values::{Timestamp, UserSummary},
};

/// A fact about one message between two people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "data")]
pub enum ChatEvent {
    /// The server accepted a message of one person to another for delivery (rest.md §41, ws.md §6.2).
    #[serde(rename = "message.sent.v1")]
    Sent(Arc<Sent>),
    /// The author took a message to another person back (rest.md §36), or an operator did; read models blank it.
    #[serde(rename = "message.revoked.v1")]
    Revoked(Revocation),
}

/// A fact about one message to a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "data")]
pub enum GroupChatEvent {
    /// The server accepted a message to a group for delivery (rest.md §41, ws.md §6.3).
    #[serde(rename = "group_message.sent.v1")]
    Sent(Arc<Sent<GroupSummary>>),
    /// The author took a message to a group back (rest.md §36), or an operator did; read models blank it.
    #[serde(rename = "group_message.revoked.v1")]
    Revoked(Revocation<GroupSummary>),
}

/// A message as accepted: everything that its recipients will see and that may change later (ws.md §6.2
/// C1, §6.3 C2).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Sent<To = UserSummary> {
    pub id: MessageId,
    /// The author, by the name that the recipients see.
    pub from: UserSummary,
    /// The author's public identifier.
    #[schemars(extend("x-personal" = "person"))]
    pub from_uuid: Uuid,
    /// The recipient, by the name that the author sees, or the group.
    pub to: To,
    /// `text`, `image` …: passed through.
    #[schemars(extend("x-personal" = "none"))]
    pub kind: String,
    /// The content: JSON text that the server does not interpret.
    #[schemars(extend("x-personal" = "content", "x-of" = ["actor", "day"]))]
    pub data: String,
    /// The author's extra parameters, byte for byte; `None` is `null`.
    #[schemars(extend("x-personal" = "content", "x-of" = ["actor", "day"]))]
    pub options: Option<Box<RawValue>>,
    /// When it was accepted.
    pub sent_at: Timestamp,
}

impl<To: PartialEq> PartialEq for Sent<To> {
    fn eq(&self, other: &Self) -> bool {
        let text = |sent: &Self| sent.options.as_ref().map(|raw| raw.get().to_owned());
        (self.id, &self.from, self.from_uuid, &self.to, &self.kind, &self.data, self.sent_at)
            == (
                other.id,
                &other.from,
                other.from_uuid,
                &other.to,
                &other.kind,
                &other.data,
                other.sent_at,
            )
            && text(self) == text(other)
    }
}

/// A message taken back (ws.md §6.3, V1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Revocation<To = UserSummary> {
    pub message: MessageId,
    /// The author, by account name, or by their name in the group.
    pub by: UserSummary,
    /// The recipient or the group, as the author's client named it.
    pub to: To,
    pub at: Timestamp,
}

/// How a group appeared when something happened; messages keep it for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupSummary {
    pub id: GroupId,
    #[schemars(extend("x-personal" = "name", "x-of" = ["group"]))]
    pub name: String,
    /// Its picture: up to nine, joined by commas.
    #[schemars(extend("x-personal" = "picture", "x-of" = []))]
    pub avatar: String,
}
