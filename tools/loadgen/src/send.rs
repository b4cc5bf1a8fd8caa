//! `loadgen send`: how many messages are acknowledged, and how fast.

use std::process::ExitCode;

use clap::Args;
use testkit::output::Output;

use super::{
    accounts::{self, AccountKind},
    results,
    run::{self, Load},
    target::Target,
    traffic::Scenario,
};

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    pub(super) target: Target,
    #[command(flatten)]
    load: Load,
    /// So many users, each of whom writes to the next
    #[arg(long, value_name = "N", default_value_t = 64)]
    senders: usize,
    /// Calls that each sender has under way at once, each over a connection of its own
    #[arg(long, value_name = "N", default_value_t = 1)]
    in_flight: usize,
    /// Calls a second, of all senders together, however fast they are answered; without it each call follows the
    /// answer to the one before
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// Nobody has a socket: what was sent waits in the queues and is read at the end
    #[arg(long)]
    offline: bool,
    /// Who the senders are
    #[arg(long, value_enum, default_value = "registered")]
    accounts: AccountKind,
}

pub(super) async fn run(options: &Options, output: Output) -> anyhow::Result<ExitCode> {
    let senders = options.senders.max(2);
    let server = options.target.find().await?;
    let (users, origins) =
        accounts::ready(&options.target, &server.origins, (senders, options.accounts), output)
            .await?;
    let online = if options.offline { 0 } else { senders };
    let scenario = Scenario::ring(users, options.in_flight.max(1), online);
    let pace = results::pace(options.rate)?;
    let run = run::run(server, scenario, &options.load, pace, output).await?;
    let title = format!(
        "send: {senders} senders with {} in flight, {}",
        options.in_flight,
        results::pace_text(pace)
    );
    Ok(results::print(&title, &run, origins, output))
}
