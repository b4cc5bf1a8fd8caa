//! Messages are shown, revoked in their author's name, and emptied when they are old: `messages show | revoke | expire`.

use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use clap::Subcommand;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Output,
    operator::{self, Acting},
    projections, text,
};
use crate::{
    adapters::nats::{
        event_log::EventLog,
        new_event::{Expect, NewEvent},
    },
    clock,
    config::Config,
    events::{
        Cause, ChatEvent, ChatKind, Event, GroupChatEvent, MessageId, OperationsEvent, Recorded,
        Sent,
    },
    executor::{Executor, authority::Authority, messages},
    projections::message_history,
};

#[derive(Subcommand)]
pub(super) enum MessagesCommand {
    /// A message; of one that was taken back without what it said
    Show { id: Uuid },
    /// Take a message back in its author's name, however old it is: its recipients are told
    Revoke {
        id: Uuid,
        #[command(flatten)]
        acting: Acting,
    },
    /// Empty all messages that are older than `retention.messages_days`, for good and everywhere
    Expire {
        #[command(flatten)]
        acting: Acting,
    },
}

pub(super) async fn run(
    command: MessagesCommand,
    config: &Config,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let (_, executor) = operator::executor(config).await?;
    match command {
        MessagesCommand::Show { id } => {
            let (sent, revoked) = find(&executor, MessageId(id)).await?;
            let shown = describe(&sent, revoked)?;
            output.print(&shown, || text::fields(&shown));
        }
        MessagesCommand::Revoke { id, acting } => {
            let cause = acting.cause("messages revoke")?;
            let (sent, was_revoked) = find(&executor, MessageId(id)).await?;
            let authority = Authority::of_operator(&cause);
            messages::revoke_for_operator(&executor, &sent.event, authority).await?;
            let text = if was_revoked { "was revoked already" } else { "is revoked" };
            output.print(&json!({"id": id, "revoked": true}), || format!("message {id} {text}"));
        }
        MessagesCommand::Expire { acting } => {
            let cause = acting.cause("messages expire")?;
            Box::pin(expire(&executor.log, &cause, config, output)).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Destroys the keys of what was said on days that are too long ago (ADR 0038), and builds the read models anew.
async fn expire(
    log: &EventLog,
    cause: &Cause,
    config: &Config,
    output: Output,
) -> anyhow::Result<()> {
    let kept = config.retention.messages_days;
    ensure!(kept > 0, "messages are kept for ever: retention.messages_days is 0");
    let before = clock::now().day() - i64::from(kept);
    let days = log.keys.days_before(before).await?;
    for day in days.iter().copied() {
        log.keys.revoke(day).await?;
    }
    if !days.is_empty() {
        let event = Event::Operations(OperationsEvent::MessagesExpired { before });
        log.append(&mut NewEvent::new(event, None, cause), Expect::Anything).await?;
        projections::rebuild_all(config, output).await?;
        for day in days.iter().copied() {
            log.keys.destroy_older(day).await?;
        }
    }
    let told = json!({"days": days.len(), "before": before});
    output.print(&told, || format!("the messages of {} days are empty now", days.len()));
    Ok(())
}

/// The event that sent a message, and whether that was taken back.
async fn find(executor: &Executor, id: MessageId) -> anyhow::Result<(Recorded<Event>, bool)> {
    let mut found = message_history::place(&executor.pool, id).await?;
    if found.is_none() {
        // It may have been sent a moment ago.
        let end = executor.log.end().await?.last;
        executor.catch_up_to(end, "message_history").await;
        found = message_history::place(&executor.pool, id).await?;
    }
    let (position, revoked) = found.with_context(|| format!("there is no message {id}"))?;
    let sent = executor.log.at(position).await?;
    Ok((sent.with_context(|| format!("the log has nothing at {position}"))?, revoked))
}

fn describe(sent: &Recorded<Event>, revoked: bool) -> anyhow::Result<Value> {
    let (kind, mut shown) = match &sent.event {
        Event::Chat(_, ChatEvent::Sent(sent)) => (ChatKind::Single, fields(sent)),
        Event::GroupChat(_, GroupChatEvent::Sent(sent)) => (ChatKind::Group, fields(sent)),
        _ => bail!("the event at {} is no message", sent.position),
    };
    shown["chat_type"] = kind.as_str().into();
    shown["position"] = json!(sent.position);
    shown["revoked"] = revoked.into();
    if revoked {
        shown["data"] = Value::Null;
        shown["options"] = Value::Null;
    }
    Ok(shown)
}

fn fields<To: Serialize>(sent: &Sent<To>) -> Value {
    json!({
        "id": sent.id,
        "sent": sent.sent_at.iso_text(),
        "from": sent.from,
        "to": sent.to,
        "type": sent.kind,
        "data": sent.data,
        "options": sent.options,
    })
}
