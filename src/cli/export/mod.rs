//! Events leave the service as lines of JSON, one `CloudEvent` each, without what nobody else is to see: `events export`.

mod file;
mod line;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, ensure};
use clap::Args;
use tokio::{sync::mpsc, task::spawn_blocking};

use self::{file::ExportFile, line::Lines};
use super::{Output, progress::ProgressBars};
use crate::{
    adapters::nats::{event_log::EventLog, reader::Stored},
    config::Config,
    events::{Position, Subject, Timestamp, UserId, schemas},
    executor::inspection::{AggregateName, Kind, Moment},
};

/// Events handed on at once, and how many such batches may wait to be written.
const BATCH: usize = 2000;
const BATCHES: usize = 8;

#[derive(Args)]
pub(super) struct ExportCommand {
    /// From this moment on, included: a position, or a time like 2026-11-29T12:00 (UTC, if it names no zone)
    #[arg(long, value_name = "POSITION|TIME")]
    from: Option<Moment>,
    /// Up to this moment, included; what the log holds now if left out
    #[arg(long, value_name = "POSITION|TIME")]
    to: Option<Moment>,
    /// Only events of this type, as `message.sent.v1`; may be given more than once
    #[arg(long = "type", value_name = "TYPE", value_parser = known_type)]
    types: Vec<String>,
    /// Only what this user did, and what is about them or them and one other
    #[arg(long, value_name = "ID")]
    user: Option<i64>,
    /// Only messages of a chat: 3.9 between two users, group:33 in a group
    #[arg(long, value_name = "CHAT", value_parser = chat)]
    chat: Option<AggregateName>,
    /// Compressed: each frame of Zstandard holds whole lines
    #[arg(long)]
    zstd: bool,
    /// Where to, instead of standard output; a file that is there is gone on with after its last whole line
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn known_type(name: &str) -> Result<String, String> {
    let known = || schemas().into_keys().collect::<Vec<_>>().join(", ");
    let is_known = schemas().contains_key(name);
    is_known.then(|| name.to_owned()).ok_or_else(|| format!("there are {}", known()))
}

fn chat(id: &str) -> Result<AggregateName, String> {
    AggregateName::parse(Kind::Chat, id).map_err(|error| error.to_string())
}

/// Which events are wanted of those that are read.
struct Wanted {
    types: Vec<String>,
    user: Option<UserId>,
}

impl Wanted {
    fn has(&self, stored: &Stored) -> bool {
        let is_of = |user: UserId| {
            stored.header("hy-actor").and_then(|actor| actor.parse().ok()) == Some(user.0)
                || Subject::parse(stored.subject()).is_some_and(|subject| subject.is_of(user))
        };
        let kind = || stored.header("ce-type").unwrap_or_default();
        (self.types.is_empty() || self.types.iter().any(|wanted| wanted == kind()))
            && self.user.is_none_or(is_of)
    }
}

pub(super) async fn run(
    command: ExportCommand,
    log: &EventLog,
    config: &Config,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let ExportCommand { from, to, types, user, chat, zstd, output: path } = command;
    let redaction = config.redaction()?;
    let (target, begun) = ExportFile::open(path, zstd)?;
    let from = first(log, from).await?.max(Position(begun.0 + 1));
    let to = last(log, to).await?;
    let subjects = match chat {
        Some(chat) => chat.subjects().iter().map(ToString::to_string).collect(),
        None => vec!["evt.>".to_owned()],
    };
    let subjects: Vec<&str> = subjects.iter().map(String::as_str).collect();

    let (hand_on, batches) = mpsc::channel(BATCHES);
    let wanted = Wanted { types, user: user.map(UserId) };
    let mut lines = Lines::new(redaction, target, move |stored| wanted.has(stored));
    let writing = spawn_blocking(move || lines.write_all(batches));
    let total = to.0.saturating_sub(from.0) + 1;
    let mut progress = ProgressBars::new(total, output).add("events");
    let read = read(log, &subjects, (from, to), hand_on, |next| {
        progress.set(next.0.saturating_sub(from.0).min(total));
    })
    .await;
    let written = writing.await.context("the writer died")?;
    drop(progress);
    let next = read.context("the export stopped")?;
    if written? && output == Output::Text {
        eprintln!("all events before {next} are there");
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads what is there between two positions, both included, and says from where on more may come.
async fn read(
    log: &EventLog,
    subjects: &[&str],
    (from, to): (Position, Position),
    hand_on: mpsc::Sender<Vec<Stored>>,
    mut progress: impl FnMut(Position),
) -> anyhow::Result<Position> {
    let mut reader = log.read_between(subjects, (from, to)).await?;
    while let Some(batch) = reader.next_stored(BATCH).await? {
        let next = Position(reader.done().0 + 1);
        progress(next);
        if hand_on.send(batch).await.is_err() {
            return Ok(next); // nobody reads any further, or it cannot be written
        }
    }
    Ok(Position(to.0.max(from.0 - 1) + 1))
}

/// The first position at a moment or later.
async fn first(log: &EventLog, moment: Option<Moment>) -> anyhow::Result<Position> {
    Ok(match moment {
        None => Position(1),
        Some(Moment::Position(position)) => Position(position.0.max(1)),
        Some(Moment::Time(Timestamp(time))) => {
            Position(log.position_at(Timestamp(time - 1)).await?.0 + 1)
        }
    })
}

/// The last position up to a moment, included.
async fn last(log: &EventLog, moment: Option<Moment>) -> anyhow::Result<Position> {
    let end = log.end().await?.last;
    Ok(match moment {
        None => end,
        Some(Moment::Time(time)) => log.position_at(time).await?,
        Some(Moment::Position(position)) => {
            ensure!(position <= end, "the log ends at position {end}");
            position
        }
    })
}
