//! What friends do: ask, answer, part, and set how they regard each other (rest.md §11, §13, §16–§18, §37, §40).

use axum::extract::State;

use super::{
    error::ApiError,
    middleware::auth::AuthenticatedUser,
    params::Params,
    route::{Route, post},
};
use crate::{
    clock,
    commands::{
        friendship::{Friendship, FriendshipCommand, FriendshipRejection},
        user::{Account, User},
    },
    events::{Event, FriendshipEvent, MessageId, NewEdge, Pair, RequestId, UserId},
    executor::{CommandError, Wait},
    protocol::{
        friends::{
            AddFriend, AnswerRequest, ApplyFriend, OfFriend, OfUser, SetVisibility, Unfriended,
        },
        refusals::friends as refused,
        reply::{OK, Plain, Reply},
    },
    state::App,
};

type Done = Result<Plain, ApiError>;

pub(super) fn routes() -> Vec<Route> {
    vec![
        post(11, "/api/chat/applyfriend", apply, "Ask to be friends")
            .about("Push P1 to the other.")
            .for_guests()
            .refuses(&[refused::NOT_ONESELF, refused::NOBODY_TO_BEFRIEND, refused::ALREADY_ASKED]),
        post(13, "/api/chat/handleapply/{id}", answer, "Answer a request")
            .about("On `agree` both are friends: push P2 to both.")
            .refuses(&[refused::NOT_PENDING]),
        post(16, "/api/chat/setblackgoodfriend/{id}", toggle_blacklist, "Toggle the blacklist")
            .refuses(&[refused::NOT_IN_BOOK]),
        post(17, "/api/chat/setstargoodfriend/{id}", toggle_star, "Toggle the star")
            .refuses(&[refused::NOT_IN_BOOK_OR_BLOCKED]),
        post(
            18,
            "/api/chat/setmeOrfriendCanSee/{id}",
            set_visibility,
            "Choose who sees whose posts",
        )
        .refuses(&[refused::NOT_IN_BOOK_OR_BLOCKED]),
        post(37, "/api/chat/deletegoodfriend/{id}", end, "Unfriend")
            .about("Both books and all requests between the two are cleared. Nobody is told.")
            .for_guests()
            .refuses(&[refused::NO_FRIENDSHIP]),
        post(40, "/api/chat/autoAddFriendAndAgree", befriend, "Become friends at once")
            .about("Push P2 to both.")
            .for_guests()
            .refuses(&[
                refused::NOT_ONESELF,
                refused::NOBODY_TO_BEFRIEND,
                refused::MUST_ASK,
                refused::ALREADY_ASKED,
            ]),
    ]
}

/// Ask to be friends (§11)
async fn apply(
    State(app): State<App>,
    caller: AuthenticatedUser,
    Params(ApplyFriend { friend, text }): Params<ApplyFriend>,
) -> Done {
    let target = target(&app, &caller, friend).await?;
    let command = FriendshipCommand::Request {
        asker: caller.account.summary(),
        asked: target.summary(),
        text: text.unwrap_or_default(),
        icon: format!("{}/chat/group.png", app.config.server.asset_base),
        notice: MessageId(clock::random_id()),
    };
    execute(&app, &caller, target.id, command).await
}

/// Become friends at once (§40)
async fn befriend(
    State(app): State<App>,
    caller: AuthenticatedUser,
    Params(AddFriend { friend, text }): Params<AddFriend>,
) -> Done {
    let target = target(&app, &caller, friend).await?;
    if target.invite_confirm != 0 {
        return Err(ApiError::rule(refused::MUST_ASK));
    }
    let me = &caller.account;
    let command = FriendshipCommand::Befriend {
        caller: me.summary(),
        other: target.summary(),
        text: text.unwrap_or_default(),
        edges: edges(me.id, target.id, "", &me.nickname),
        notice: MessageId(clock::random_id()),
    };
    execute(&app, &caller, target.id, command).await
}

