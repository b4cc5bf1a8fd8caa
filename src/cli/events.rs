//! Events of the log are followed, shown, counted, handed on and described: `events tail | show | stats | export | schema`.

use std::{collections::BTreeMap, process::ExitCode, sync::Arc};

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::{Value, json};

use super::{Output, export, ops, progress::ProgressBars, text};
use crate::{
    adapters::nats::{event_log::EventLog, reader::Entry},
    api::asyncapi,
    boot, clock,
    config::Config,
    events::{Event, NodeId, Position, schemas},
    executor::inspection::described,
};

#[derive(Subcommand)]
pub(super) enum EventsCommand {
    /// Events as they come
    Tail {
        /// Only those on subjects like `evt.user.>` or `evt.chat.3.9.*`
        #[arg(long, default_value = "evt.>", value_parser = subject_filter)]
        subject: String,
        /// From this position on; the end of the log if left out
        #[arg(long)]
        from: Option<u64>,
        /// Stop after so many
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
        count: Option<u64>,
    },
    /// The event at a position
    Show {
        /// 1 is the first
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        position: u64,
    },
    /// How many events there are of each type
    Stats,
    /// Events for analysts, a line each, without what `analytics.content` withholds
    Export(export::ExportCommand),
    /// What the events of a type look like, as JSON Schema (docs/events/); of all types if none is named
    Schema {
        /// As `message.sent.v1`
        #[arg(value_name = "TYPE")]
        name: Option<String>,
    },
    /// Subjects, events and the frames of sockets as an AsyncAPI document
    Asyncapi,
}

pub(super) async fn run(
    command: EventsCommand,
    config: &Config,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let open = async || {
        let nats = ops::connect(config).await?;
        boot::open_log(nats, config, NodeId(clock::random_id()), None, Arc::default()).await
    };
    match command {
        EventsCommand::Tail { subject, from, count } => {
            tail(&open().await?, &subject, from, count, output).await
        }
        EventsCommand::Show { position } => {
            let found = open().await?.at(Position(position)).await?;
            let found = found.with_context(|| {
                format!("there is no event at {position}: it has expired, or the log ends before")
            })?;
            print(&Ok(found), output);
            Ok(ExitCode::SUCCESS)
        }
        EventsCommand::Stats => stats(&open().await?, output).await,
        EventsCommand::Export(command) => {
            export::run(command, &open().await?, config, output).await
        }
        EventsCommand::Schema { name } => schema(name.as_deref()),
        EventsCommand::Asyncapi => {
            text::print(&format!("{:#}", asyncapi::document(&config.server.clients_at())));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Prints a schema, or all by their types.
fn schema(name: Option<&str>) -> anyhow::Result<ExitCode> {
    let all = schemas().into_iter().map(|(name, found)| (name, found.schema));
    let mut all: BTreeMap<String, Value> = all.collect();
    let shown = match name {
        Some(name) => all.remove(name).with_context(|| {
            let known: Vec<_> = all.into_keys().collect();
            format!("there is no type `{name}`; there are {}", known.join(", "))
        })?,
        None => json!(all),
    };
    text::print(&format!("{shown:#}"));
    Ok(ExitCode::SUCCESS)
}

/// A subject of the log or a pattern: NATS would take others for a failure of its own.
fn subject_filter(text: &str) -> Result<String, String> {
    let tokens: Vec<&str> = text.split('.').collect();
    let (last, above) = tokens.split_last().expect("a split has a part");
    let is_plain = |token: &str| !token.is_empty() && !token.contains(['*', '>']);
    let well_formed = text.bytes().all(|byte| byte.is_ascii_graphic())
        && above.iter().all(|token| *token == "*" || is_plain(token))
        && (["*", ">"].contains(last) || is_plain(last));
    if well_formed && tokens.len() > 1 && tokens[0] == "evt" {
        Ok(text.to_owned())
    } else {
        Err("a subject is like `evt.user.3`, `evt.chat.3.*.*` or `evt.user.>`".to_owned())
    }
}

async fn tail(
    log: &EventLog,
    subject: &str,
    from: Option<u64>,
    count: Option<u64>,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let from = if let Some(position) = from {
        Position(position)
    } else {
        let next = Position(log.end().await?.last.0 + 1);
        eprintln!("waiting for new events, from {next} on; --from 1 shows all that are there");
        next
    };
    let mut reader = log.read(&[subject], from).await?;
    let mut left = count.unwrap_or(u64::MAX);
    while left > 0 {
        for entry in reader.next_batch(100).await? {
            print(&entry, output);
            left -= 1;
            if left == 0 {
                break;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print(entry: &Entry, output: Output) {
    let shown = match entry {
        Ok(recorded) => described(recorded),
        Err(unreadable) => json!({
            "position": unreadable.position,
            "error": unreadable.source.to_string(),
        }),
    };
    output.print(&shown, || line(&shown));
}

/// An event on a line of its own.
pub(super) fn line(shown: &Value) -> String {
    let text = |name: &str| shown[name].as_str().unwrap_or_default().to_owned();
    format!(
        "{:>10}  {}  {:<32} {:<28} {}",
        shown["position"],
        text("time"),
        text("subject"),
        text("type"),
        shown["data"]
    )
}

async fn stats(log: &EventLog, output: Output) -> anyhow::Result<ExitCode> {
    let end = log.end().await?;
    let mut types: BTreeMap<String, u64> = BTreeMap::new();
    let mut seen = 0;
    if end.messages > 0 {
        let mut reader = log.read(&["evt.>"], Position(1)).await?;
        let mut progress = ProgressBars::new(end.messages, output).add("events");
        'log: loop {
            for entry in reader.next_batch(1000).await? {
                let (name, position) = match entry {
                    Ok(recorded) => {
                        (Event::type_name(&recorded.event.encode()).to_owned(), recorded.position)
                    }
                    Err(unreadable) => ("unreadable".to_owned(), unreadable.position),
                };
                if position > end.last {
                    break 'log;
                }
                *types.entry(name).or_default() += 1;
                seen += 1;
                progress.add(1);
            }
            if reader.pending() == 0 {
                break;
            }
        }
    }
    let shown = json!({"events": seen, "last": end.last, "bytes": end.bytes, "types": types});
    output.print(&shown, || {
        let lines = types.iter().map(|(name, count)| format!("{count:>12}  {name}"));
        let total = format!("{seen:>12}  in all, {} bytes, last position {}", end.bytes, end.last);
        lines.chain([total]).collect::<Vec<_>>().join("\n")
    });
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_subject_of_the_log_or_a_pattern() {
        for good in ["evt.>", "evt.user.3", "evt.chat.3.9.*", "evt.*.3", "evt.operations"] {
            assert!(subject_filter(good).is_ok(), "{good}");
        }
        for bad in
            ["", "evt", ">", "evt.", "evt..3", "evt.>.3", "evt.a*", "evt.u er", "push.u.3", "evt.ä"]
        {
            assert!(subject_filter(bad).is_err(), "{bad}");
        }
    }
}
