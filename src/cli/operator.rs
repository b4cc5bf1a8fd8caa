//! The operator is who changes something by a command: their name, their reason, and what the command works with.

use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use serde_json::Value;

use super::{Output, ops, text};
use crate::{
    adapters::{
        nats::{
            checkpoints::Checkpoints,
            connect::Nats,
            event_log::EventLog,
            new_event::{Expect, NewEvent},
        },
        postgres,
        redis::Redis,
    },
    boot, clock,
    commands::user::{Account, User},
    config::Config,
    events::{Cause, Event, NodeId, OperationsEvent, Operator, Position, UserId, Username},
    executor::{Executor, ExecutorSettings},
    projections::{After, user_directory},
};

/// Who acts, and why: the event says it for ever.
#[derive(Args)]
pub(super) struct Acting {
    /// Who decides this; the name of the account that runs the command if left out
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
}

impl Acting {
    /// Why, if they say so.
    pub(super) fn reason(&self) -> &str {
        self.reason.trim()
    }

    /// What led to the event: this command, of this operator.
    pub(super) fn cause(&self, command: &str) -> anyhow::Result<Cause> {
        let name = self.name.clone().unwrap_or_else(account_name);
        let operator = Operator::new(&name, &self.reason)?;
        Ok(Cause::of_operator(&format!("hongyan {command}"), operator))
    }
}

/// What the machine calls the account that runs this process.
fn account_name() -> String {
    let id = rustix::process::getuid().as_raw().to_string();
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut known = accounts.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found = known.find(|account| account.get(2) == Some(&id.as_str()));
    // Those of a directory are in no file.
    let from_session = || ["LOGNAME", "USER"].iter().find_map(|name| std::env::var(name).ok());
    found.map(|account| account[0].to_owned()).or_else(from_session).unwrap_or(id)
}

/// Which part of a list.
#[derive(Args)]
pub(super) struct Paging {
    /// Go on after the row with this id
    #[arg(long, value_name = "ID")]
    after: Option<i64>,
    /// So many rows at most
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=1000))]
    limit: i64,
}

impl Paging {
    pub(super) fn part(&self) -> After {
        After { id: self.after, limit: self.limit }
    }

    /// Tells the rows of a part, and where the next one begins.
    pub(super) fn print(&self, output: Output, rows: Vec<Value>, columns: &[&str]) {
        let is_full = i64::try_from(rows.len()).is_ok_and(|count| count >= self.limit);
        let last = rows.last().filter(|_| is_full).map(|row| row["id"].to_string());
        let rows = Value::Array(rows);
        output.print(&rows, || {
            let rows = rows.as_array().expect("made as one");
            let more = last.map(|id| format!("\nthere may be more: --after {id}"));
            format!("{}{}", text::table(rows, columns), more.unwrap_or_default())
        });
    }
}

/// What executes an operator's commands, with the connection that it works over.
pub(super) async fn executor(config: &Config) -> anyhow::Result<(Nats, Executor)> {
    let nats = ops::connect(config).await?;
    let node = NodeId(clock::random_id());
    let log = boot::open_durable_log(nats.clone(), config, node, Arc::default()).await?;
    let (checkpoints, listen) = Checkpoints::start(nats.client.clone(), None).await?;
    boot::background(listen);
    let pool = postgres::readers(config.reader_url(), 2)?;
    let redis = Redis::open(&config.redis.url)?;
    let (replicated, wait) = (config.log.is_replicated(), config.wait());
    let settings = ExecutorSettings { node, replicated, wait };
    let executor = Executor::new(log, checkpoints, (pool, redis), settings, Arc::default());
    Ok((nats, executor))
}

/// Says in the log who looks at what people say, before they see it.
pub(super) async fn note_reading(
    log: &EventLog,
    aggregate: String,
    (from, to): (Position, Position),
    cause: &Cause,
) -> anyhow::Result<()> {
    let event = OperationsEvent::ContentRead { aggregate, from, to };
    let mut new = NewEvent::new(Event::Operations(event), None, cause);
    let noted = log.append(&mut new, Expect::Anything).await;
    noted.context("nothing is shown, since the log cannot say who looked").map(drop)
}

/// The account that an operator names by id or username.
pub(super) async fn find(executor: &Executor, user: &str) -> anyhow::Result<Account> {
    let by_name = user_directory::named(&executor.pool, &Username(user.to_owned())).await;
    let id = match (user.parse(), by_name) {
        (Ok(id), _) => Some(UserId(id)),
        (_, Ok(found)) => found,
        (_, Err(error)) => return Err(error).context("PostgreSQL cannot be asked for the name"),
    };
    let state = match id {
        Some(id) => executor.state::<User>(id).await?.state,
        None => Arc::default(),
    };
    let found = state.account().cloned();
    found.with_context(|| format!("there is no user `{user}`; give an id or a username"))
}
