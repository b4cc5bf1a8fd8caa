//! Groups: making, listing and ruling them (rest.md §20, §22, §24, §25, §27).

use axum::extract::State;
use serde_json::{Value, json};

use super::{
    caller::Caller,
    params::Params,
    refusal::Refusal,
    reply::{OK, Reply},
};
use crate::{
    commands::{
        group::{
            GroupRow,
            command::{GroupAction, GroupRejection},
        },
        user::User,
    },
    events::GroupId,
    executor::groups::{self, Change},
    projections::{address_book, group_roster},
    state::App,
};

type Done = Result<Reply<&'static str>, Refusal>;

/// Create a group (§20)
pub async fn create(State(app): State<App>, caller: Caller, params: Params) -> Done {
    let rows = params.ids("userIds", "userIds")?;
    let executor = &app.executor;
    let friends = address_book::friends_in(&executor.pool, caller.account.id, &rows).await?;
    if friends.is_empty() {
        return Err(Refusal::rule("请选择加入群聊的用户"));
    }
    let mut normal = Vec::new();
    for friend in friends {
        if executor.state::<User>(friend).await?.state.active().is_some() {
            normal.push(friend);
        }
    }
    if normal.is_empty() {
        return Err(Refusal::rule("用户不存在，无法加入群聊"));
    }
    if normal.len() >= app.config.limits.group_members {
        return Err(GroupRejection::Full.into());
    }
    groups::create(executor, change(&caller, &icon(&app)), &normal).await?;
    Ok(OK)
}

/// Groups I am in (§22)
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    params: Params,
) -> Result<Reply<Vec<Value>>, Refusal> {
    let page = params.page(30)?;
    let me = caller.account.id;
    let listed = group_roster::groups_of(&app.executor.pool, me, page).await?;
    let shown = listed.into_iter().map(|listed| {
        let mine = json!([{
            "group_id": listed.group.id,
            "user_id": me,
            "nickname": listed.nickname,
            "avatar": "",
        }]);
        shown(&listed.group, &mine)
    });
    Ok(Reply(shown.collect()))
}

/// The columns of data.md §2.5, and some of its memberships.
pub(super) fn shown(group: &GroupRow, group_users: &Value) -> Value {
    json!({
        "create_time": group.created_at.row_text(),
        "id": group.id,
        "uuid": group.uuid,
        "user_id": group.owner,
        "name": group.name,
        "avatar": group.avatar,
        "remark": group.remark,
        "invite_confirm": group.policy,
        "status": 1,
        "order": 50,
        "group_users": group_users,
    })
}

/// Rename (§24)
pub async fn rename(State(app): State<App>, caller: Caller, params: Params) -> Done {
    let id = GroupId(params.id("id", "群id")?);
    let name = params.new_name("name", "群名称", 20, "群名称")?;
    run(&app, &caller, id, GroupAction::Rename(name)).await?;
    Ok(OK)
}

/// Announce (§25)
pub async fn announce(State(app): State<App>, caller: Caller, params: Params) -> Done {
    let id = GroupId(params.id("id", "群id")?);
    let remark = params.text_in("remark", "群公告", 1, Some(500))?;
    run(&app, &caller, id, GroupAction::Announce(remark)).await?;
    Ok(OK)
}

/// Set how people get in (§27)
pub async fn set_policy(State(app): State<App>, caller: Caller, params: Params) -> Done {
    let id = GroupId(params.id("group_id", "群id")?);
    let policy = params.int_up_to("addGroupSet", "进群设置属性值", 10)?;
    let policy = i16::try_from(policy).unwrap_or_default();
    run(&app, &caller, id, GroupAction::SetPolicy(policy)).await?;
    Ok(Reply("设置成功"))
}

/// Does something to a group on the caller's behalf.
pub(super) async fn run(
    app: &App,
    caller: &Caller,
    group: GroupId,
    action: GroupAction,
) -> Result<(), Refusal> {
    groups::run(&app.executor, change(caller, &icon(app)), group, action).await?;
    Ok(())
}

pub(super) fn change<'a>(caller: &'a Caller, icon: &'a str) -> Change<'a> {
    Change { by: &caller.account, icon, authority: caller.authority() }
}

/// The picture beside notices about who comes in (data.md §1).
pub(super) fn icon(app: &App) -> String {
    format!("{}/chat/group.png", app.config.server.asset_base)
}
