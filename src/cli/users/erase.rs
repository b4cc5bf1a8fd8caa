//! Erasure makes what an account says of its person unreadable wherever it is, and what they wrote (ADR 0038).

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{
    super::{
        Output,
        operator::{self, Acting},
        projections,
    },
    traces::{self, Traces},
};
use crate::{
    adapters::{
        media::Media,
        nats::{
            credential_store::{DeviceReservation, UsernameReservation},
            event_log::EventLog,
        },
    },
    commands::{
        group::{Group, command::GroupAction},
        user::{Account, User, UserCommand},
    },
    config::Config,
    events::{Cause, Event, GroupId, KeyOwner, Subject, UserEvent, UserId},
    executor::{
        Executor, Wait,
        accounts::Accounts,
        authority::Authority,
        groups::{self, Change},
    },
    projections::{message_history, user_directory},
    protocol::groups::UNNAMED_GROUP,
};

#[derive(Args)]
pub(in crate::cli) struct EraseCommand {
    /// An account, by id or username
    user: Option<String>,
    /// All accounts that their owners deleted, and those whose erasure was interrupted
    #[arg(long, conflicts_with = "user")]
    pending: bool,
    /// The accounts of a list that `users erasures` printed, after a backup was restored
    #[arg(long, value_name = "FILE", conflicts_with_all = ["user", "pending"])]
    list: Option<PathBuf>,
    #[command(flatten)]
    acting: Acting,
}

/// A line of the list of erasures.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::cli) struct Erasure {
    user: UserId,
    /// The account's public identifier.
    uuid: Uuid,
    /// When it was erased.
    at: String,
}

/// What was erased.
#[derive(Debug, Serialize)]
struct Report {
    user: UserId,
    uuid: Uuid,
    /// Messages that are empty now.
    messages: u64,
    files: u64,
    /// Groups whose names went, too.
    groups: Vec<GroupId>,
}

pub(super) async fn run(
    command: EraseCommand,
    accounts: &Accounts,
    config: &Config,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let cause = command.acting.cause("users erase")?;
    let executor = &accounts.executor;
    let mut wanted = Vec::new();
    match (command.user, command.list) {
        (Some(user), _) => wanted.push(operator::find(executor, &user).await?),
        (None, Some(list)) => {
            let text = std::fs::read_to_string(&list);
            let text = text.with_context(|| format!("cannot read {}", list.display()))?;
            for line in text.lines().filter(|line| !line.trim().is_empty()) {
                let erasure: Erasure = serde_json::from_str(line).context("no erasure")?;
                // A backup from before the account was made does not have it, and its number may be somebody else's.
                let account = accounts.account(erasure.user).await?;
                wanted.extend(account.filter(|account| account.uuid == erasure.uuid));
            }
        }
        (None, None) => {
            ensure!(command.pending, "name an account, or give --pending or --list");
            for (user, is_erased) in user_directory::deleted(&executor.pool).await? {
                if !is_erased || executor.log.keys.holds_one(KeyOwner::User(user)).await? {
                    wanted.extend(accounts.account(user).await?);
                }
            }
        }
    }
    let mut seen = BTreeSet::new();
    wanted.retain(|account| seen.insert(account.id));
    let media = Media::open(config).await?;
    // Nobody waits for whoever cannot be erased.
    let (mut traces, mut reports, mut failures) = (BTreeMap::new(), Vec::new(), Vec::new());
    for account in &wanted {
        match close(executor, account.id, &cause).await {
            Ok(left) => _ = traces.insert(account.id, left),
            Err(error) => failures.push(failure(account, &error)),
        }
    }
    traces::find_others(&executor.log, &mut traces).await?;
    for account in &wanted {
        let Some(left) = traces.remove(&account.id) else { continue };
        match erase(accounts, &media, (account, left), &cause).await {
            Ok(report) => reports.push(report),
            Err(error) => failures.push(failure(account, &error)),
        }
    }
    if !reports.is_empty() {
        // From nothing: each generation that is there was built while the keys were.
        projections::rebuild_all(config, output).await?;
    }
    // As long as a key is there the erasure is pending, whatever interrupted it.
    for report in &reports {
        executor.log.keys.destroy_older(KeyOwner::User(report.user)).await?;
    }
    output.print(&json!(reports), || {
        if wanted.is_empty() {
            return "there is nothing to erase".to_owned();
        }
        let lines = reports.iter().map(|report| {
            let Report { user, messages, files, groups, .. } = report;
            let groups = groups.len();
            format!("user {user} is erased: {messages} messages, {files} files, the names of {groups} groups")
        });
        lines.collect::<Vec<_>>().join("\n")
    });
    ensure!(failures.is_empty(), "not erased: {}", failures.join("; "));
    Ok(ExitCode::SUCCESS)
}

