//! `bench`: makes load on any deployment, as its clients would, and checks that every promise is kept.

mod accounts;
mod chat;
mod checker;
mod connect;
mod deployment;
mod environment;
mod group;
mod groups;
mod marker;
mod meter;
mod outcome;
mod processes;
mod rebuild;
mod report;
mod run;
mod schedule;
mod send;
mod storm;
mod target;
mod traffic;

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Subcommand;

use super::{
    Output,
    load::{http, lock, socket},
};
use crate::config::Config;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Senders that write to each other as fast as they are answered, or at a rate
    Send(send::Options),
    /// People who are online and write to each other and to their groups: how long until a message is read
    Chat(chat::Options),
    /// Sockets on which nothing happens: what one costs in memory and CPU
    Connect(connect::Options),
    /// Everybody is cut off and comes back at once
    Storm(storm::Options),
    /// One group, and some of its members who write to it
    Group(group::Options),
    /// Read models that are built anew; the only one that needs the operator's settings
    Rebuild(rebuild::Options),
}

pub(super) async fn run(
    command: Command,
    config: &Config,
    output: Output,
) -> anyhow::Result<ExitCode> {
    match command {
        Command::Send(options) => {
            apart(options.target.threads, async move { send::run(&options, output).await }).await
        }
        Command::Chat(options) => {
            apart(options.target.threads, async move { chat::run(&options, output).await }).await
        }
        Command::Connect(options) => {
            apart(options.target.threads, async move { connect::run(&options, output).await }).await
        }
        Command::Storm(options) => {
            apart(options.target.threads, async move { storm::run(&options, output).await }).await
        }
        Command::Group(options) => {
            apart(options.target.threads, async move { group::run(&options, output).await }).await
        }
        Command::Rebuild(options) => rebuild::run(&options, config, output).await,
    }
}

/// Runs on a runtime of its own. On one thread no task has to be handed from one to another: the generator shares the
/// machine with what it measures.
async fn apart(
    threads: usize,
    work: impl Future<Output = anyhow::Result<ExitCode>> + Send + 'static,
) -> anyhow::Result<ExitCode> {
    let mut builder = match threads {
        0 | 1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.worker_threads(threads.max(1)).enable_all().build()?;
    let done = tokio::task::spawn_blocking(move || runtime.block_on(work)).await;
    done.context("the generator failed")?
}

/// `2s`, `500ms`, `1m`, or seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|mark: char| mark.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" => 60.0,
        _ => return Err("a time is like 2s, 500ms or 1m".to_owned()),
    };
    let number: f64 = digits.parse().map_err(|_| format!("`{digits}` is no number"))?;
    Duration::try_from_secs_f64(number * factor).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        let read = |text| duration(text).ok();
        assert_eq!(read("2s"), Some(Duration::from_secs(2)));
        assert_eq!(read("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(read("1.5m"), Some(Duration::from_secs(90)));
        assert_eq!(read("0"), Some(Duration::ZERO));
        assert_eq!([read("2h"), read("s"), read("-1s")], [None, None, None]);
    }
}
