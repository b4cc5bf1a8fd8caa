//! A person's data: what an account says of them, what they said and did, and their files, in a folder.

use std::{
    fs::{self, DirBuilder, File},
    io::{BufWriter, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::Path,
};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{
    super::{Output, operator},
    traces::replay,
};
use crate::{
    adapters::media::{Media, StoredPath},
    commands::user::Account,
    config::Config,
    events::{
        Cause, ChatEvent, ChatKey, Event, GroupChatEvent, Position, Recorded, Uploaded, UserEvent,
        UserId,
    },
    executor::Executor,
};

/// A file of lines of JSON.
struct Lines(BufWriter<File>, u64);

impl Lines {
    fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create_new(path);
        Ok(Self(
            BufWriter::new(file.with_context(|| format!("cannot write {}", path.display()))?),
            0,
        ))
    }

    fn add(&mut self, line: &Value) -> anyhow::Result<()> {
        writeln!(self.0, "{line}")?;
        self.1 += 1;
        Ok(())
    }
}

pub(super) async fn run(
    executor: &Executor,
    account: &Account,
    folder: &Path,
    (config, cause): (&Config, &Cause),
    output: Output,
) -> anyhow::Result<()> {
    let all = (Position(1), executor.log.end().await?.last);
    operator::note_reading(&executor.log, format!("user {}", account.id), all, cause).await?;
    let made = DirBuilder::new().mode(0o700).create(folder);
    made.with_context(|| format!("cannot make the folder {}", folder.display()))?;
    fs::write(folder.join("account.json"), format!("{:#}\n", json!(account)))?;
    let mut messages = Lines::create(&folder.join("messages.ndjson"))?;
    let mut events = Lines::create(&folder.join("events.ndjson"))?;
    let (mut uploads, mut done) = (Vec::new(), Ok(()));
    replay(&executor.log, &["evt.>"], |recorded| {
        if done.is_ok() && concerns(&recorded, account.id) {
            uploads.extend(upload(&recorded));
            let is_message = message(&recorded).is_some_and(|author| author == account.id);
            done = if is_message { &mut messages } else { &mut events }.add(&line(&recorded));
        }
    })
    .await?;
    done?;
    let (messages, events) = (finished(messages)?, finished(events)?);
    let files = copy_files(&Media::open(config).await?, &uploads, &folder.join("files")).await?;
    let told = json!({
        "id": account.id, "folder": folder, "messages": messages, "events": events, "files": files,
    });
    output.print(&told, || {
        let folder = folder.display();
        format!("{folder} has account.json, {messages} messages, {events} other events and {files} files")
    });
    Ok(())
}

/// Did they do it, or is it about their account, their sessions or their friends?
fn concerns(recorded: &Recorded<Event>, user: UserId) -> bool {
    let is_theirs = match &recorded.event {
        Event::User(id, _) | Event::Session(id, _) | Event::QuickReplies(id, _) => *id == user,
        Event::Friendship(pair, _) => [pair.lo(), pair.hi()].contains(&user),
        Event::Chat(ChatKey { sender, .. }, _) => *sender == user,
        _ => false,
    };
    is_theirs || recorded.actor == Some(user)
}

/// Who wrote it, if it is a message.
fn message(recorded: &Recorded<Event>) -> Option<UserId> {
    match &recorded.event {
        Event::Chat(_, ChatEvent::Sent(sent)) => Some(sent.from.id),
        Event::GroupChat(_, GroupChatEvent::Sent(sent)) => Some(sent.from.id),
        _ => None,
    }
}

fn upload(recorded: &Recorded<Event>) -> Option<Uploaded> {
    match &recorded.event {
        Event::User(_, UserEvent::FileUploaded(uploaded)) => Some(uploaded.clone()),
        _ => None,
    }
}

fn line(recorded: &Recorded<Event>) -> Value {
    let body: Value = serde_json::from_slice(&recorded.event.encode()).unwrap_or_default();
    json!({
        "position": recorded.position, "time": recorded.at.iso_text(),
        "type": body["type"], "data": body["data"],
    })
}

fn finished(Lines(mut file, lines): Lines) -> anyhow::Result<u64> {
    file.flush()?;
    Ok(lines)
}

/// Those that are still there, under the paths that they have.
async fn copy_files(media: &Media, uploads: &[Uploaded], to: &Path) -> anyhow::Result<u64> {
    let mut copied = 0;
    for upload in uploads {
        let Some(path) = StoredPath::parse(&upload.path) else { continue };
        let target = to.join(path.as_str());
        fs::create_dir_all(target.parent().unwrap_or(to))?;
        copied += u64::from(media.copy(upload.place, &path, &target).await?);
    }
    Ok(copied)
}