/// Who is to be a friend.
async fn target(app: &App, caller: &AuthenticatedUser, id: UserId) -> Result<Account, ApiError> {
    if id == caller.account.id {
        return Err(ApiError::rule(refused::NOT_ONESELF));
    }
    let user = app.executor.state::<User>(id).await?;
    let target = user.state.active().cloned();
    target.ok_or_else(|| ApiError::rule(refused::NOBODY_TO_BEFRIEND))
}

/// Rows for both books, the caller's first (data.md §7).
fn edges(me: UserId, you: UserId, my_remark: &str, your_remark: &str) -> [NewEdge; 2] {
    [
        NewEdge { owner: me, friend: you, remark: my_remark.to_owned() },
        NewEdge { owner: you, friend: me, remark: your_remark.to_owned() },
    ]
}

/// Answer a request (§13)
async fn answer(
    State(app): State<App>,
    caller: AuthenticatedUser,
    Params(AnswerRequest { id, remark, answer }): Params<AnswerRequest>,
) -> Done {
    let remark = remark.unwrap_or_default();
    let unknown = || ApiError::from(FriendshipRejection::NotPending);
    let me = caller.account.id;
    let asker = asker_of(&app, id, me).await?.ok_or_else(unknown)?;
    let user = app.executor.state::<User>(asker).await?;
    let asker = user.state.account().ok_or_else(unknown)?;
    let name = if remark.is_empty() { asker.name() } else { &remark };
    let command = FriendshipCommand::Answer {
        request: id,
        answer,
        caller: caller.account.summary(),
        other: asker.summary_called(name),
        edges: edges(me, asker.id, &remark, &caller.account.nickname),
        notice: MessageId(clock::random_id()),
    };
    execute(&app, &caller, asker.id, command).await
}

/// Who asked `asked` in a request, whatever has become of it since.
async fn asker_of(app: &App, id: RequestId, asked: UserId) -> Result<Option<UserId>, ApiError> {
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
async fn toggle_blacklist(
    State(app): State<App>,
    caller: AuthenticatedUser,
    Params(OfFriend { friend }): Params<OfFriend>,
) -> Done {
    let command = FriendshipCommand::ToggleBlacklist { owner: caller.account.id };
    execute(&app, &caller, friend, command).await
}

/// Unfriend (§37)
async fn end(
    State(app): State<App>,
    caller: AuthenticatedUser,
    Params(OfUser { user: friend }): Params<OfUser>,
) -> Result<Reply<Unfriended>, ApiError> {
    let command = FriendshipCommand::End { by: caller.account.id };
    match run(&app, &caller, friend, command).await {
        Ok(()) => Ok(Reply::of(Unfriended::Done)),
        Err(CommandError::Rejected(FriendshipRejection::NotInBook)) => {
            Err(ApiError::rule(refused::NO_FRIENDSHIP))
        }
        Err(error) => Err(error.into()),
    }
}

/// Toggle the star (§17)
async fn toggle_star(
    State(app): State<App>,
    caller: AuthenticatedUser,
    Params(OfFriend { friend }): Params<OfFriend>,
) -> Done {
    let command = FriendshipCommand::ToggleStar { owner: caller.account.id };
    execute(&app, &caller, friend, command).await
}

/// Choose who sees whose posts (§18)
async fn set_visibility(
    State(app): State<App>,
    caller: AuthenticatedUser,
    Params(SetVisibility { friend, visibility }): Params<SetVisibility>,
) -> Done {
    let command = FriendshipCommand::SetVisibility { owner: caller.account.id, visibility };
    execute(&app, &caller, friend, command).await
}

async fn execute(
    app: &App,
    caller: &AuthenticatedUser,
    other: UserId,
    command: FriendshipCommand,
) -> Done {
    run(app, caller, other, command).await?;
    Ok(OK)
}

async fn run(
    app: &App,
    caller: &AuthenticatedUser,
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
