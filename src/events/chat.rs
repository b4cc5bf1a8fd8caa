//! Facts about messages between two people.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{
    ids::MessageId,
    values::{Person, Timestamp},
};

/// A fact about one message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum ChatEvent {
    /// The server accepted a message for delivery.
    #[serde(rename = "message.sent.v1")]
    Sent(Arc<Sent>),
    /// Its author took it back.
    #[serde(rename = "message.revoked.v1")]
    Revoked(Revocation),
}

/// A message as accepted: everything that its recipient will see (ws.md §6.2, C1).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sent {
    /// The message.
    pub id: MessageId,
    /// The author, by the name that the recipient sees.
    pub from: Person,
    /// The author's public identifier.
    pub from_uuid: Uuid,
    /// The recipient, by the name that the author sees.
    pub to: Person,
    /// `text`, `image` …: passed through.
    pub kind: String,
    /// The content: JSON text that the server does not interpret.
    pub data: String,
    /// The author's extra parameters, byte for byte; `None` is `null`.
    pub options: Option<Box<RawValue>>,
    /// When it was accepted.
    pub sent_at: Timestamp,
}

impl PartialEq for Sent {
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// The message.
    pub message: MessageId,
    /// The author, by account name.
    pub by: Person,
    /// The recipient, as the author's client named it.
    pub to: Person,
    /// When.
    pub at: Timestamp,
}
