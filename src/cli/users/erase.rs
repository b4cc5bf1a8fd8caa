//! Erasure makes what an account says of its person unreadable wherever it is, and what they wrote (ADR 0038).

use std::{collections::BTreeSet, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tracing::warn;
use uuid::Uuid;

use super::super::{
    Output,
    operator::{self, Acting},
    projections,
};
use crate::{
    adapters::{
        media::{Media, StoredPath},
        nats::{
            credential_store::{DeviceReservation, UsernameReservation},
            event_log::EventLog,
            reader::Unreadable,
        },
    },
    commands::{
        group::{Group, command::GroupAction},
        user::{Account, User, UserCommand},
    },
    config::Config,
    events::{
        Cause, Event, GroupEvent, GroupId, KeyOwner, Position, Recorded, Subject, UploadPlace,
        Uploaded, UserEvent, UserId, Username,
    },
    executor::{
        Wait,
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
    let media = Media::open(config).await?;
    let (mut reports, mut failures) = (Vec::new(), Vec::new());
    for account in &wanted {
        match erase(accounts, &media, account, &cause).await {
            Ok(report) => reports.push(report),
            // Nobody waits for whoever cannot be erased.
            Err(error) => failures.push(format!("user {}: {error:#}", account.id)),
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
    replay(log, &["evt.user.>"], |recorded| match recorded.event {
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

/// All but the read models and the last of the keys, which is read as destroyed from then on. Whatever was done before an
/// interruption is found done.
async fn erase(
    accounts: &Accounts,
    media: &Media,
    account: &Account,
    cause: &Cause,
) -> anyhow::Result<Report> {
    let (executor, user) = (&accounts.executor, account.id);
    let keys = &executor.log.keys;
    let execute = async |command| {
        let authority = Authority::of_operator(cause);
        executor.execute::<User>(user, &command, authority, Wait::Everywhere).await
    };
    // From here on nothing of theirs is added.
    execute(UserCommand::Delete).await?;
    let mut files = 0;
    let (names, uploads) = names_and_uploads(&executor.log, user).await?;
    for name in &names {
        accounts.credentials.erase::<UsernameReservation>(&name.folded(), user).await?;
    }
    if let Some(device) = &account.device {
        accounts.credentials.erase::<DeviceReservation>(&device.fingerprint, user).await?;
    }
    // An upload that was erased before has no path any more.
    let own = uploads.iter().filter_map(|upload| Some((upload.place, stored_at(upload)?)));
    let mut own: Vec<_> = own.collect();
    own.extend(posters_of(&executor.log, &own).await?);
    for (place, path) in &own {
        files += u64::from(media.remove(*place, path).await?);
    }
    let groups = groups_named_by(&executor.log, user).await?;
    for group in groups.iter().copied() {
        seal_name_anew(accounts, group, user, cause).await?;
    }
    let messages = message_history::count_by(&executor.pool, user).await?;
    keys.revoke(KeyOwner::User(user)).await?;
    // Whoever has heard of this has forgotten the key.
    execute(UserCommand::Erase { messages, files }).await?;
    for group in groups.iter().copied() {
        keys.destroy_older(KeyOwner::Group(group)).await?;
    }
    Ok(Report { user, uuid: account.uuid, messages, files, groups: groups.into_iter().collect() })
}

/// What an account was ever called, and the files that it stored.
async fn names_and_uploads(
    log: &EventLog,
    user: UserId,
) -> anyhow::Result<(Vec<Username>, Vec<Uploaded>)> {
    let (mut names, mut uploads) = (Vec::new(), Vec::new());
    let until = log.end().await?.last;
    for recorded in log.events_until(Subject::User(user), until).await? {
        match recorded.event {
            Event::User(
                _,
                UserEvent::Registered { username, .. } | UserEvent::Upgraded { username },
            ) => names.push(username),
            Event::User(_, UserEvent::FileUploaded(uploaded)) => uploads.push(uploaded),
            _ => {}
        }
    }
    Ok((names, uploads))
}

fn stored_at(upload: &Uploaded) -> Option<StoredPath> {
    StoredPath::parse(&upload.path)
}

/// The posters of some files, whoever asked for them. One of another video that got its name in the same millisecond is
/// made again when it is asked for.
async fn posters_of(
    log: &EventLog,
    files: &[(UploadPlace, StoredPath)],
) -> anyhow::Result<Vec<(UploadPlace, StoredPath)>> {
    let videos = files.iter().filter(|(_, path)| path.kind().media_type.starts_with("video/"));
    let videos: BTreeSet<i64> = videos.filter_map(|(_, path)| path.made_at()).collect();
    let mut posters = Vec::new();
    if videos.is_empty() {
        return Ok(posters);
    }
    replay(log, &["evt.user.>"], |recorded| {
        if let Event::User(_, UserEvent::FileUploaded(upload)) = recorded.event
            && let Some(path) = stored_at(&upload)
            && path.poster_of().is_some_and(|video| videos.contains(&video))
        {
            posters.push((upload.place, path));
        }
    })
    .await?;
    Ok(posters)
}

/// Groups that the person gave a name, or whose first one is made of the names of those who were in them.
async fn groups_named_by(log: &EventLog, user: UserId) -> anyhow::Result<BTreeSet<GroupId>> {
    let mut named = BTreeSet::new();
    replay(log, &["evt.group.>"], |recorded| {
        if let Event::Group(group, event) = recorded.event
            && names_after(user, event, recorded.actor).is_some_and(|(_, is_theirs)| is_theirs)
        {
            named.insert(group);
        }
    })
    .await?;
    Ok(named)
}

/// The name that an event gives a group, and whether that is one person's or has theirs in it.
fn names_after(user: UserId, event: GroupEvent, actor: Option<UserId>) -> Option<(String, bool)> {
    match event {
        GroupEvent::Created { name, members, .. } => Some((name, members.contains(&user))),
        GroupEvent::Renamed { name, .. } => Some((name, actor == Some(user))),
        _ => None,
    }
}

/// Gives a group a new key, and under it its name again, or another if that was theirs.
async fn seal_name_anew(
    accounts: &Accounts,
    id: GroupId,
    user: UserId,
    cause: &Cause,
) -> anyhow::Result<()> {
    let executor = &accounts.executor;
    let (mut named, until) = (None, executor.log.end().await?.last);
    for recorded in executor.log.events_until(Subject::Group(id), until).await? {
        if let Event::Group(_, event) = recorded.event {
            named = names_after(user, event, recorded.actor).or(named);
        }
    }
    let (name, is_theirs) = named.unwrap_or_default();
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

/// Shows all events of some subjects that the log holds now.
pub(super) async fn replay(
    log: &EventLog,
    subjects: &[&str],
    mut see: impl FnMut(Recorded<Event>),
) -> anyhow::Result<()> {
    const AT_ONCE: usize = 1000;
    let until = log.end().await?.last;
    let mut reader = log.read_between(subjects, (Position(1), until)).await?;
    while let Some(batch) = reader.next_batch(AT_ONCE).await? {
        for entry in batch {
            match entry {
                Ok(recorded) => see(recorded),
                Err(Unreadable { position, source }) => {
                    warn!(%position, error = %source, "left out an event that cannot be read");
                }
            }
        }
    }
    Ok(())
}
