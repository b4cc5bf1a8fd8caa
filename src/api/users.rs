//! Search, profiles and settings (rest.md §7, §8, §10, §38, §39).

use axum::extract::State;
use serde_json::Value;
use tracing::warn;

use super::{
    error::ApiError,
    middleware::auth::AuthenticatedUser,
    params::Params,
    route::{Route, get, post},
};
use crate::{
    commands::{
        friendship::Friendship,
        user::{User, UserCommand},
    },
    events::{Pair, Role, Timestamp},
    executor::Wait,
    projections::user_directory::{self, ListedUser},
    protocol::{
        refusals::users as refused,
        reply::{OK, Plain, Reply},
        users::{
            ByUuid, ProfileObject, ProfileUpdated, SaveSettings, SearchUsers, SettingsObject,
            SettingsOf, UpdateProfile, UserInfo, UserListItem,
        },
    },
    state::{App, Readers},
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        post(7, "/api/chat/searchUser", search, "Find users by a part of their username")
            .about("At most 200, the oldest first; no guests, not oneself."),
        get(8, "/api/userinfo/{uuid}", profile, "A profile")
            .about("`null` for somebody unknown or disabled."),
        post(10, "/api/chat/userset", save_settings, "Save my settings")
            .about("Replaces them. `sendCount`: 0 = strangers may not write, 1 = one message until they are friends, 2 = no limit.")
            .for_guests()
            .refuses(&[refused::BAD_SETTINGS]),
        post(38, "/api/chat/updateUserinfo", update, "Change one of my fields")
            .about("For any other field nothing changes, and `data` is empty.")
            .for_guests()
            .refuses(&[
                refused::USERNAME_IS_FIXED,
                refused::NICKNAME_TOO_LONG,
                refused::AVATAR_TOO_LONG,
                refused::BAD_INVITE_CONFIRM,
                refused::UNKNOWN,
            ]),
        post(39, "/api/chat/getUserSetInfo", settings, "Settings of somebody before befriending")
            .about("`isgoodfriend`: I am in that user's book. `isgoodfriend_status`: false only if I am blacklisted there.")
            .for_guests()
            .refuses(&[refused::NOBODY_TO_BEFRIEND]),
    ]
}

/// A profile (§8)
async fn profile(
    State(readers): State<Readers>,
    Params(ByUuid { uuid }): Params<ByUuid>,
) -> Result<Reply<Option<ProfileObject>>, ApiError> {
    let Some(uuid) = uuid else { return Ok(Reply::of(None)) };
    let Some(profile) = user_directory::profile(readers.pool(), uuid).await? else {
        return Ok(Reply::of(None));
    };
    let user = readers.state::<User>(profile.user).await?;
    Ok(Reply::of(user.active().map(|account| ProfileObject::of(account, info(profile)))))
}

/// What a profile shows beyond the account.
pub(super) fn info(profile: user_directory::Profile) -> UserInfo {
    UserInfo {
        id: profile.user,
        gender: profile.gender,
        birthday: profile.birthday.map(Timestamp::iso_text),
        bio: profile.bio,
        location: profile.location,
        website: profile.website,
    }
}

/// Find users by a part of their username (§7)
async fn search(
    State(readers): State<Readers>,
    caller: AuthenticatedUser,
    Params(SearchUsers { keyword }): Params<SearchUsers>,
) -> Result<Reply<Vec<UserListItem>>, ApiError> {
    let found = user_directory::search(readers.pool(), &keyword, caller.account.id).await?;
    let show = |ListedUser { id, uuid, username, nickname, avatar }| UserListItem {
        id,
        username,
        avatar,
        role: Role::User,
        uuid,
        nickname,
    };
    Ok(Reply::of(found.into_iter().map(show).collect()))
}

/// Save my settings (§10)
async fn save_settings(
    State(app): State<App>,
    caller: AuthenticatedUser,
    Params(SaveSettings { userset }): Params<SaveSettings>,
) -> Result<Plain, ApiError> {
    if !serde_json::from_str::<Value>(&userset).is_ok_and(|value| value.is_object()) {
        return Err(ApiError::rule(refused::BAD_SETTINGS));
    }
    change(&app, &caller, UserCommand::SetUserset(userset)).await?;
    Ok(OK)
}

/// Change one of my fields (§38)
async fn update(
    State(app): State<App>,
    caller: AuthenticatedUser,
    Params(UpdateProfile { field, value }): Params<UpdateProfile>,
) -> Result<Reply<ProfileUpdated>, ApiError> {
    let length = value.chars().count();
    let (command, answer) = match field.as_str() {
        "username" => return Err(ApiError::rule(refused::USERNAME_IS_FIXED)),
        "nickname" if length > 30 => return Err(ApiError::rule(refused::NICKNAME_TOO_LONG)),
        "nickname" => (UserCommand::SetNickname(value), ProfileUpdated::Nickname),
        "avatar" if length > 1000 => return Err(ApiError::rule(refused::AVATAR_TOO_LONG)),
        "avatar" => (UserCommand::SetAvatar(value), ProfileUpdated::Avatar),
        "invite_confirm" => {
            let who = match value.trim() {
                "0" => 0,
                "1" => 1,
                _ => return Err(ApiError::rule(refused::BAD_INVITE_CONFIRM)),
            };
            (UserCommand::SetInviteConfirm(who), ProfileUpdated::InviteConfirm)
        }
        _ => return Ok(Reply::of(ProfileUpdated::Nothing)),
    };
    let changed = change(&app, &caller, command).await?;
    // Clarification 4: only a real change silences the next alert.
    if changed && let Err(error) = app.rate_limit.mark_modified(caller.account.id).await {
        warn!(%error, "the next alert is not silenced by a changed profile");
    }
    Ok(Reply::of(answer))
}

async fn change(
    app: &App,
    caller: &AuthenticatedUser,
    command: UserCommand,
) -> Result<bool, ApiError> {
    let user = caller.account.id;
    let done =
        app.executor.execute::<User>(user, &command, caller.authority(), Wait::Everywhere).await?;
    Ok(done.event.is_some())
}

/// Settings of a user before befriending (§39)
async fn settings(
    State(readers): State<Readers>,
    caller: AuthenticatedUser,
    Params(SettingsOf { user: id }): Params<SettingsOf>,
) -> Result<Reply<SettingsObject>, ApiError> {
    let user = readers.state::<User>(id).await?;
    let account = user.active().filter(|account| account.role == Role::User);
    let account = account.ok_or_else(|| ApiError::rule(refused::NOBODY_TO_BEFRIEND))?;
    let between = readers.state::<Friendship>(Pair::of(id, caller.account.id)).await?;
    let edge = between.edge_of(id).filter(|_| id != caller.account.id);
    Ok(Reply::of(SettingsObject::of(account, edge.map(|edge| edge.blocked))))
}
