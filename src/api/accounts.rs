//! Log in, register, log out; guests and their two upgrades (rest.md §1–§6).

use axum::{
    extract::{FromRequestParts, State},
    http::request::Parts,
};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tracing::warn;

use super::{
    error::ApiError,
    middleware::auth::{AuthenticatedUser, Origin},
    params::Params,
    reply::EndsToken,
    route::{Asks, Operation, Route, post},
};
use crate::{
    adapters::tokens::Claims,
    clock,
    commands::{
        session::{Session, SessionCommand},
        user::DeviceReport,
    },
    events::{Role, TokenId, Username},
    executor::Wait,
    executor::accounts::{AccountError, Accounts, Proven},
    protocol::{
        accounts::{
            Credentials, GuestLogIn, GuestOfDevice, GuestUpgrade, LoggedOut, NewCredentials,
            SignedCall, UserFull,
        },
        refusals::accounts as refused,
        reply::Reply,
    },
    state::App,
};

type Answer = Result<Reply<UserFull>, ApiError>;

/// Why a password is not taken.
const PROOF: &[&str] = &[refused::UNAVAILABLE, refused::WRONG_PASSWORD, refused::TOO_MANY_FAILURES];

/// Why a signed call is not taken.
const SIGNED: &[&str] = &[
    refused::UNSIGNED,
    refused::BAD_SIGNATURE,
    refused::STALE,
    refused::BAD_DEVICE,
    refused::TOO_MANY_SIGNED_CALLS,
];

pub(super) fn routes() -> Vec<Route> {
    vec![
        post(1, "/api/loginChat", log_in, "Log in")
            .about("The user's token so far is refused from now on.")
            .refuses(PROOF),
        post(2, "/api/regChat", register, "Register")
            .about("Makes an account and logs in.")
            .refuses(&[refused::TAKEN]),
        post(3, "/api/chat/logout", log_out, "Log out")
            .about("The token is refused from now on, and its socket gets no more pushes."),
        post(4, "/api/visitorRegister", visitor_register, "Be a guest on a device")
            .about("The same device is the same guest. For a device that a registered account owns: that account, as a guest.")
            .refuses(SIGNED)
            .refuses(&[refused::UNAVAILABLE]),
        post(5, "/api/visitorregChat", visitor_upgrade, "Become a registered user")
            .about("The guest of the device becomes the account and keeps all that it has. Where no guest owns the device: a new account.")
            .refuses(SIGNED)
            .refuses(&[refused::TAKEN]),
        post(6, "/api/visitorloginChat", visitor_log_in, "Log in from a guest's device")
            .about("The guest keeps the device.")
            .refuses(SIGNED)
            .refuses(PROOF),
    ]
}

/// How far a signed call's clock may be off, in milliseconds (data.md §5.3, DEV-6).
const FRESH_MS: i64 = 300_000;

/// Log in (§1)
async fn log_in(
    State(app): State<App>,
    origin: Origin,
    Params(Credentials { username, password }): Params<Credentials>,
) -> Answer {
    let proven = verify_password(&app, &origin, &username, &password).await??;
    let role = proven.account.role;
    admit(&app, &origin, &proven, role).await
}

/// Register (§2)
async fn register(
    State(app): State<App>,
    origin: Origin,
    Params(NewCredentials { username, password }): Params<NewCredentials>,
) -> Answer {
    let account =
        app.accounts.register(&username, &password, origin.address.network, &origin.cause).await?;
    admit(&app, &origin, &Accounts::owner(account), Role::User).await
}

/// Log out (§3)
async fn log_out(
    State(app): State<App>,
    caller: AuthenticatedUser,
) -> Result<EndsToken<Reply<LoggedOut>>, ApiError> {
    let user = caller.account.id;
    let command = SessionCommand::LogOut(caller.claims.jti);
    app.executor.execute::<Session>(user, &command, caller.authority(), Wait::Everywhere).await?;
    Ok(EndsToken(Reply::of(LoggedOut(true))))
}

/// A guest identity for a device (§4)
async fn visitor_register(
    State(app): State<App>,
    origin: Origin,
    signature: Signature,
    Params(GuestOfDevice { call, uniplatform, model, os, brand }): Params<GuestOfDevice>,
) -> Answer {
    signature.check(&app, &call).await?;
    let report = DeviceReport { uniplatform, model, os, brand };
    let account = app.accounts.of_device(&call.device, &report, &origin.cause).await?;
    admit(&app, &origin, &Accounts::owner(account), Role::Visitor).await
}

/// A guest becomes a registered user (§5)
async fn visitor_upgrade(
    State(app): State<App>,
    origin: Origin,
    signature: Signature,
    Params(GuestUpgrade { credentials, call }): Params<GuestUpgrade>,
) -> Answer {
    signature.check(&app, &call).await?;
    let NewCredentials { username, password } = credentials;
    let upgraded = app.accounts.upgrade(
        &call.device,
        &username,
        &password,
        origin.address.network,
        &origin.cause,
    );
    let account = upgraded.await?;
    admit(&app, &origin, &Accounts::owner(account), Role::User).await
}

