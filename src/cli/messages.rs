//! Messages are shown, and revoked in their author's name: `messages show | revoke`.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Output,
    operator::{self, Acting},
    text,
};
use crate::{
    config::Config,
    events::{ChatEvent, ChatKind, Event, GroupChatEvent, MessageId, Recorded, Sent},
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
    }
    Ok(ExitCode::SUCCESS)
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
