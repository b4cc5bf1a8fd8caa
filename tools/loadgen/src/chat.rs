//! `loadgen chat`: how long a message takes from one user to the other.

use std::process::ExitCode;

use anyhow::ensure;
use clap::Args;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use testkit::output::Output;

use super::{
    accounts::{self, AccountKind},
    checker::To,
    groups, results,
    run::{self, Load},
    target::Target,
    traffic::{Author, Group, Scenario},
};

/// After so many messages somebody begins again with the first target.
const TURNS: usize = 100;
/// How many groups are made at once.
const AT_ONCE: usize = 8;

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    pub(super) target: Target,
    #[command(flatten)]
    load: Load,
    /// Users, all of whom are online and write in turn
    #[arg(long, value_name = "N", default_value_t = 200)]
    users: usize,
    /// Messages a second, of all together
    #[arg(long, value_name = "N", default_value_t = 1000.0)]
    rate: f64,
    /// With how many others each of them has single chats
    #[arg(long, value_name = "N", default_value_t = 5)]
    contacts: usize,
    /// Groups
    #[arg(long, value_name = "N", default_value_t = 0)]
    groups: usize,
    /// Members of each; users are in several where there are more members than users
    #[arg(long, value_name = "N", default_value_t = 20)]
    group_size: usize,
    /// Which part of the messages of those who are in a group goes to groups
    #[arg(long, value_name = "0…1", default_value_t = 0.2)]
    group_share: f64,
    /// HTTP connections that they share
    #[arg(long, value_name = "N", default_value_t = 64)]
    connections: usize,
    /// Who they are
    #[arg(long, value_enum, default_value = "registered")]
    accounts: AccountKind,
}

pub(super) async fn run(options: &Options, output: Output) -> anyhow::Result<ExitCode> {
    let count = options.users.max(2);
    let server = options.target.find().await?;
    let (users, origins) =
        accounts::ready(&options.target, &server.origins, (count, options.accounts), output)
            .await?;
    let size = options.group_size.clamp(2, count);
    ensure!(
        options.groups == 0 || options.accounts == AccountKind::Registered,
        "guests cannot make groups: leave out --accounts guests"
    );
    let members = |group: usize| (0..size).map(|place| (group * size + place) % count).collect();
    let made = (0..options.groups).map(|group| groups::make(&server, &users, members(group)));
    let groups: Vec<Group> = stream::iter(made).buffered(AT_ONCE).try_collect().await?;
    let author = |user: usize| {
        let own = groups.iter().enumerate().filter(|(_, group)| group.members.contains(&user));
        let own: Vec<To> = own.map(|(index, _)| To::Group(index)).collect();
        let contacts = 1..=options.contacts.clamp(1, count - 1);
        let contacts: Vec<To> = contacts.map(|far| To::User((user + far) % count)).collect();
        let mut to = mixed(&contacts, &own, options.group_share);
        to.rotate_left(user % TURNS); // not everybody to a group at the same time
        Author { user, to }
    };
    let authors = (0..count).map(author).collect();
    let connections = options.connections.clamp(1, count);
    let scenario = Scenario {
        users,
        groups,
        authors,
        connections: (0..connections)
            .map(|connection| (connection..count).step_by(connections).collect())
            .collect(),
        online: count,
    };
    let pace = results::pace(Some(options.rate))?;
    let run = run::run(server, scenario, &options.load, pace, output).await?;
    let title = format!(
        "chat: {count} users online, {} groups of {size}, {} messages a second",
        options.groups, options.rate
    );
    Ok(results::print(&title, &run, origins, output))
}

/// Whom somebody writes to in turn: contacts, and groups in their share, evenly spread.
fn mixed(contacts: &[To], groups: &[To], share: f64) -> Vec<To> {
    let share = if groups.is_empty() { 0.0 } else { share.clamp(0.0, 1.0) };
    let (mut contacts, mut groups) = (contacts.iter().cycle(), groups.iter().cycle());
    let mut owed = 0.0;
    let mut next = || {
        owed += share;
        // Sums of shares such as 0.1 are a little off.
        if owed > 1.0 - 1e-9 {
            owed -= 1.0;
            groups.next().copied()
        } else {
            contacts.next().copied()
        }
    };
    (0..TURNS).filter_map(|_| next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_get_their_share_and_everybody_a_turn() {
        let (contacts, groups) = ([To::User(1), To::User(2)], [To::Group(7), To::Group(8)]);
        let turns = mixed(&contacts, &groups, 0.2);
        assert_eq!(turns.len(), TURNS);
        let of = |to: To| turns.iter().filter(|turn| **turn == to).count();
        assert_eq!(of(To::Group(7)) + of(To::Group(8)), TURNS / 5);
        assert_eq!(of(To::Group(7)), of(To::Group(8)));
        assert_eq!(of(To::User(1)), of(To::User(2)));
        assert!(mixed(&contacts, &[], 0.2).iter().all(|to| matches!(to, To::User(_))));
        assert!(mixed(&contacts, &groups, 1.0).iter().all(|to| matches!(to, To::Group(_))));
    }
}
