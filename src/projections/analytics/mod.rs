//! The analysts' stream as a read model: every event as others may see it, in order, with its position (ADR 0036).

mod store;
mod verify;

use std::{sync::Arc, time::Duration};

pub use store::StreamStore;
pub use verify::Compared;

use super::{Projection, ProjectionParts, StoreError};
use crate::{
    adapters::nats::analysts_stream::{AnalystsStream, Outgoing},
    events::{Event, Recorded, Redaction},
};

/// What it is made with.
#[derive(Clone)]
pub struct AnalyticsParts {
    /// The stream, over a connection of its owner.
    pub stream: AnalystsStream,
    /// What is taken out.
    pub redaction: Arc<Redaction>,
}

/// Writes it.
pub struct Analytics {
    redaction: Arc<Redaction>,
}

impl Projection for Analytics {
    type Store = StreamStore;
    type Effect = ();

    const NAME: &'static str = "analytics";
    const SUBJECTS: &'static [&'static str] = &["evt.>"];
    const IS_BUILT_BESIDE: bool = false;
    /// Nobody's message waits for analysts.
    const MIN_BATCH_INTERVAL: Duration = Duration::from_millis(250);

    fn is_wanted(parts: &ProjectionParts) -> bool {
        parts.analytics.is_some()
    }

    fn open(parts: &ProjectionParts) -> (Self, StreamStore) {
        let parts = parts.analytics.clone().expect("it is not opened unless it is wanted");
        let store = StreamStore::new(parts.stream, &parts.redaction);
        (Self { redaction: parts.redaction }, store)
    }

    async fn apply(
        &self,
        tx: &mut Vec<Outgoing>,
        batch: &[Recorded<Event>],
    ) -> Result<Vec<()>, StoreError> {
        tx.extend(batch.iter().map(|recorded| self.message(recorded)));
        Ok(Vec::new())
    }
}

impl Analytics {
    /// An event, as others may see it.
    fn message(&self, recorded: &Recorded<Event>) -> Outgoing {
        let whole = recorded.event.encode();
        let kind = Event::type_name(&whole);
        let (cause, subject) = (&recorded.cause, recorded.subject().to_string());
        let operator = cause.operator.as_ref();
        let known = [
            ("ce-specversion", Some("1.0".to_owned())),
            ("ce-id", Some(recorded.id.to_string())),
            ("ce-type", Some(kind.to_owned())),
            ("ce-subject", Some(subject.clone())),
            ("ce-time", Some(recorded.at.iso_text())),
            ("hy-actor", recorded.actor.map(|actor| actor.to_string())),
            ("hy-cause", Some(cause.request.clone())),
            ("traceparent", cause.trace.as_ref().map(ToString::to_string)),
            ("hy-operator", operator.map(|operator| operator.name.clone())),
            ("hy-reason", operator.map(|operator| operator.reason.clone())),
        ];
        let header =
            |name: &str| known.iter().find(|(it, _)| *it == name).and_then(|(_, it)| it.as_deref());
        let headers = self.redaction.attributes(header);
        let headers = headers.map(|it| (it.header, it.value.into_owned())).collect();
        let mut body = Vec::with_capacity(whole.len());
        let is_known = self.redaction.body(kind, &whole, &mut body);
        debug_assert!(is_known, "an event that was read is what its schema says");
        let subject = self.redaction.subject(&subject).expect("a subject that was read is known");
        Outgoing { subject, headers, position: recorded.position, body }
    }
}
