//! Log in, register, log out; guests and their two upgrades (rest.md §1–§6).

use axum::{extract::State, http::HeaderMap};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tracing::warn;

use super::{
    caller::{Caller, Origin},
    params::Params,
    refusal::Refusal,
    reply::Reply,
};
use crate::{
    adapters::tokens::Claims,
    clock,
    commands::{
        session::{Session, SessionCommand},
        user::{Account, DeviceReport},
    },
    events::{Role, Timestamp, TokenId, Username},
    executor::Wait,
    executor::accounts::{AccountError, Accounts, Proven},
    state::App,
};

type Answer = Result<Reply<Value>, Refusal>;

/// How far a signed call's clock may be off, in milliseconds (data.md §5.3, DEV-6).
const FRESH_MS: i64 = 300_000;

/// Log in (§1)
pub async fn log_in(State(app): State<App>, origin: Origin, params: Params) -> Answer {
    let (username, password) = credentials(&params)?;
    let proven = authenticate(&app, &origin, &username, &password).await??;
    let role = proven.account.role;
    admit(&app, &origin, &proven, role).await
}

/// Register (§2)
pub async fn register(State(app): State<App>, origin: Origin, params: Params) -> Answer {
    let (username, password) = new_credentials(&params)?;
    let account =
        app.accounts.register(&username, &password, origin.address.network, &origin.cause).await?;
    admit(&app, &origin, &Accounts::owner(account), Role::User).await
}

/// Log out (§3)
pub async fn log_out(State(app): State<App>, caller: Caller) -> Result<Reply<bool>, Refusal> {
    let user = caller.account.id;
    let command = SessionCommand::LogOut(caller.claims.jti);
    app.executor.execute::<Session>(user, &command, caller.authority(), Wait::Everywhere).await?;
    Ok(Reply(true))
}

/// A guest identity for a device (§4)
pub async fn visitor_register(
    State(app): State<App>,
    origin: Origin,
    headers: HeaderMap,
    params: Params,
) -> Answer {
    let signature = signature(&headers)?;
    let call = SignedCall::read(&params)?;
    let report = DeviceReport {
        uniplatform: params.text_or_none("uniplatform", 2, 50),
        model: params.text_or_none("devicemodel", 1, 50),
        os: params.text_or_none("deviceos", 1, 50),
        brand: params.text_or_none("devicebrand", 1, 50),
    };
    call.check(&app, &signature).await?;
    let account = app.accounts.of_device(&call.device, &report, &origin.cause).await?;
    admit(&app, &origin, &Accounts::owner(account), Role::Visitor).await
}

