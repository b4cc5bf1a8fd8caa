//! The codec turns events into bytes and back; older versions would be lifted to the newest here.

use serde::{Serialize, de::DeserializeOwned};

use super::{Event, ids::Subject, sealing::UnsealError};

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
    /// What is sealed in it cannot be read.
    #[error(transparent)]
    Sealed(#[from] UnsealError),
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
            Self::User(_, event) => json(event),
            Self::Session(_, event) => json(event),
            Self::Friendship(_, event) => json(event),
            Self::Chat(_, event) => json(event),
            Self::Group(_, event) => json(event),
            Self::GroupChat(_, event) => json(event),
            Self::QuickReplies(_, event) => json(event),
            Self::Complaint(_, event) => json(event),
            Self::Delivery(_, event) => json(event),
            Self::Operations(event) => json(event),
        }
    }

    /// Reads an event of the aggregate that `subject` names.
    ///
    /// # Errors
    /// The body is not one of that aggregate's events.
    pub fn decode(subject: &Subject, body: &[u8]) -> Result<Self, DecodeError> {
        fn read<T: DeserializeOwned>(body: &[u8]) -> serde_json::Result<T> {
            serde_json::from_slice(body)
        }
        match subject {
            Subject::User(id) => read(body).map(|event| Self::User(*id, event)),
            Subject::Session(id) => read(body).map(|event| Self::Session(*id, event)),
            Subject::Friendship(id) => read(body).map(|event| Self::Friendship(*id, event)),
            Subject::Chat(id) => read(body).map(|event| Self::Chat(*id, event)),
            Subject::Group(id) => read(body).map(|event| Self::Group(*id, event)),
            Subject::GroupChat(id) => read(body).map(|event| Self::GroupChat(*id, event)),
            Subject::QuickReplies(id) => read(body).map(|event| Self::QuickReplies(*id, event)),
            Subject::Complaint(id) => read(body).map(|event| Self::Complaint(*id, event)),
            Subject::Delivery(id) => read(body).map(|event| Self::Delivery(*id, event)),
            Subject::Operations => read(body).map(Self::Operations),
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
