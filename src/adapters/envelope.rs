//! The envelope: CloudEvents 1.0 in NATS binary mode, and what the server is asked to check (DESIGN §3).

use std::time::Duration;

use async_nats::{HeaderMap, jetstream::message::PublishMessage};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::event_log::{Expect, NewEvent};
use crate::{
    clock,
    events::{Cause, DecodeError, Event, Position, Recorded, Subject, TraceParent, UserId},
};

const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";
const EXPECTED_ON: &str = "Nats-Expected-Last-Subject-Sequence-Subject";
const TTL: &str = "Nats-TTL";
/// A fact as it is published, by `source`; those that are to vanish do so after `fact_ttl`.
pub(super) fn write(
    new: &NewEvent,
    expect: Expect,
    source: &str,
    fact_ttl: Duration,
) -> PublishMessage {
    let body = new.event.encode();
    let id = new.id.to_string();
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", id.as_str());
    headers.insert("ce-specversion", "1.0");
    headers.insert("ce-id", id);
    headers.insert("ce-type", Event::type_name(&body));
    headers.insert("ce-source", source);
    headers.insert("ce-subject", new.subject.to_string());
    headers.insert("ce-time", clock::now().iso_text());
    if let Some(actor) = new.actor {
        headers.insert("hy-actor", actor.to_string());
    }
    headers.insert("hy-cause", new.cause.request.as_str());
    if let Some(trace) = &new.cause.trace {
        headers.insert("traceparent", trace.as_str());
    }
    if let Expect::Last(subject, position) = expect {
        headers.insert(EXPECTED, position.to_string());
        if subject != new.subject {
            headers.insert(EXPECTED_ON, subject.to_string());
        }
    }
    if is_short_lived(&new.event) {
        headers.insert(TTL, fact_ttl.as_secs().to_string());
    }
    PublishMessage::build().payload(body.into()).headers(headers)
}

/// Connects and disconnects vanish by themselves; deliveries stay, for without them a rebuild
/// would deliver again (ADR 0003).
fn is_short_lived(event: &Event) -> bool {
    use crate::events::SessionEvent::{Connected, Disconnected};
    matches!(event, Event::Session(Connected { .. } | Disconnected { .. }))
}

/// An event out of what the stream stores.
///
/// # Errors
/// It is none.
pub(super) fn read(
    subject: &str,
    position: Position,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Recorded<Event>, DecodeError> {
    let subject =
        Subject::parse(subject).ok_or_else(|| DecodeError::Subject(subject.to_owned()))?;
    let required = |name: &'static str| header(headers, name).ok_or(DecodeError::Header(name));
    let at = OffsetDateTime::parse(required("ce-time")?, &Rfc3339)
        .map_err(|_| DecodeError::Header("ce-time"))?;
    Ok(Recorded {
        event: Event::decode(&subject, body)?,
        position,
        subject,
        id: required("ce-id")?.parse().map_err(|_| DecodeError::Header("ce-id"))?,
        at: crate::events::Timestamp::of(at),
        actor: header(headers, "hy-actor").and_then(|actor| actor.parse().ok().map(UserId)),
        cause: Cause {
            request: header(headers, "hy-cause").unwrap_or_default().to_owned(),
            trace: header(headers, "traceparent").and_then(TraceParent::parse),
        },
    })
}

pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(async_nats::HeaderValue::as_str)
}
