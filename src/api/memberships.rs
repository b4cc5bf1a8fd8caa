//! Coming into a group and going out of it (rest.md §26, §28–§31).

use axum::extract::State;

use super::{
    caller::Caller,
    groups::{change, icon, run},
    params::Params,
    refusal::Refusal,
    reply::{OK, Reply},
};
use crate::{
    commands::group::command::GroupAction,
    events::{GroupId, UserId},
    executor::groups,
    state::App,
};

type Done = Result<Reply<&'static str>, Refusal>;

/// Remove a member (§26)
pub async fn remove(State(app): State<App>, caller: Caller, params: Params) -> Done {
    let group = GroupId(params.id("group_id", "群id")?);
    let user = UserId(params.id("user_id", "群成员id")?);
    run(&app, &caller, group, GroupAction::Remove(user)).await?;
    Ok(Reply("删除群成员成功"))
}

/// Decide on an application (§28)
pub async fn decide(State(app): State<App>, caller: Caller, params: Params) -> Done {
    let group = GroupId(params.id("group_id", "群id")?);
    let user = UserId(params.id("user_id", "进群的用户id")?);
    let action = match params.one_of("type", "同意或者拒绝", &["agree", "no"])? {
        "agree" => GroupAction::Approve(user),
        _ => GroupAction::Refuse(user),
    };
    run(&app, &caller, group, action).await?;
    Ok(Reply("处理成功"))
}

/// Invite somebody, or join (§29)
pub async fn join(State(app): State<App>, caller: Caller, params: Params) -> Done {
    let group = GroupId(params.id("group_id", "群id")?);
    let user = UserId(params.id("user_id", "用户id")?);
    let inviter = params.int_or("inviteuser_id", 0);
    let inviter = (inviter > 0).then_some(UserId(inviter));
    let text = params.text_or_none("addGroupDesc", 1, 500).unwrap_or_default();
    let most = app.config.limits.group_members;
    let icon = icon(&app);
    let change = change(&caller, &icon);
    let is_in = groups::join(&app.executor, change, group, (user, inviter), &text, most).await?;
    Ok(Reply(if is_in { "加群成功" } else { "等待群主同意" }))
}

/// My name in a group (§30)
pub async fn set_nickname(State(app): State<App>, caller: Caller, params: Params) -> Done {
    let group = GroupId(params.id("id", "群id")?);
    let nickname = params.new_name("nickname", "群昵称", 20, "昵称")?;
    run(&app, &caller, group, GroupAction::SetNickname(nickname)).await?;
    Ok(OK)
}

/// Dissolve or leave (§31)
pub async fn leave(State(app): State<App>, caller: Caller, params: Params) -> Done {
    let group = GroupId(params.id("id", "群id")?);
    run(&app, &caller, group, GroupAction::Leave).await?;
    Ok(OK)
}
