//! Other users and one's own settings: parameters and answers (rest.md §7, §8, §10, §38, §39).

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::parameters::{
    Declare, Invalid, Parameter, Parameters, id, invalid_characters, is_name, request, text,
    text_of_bytes,
};
use crate::{
    commands::user::Account,
    events::{Role, UserId, Username},
};

const USERSET: &str = r#"{"chatset":{"visitor":{"sendCount":1,"needFollow":false},"user":{"sendCount":2,"needFollow":false}}}"#;

/// What the original's column holds (clarification 29).
const USERSET_BYTES: u64 = 65_535;

request! {
    /// Find users.
    SearchUsers {
        keyword: String = text("keyword", "搜索关键词", (1, 50), "my"),
    }
}

request! {
    /// Whose profile.
    ByUuid {
        uuid: Option<Uuid> = text("uuid", "uuid值", (36, 36), "edda71aa-4a31-4ba8-9025-8fdc0dc3c0fa")
            .map(|text| text.parse::<Uuid>().ok()), // what is no UUID is nobody's
    }
}

request! {
    /// Other settings.
    SaveSettings {
        userset: String = text_of_bytes("userset", "用户设置", (2, USERSET_BYTES), USERSET)
            .note("The JSON text of an object, or the object. The upper bound is in bytes."),
    }
}

request! {
    /// Another value of one field.
    UpdateProfile {
        field: String = text("fieldname", "修改类型", (1, 30), "nickname")
            .note("`nickname` (up to 30 characters), `avatar` (up to 1000), `invite_confirm` (0 or 1)."),
        value: String = NewValue,
    }
}

request! {
    /// Whose settings.
    SettingsOf {
        user: UserId = id("userid", "用户id").map(UserId),
    }
}

/// `fieldValue`: a nickname is a name, everything else a text.
struct NewValue;

const NAMED: &str = "昵称";

fn new_value() -> impl Declare<Value = String> {
    text("fieldValue", "修改结果", (1, None), "Tom")
}

impl Declare for NewValue {
    type Value = String;

    fn read(&self, sent: &Parameters) -> Result<String, Invalid> {
        let is_nickname = sent.get("fieldname").is_some_and(|field| field.text() == "nickname");
        let fits = |text: &str| !is_nickname || is_name(text);
        if sent.get("fieldValue").is_some_and(|value| !fits(&value.text())) {
            return Err(Invalid::Parameter(invalid_characters(NAMED).into()));
        }
        new_value().read(sent)
    }

    fn describe(&self, all: &mut Vec<Parameter>) {
        new_value().describe(all);
        all.iter_mut().next_back().expect("it was added").refusals.push(invalid_characters(NAMED));
    }
}

/// A user among others.
#[derive(Debug, Serialize, JsonSchema)]
#[allow(missing_docs, reason = "data.md §2.1 documents each field")]
pub struct UserListItem {
    pub id: UserId,
    pub username: String,
    pub avatar: String,
    pub role: Role,
    pub uuid: Uuid,
    pub nickname: String,
}

/// What anybody may know of a user.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Profile")]
#[allow(missing_docs, reason = "data.md §2.1 documents each field")]
pub struct ProfileObject {
    pub id: UserId,
    pub uuid: Uuid,
    pub username: Username,
    pub nickname: String,
    pub avatar: String,
    pub role: Role,
    pub userset: String,
    pub userinfo: UserInfo,
}

impl ProfileObject {
    /// Of an account.
    pub fn of(account: &Account, userinfo: UserInfo) -> Self {
        Self {
            id: account.id,
            uuid: account.uuid,
            username: account.username.clone(),
            nickname: account.nickname.clone(),
            avatar: account.avatar.clone(),
            role: account.role,
            userset: account.userset.to_string(),
            userinfo,
        }
    }
}

/// What a profile shows beyond the account; it has the number of its account (data.md §2.2).
#[derive(Debug, Serialize, JsonSchema)]
#[allow(missing_docs, reason = "data.md §2.2 documents each field")]
pub struct UserInfo {
    pub id: UserId,
    pub gender: String,
    pub birthday: Option<String>,
    pub bio: Option<String>,
    pub location: Option<String>,
    pub website: Option<String>,
}

/// Settings of somebody before befriending.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Settings")]
pub struct SettingsObject {
    /// Whose.
    pub id: UserId,
    /// How strangers may write, as JSON text; may be empty.
    pub userset: String,
    /// 0: may be befriended at once.
    pub invite_confirm: i16,
    /// The public identifier.
    pub uuid: Uuid,
    /// Is the caller in that user's book?
    pub isgoodfriend: bool,
    /// False only if the caller is blacklisted there.
    pub isgoodfriend_status: bool,
}

impl SettingsObject {
    /// Of an account; `blocked` says whether the caller is blacklisted in its book, if the caller is in it.
    pub fn of(account: &Account, blocked: Option<bool>) -> Self {
        Self {
            id: account.id,
            userset: account.userset.to_string(),
            invite_confirm: account.invite_confirm,
            uuid: account.uuid,
            isgoodfriend: blocked.is_some(),
            isgoodfriend_status: blocked != Some(true),
        }
    }
}

/// What was changed.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum ProfileUpdated {
    /// The nickname.
    #[serde(rename = "修改昵称成功")]
    Nickname,
    /// The picture.
    #[serde(rename = "头像更新成功")]
    Avatar,
    /// Who may befriend one at once.
    #[serde(rename = "设置成功")]
    InviteConfirm,
    /// Nothing: there is no such field.
    #[serde(rename = "")]
    Nothing,
}
