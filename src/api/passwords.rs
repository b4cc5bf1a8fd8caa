//! Another password for an account that is logged in (rest.md §42).

use axum::extract::State;

use super::{
    accounts::authenticate,
    caller::{Caller, Origin},
    params::Params,
    refusal::Refusal,
    reply::Reply,
};
use crate::{events::Role, executor::accounts::AccountError, state::App};

/// Set my password (§42)
pub async fn set(
    State(app): State<App>,
    origin: Origin,
    caller: Caller,
    params: Params,
) -> Result<Reply<&'static str>, Refusal> {
    let old = params.text_in("oldpassword", "原始密码", 6, Some(20))?;
    let new = params.text_in("newpassword", "新密码", 6, Some(20))?;
    let again = params.text_in("checknewpassword", "确认新密码", 6, Some(20))?;
    if new != again {
        return Err(Refusal::rule("新密码与确认新密码不一致"));
    }
    if caller.claims.role == Role::Visitor {
        return Err(Refusal::rule("您未登录，无法修改密码")); // the edge refuses guests before
    }
    // Guesses count like those of a log-in: a stolen token must not help to find the password.
    let proven = authenticate(&app, &origin, &caller.account.username, &old).await?;
    let account = proven.map_err(refusal)?.account;
    let passwords = (old.as_str(), new.as_str());
    let changed = app.accounts.change_password(
        &account,
        passwords,
        caller.claims.jti,
        origin.address.network,
        &caller.cause,
    );
    changed.await.map_err(refusal)?;
    Ok(Reply("修改密码成功"))
}

fn refusal(error: AccountError) -> Refusal {
    match error {
        AccountError::Gone => Refusal::rule("用户不存在，无法修改密码"),
        AccountError::WrongPassword => Refusal::rule("原始密码错误，无法修改密码"),
        other => other.into(),
    }
}