/// A guest becomes a registered user (§5)
pub async fn visitor_upgrade(
    State(app): State<App>,
    origin: Origin,
    headers: HeaderMap,
    params: Params,
) -> Answer {
    let signature = signature(&headers)?;
    let (username, password) = new_credentials(&params)?;
    let call = SignedCall::read(&params)?;
    call.check(&app, &signature).await?;
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
pub async fn visitor_log_in(
    State(app): State<App>,
    origin: Origin,
    headers: HeaderMap,
    params: Params,
) -> Answer {
    let signature = signature(&headers)?;
    let (username, password) = credentials(&params)?;
    let call = SignedCall::read(&params)?;
    call.check(&app, &signature).await?;
    let proven = authenticate(&app, &origin, &username, &password).await??;
    admit(&app, &origin, &proven, Role::User).await
}

fn credentials(params: &Params) -> Result<(Username, String), Refusal> {
    let username = params.text_in("username", "账号", 4, Some(20))?;
    let password = params.text_in("password", "密码", 6, Some(20))?;
    Ok((Username(username), password))
}

/// Those of an account to be.
fn new_credentials(params: &Params) -> Result<(Username, String), Refusal> {
    let username = params.new_username()?;
    let password = params.text_in("password", "密码", 6, Some(20))?;
    Ok((username, password))
}

/// §0.6, behind a limit on failures: what the inner result says is the password's affair.
pub(super) async fn authenticate(
    app: &App,
    origin: &Origin,
    username: &Username,
    password: &str,
) -> Result<Result<Proven, AccountError>, Refusal> {
    let folded = username.folded();
    let too_many = || Refusal::rule("登录失败次数过多，请稍后再试");
    if !app.rate_limit.may_try(&folded, origin.address).await? {
        return Err(too_many());
    }
    let result =
        app.accounts.authenticate(username, password, origin.address.network, &origin.cause).await;
    // Guesses that come at once are all let in, but those that end beyond the limit learn nothing.
    let within = match &result {
        Ok(_) => app.rate_limit.may_try(&folded, origin.address).await?,
        Err(AccountError::Gone | AccountError::WrongPassword) => {
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
    Ok(Reply(user_full(account, role, &token, now)))
}

/// `UserFull` (§0.5).
fn user_full(account: &Account, role: Role, token: &str, now: Timestamp) -> Value {
    let device = account.device.clone().unwrap_or_default();
    let second = Timestamp(now.0 / 1000 * 1000);
    json!({
        "create_time": account.registered_at.row_text(),
        "id": account.id,
        "uuid": account.uuid,
        "username": account.username,
        "nickname": account.nickname,
        "avatar": account.avatar,
        "devicefingeruuid": device.fingerprint,
        "uniplatform": device.uniplatform,
        "devicemodel": device.model,
        "deviceos": device.os,
        "devicebrand": device.brand,
        "userset": account.userset,
        "invite_confirm": account.invite_confirm,
        "mobile": null,
        "email": null,
        "status": account.status(),
        "last_login": now.iso_text(),
        "last_login_ip": null,
        "register_time": Timestamp(account.registered_at.0 / 1000 * 1000).iso_text(),
        "register_ip": null,
        "is_deleted": 0,
        "wechat_openid": null,
        "qq_openid": null,
        "weibo_uid": null,
        "role": role,
        "is_email_verified": 0,
        "is_mobile_verified": 0,
        "order": 50,
        "update_time": second.iso_text(),
        "token": token,
    })
}

/// A call that the client signed with the salt that it ships (§4, data.md §9).
struct SignedCall {
    device: String,
    timestamp: i64,
    /// Exactly as sent, which is what was signed.
    timestamp_text: String,
}

/// Check 1 (DEV-5).
fn signature(headers: &HeaderMap) -> Result<String, Refusal> {
    headers
        .get("x-security-sign")
        .and_then(|value| value.to_str().ok())
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
        .ok_or_else(|| Refusal::rule("非法访问"))
}

impl SignedCall {
    /// Check 2.
    fn read(params: &Params) -> Result<Self, Refusal> {
        let device = params.text_in("deviceId", "设备指纹", 36, Some(200))?;
        let timestamp = params.int("timestamp", "时间戳")?;
        let timestamp_text = params.text("timestamp", "时间戳")?;
        Ok(Self { device, timestamp, timestamp_text })
    }

    /// Checks 3 to 6.
    async fn check(&self, app: &App, signature: &str) -> Result<(), Refusal> {
        let wanted = sign(&self.device, &self.timestamp_text, &app.config.auth.signing_salt);
        if !bool::from(wanted.as_bytes().ct_eq(signature.as_bytes())) {
            return Err(Refusal::rule("非法签名"));
        }
        if clock::now().0.abs_diff(self.timestamp) > FRESH_MS.unsigned_abs() {
            return Err(Refusal::rule("请求已过期"));
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if self.device.len() != 36 || !self.device.bytes().all(allowed) {
            return Err(Refusal::rule("无效标识"));
        }
        let limit = app.config.limits.signed_calls_per_hour;
        if !app.rate_limit.take_signed_call(&self.device, limit).await? {
            return Err(Refusal::rule("请求过于频繁，请1个小时后再试"));
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
