//! Traces of accounts that are to be erased: what the log says of their names, files and groups, in one reading for all.

use std::collections::{BTreeMap, BTreeSet};

use tracing::warn;

use crate::{
    adapters::{
        media::StoredPath,
        nats::{event_log::EventLog, reader::Unreadable},
    },
    events::{
        Event, GroupEvent, GroupId, Position, Recorded, Subject, UploadPlace, Uploaded, UserEvent,
        UserId, Username,
    },
};

/// What there is of an account beside its events.
#[derive(Default)]
pub(super) struct Traces {
    /// What it was ever called.
    pub names: Vec<Username>,
    /// What it stored, and the posters of its videos, whoever asked for them.
    pub files: Vec<(UploadPlace, StoredPath)>,
    /// Groups that the person gave a name, or whose first one is made of the names of those who were in them.
    pub groups: BTreeSet<GroupId>,
}

/// What the log says of an account itself.
pub(super) async fn of(log: &EventLog, user: UserId) -> anyhow::Result<Traces> {
    let mut traces = Traces::default();
    let until = log.end().await?.last;
    for recorded in log.events_until(Subject::User(user), until).await? {
        match recorded.event {
            Event::User(
                _,
                UserEvent::Registered { username, .. } | UserEvent::Upgraded { username },
            ) => traces.names.push(username),
            Event::User(_, UserEvent::FileUploaded(upload)) => {
                traces.files.extend(stored_at(&upload).map(|path| (upload.place, path)));
            }
            _ => {}
        }
    }
    Ok(traces)
}

/// Adds what others' events say of some accounts, which add nothing any more: groups, and posters of their videos.
pub(super) async fn find_others(
    log: &EventLog,
    traces: &mut BTreeMap<UserId, Traces>,
) -> anyhow::Result<()> {
    if traces.is_empty() {
        return Ok(());
    }
    let mut videos = BTreeMap::new();
    for (user, traces) in &*traces {
        let paths = traces.files.iter().map(|(_, path)| path);
        let of_videos = paths.filter(|path| path.kind().media_type.starts_with("video/"));
        videos.extend(of_videos.filter_map(|path| Some((path.made_at()?, *user))));
    }
    replay(log, &["evt.group.>"], |recorded| {
        if let Event::Group(group, event) = recorded.event
            && let Some((_, whose)) = named(event, recorded.actor)
        {
            for user in whose {
                if let Some(traces) = traces.get_mut(&user) {
                    traces.groups.insert(group);
                }
            }
        }
    })
    .await?;
    if videos.is_empty() {
        return Ok(());
    }
    // A poster of another video that got its name in the same millisecond is made again when it is asked for.
    replay(log, &["evt.user.>"], |recorded| {
        if let Event::User(_, UserEvent::FileUploaded(upload)) = recorded.event
            && let Some(path) = stored_at(&upload)
            && let Some(owner) = path.poster_of().and_then(|video| videos.get(&video))
            && let Some(traces) = traces.get_mut(owner)
        {
            traces.files.push((upload.place, path));
        }
    })
    .await
}

/// The name that an event gives a group, and who gave it, or has theirs in it.
pub(super) fn named(event: GroupEvent, actor: Option<UserId>) -> Option<(String, Vec<UserId>)> {
    match event {
        GroupEvent::Created { name, members, .. } => Some((name, members)),
        GroupEvent::Renamed { name, .. } => Some((name, actor.into_iter().collect())),
        _ => None,
    }
}

/// An upload that was erased before has no path any more.
fn stored_at(upload: &Uploaded) -> Option<StoredPath> {
    StoredPath::parse(&upload.path)
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
