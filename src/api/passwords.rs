//! Another password for an account that is logged in (rest.md §42), and its end.

use axum::extract::State;

use super::{
    accounts::verify_password,
    error::ApiError,
    middleware::auth::{AuthenticatedUser, Origin},
    params::Params,
    reply::EndsToken,
    route::{Route, post},
};
use crate::{
    commands::user::{User, UserCommand},
    events::Role,
    executor::{Wait, accounts::AccountError},
    protocol::{
        accounts::{DeleteAccount, PasswordSet, SetPassword},
        refusals::accounts as refused,
        reply::Reply,
    },
    state::App,
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        post(42, "/api/chat/setPassword", set, "Set my password")
            .about("This token stays good, all others are refused from now on.")
            .refuses(&[
                refused::PASSWORDS_DIFFER,
                refused::GUEST_HAS_NO_PASSWORD,
                refused::NO_ACCOUNT_FOR_PASSWORD,
                refused::WRONG_OLD_PASSWORD,
                refused::TOO_MANY_FAILURES,
            ]),
        post(0, "/api/chat/deleteAccount", delete, "Delete my account")
            .about(
                "At once and for good: all tokens are refused, sockets closed. What the account says of its user, and \
                 what they wrote, is erased by the operator's daily run (`hongyan users erase --pending`).",
            )
            .for_guests()
            .refuses(&[refused::WRONG_PASSWORD, refused::TOO_MANY_FAILURES]),
    ]
}

/// Set my password (§42)
async fn set(
    State(app): State<App>,
    origin: Origin,
    caller: AuthenticatedUser,
    Params(SetPassword { old, new, again }): Params<SetPassword>,
) -> Result<Reply<PasswordSet>, ApiError> {
    if new != again {
        return Err(ApiError::rule(refused::PASSWORDS_DIFFER));
    }
    if caller.claims.role == Role::Visitor {
        return Err(ApiError::rule(refused::GUEST_HAS_NO_PASSWORD)); // guests are refused before
    }
    // Guesses count like those of a log-in: a stolen token must not help to find the password.
    let proven = verify_password(&app, &origin, &caller.account.username, &old).await?;
    let account = proven.map_err(api_error)?.account;
    let passwords = (old.as_str(), new.as_str());
    let changed = app.accounts.change_password(
        &account,
        passwords,
        caller.claims.jti,
        origin.address.network,
        &caller.cause,
    );
    changed.await.map_err(api_error)?;
    Ok(Reply::of(PasswordSet::Done))
}

/// Delete my account
async fn delete(
    State(app): State<App>,
    origin: Origin,
    caller: AuthenticatedUser,
    Params(DeleteAccount { password }): Params<DeleteAccount>,
) -> Result<EndsToken<Reply<&'static str>>, ApiError> {
    let account = &caller.account;
    if account.role == Role::User {
        let proven =
            verify_password(&app, &origin, &account.username, &password.unwrap_or_default())
                .await?;
        proven.map_err(|error| match error {
            AccountError::NoSuchAccount | AccountError::WrongPassword => {
                ApiError::rule(refused::WRONG_PASSWORD)
            }
            other => other.into(),
        })?;
    }
    let (command, authority) = (UserCommand::Delete, caller.authority());
    app.executor.execute::<User>(account.id, &command, authority, Wait::Everywhere).await?;
    Ok(EndsToken(Reply::of("ok")))
}

fn api_error(error: AccountError) -> ApiError {
    match error {
        AccountError::NoSuchAccount => ApiError::rule(refused::NO_ACCOUNT_FOR_PASSWORD),
        AccountError::WrongPassword => ApiError::rule(refused::WRONG_OLD_PASSWORD),
        other => other.into(),
    }
}
