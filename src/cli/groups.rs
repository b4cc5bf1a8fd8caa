//! Groups are listed, shown, dissolved and rid of members: `groups list | show | dissolve | remove-member`.

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
    commands::{
        group::{Group, command::GroupAction},
        user::User,
    },
    config::Config,
    events::{Cause, GroupId},
    executor::{
        Executed, Executor,
        authority::Authority,
        groups::{self, Change},
    },
    projections::{
        group_roster::{self, Outline},
        user_directory,
    },
};

/// A group is shown with so many of its members.
const MEMBERS: usize = 1000;

#[derive(Subcommand)]
pub(super) enum GroupsCommand {
    /// Groups, by id
    List {
        /// Only those whose name holds this
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        #[command(flatten)]
        paging: Paging,
    },
    /// A group and who is in it
    Show { id: i64 },
    /// End a group, as its owner could: all its members are told
    Dissolve {
        id: i64,
        #[command(flatten)]
        acting: Acting,
    },
    /// Put somebody out, as the group's owner could
    RemoveMember {
        group: i64,
        /// Id or username
        user: String,
        #[command(flatten)]
        acting: Acting,
    },
}

pub(super) async fn run(
    command: GroupsCommand,
    config: &Config,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let (_, executor) = operator::executor(config).await?;
    match command {
        GroupsCommand::List { search, paging } => {
            let found = group_roster::listed(&executor.pool, search.as_deref(), paging.part());
            let rows = found.await?.iter().map(row).collect();
            paging.print(output, rows, &["id", "name", "owner", "created"]);
        }
        GroupsCommand::Show { id } => show(&executor, GroupId(id), output).await?,
        GroupsCommand::Dissolve { id, acting } => {
            let cause = acting.cause("groups dissolve")?;
            let done = change(&executor, GroupId(id), GroupAction::Dissolve, &cause).await?;
            let told = json!({"id": id, "dissolved": true, "position": done.position});
            output.print(&told, || format!("group {id} is dissolved"));
        }
        GroupsCommand::RemoveMember { group, user, acting } => {
            let cause = acting.cause("groups remove-member")?;
            let user = operator::find(&executor, &user).await?.id;
            let done = change(&executor, GroupId(group), GroupAction::Expel(user), &cause).await?;
            let removed = done.event.is_some();
            let told = json!({
                "id": group, "user": user, "removed": removed, "position": done.position
            });
            let text = if removed { "is not in group" } else { "was not in group" };
            output.print(&told, || format!("user {user} {text} {group}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What the rules need of whoever asks they take from the owner.
async fn change(
    executor: &Executor,
    id: GroupId,
    action: GroupAction,
    cause: &Cause,
) -> anyhow::Result<Executed<Group>> {
    let group = executor.state::<Group>(id).await?.state;
    let group = group.active().with_context(|| format!("there is no group {id}"))?;
    let owner = executor.state::<User>(group.row.owner).await?.state;
    let by = owner.account().with_context(|| format!("the owner of group {id} is unknown"))?;
    let change = Change { by, icon: "", authority: Authority::of_operator(cause) };
    Ok(groups::run(executor, change, id, action).await?)
}

fn row(group: &Outline) -> Value {
    json!({
        "id": group.id,
        "name": group.name,
        "owner": group.owner,
        "created": group.created_at.iso_text(),
    })
}

async fn show(executor: &Executor, id: GroupId, output: Output) -> anyhow::Result<()> {
    let group = executor.state::<Group>(id).await?.state;
    let outline = group_roster::outline(&executor.pool, id).await?;
    let mut shown = row(&outline.with_context(|| format!("there is no group {id}"))?);
    shown["dissolved"] = group.active().is_none().into();
    if let Some(group) = group.active() {
        let members: Vec<_> = group.memberships().take(MEMBERS).collect();
        let ids: Vec<_> = members.iter().map(|member| member.user).collect();
        let users = user_directory::roster_users(&executor.pool, &ids).await?;
        let username =
            |user| users.iter().find(|listed| listed.id == user).map(|listed| &listed.username);
        shown["uuid"] = json!(group.row.uuid);
        shown["remark"] = group.row.remark.clone().into();
        shown["policy"] = group.row.policy.into();
        shown["member_count"] = group.count().into();
        shown["waiting_count"] = (group.memberships().len() - group.count()).into();
        let row = |member: &&crate::commands::group::Member| {
            json!({
                "id": member.user, "username": username(member.user),
                "nickname": member.nickname, "status": member.status(),
            })
        };
        shown["members"] = members.iter().map(row).collect();
    }
    output.print(&shown, || {
        let mut fields = shown.clone();
        let members = fields.as_object_mut().and_then(|fields| fields.remove("members"));
        let members = members.as_ref().and_then(Value::as_array).map(Vec::as_slice);
        let columns = ["id", "username", "nickname", "status"];
        let table = members.map(|members| format!("\n\n{}", text::table(members, &columns)));
        text::fields(&fields) + &table.unwrap_or_default()
    });
    Ok(())
}
