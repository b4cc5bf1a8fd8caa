//! Search, profiles and settings (rest.md §7, §8, §10, §38, §39).

use axum::extract::State;
use serde_json::{Value, json};
use tracing::warn;
use uuid::Uuid;

use super::{
    caller::Caller,
    names,
    params::Params,
    refusal::Refusal,
    reply::{OK, Reply},
};
use crate::{
    commands::{
        friendship::Friendship,
        user::{User, UserCommand},
    },
    events::{Pair, Role, Timestamp, UserId},
    executor::Wait,
    projections::user_directory::{self, Found, Profile},
    state::App,
};

/// A profile (§8)
pub async fn profile(State(app): State<App>, params: Params) -> Result<Reply<Value>, Refusal> {
    let uuid = params.text_in("uuid", "uuid值", 36, Some(36))?;
    let Ok(uuid) = uuid.parse::<Uuid>() else { return Ok(Reply(Value::Null)) };
    let Some(profile) = user_directory::profile(&app.executor.pool, uuid).await? else {
        return Ok(Reply(Value::Null));
    };
    let user = app.executor.state::<User>(profile.user).await?;
    let Some(account) = user.state.active() else { return Ok(Reply(Value::Null)) };
    Ok(Reply(json!({
        "id": account.id,
        "uuid": account.uuid,
        "username": account.username,
        "nickname": account.nickname,
        "avatar": account.avatar,
        "role": account.role,
        "userset": account.userset,
        "userinfo": info(&profile),
    })))
}

/// What a profile shows beyond the account; it has the number of its account (data.md §2.2).
pub(super) fn info(profile: &Profile) -> Value {
    json!({
        "id": profile.user,
        "gender": profile.gender,
        "birthday": profile.birthday.map(Timestamp::iso_text),
        "bio": profile.bio,
        "location": profile.location,
        "website": profile.website,
    })
}

/// Find users by a part of their username (§7)
pub async fn search(
    State(app): State<App>,
    caller: Caller,
    params: Params,
) -> Result<Reply<Value>, Refusal> {
    let keyword = params.text_in("keyword", "搜索关键词", 1, Some(50))?;
    let found = user_directory::search(&app.executor.pool, &keyword, caller.account.id).await?;
    let show = |user: Found| {
        json!({
            "id": user.id,
            "username": user.username,
            "avatar": user.avatar,
            "role": Role::User,
            "uuid": user.uuid,
            "nickname": user.nickname,
        })
    };
    Ok(Reply(found.into_iter().map(show).collect()))
}

/// What the original's column holds (clarification 29).
pub const USERSET_BYTES: u64 = 65_535;

/// Save my settings (§10)
pub async fn set_userset(
    State(app): State<App>,
    caller: Caller,
    params: Params,
) -> Result<Reply<&'static str>, Refusal> {
    let userset = params.text_of_bytes("userset", "用户设置", 2, USERSET_BYTES)?;
    if !serde_json::from_str::<Value>(&userset).is_ok_and(|value| value.is_object()) {
        return Err(Refusal::rule("用户设置格式错误"));
    }
    change(&app, &caller, UserCommand::SetUserset(userset)).await?;
    Ok(OK)
}

/// Change one of my fields (§38)
pub async fn update(
    State(app): State<App>,
    caller: Caller,
    params: Params,
) -> Result<Reply<&'static str>, Refusal> {
    let field = params.text_in("fieldname", "修改类型", 1, Some(30))?;
    if field == "nickname" && !names::is_name(&params.text("fieldValue", "修改结果")?) {
        return Err(names::invalid("昵称"));
    }
    let value = params.text_in("fieldValue", "修改结果", 1, None)?;
    let length = value.chars().count();
    let (command, answer) = match field.as_str() {
        "username" => return Err(Refusal::rule("账号不可修改")),
        "nickname" if length > 30 => return Err(Refusal::rule("昵称长度不能超过30个字符")),
        "nickname" => (UserCommand::SetNickname(value), "修改昵称成功"),
        "avatar" if length > 1000 => {
            return Err(Refusal::rule("头像地址过长不能超过1000个字符"));
        }
        "avatar" => (UserCommand::SetAvatar(value), "头像更新成功"),
        "invite_confirm" => match value.trim() {
            "0" => (UserCommand::SetInviteConfirm(0), "设置成功"),
            "1" => (UserCommand::SetInviteConfirm(1), "设置成功"),
            _ => return Err(Refusal::rule("添加我为好友设置值错误")),
        },
        _ => return Ok(Reply("")),
    };
    let changed = change(&app, &caller, command).await?;
    // Clarification 4: only a real change silences the next alert.
    if changed && let Err(error) = app.rate_limit.mark_modified(caller.account.id).await {
        warn!(%error, user.id = %caller.account.id, "the next alert is not silenced by a changed profile");
    }
    Ok(Reply(answer))
}

async fn change(app: &App, caller: &Caller, command: UserCommand) -> Result<bool, Refusal> {
    let user = caller.account.id;
    let done =
        app.executor.execute::<User>(user, &command, caller.authority(), Wait::Everywhere).await?;
    Ok(done.event.is_some())
}

/// Settings of a user before befriending (§39)
pub async fn settings(
    State(app): State<App>,
    caller: Caller,
    params: Params,
) -> Result<Reply<Value>, Refusal> {
    let id = UserId(params.id("userid", "用户id")?);
    let user = app.executor.state::<User>(id).await?;
    let account = user.state.active().filter(|account| account.role == Role::User);
    let account = account.ok_or_else(|| Refusal::rule("用户不存在或者为游客，无法加为好友"))?;
    let between = app.executor.state::<Friendship>(Pair::of(id, caller.account.id)).await?;
    let edge = between.state.edge_of(id).filter(|_| id != caller.account.id);
    Ok(Reply(json!({
        "id": account.id,
        "userset": account.userset,
        "invite_confirm": account.invite_confirm,
        "uuid": account.uuid,
        "isgoodfriend": edge.is_some(),
        "isgoodfriend_status": !edge.is_some_and(|edge| edge.blocked),
    })))
}
