//! Recent errors: the last log lines of level `WARN` and `ERROR`, for whoever looks at a process without its log.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer,
    fmt::{
        FormattedFields,
        format::{DefaultFields, JsonFields},
    },
    layer::Context,
    registry::{LookupSpan, Scope},
};

use crate::{clock, events::Timestamp};

/// How many are kept.
const MOST: usize = 50;

/// The last log lines that somebody may have to do something about.
#[derive(Debug, Clone, Default)]
pub struct RecentErrors(Arc<Mutex<VecDeque<LogLine>>>);

/// A line of the log.
#[derive(Debug, Clone, Serialize)]
pub struct LogLine {
    /// When.
    pub at: Timestamp,
    /// `ERROR` or `WARN`.
    pub level: &'static str,
    /// Which part of the program wrote it.
    pub target: &'static str,
    /// What happened.
    pub message: String,
    /// The fields to search by.
    pub fields: BTreeMap<&'static str, String>,
    /// What it happened in, the outermost first: `request{…}`.
    pub spans: Vec<String>,
}

impl RecentErrors {
    /// The oldest first.
    pub fn all(&self) -> Vec<LogLine> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn add(&self, line: LogLine) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == MOST {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for RecentErrors {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let level = match *metadata.level() {
            Level::ERROR => "ERROR",
            Level::WARN => "WARN",
            _ => return,
        };
        let mut found = Found::default();
        event.record(&mut found);
        let spans = context.event_scope(event).into_iter().flat_map(Scope::from_root);
        let spans = spans.map(|span| {
            let extensions = span.extensions();
            // As whoever writes the log has formatted them.
            let fields = extensions
                .get::<FormattedFields<DefaultFields>>()
                .map(|fields| fields.fields.as_str())
                .or_else(|| Some(&*extensions.get::<FormattedFields<JsonFields>>()?.fields));
            format!("{}{{{}}}", span.name(), without_colours(fields.unwrap_or_default()))
        });
        self.add(LogLine {
            at: clock::now(),
            level,
            target: metadata.target(),
            message: found.message,
            fields: found.fields,
            spans: spans.collect(),
        });
    }
}

#[derive(Default)]
struct Found {
    message: String,
    fields: BTreeMap<&'static str, String>,
}

impl Visit for Found {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = format!("{value:?}");
        if field.name() == "message" {
            self.message = value;
        } else {
            self.fields.insert(field.name(), value);
        }
    }
}

/// A terminal is told which words are slanted: `\x1b[3m`.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.split_once('m').map_or(part, |(_, rest)| rest));
    }
    plain
}

#[cfg(test)]
mod tests {
    use tracing::{error, info, info_span, warn};
    use tracing_subscriber::{fmt, layer::SubscriberExt as _, registry};

    use super::*;

    fn seen(log: impl FnOnce()) -> Vec<LogLine> {
        let recent = RecentErrors::default();
        let writes = fmt::layer().with_ansi(true).with_writer(std::io::sink);
        let subscriber = registry().with(writes).with(recent.clone());
        tracing::subscriber::with_default(subscriber, log);
        recent.all()
    }

    #[test]
    fn a_line_is_kept_with_its_fields_and_spans() {
        let lines = seen(|| {
            let _request = info_span!("request", method = "GET", user.id = 7).entered();
            info!("nobody has to act");
            error!(cause = %"no store", "a request failed");
        });
        assert_eq!(lines.len(), 1, "{lines:?}");
        let line = &lines[0];
        assert_eq!((line.level, line.message.as_str()), ("ERROR", "a request failed"));
        assert_eq!(line.fields, BTreeMap::from([("cause", "no store".to_owned())]));
        assert_eq!(line.spans, [r#"request{method="GET" user.id=7}"#]);
    }

    #[test]
    fn the_oldest_gives_way() {
        let lines = seen(|| (0..MOST + 3).for_each(|number| warn!("line {number}")));
        assert_eq!(lines.len(), MOST);
        assert_eq!(lines[0].message, "line 3");
    }
}
