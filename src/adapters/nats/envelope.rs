//! The envelope: CloudEvents 1.0 in NATS binary mode, and what the server is asked to check (ADR 0001).

use std::time::Duration;

use async_nats::HeaderMap;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    new_event::{Expect, NewEvent},
    protocol::Headers,
};
use crate::events::{
    Cause, DecodeError, Event, Operator, Position, Recorded, Subject, Timestamp, TraceParent,
    UserId,
};

pub(super) const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";
pub(super) const EXPECTED_ON: &str = "Nats-Expected-Last-Subject-Sequence-Subject";
const TTL: &str = "Nats-TTL";

/// The headers of a fact as it is published, by `source`, with `body`; those that are to vanish do so after `fact_ttl`.
pub(super) fn headers(
    new: &NewEvent,
    body: &[u8],
    expect: Expect,
    source: &str,
    fact_ttl: Duration,
) -> Headers {
    let mut headers = Headers::new();
    headers.add("Nats-Msg-Id", new.id);
    headers.add("ce-specversion", "1.0");
    headers.add("ce-id", new.id);
    headers.add("ce-type", Event::type_name(body));
    headers.add("ce-source", source);
    let own = new.event.subject();
    headers.add("ce-subject", own);
    headers.add("ce-time", new.at.iso_text());
    if let Some(actor) = new.actor {
        headers.add("hy-actor", actor);
    }
    headers.add("hy-cause", &new.cause.request);
    if let Some(trace) = &new.cause.trace {
        headers.add("traceparent", trace.as_str());
    }
    if let Some(operator) = &new.cause.operator {
        headers.add("hy-operator", &operator.name);
        headers.add("hy-reason", &operator.reason);
    }
    if let Expect::Last(subject, position) = expect {
        headers.add(EXPECTED, position);
        if subject != own {
            headers.add(EXPECTED_ON, subject);
        }
    }
    if is_short_lived(&new.event) {
        headers.add(TTL, fact_ttl.as_secs());
    }
    headers
}

/// Connects and disconnects vanish by themselves; deliveries stay, for without them a rebuild
/// would deliver again (ADR 0003).
fn is_short_lived(event: &Event) -> bool {
    use crate::events::SessionEvent::{Connected, Disconnected};
    matches!(event, Event::Session(_, Connected { .. } | Disconnected { .. }))
}

/// An event out of what the stream stores.
///
/// # Errors
/// It is none.
pub(super) fn read(
    subject: &str,
    (position, stored_at): (Position, OffsetDateTime),
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
        id: required("ce-id")?.parse().map_err(|_| DecodeError::Header("ce-id"))?,
        at: Timestamp::of(at),
        stored_at: Timestamp::of(stored_at),
        actor: header(headers, "hy-actor").and_then(|actor| actor.parse().ok().map(UserId)),
        cause: Cause {
            request: header(headers, "hy-cause").unwrap_or_default().to_owned(),
            trace: header(headers, "traceparent").and_then(TraceParent::parse),
            operator: header(headers, "hy-operator").map(|name| Operator {
                name: name.to_owned(),
                reason: header(headers, "hy-reason").unwrap_or_default().to_owned(),
            }),
        },
    })
}

pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(async_nats::HeaderValue::as_str)
}