/// Log in from a guest's device (§6)
async fn visitor_log_in(
    State(app): State<App>,
    origin: Origin,
    signature: Signature,
    Params(GuestLogIn { credentials, call }): Params<GuestLogIn>,
) -> Answer {
    signature.check(&app, &call).await?;
    let Credentials { username, password } = credentials;
    let proven = verify_password(&app, &origin, &username, &password).await??;
    admit(&app, &origin, &proven, Role::User).await
}

/// §0.6, behind a limit on failures: what the inner result says is the password's affair.
pub(super) async fn verify_password(
    app: &App,
    origin: &Origin,
    username: &Username,
    password: &str,
) -> Result<Result<Proven, AccountError>, ApiError> {
    let folded = username.folded();
    let too_many = || ApiError::rule(refused::TOO_MANY_FAILURES);
    if !app.rate_limit.may_try(&folded, origin.address).await? {
        return Err(too_many());
    }
    let result =
        app.accounts.authenticate(username, password, origin.address.network, &origin.cause).await;
    // Guesses that come at once are all let in, but those that end beyond the limit learn nothing.
    let within = match &result {
        Ok(_) => app.rate_limit.may_try(&folded, origin.address).await?,
        Err(AccountError::NoSuchAccount | AccountError::WrongPassword) => {
            app.rate_limit.failed(&folded, origin.address).await?
        }
        Err(_) => true,
    };
    if !within {
        return Err(too_many());
    }
    if result.is_ok()
        && let Err(error) = app.rate_limit.succeeded(&folded, origin.address).await
    {
        warn!(%error, "failed log-ins of an account still count after one that succeeded");
    }
    Ok(result)
}

/// Makes a new token current and shows the account (§0.6, step 3).
async fn admit(app: &App, origin: &Origin, proven: &Proven, role: Role) -> Answer {
    origin.observed.is_of(proven.account.id);
    let account = &proven.account;
    let jti = TokenId(clock::random_id());
    let now = clock::now();
    app.accounts.log_in(proven, jti, role, &origin.cause).await?;
    let token = app.tokens.issue(&Claims {
        id: account.id,
        uuid: account.uuid,
        username: account.username.0.clone(),
        nickname: account.nickname.clone(),
        avatar: account.avatar.clone(),
        role,
        iat: now.0 / 1000,
        jti,
    });
    Ok(Reply::of(UserFull::of(account, role, token, now)))
}

/// The signature of a call: check 1 (DEV-5).
pub(super) struct Signature(String);

impl<S: Send + Sync> FromRequestParts<S> for Signature {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let sent = parts.headers.get("x-security-sign").and_then(|value| value.to_str().ok());
        let sent = sent.filter(|text| !text.is_empty()).map(str::to_owned);
        sent.map(Self).ok_or_else(|| ApiError::rule(refused::UNSIGNED))
    }
}

impl Asks for Signature {
    fn describe(operation: &mut Operation) {
        operation.is_signed = true;
    }
}

impl Signature {
    /// Checks 3 to 6; the second is that of its parameters.
    async fn check(&self, app: &App, call: &SignedCall) -> Result<(), ApiError> {
        let wanted = sign(&call.device, &call.timestamp.text, &app.config.auth.signing_salt);
        if !bool::from(wanted.as_bytes().ct_eq(self.0.as_bytes())) {
            return Err(ApiError::rule(refused::BAD_SIGNATURE));
        }
        if clock::now().0.abs_diff(call.timestamp.ms) > FRESH_MS.unsigned_abs() {
            return Err(ApiError::rule(refused::STALE));
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if call.device.len() != 36 || !call.device.bytes().all(allowed) {
            return Err(ApiError::rule(refused::BAD_DEVICE));
        }
        let limit = app.config.limits.signed_calls_per_hour;
        if !app.rate_limit.take_signed_call(&call.device, limit).await? {
            return Err(ApiError::rule(refused::TOO_MANY_SIGNED_CALLS));
        }
        Ok(())
    }
}

fn sign(device: &str, timestamp: &str, salt: &str) -> String {
    let signed = format!("deviceId={device}&salt={salt}&timestamp={timestamp}APP_SECRET");
    hex::encode(Sha256::digest(signed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_the_contract() {
        let (device, at) = ("8d1a344c-bf16-5425-adbc-d12f49cfa332", "1752835449008");
        assert_eq!(
            sign(device, at, "45ncashdaksh2!#@3nxjdas*_259"),
            "a5b40139b65b13cf214d05c27dece58ebe840d888b12272f0ccd15ea72e68998"
        );
    }
}
