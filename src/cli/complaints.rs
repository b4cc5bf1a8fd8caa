//! Complaints are listed, shown and closed: `complaints list | show | close`.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    Output,
    operator::{self, Acting, Paging},
    text,
};
use crate::{
    clock,
    commands::complaint::{Complaint, ComplaintCommand, Filed},
    config::Config,
    events::ComplaintId,
    executor::{Executor, Wait, authority::Authority},
    projections::complaints::{self, Detail},
};

/// The status of what an operator has dealt with.
const CLOSED: i16 = 1;

#[derive(Subcommand)]
pub(super) enum ComplaintsCommand {
    /// Complaints, the newest first
    List {
        /// Only those that wait for somebody
        #[arg(long)]
        open: bool,
        #[command(flatten)]
        paging: Paging,
    },
    /// A complaint
    Show { id: i64 },
    /// Note that it was dealt with: its author cannot change it any more, and sees status 1
    Close {
        id: i64,
        /// What was done about it
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        note: String,
        #[command(flatten)]
        acting: Acting,
    },
}

pub(super) async fn run(
    command: ComplaintsCommand,
    config: &Config,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let (_, executor) = operator::executor(config).await?;
    match command {
        ComplaintsCommand::List { open, paging } => {
            let found = complaints::listed(&executor.pool, open, paging.part()).await?;
            let columns =
                ["id", "status", "created", "user_id", "target_type", "target_id", "reason"];
            paging.print(output, found.iter().map(row).collect(), &columns);
        }
        ComplaintsCommand::Show { id } => show(&find(&executor, id).await?, output),
        ComplaintsCommand::Close { id, note, acting } => {
            let cause = acting.cause("complaints close")?;
            let found = find(&executor, id).await?;
            let close = ComplaintCommand::Close { status: CLOSED, note, at: clock::now() };
            let authority = Authority::of_operator(&cause);
            let done = executor
                .execute::<Complaint>(found.key, &close, authority, Wait::Everywhere)
                .await?;
            let told = json!({"id": id, "status": CLOSED, "position": done.position});
            output.print(&told, || format!("complaint {id} is closed"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn find(executor: &Executor, id: i64) -> anyhow::Result<Detail> {
    let found = complaints::detail(&executor.pool, ComplaintId(id)).await?;
    found.with_context(|| format!("there is no complaint {id}"))
}

/// With the contract's names where it has them (rest.md §42).
fn row(filed: &Filed) -> Value {
    json!({
        "id": filed.id,
        "status": filed.status,
        "user_id": filed.by,
        "target_type": filed.target.kind.as_str(),
        "target_id": filed.target.id,
        "target_name": filed.target.name,
        "reason": filed.statement.reason,
        "content": filed.statement.content,
        "created": filed.created_at.iso_text(),
        "updated": filed.updated_at.iso_text(),
    })
}

fn show(found: &Detail, output: Output) {
    let mut shown = row(&found.filed);
    shown["images"] = found.filed.statement.images.clone().into();
    shown["complaint_chatinfo"] = found.filed.statement.chat.clone().into();
    shown["note"] = found.note.clone().into();
    shown["withdrawn"] = found.withdrawn.into();
    output.print(&shown, || text::fields(&shown));
}
