//! The codec turns events into bytes and back; older versions would be lifted to the newest here.

use serde::Serialize;

use super::{Event, ids::Subject};

/// Bytes that are no event of this version.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A subject that no aggregate lives on.
    #[error("unknown subject `{0}`")]
    Subject(String),
    /// A body that does not fit its aggregate.
    #[error("unreadable event on `{subject}`: {source}")]
    Body {
        /// Where.
        subject: Subject,
        /// Why.
        source: serde_json::Error,
    },
    /// A header that is missing or malformed.
    #[error("event without a valid `{0}` header")]
    Header(&'static str),
}

impl Event {
    /// The JSON of the event, `{"type": …, "data": …}`.
    pub fn encode(&self) -> Vec<u8> {
        fn json<T: Serialize>(event: &T) -> Vec<u8> {
            serde_json::to_vec(event).expect("events are made of plain data")
        }
        match self {
            Self::User(event) => json(event),
            Self::Session(event) => json(event),
            Self::Friendship(event) => json(event),
            Self::Chat(event) => json(event),
            Self::Group(event) => json(event),
            Self::GroupChat(event) => json(event),
            Self::QuickReplies(event) => json(event),
            Self::Complaint(event) => json(event),
            Self::Delivery(event) => json(event),
            Self::Operations(event) => json(event),
        }
    }

    /// Reads an event of the aggregate that `subject` names.
    ///
    /// # Errors
    /// The body is not one of that aggregate's events.
    pub fn decode(subject: &Subject, body: &[u8]) -> Result<Self, DecodeError> {
        match subject {
            Subject::User(_) => serde_json::from_slice(body).map(Self::User),
            Subject::Session(_) => serde_json::from_slice(body).map(Self::Session),
            Subject::Friendship(_) => serde_json::from_slice(body).map(Self::Friendship),
            Subject::Chat { .. } => serde_json::from_slice(body).map(Self::Chat),
            Subject::Group(_) => serde_json::from_slice(body).map(Self::Group),
            Subject::GroupChat(_) => serde_json::from_slice(body).map(Self::GroupChat),
            Subject::QuickReplies(_) => serde_json::from_slice(body).map(Self::QuickReplies),
            Subject::Complaint(_) => serde_json::from_slice(body).map(Self::Complaint),
            Subject::Delivery(_) => serde_json::from_slice(body).map(Self::Delivery),
            Subject::Operations => serde_json::from_slice(body).map(Self::Operations),
        }
        .map_err(|source| DecodeError::Body { subject: *subject, source })
    }

    /// The name on the wire, `message.sent.v1`, read from what [`Event::encode`] made.
    pub fn type_name(body: &[u8]) -> &str {
        body.strip_prefix(br#"{"type":""#)
            .and_then(|rest| rest.split(|byte| *byte == b'"').next())
            .and_then(|name| std::str::from_utf8(name).ok())
            .unwrap_or("unknown")
    }
}
