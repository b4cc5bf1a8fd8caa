//! Aggregates are shown as they were, with what happened to them: `state` and `history`.

use std::{process::ExitCode, sync::Arc};

use anyhow::{Context as _, ensure};
use clap::Args;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{
    Output, events,
    operator::{self, Acting},
    ops, text,
};
use crate::{
    adapters::{nats::event_log::EventLog, postgres},
    boot, clock,
    config::Config,
    events::{NodeId, Position, UserId, Username},
    executor::{
        Executor,
        inspection::{AggregateName, Content, Inspection, Kind, Moment, PAGE},
    },
    projections::user_directory,
};

#[derive(Args)]
pub(super) struct StateCommand {
    #[command(flatten)]
    which: Which,
    /// When: a position, or a time like 2026-11-29T12:00 (UTC, if it names no zone); the end of the log if left out
    #[arg(long, value_name = "POSITION|TIME")]
    at: Option<Moment>,
    #[command(flatten)]
    looking: Looking,
}

#[derive(Args)]
pub(super) struct HistoryCommand {
    #[command(flatten)]
    which: Which,
    /// From this moment on, included
    #[arg(long, value_name = "POSITION|TIME")]
    from: Option<Moment>,
    /// Up to this moment, included
    #[arg(long, value_name = "POSITION|TIME")]
    to: Option<Moment>,
    /// So many events at most
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = limit)]
    limit: usize,
    #[command(flatten)]
    looking: Looking,
}

fn limit(text: &str) -> Result<usize, String> {
    let limit = text.parse().ok().filter(|limit| (1..=PAGE).contains(limit));
    limit.ok_or_else(|| format!("a limit is 1 to {PAGE}"))
}

#[derive(Args)]
struct Which {
    /// user, session, friendship, group, chat, quick-replies or complaint
    #[arg(value_parser = Kind::parse)]
    kind: Kind,
    /// A number; two like 3.9 for what is between two users; group:33 for a group's chat; a username for a user's
    id: String,
}

#[derive(Args)]
struct Looking {
    /// With what people say, too; needs --reason, and the log says who looked
    #[arg(long)]
    content: bool,
    #[command(flatten)]
    acting: Acting,
}

pub(super) async fn state(
    command: StateCommand,
    config: &Config,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let StateCommand { which, at, looking } = command;
    let inspection = looking.open(config).await?;
    let name = which.name(&inspection).await?;
    let at = inspection.position(at).await?;
    let content = looking.note(&inspection.log, "state", name, (Position(1), at)).await?;
    let shown = json!(inspection.state(name, at, content).await?);
    output.print(&shown, || {
        let mut fields = shown.clone();
        let state = fields.as_object_mut().and_then(|fields| fields.remove("state"));
        let state = serde_json::to_string_pretty(&state).unwrap_or_default();
        format!("{}\n{state}", text::fields(&fields))
    });
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn history(
    command: HistoryCommand,
    config: &Config,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let HistoryCommand { which, from, to, limit, looking } = command;
    let inspection = looking.open(config).await?;
    let name = which.name(&inspection).await?;
    let from = match from {
        None => Position(1),
        from => inspection.position(from).await?,
    };
    let to = inspection.position(to).await?;
    let content = looking.note(&inspection.log, "history", name, (from, to)).await?;
    let page = inspection.history(name, (from, to), limit, content).await?;
    output.print(&json!(page), || {
        let mut lines: Vec<String> = page.events().iter().map(line).collect();
        lines.extend(page.next().map(|next| format!("there is more: --from {next}")));
        lines.join("\n")
    });
    Ok(ExitCode::SUCCESS)
}

/// An event, and below it who wanted it and by which request.
fn line(shown: &Value) -> String {
    let known =
        ["actor", "operator", "reason", "cause", "traceparent"].map(|name| (name, &shown[name]));
    let known = known.into_iter().filter(|(_, value)| !value.is_null() && *value != "");
    let by: Vec<String> = known.map(|(name, value)| format!("{name}={value}")).collect();
    format!("{}\n{:>12}{}", events::line(shown), "", by.join(" "))
}

impl Which {
    async fn name(&self, inspection: &Inspection) -> anyhow::Result<AggregateName> {
        let is_of_user = matches!(self.kind, Kind::User | Kind::Session | Kind::QuickReplies);
        let is_number = self.id.bytes().all(|byte| byte.is_ascii_digit());
        if !is_of_user || is_number {
            return Ok(AggregateName::parse(self.kind, &self.id)?);
        }
        let id = user_named(&inspection.pool, &self.id).await?;
        Ok(AggregateName::parse(self.kind, &id.to_string())?)
    }
}

/// The user that an operator names by id or username.
pub(super) async fn user_named(pool: &PgPool, user: &str) -> anyhow::Result<UserId> {
    if let Ok(id) = user.parse() {
        return Ok(UserId(id));
    }
    let found = user_directory::named(pool, &Username(user.to_owned())).await;
    let found = found.context("PostgreSQL cannot be asked for the name")?;
    found.with_context(|| format!("there is no user `{user}`; give an id or a username"))
}

impl Looking {
    async fn open(&self, config: &Config) -> anyhow::Result<Inspection> {
        if self.content {
            ensure!(
                !self.acting.reason().is_empty(),
                "--content needs --reason: the log says who looked, and why"
            );
            let (_, Executor { log, pool, .. }) = operator::executor(config).await?;
            return Ok(Inspection { log, pool });
        }
        let nats = ops::connect(config).await?;
        let node = NodeId(clock::random_id());
        let log = boot::open_log(nats, config, node, None, Arc::default()).await?;
        Ok(Inspection { log, pool: postgres::readers(config.reader_url(), 1)? })
    }

    /// Says in the log who looks at what, before they see it.
    async fn note(
        &self,
        log: &EventLog,
        command: &str,
        name: AggregateName,
        (from, to): (Position, Position),
    ) -> anyhow::Result<Content> {
        if !self.content {
            return Ok(Content::Hidden);
        }
        let cause = self.acting.cause(command)?;
        operator::note_reading(log, name.to_string(), (from, to), &cause).await?;
        Ok(Content::Shown)
    }
}
