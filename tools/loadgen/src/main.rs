//! The load generator: makes load on any deployment, as its clients would, and checks that every promise is kept.

mod accounts;
mod chat;
mod checker;
mod connect;
mod correlation_id;
mod deployment;
mod environment;
mod fill;
mod format;
mod group;
mod groups;
mod processes;
mod progress;
mod rebuild;
mod results;
mod run;
mod schedule;
mod send;
mod states;
mod storm;
mod target;
mod traffic;
mod upkeep;

use std::{process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use testkit::output::Output;

/// The service's allocator: the generator shares the machine with what it measures.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Load on a deployment, as clients would make it, and what it costs.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    /// Answer in JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Senders that write to each other as fast as they are answered, or at a rate
    Send(send::Options),
    /// Users who are online and write to each other and to their groups: how long until a message is read
    Chat(chat::Options),
    /// Sockets on which nothing happens: what one costs in memory and CPU
    Connect(connect::Options),
    /// Everybody is cut off and comes back at once
    Storm(storm::Options),
    /// One group, and some of its members who write to it
    Group(group::Options),
    /// Read models that are built anew, by a `hongyan` with the operator's settings
    Rebuild(rebuild::Options),
    /// Every read model is rebuilt, compared and switched while people write and read
    Upkeep(upkeep::Options),
    /// An empty log is filled with events, as fast as it takes them
    Fill(fill::Options),
    /// What was so, asked of the admin listener: aggregates and moments by chance
    States(states::Options),
}

impl Command {
    fn threads(&self) -> usize {
        match self {
            Self::Send(options) => options.target.threads,
            Self::Chat(options) => options.target.threads,
            Self::Connect(options) => options.target.threads,
            Self::Storm(options) => options.target.threads,
            Self::Group(options) => options.target.threads,
            Self::Upkeep(options) => options.target.threads,
            Self::Rebuild(_) | Self::Fill(_) | Self::States(_) => 1,
        }
    }

    async fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        match self {
            Self::Send(options) => send::run(&options, output).await,
            Self::Chat(options) => chat::run(&options, output).await,
            Self::Connect(options) => connect::run(&options, output).await,
            Self::Storm(options) => storm::run(&options, output).await,
            Self::Group(options) => group::run(&options, output).await,
            Self::Rebuild(options) => rebuild::run(&options, output).await,
            Self::Upkeep(options) => upkeep::run(&options, output).await,
            Self::Fill(options) => fill::run(&options, output).await,
            Self::States(options) => states::run(&options, output).await,
        }
    }
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("loadgen: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// On one thread no task has to be handed from one to another: the generator shares the machine with what it measures.
fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let threads = cli.command.threads();
    let mut builder = match threads {
        0 | 1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.worker_threads(threads.max(1)).enable_all().build()?;
    runtime.block_on(Box::pin(cli.command.run(Output::new(cli.json))))
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