/// The accounts that were erased, as lines of JSON to be kept beside backups.
pub(super) async fn list(log: &EventLog, output: Output) -> anyhow::Result<()> {
    let mut erased = Vec::new();
    let mut uuids = std::collections::BTreeMap::new();
    traces::replay(log, &["evt.user.>"], |recorded| match recorded.event {
        Event::User(user, UserEvent::Registered { uuid, .. }) => drop(uuids.insert(user.0, uuid)),
        Event::User(user, UserEvent::Erased { .. }) => erased.push((user, recorded.at)),
        _ => {}
    })
    .await?;
    let lines = erased.into_iter().filter_map(|(user, at)| {
        let erasure = Erasure { user, uuid: *uuids.get(&user.0)?, at: at.iso_text() };
        Some(json!(erasure))
    });
    let lines: Vec<_> = lines.collect();
    output.print(&json!(lines), || {
        lines.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    });
    Ok(())
}

fn failure(account: &Account, error: &anyhow::Error) -> String {
    format!("user {}: {error:#}", account.id)
}

/// Closes an account, so that nothing of theirs is added any more, and finds what is there.
async fn close(executor: &Executor, user: UserId, cause: &Cause) -> anyhow::Result<Traces> {
    execute(executor, user, UserCommand::Delete, cause).await?;
    traces::of(&executor.log, user).await
}

/// Has an account given up, or noted as erased; waits until every gateway has heard of it.
async fn execute(
    executor: &Executor,
    user: UserId,
    command: UserCommand,
    cause: &Cause,
) -> anyhow::Result<()> {
    let authority = Authority::of_operator(cause);
    executor.execute::<User>(user, &command, authority, Wait::Everywhere).await?;
    Ok(())
}

/// All but the read models and the last of the keys, which is read as destroyed from then on. Whatever was done before an
/// interruption is found done.
async fn erase(
    accounts: &Accounts,
    media: &Media,
    (account, Traces { names, files, groups }): (&Account, Traces),
    cause: &Cause,
) -> anyhow::Result<Report> {
    let (executor, user) = (&accounts.executor, account.id);
    let keys = &executor.log.keys;
    for name in &names {
        accounts.credentials.erase::<UsernameReservation>(&name.folded(), user).await?;
    }
    if let Some(device) = &account.device {
        accounts.credentials.erase::<DeviceReservation>(&device.fingerprint, user).await?;
    }
    let mut removed = 0;
    for (place, path) in &files {
        removed += u64::from(media.remove(*place, path).await?);
    }
    for group in groups.iter().copied() {
        seal_name_anew(accounts, group, user, cause).await?;
    }
    let messages = message_history::count_by(&executor.pool, user).await?;
    keys.revoke(KeyOwner::User(user)).await?;
    // Whoever has heard of this has forgotten the key.
    execute(executor, user, UserCommand::Erase { messages, files: removed }, cause).await?;
    for group in groups.iter().copied() {
        keys.destroy_older(KeyOwner::Group(group)).await?;
    }
    let groups = groups.into_iter().collect();
    Ok(Report { user, uuid: account.uuid, messages, files: removed, groups })
}

/// Gives a group a new key, and under it its name again, or another if that was theirs.
async fn seal_name_anew(
    accounts: &Accounts,
    id: GroupId,
    user: UserId,
    cause: &Cause,
) -> anyhow::Result<()> {
    let executor = &accounts.executor;
    let (mut named, until) = (None::<(String, Vec<UserId>)>, executor.log.end().await?.last);
    for recorded in executor.log.events_until(Subject::Group(id), until).await? {
        if let Event::Group(_, event) = recorded.event
            && let Some((name, whose)) = traces::named(event, recorded.actor)
        {
            // What an erasure sealed anew, which is nobody's act, is still whose it was.
            let before = named.map(|(_, whose)| whose).unwrap_or_default();
            named = Some((name, if whose.is_empty() { before } else { whose }));
        }
    }
    let (name, whose) = named.unwrap_or_default();
    let is_theirs = whose.contains(&user);
    let name = if is_theirs { UNNAMED_GROUP.to_owned() } else { name };
    let group = executor.state::<Group>(id).await?.state;
    let owner = group.active().map(|group| group.row.owner);
    let owner = match owner {
        Some(owner) => accounts.account(owner).await?,
        None => None,
    };
    let rename = async || {
        let Some(owner) = &owner else { return Ok(()) };
        let change = Change { by: owner, icon: "", authority: Authority::of_operator(cause) };
        groups::run(executor, change, id, GroupAction::Rename(name.clone())).await.map(drop)
    };
    if is_theirs {
        // A message has the name that its gateway knows: that must not be theirs under a key that stays.
        rename().await?;
    }
    executor.log.keys.rotate(KeyOwner::Group(id)).await?;
    Ok(rename().await?)
}
