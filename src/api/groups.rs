//! Groups: making, listing and ruling them (rest.md §20, §22, §24, §25, §27).

use axum::extract::State;

use super::{
    error::ApiError,
    middleware::auth::AuthenticatedUser,
    params::Params,
    route::{Route, get, post},
};
use crate::{
    commands::{
        group::command::{GroupAction, GroupRejection},
        user::User,
    },
    events::GroupId,
    executor::groups::{self, Change},
    projections::{address_book, group_roster},
    protocol::{
        groups::{
            Announce, CreateGroup, GroupWith, ListGroups, OwnMembership, PolicySet, RenameGroup,
            SetPolicy,
        },
        refusals::groups as refused,
        reply::{OK, Plain, Reply},
    },
    state::{App, Readers},
};

type Done = Result<Plain, ApiError>;

pub(super) fn routes() -> Vec<Route> {
    vec![
        post(20, "/api/chat/group/create", create, "Create a group")
            .about("Its owner learns the number from push G1, which all members get.")
            .refuses(&[refused::NOBODY_CHOSEN, refused::FULL, refused::NOBODY_AVAILABLE]),
        get(22, "/api/chat/grouplist/{page}", list, "Groups I am in")
            .about("The newest first. `group_users` has only my own membership.")
            .for_guests(),
        post(24, "/api/chat/groupUpdateName", rename, "Rename")
            .about("The owner's. Push G2 to the members.")
            .refuses(&[refused::OWNER_RENAMES]),
        post(25, "/api/chat/groupremark", announce, "Announce")
            .about("The owner's. Push G3 to the members.")
            .refuses(&[refused::OWNER_ANNOUNCES]),
        post(27, "/api/chat/groupAddUserSet", set_policy, "Set how people get in")
            .about("The owner's. 0 = anyone, 1 = the owner must agree, 2 = no guests.")
            .refuses(&[refused::OWNER_ADMITS]),
    ]
}

/// Create a group (§20)
async fn create(
    State(app): State<App>,
    caller: AuthenticatedUser,
    Params(CreateGroup { friends }): Params<CreateGroup>,
) -> Done {
    let executor = &app.executor;
    let friends = address_book::friends_in(&executor.pool, caller.account.id, &friends).await?;
    if friends.is_empty() {
        return Err(ApiError::rule(refused::NOBODY_CHOSEN));
    }
    let mut normal = Vec::new();
    for friend in friends {
        if executor.state::<User>(friend).await?.state.active().is_some() {
            normal.push(friend);
        }
    }
    if normal.is_empty() {
        return Err(ApiError::rule(refused::NOBODY_AVAILABLE));
    }
    if normal.len() >= app.config.limits.group_members {
        return Err(GroupRejection::Full.into());
    }
    groups::create(executor, change(&caller, &icon(&app)), &normal).await?;
    Ok(OK)
}

/// Groups I am in (§22)
async fn list(
    State(readers): State<Readers>,
    caller: AuthenticatedUser,
    Params(ListGroups { page }): Params<ListGroups>,
) -> Result<Reply<Vec<GroupWith<OwnMembership>>>, ApiError> {
    let user_id = caller.account.id;
    let listed = group_roster::groups_of(readers.pool(), user_id, page).await?;
    let shown = listed.into_iter().map(|listed| {
        let (group_id, nickname) = (listed.group.id, listed.nickname);
        let own = OwnMembership { group_id, user_id, nickname, avatar: "" };
        GroupWith::of(&listed.group, vec![own])
    });
    Ok(Reply::of(shown.collect()))
}

/// Rename (§24)
async fn rename(
    State(app): State<App>,
    caller: AuthenticatedUser,
    Params(RenameGroup { group, name }): Params<RenameGroup>,
) -> Done {
    run(&app, &caller, group, GroupAction::Rename(name)).await?;
    Ok(OK)
}

/// Announce (§25)
async fn announce(
    State(app): State<App>,
    caller: AuthenticatedUser,
    Params(Announce { group, remark }): Params<Announce>,
) -> Done {
    run(&app, &caller, group, GroupAction::Announce(remark)).await?;
    Ok(OK)
}

/// Set how people get in (§27)
async fn set_policy(
    State(app): State<App>,
    caller: AuthenticatedUser,
    Params(SetPolicy { group, policy }): Params<SetPolicy>,
) -> Result<Reply<PolicySet>, ApiError> {
    run(&app, &caller, group, GroupAction::SetPolicy(policy)).await?;
    Ok(Reply::of(PolicySet::Done))
}

/// Does something to a group on the caller's behalf.
pub(super) async fn run(
    app: &App,
    caller: &AuthenticatedUser,
    group: GroupId,
    action: GroupAction,
) -> Result<(), ApiError> {
    groups::run(&app.executor, change(caller, &icon(app)), group, action).await?;
    Ok(())
}

pub(super) fn change<'a>(caller: &'a AuthenticatedUser, icon: &'a str) -> Change<'a> {
    Change { by: &caller.account, icon, authority: caller.authority() }
}

/// The picture beside notices about who comes in (data.md §1).
pub(super) fn icon(app: &App) -> String {
    format!("{}/chat/group.png", app.config.server.asset_base)
}
