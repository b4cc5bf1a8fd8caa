//! Accounts and guests: log-ins, their parameters and what they answer (rest.md §1–§6, §42).

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::parameters::{
    Declare, Invalid, Parameter, Parameters, all, int, request, text, username,
};
use crate::{
    commands::user::Account,
    events::{Role, Timestamp, UserId, Username},
};

request! {
    /// Who logs in.
    Credentials {
        username: Username = text("username", "账号", (4, 20), "alice_01")
            .note("Upper and lower case are one.")
            .map(Username),
        password: String = password("password", "密码"),
    }
}

request! {
    /// Who registers.
    NewCredentials {
        username: Username = username("username", "账号", (4, 20), "alice_01")
            .note("Upper and lower case are one.")
            .map(Username),
        password: String = password("password", "密码"),
    }
}

request! {
    /// What is signed of a call that the client signs with the salt that it ships (rest.md §4, data.md §9).
    SignedCall {
        device: String = text("deviceId", "设备指纹", (36, 200), "8d1a344c-bf16-5425-adbc-d12f49cfa332")
            .note("36 letters, digits, `_` or `-`."),
        timestamp: SignedTime = SignedTimestamp,
    }
}

request! {
    /// A device asks for its guest.
    GuestOfDevice {
        call: SignedCall = all::<SignedCall>(),
        uniplatform: Option<String> = text("uniplatform", "平台类型", (2, 50), "")
            .note("2–50 characters.")
            .or_default(""),
        model: Option<String> = device("devicemodel", "设备型号"),
        os: Option<String> = device("deviceos", "操作系统"),
        brand: Option<String> = device("devicebrand", "设备品牌"),
    }
}

request! {
    /// A guest becomes a registered user.
    GuestUpgrade {
        credentials: NewCredentials = all::<NewCredentials>(),
        call: SignedCall = all::<SignedCall>(),
    }
}

request! {
    /// Somebody logs in from a guest's device.
    GuestLogIn {
        credentials: Credentials = all::<Credentials>(),
        call: SignedCall = all::<SignedCall>(),
    }
}

request! {
    /// Another password.
    SetPassword {
        old: String = password("oldpassword", "原始密码"),
        new: String = password("newpassword", "新密码"),
        again: String = password("checknewpassword", "确认新密码"),
    }
}

request! {
    /// The account that is to be deleted is the caller's.
    DeleteAccount {
        password: Option<String> = text("password", "密码", (1, 20), "secret1")
            .note("Needed of registered users; guests have none.")
            .or_default(""),
    }
}

fn password(name: &'static str, label: &'static str) -> impl Declare<Value = String> {
    text(name, label, (6, 20), "a good one")
}

fn device(name: &'static str, label: &'static str) -> impl Declare<Value = Option<String>> {
    text(name, label, (1, 50), "").note("1–50 characters.").or_default("")
}

/// When a call was signed.
#[derive(Debug)]
pub struct SignedTime {
    /// Epoch milliseconds.
    pub ms: i64,
    /// Exactly as sent, which is what was signed.
    pub text: String,
}

struct SignedTimestamp;

impl Declare for SignedTimestamp {
    type Value = SignedTime;

    fn read(&self, sent: &Parameters) -> Result<SignedTime, Invalid> {
        let ms = timestamp().read(sent)?;
        let text = sent.get("timestamp").map(|value| value.text().into_owned());
        Ok(SignedTime { ms, text: text.unwrap_or_default() })
    }

    fn describe(&self, all: &mut Vec<Parameter>) {
        timestamp().describe(all);
    }
}

fn timestamp() -> impl Declare<Value = i64> {
    int("timestamp", "时间戳", 1_752_835_449_008)
        .note("Epoch milliseconds, exactly as signed; at most five minutes off.")
}

/// An account with all that it has, and its token (`UserFull`, rest.md §0.5).
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "User")]
#[allow(missing_docs, reason = "data.md §2.1 documents each field")]
pub struct UserFull {
    pub create_time: String,
    pub id: UserId,
    pub uuid: Uuid,
    pub username: Username,
    pub nickname: String,
    pub avatar: String,
    pub devicefingeruuid: String,
    pub uniplatform: String,
    pub devicemodel: String,
    pub deviceos: String,
    pub devicebrand: String,
    pub userset: String,
    pub invite_confirm: i16,
    pub mobile: Option<String>,
    pub email: Option<String>,
    pub status: i16,
    pub last_login: String,
    pub last_login_ip: Option<String>,
    pub register_time: String,
    pub register_ip: Option<String>,
    pub is_deleted: u8,
    pub wechat_openid: Option<String>,
    pub qq_openid: Option<String>,
    pub weibo_uid: Option<String>,
    pub role: Role,
    pub is_email_verified: u8,
    pub is_mobile_verified: u8,
    pub order: u8,
    pub update_time: String,
    pub token: String,
}

impl UserFull {
    /// An account that has just logged in, by the role that it plays.
    pub fn of(account: &Account, role: Role, token: String, now: Timestamp) -> Self {
        let device = account.device.clone().unwrap_or_default();
        let second = |at: Timestamp| Timestamp(at.0 / 1000 * 1000);
        Self {
            create_time: account.registered_at.row_text(),
            id: account.id,
            uuid: account.uuid,
            username: account.username.clone(),
            nickname: account.nickname.clone(),
            avatar: account.avatar.clone(),
            devicefingeruuid: device.fingerprint,
            uniplatform: device.uniplatform,
            devicemodel: device.model,
            deviceos: device.os,
            devicebrand: device.brand,
            userset: account.userset.to_string(),
            invite_confirm: account.invite_confirm,
            mobile: None,
            email: None,
            status: account.status(),
            last_login: now.iso_text(),
            last_login_ip: None,
            register_time: second(account.registered_at).iso_text(),
            register_ip: None,
            is_deleted: 0,
            wechat_openid: None,
            qq_openid: None,
            weibo_uid: None,
            role,
            is_email_verified: 0,
            is_mobile_verified: 0,
            order: 50,
            update_time: second(now).iso_text(),
            token,
        }
    }
}

/// The token has ended: `true`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct LoggedOut(#[schemars(extend("const" = true))] pub bool);

/// The password is another one now.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum PasswordSet {
    /// Done.
    #[serde(rename = "修改密码成功")]
    Done,
}
