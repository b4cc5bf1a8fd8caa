//! What friends do: ask, answer, part, and set how they regard each other (rest.md §11, §13, §16–§18, §37, §40).

use axum::extract::State;

use super::{
    caller::Caller,
    params::Params,
    refusal::Refusal,
    reply::{OK, Reply},
};
use crate::{
    clock,
    commands::{
        friendship::{Friendship, FriendshipCommand, FriendshipRejection},
        user::{Account, User},
    },
    events::{
        Answer, Event, FriendshipEvent, MessageId, NewEdge, Pair, RequestId, UserId, Visibility,
    },
    executor::{CommandError, Wait},
    state::App,
};

type Done = Result<Reply<&'static str>, Refusal>;

/// Ask to be friends (§11)
pub async fn apply(State(app): State<App>, caller: Caller, params: Params) -> Done {
    let (target, text) = target_and_text(&app, &caller, &params).await?;
    let command = FriendshipCommand::Request {
        asker: caller.account.person(),
        asked: target.person(),
        text,
        icon: format!("{}/chat/group.png", app.config.server.asset_base),
        notice: MessageId(clock::random_id()),
    };
    execute(&app, &caller, target.id, command).await
}

/// Become friends at once (§40)
pub async fn befriend(State(app): State<App>, caller: Caller, params: Params) -> Done {
    let (target, text) = target_and_text(&app, &caller, &params).await?;
    if target.invite_confirm != 0 {
        return Err(Refusal::rule("需要对方审核，不能自动加对方为好友"));
    }
    let me = &caller.account;
    let command = FriendshipCommand::Befriend {
        caller: me.person(),
        other: target.person(),
        text,
        edges: edges(me.id, target.id, "", &me.nickname),
        notice: MessageId(clock::random_id()),
    };
    execute(&app, &caller, target.id, command).await
}

async fn target_and_text(
    app: &App,
    caller: &Caller,
    params: &Params,
) -> Result<(Account, String), Refusal> {
    let id = UserId(params.id("friend_id", "我申请添加的好友id")?);
    let text = params.text_or_none("nickname", 1, 50).unwrap_or_default(); // no name: it may have lines
    if id == caller.account.id {
        return Err(Refusal::rule("不能添加自己为好友"));
    }
    let user = app.executor.state::<User>(id).await?;
    let target = user.state.active().cloned();
    Ok((target.ok_or_else(|| Refusal::rule("添加的好友不存在"))?, text))
}

/// Rows for both books, the caller's first (data.md §7).
fn edges(me: UserId, you: UserId, my_remark: &str, your_remark: &str) -> [NewEdge; 2] {
    [
        NewEdge { owner: me, friend: you, remark: my_remark.to_owned() },
        NewEdge { owner: you, friend: me, remark: your_remark.to_owned() },
    ]
}

/// Answer a request (§13)
pub async fn answer(State(app): State<App>, caller: Caller, params: Params) -> Done {
    let id = RequestId(params.id("id", "申请表的id")?);
    let remark = params.name_or_none("nickname", 50).unwrap_or_default();
    let status = params.one_of("status", "处理状态", &["pending", "refuse", "agree", "ignore"])?;
    let answer = match status {
        "agree" => Some(Answer::Agree),
        "refuse" => Some(Answer::Refuse),
        "ignore" => Some(Answer::Ignore),
        _ => None,
    };
    let unknown = || Refusal::from(FriendshipRejection::NotPending);
    let me = caller.account.id;
    let asker = asker_of(&app, id, me).await?.ok_or_else(unknown)?;
    let user = app.executor.state::<User>(asker).await?;
    let asker = user.state.account().ok_or_else(unknown)?;
    let name = if remark.is_empty() { asker.name() } else { &remark };
    let command = FriendshipCommand::Answer {
        request: id,
        answer,
        caller: caller.account.person(),
        other: asker.person_called(name),
        edges: edges(me, asker.id, &remark, &caller.account.nickname),
        notice: MessageId(clock::random_id()),
    };
    execute(&app, &caller, asker.id, command).await
}

/// Who asked `asked` in a request, whatever has become of it since.
async fn asker_of(app: &App, id: RequestId, asked: UserId) -> Result<Option<UserId>, Refusal> {
    let made = app.executor.log.made(id.0).await?;
    Ok(made.and_then(|recorded| match recorded.event {
        Event::Friendship(_, FriendshipEvent::Requested { asker, asked: other, .. })
            if other.id == asked =>
        {
            Some(asker.id)
        }
        _ => None,
    }))
}

/// Toggle the blacklist (§16)
pub async fn toggle_blacklist(State(app): State<App>, caller: Caller, params: Params) -> Done {
    let friend = UserId(params.id("id", "好友id")?);
    let command = FriendshipCommand::ToggleBlacklist { owner: caller.account.id };
    execute(&app, &caller, friend, command).await
}

/// Unfriend (§37)
pub async fn end(State(app): State<App>, caller: Caller, params: Params) -> Done {
    let friend = UserId(params.id("id", "朋友id")?);
    let command = FriendshipCommand::End { by: caller.account.id };
    match run(&app, &caller, friend, command).await {
        Ok(()) => Ok(Reply("删除好友成功")),
        Err(CommandError::Rejected(FriendshipRejection::NotInBook)) => {
            Err(Refusal::rule("不是好友关系，无权操作"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Toggle the star (§17)
pub async fn toggle_star(State(app): State<App>, caller: Caller, params: Params) -> Done {
    let friend = UserId(params.id("id", "好友id")?);
    let command = FriendshipCommand::ToggleStar { owner: caller.account.id };
    execute(&app, &caller, friend, command).await
}

/// Choose who sees whose posts (§18)
pub async fn set_visibility(State(app): State<App>, caller: Caller, params: Params) -> Done {
    let friend = UserId(params.id("id", "朋友id")?);
    let visibility = Visibility {
        friend_sees_mine: params.flag("friendlookme", "朋友是否可以看我的动态")?,
        i_see_theirs: params
            .flag("melookfriend", "我的朋友圈是否出现朋友的信息（我是否看朋友的动态）")?,
    };
    let command = FriendshipCommand::SetVisibility { owner: caller.account.id, visibility };
    execute(&app, &caller, friend, command).await
}

async fn execute(app: &App, caller: &Caller, other: UserId, command: FriendshipCommand) -> Done {
    run(app, caller, other, command).await?;
    Ok(OK)
}

async fn run(
    app: &App,
    caller: &Caller,
    other: UserId,
    command: FriendshipCommand,
) -> Result<(), CommandError<FriendshipRejection>> {
    let me = caller.account.id;
    let pair = Pair::of(me, other);
    app.executor
        .execute::<Friendship>(pair, &command, caller.authority(), Wait::Everywhere)
        .await?;
    Ok(())
}
