//! `loadgen group`: what one large group costs.

use std::process::ExitCode;

use clap::Args;
use testkit::output::Output;

use super::{
    accounts::{self, AccountKind},
    checker::To,
    groups, results,
    run::{self, Load},
    target::Target,
    traffic::{Author, Scenario},
};

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    pub(super) target: Target,
    #[command(flatten)]
    load: Load,
    /// How many are in the group
    #[arg(long, value_name = "N", default_value_t = 100)]
    members: usize,
    /// How many of them have a socket; all if left out. The others' queues are read at the end
    #[arg(long, value_name = "N")]
    online: Option<usize>,
    /// How many of them write
    #[arg(long, value_name = "N", default_value_t = 8)]
    senders: usize,
    /// Messages a second, of all together; without it each follows the answer to the sender's one before
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
}

pub(super) async fn run(options: &Options, output: Output) -> anyhow::Result<ExitCode> {
    let members = options.members.max(2);
    let pace = results::pace(options.rate)?;
    let server = options.target.find().await?;
    let wanted = (members, AccountKind::Registered);
    let (users, origins) =
        accounts::ready(&options.target, &server.origins, wanted, output).await?;
    let group = groups::make(&server, &users, (0..members).collect()).await?;
    let senders = options.senders.clamp(1, members);
    let online = options.online.unwrap_or(members).min(members);
    let scenario = Scenario {
        users,
        groups: vec![group],
        authors: (0..senders).map(|user| Author { user, to: vec![To::Group(0)] }).collect(),
        connections: (0..senders).map(|author| vec![author]).collect(),
        online,
    };
    let run = run::run(server, scenario, &options.load, pace, output).await?;
    let title = format!(
        "group: {members} members, {online} online, {senders} senders, {}",
        results::pace_text(pace)
    );
    Ok(results::print(&title, &run, origins, output))
}
