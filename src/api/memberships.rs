//! Coming into a group and going out of it (rest.md §26, §28–§31).

use axum::extract::State;

use super::{
    error::ApiError,
    groups::{change, icon, run},
    middleware::auth::AuthenticatedUser,
    params::Params,
    route::{Route, post},
};
use crate::{
    commands::group::command::GroupAction,
    executor::groups,
    protocol::{
        groups::{
            ApplicationDecided, Decide, JoinGroup, Joined, LeaveGroup, MemberRemoved, RemoveMember,
            SetGroupNickname,
        },
        refusals::groups as refused,
        reply::{OK, Plain, Reply},
    },
    state::App,
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        post(26, "/api/chat/groupDeleteUser", remove, "Remove a member")
            .about("The owner's. Nobody is told.")
            .refuses(&[refused::OWNER_REMOVES, refused::OWNER_STAYS]),
        post(28, "/api/chat/groupAgreeOrNo", decide, "Decide on an application")
            .about("The owner's. On `agree`: push G5 to the members.")
            .refuses(&[
                refused::OWNER_ADMITS,
                refused::ILLEGAL,
                refused::APPLICANT_UNAVAILABLE,
                refused::FULL,
            ]),
        post(29, "/api/chat/groupInviteUser", join, "Invite somebody, or join")
            .about("`user_id` is the caller: joins. Somebody else: a member invites them. Push G4 to the members, or G6 to the owner.")
            .for_guests()
            .refuses(&[
                refused::NO_GROUP_TO_JOIN,
                refused::ILLEGAL,
                refused::WAITING_ALREADY,
                refused::MEMBER_ALREADY,
                refused::JOINER_UNAVAILABLE,
                refused::NO_GUESTS,
                refused::FULL,
            ]),
        post(30, "/api/chat/groupnickname", set_nickname, "My name in a group")
            .for_guests()
            .refuses(&[refused::NOT_A_MEMBER]),
        post(31, "/api/chat/groupDeleteOrQuit", leave, "Dissolve or leave")
            .about("The owner dissolves it: push G7 to all. A member leaves: push G8 to the owner.")
            .for_guests()
            .refuses(&[refused::NO_SUCH_GROUP, refused::NOT_IN_GROUP]),
    ]
}

/// Remove a member (§26)
async fn remove(
    State(app): State<App>,
    caller: AuthenticatedUser,
    Params(RemoveMember { group, user }): Params<RemoveMember>,
) -> Result<Reply<MemberRemoved>, ApiError> {
    run(&app, &caller, group, GroupAction::Remove(user)).await?;
    Ok(Reply::of(MemberRemoved::Done))
}

/// Decide on an application (§28)
async fn decide(
    State(app): State<App>,
    caller: AuthenticatedUser,
    Params(Decide { group, user, agreed }): Params<Decide>,
) -> Result<Reply<ApplicationDecided>, ApiError> {
    let action = if agreed { GroupAction::Approve(user) } else { GroupAction::Refuse(user) };
    run(&app, &caller, group, action).await?;
    Ok(Reply::of(ApplicationDecided::Done))
}

/// Invite somebody, or join (§29)
async fn join(
    State(app): State<App>,
    caller: AuthenticatedUser,
    Params(JoinGroup { group, user, inviter, text }): Params<JoinGroup>,
) -> Result<Reply<Joined>, ApiError> {
    let text = text.unwrap_or_default();
    let most = app.config.limits.group_members;
    let icon = icon(&app);
    let change = change(&caller, &icon);
    let is_in = groups::join(&app.executor, change, group, (user, inviter), &text, most).await?;
    Ok(Reply::of(if is_in { Joined::In } else { Joined::Waiting }))
}

/// My name in a group (§30)
async fn set_nickname(
    State(app): State<App>,
    caller: AuthenticatedUser,
    Params(SetGroupNickname { group, nickname }): Params<SetGroupNickname>,
) -> Result<Plain, ApiError> {
    run(&app, &caller, group, GroupAction::SetNickname(nickname)).await?;
    Ok(OK)
}

/// Dissolve or leave (§31)
async fn leave(
    State(app): State<App>,
    caller: AuthenticatedUser,
    Params(LeaveGroup { group }): Params<LeaveGroup>,
) -> Result<Plain, ApiError> {
    run(&app, &caller, group, GroupAction::Leave).await?;
    Ok(OK)
}
