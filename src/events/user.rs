//! Account events are about one account: its name, its picture, what it allows, its uploads.

#![expect(missing_docs, reason = "a field whose name says what it is needs no comment")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    ids::UserId,
    values::{Role, Timestamp, Username},
};

/// A fact about one account. Additive only: what a log once held stays readable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "data")]
pub enum UserEvent {
    /// The account came to be: somebody registered (rest.md §2), or a device got its guest identity (rest.md §4).
    #[serde(rename = "user.registered.v1")]
    Registered {
        id: UserId,
        /// Its public identifier.
        #[schemars(extend("x-personal" = "person"))]
        uuid: Uuid,
        /// Its log-in name; a guest's is made from the device.
        username: Username,
        /// Registered or guest.
        role: Role,
        /// The device that owns a guest's account.
        device: Option<Device>,
        /// Its picture, until it is changed.
        #[schemars(extend("x-personal" = "picture"))]
        avatar: String,
        at: Timestamp,
    },
    /// A guest became a registered user, under the name that they chose (rest.md §5).
    #[serde(rename = "user.upgraded.v1")]
    Upgraded {
        /// The name chosen.
        username: Username,
    },
    /// A guest's device told about itself, and it is not as it was (rest.md §4).
    #[serde(rename = "user.device_described.v1")]
    DeviceDescribed {
        /// As it is now.
        device: Device,
    },
    /// The user has another display name (rest.md §38).
    #[serde(rename = "user.nickname_changed.v1")]
    NicknameChanged {
        /// May be empty.
        #[schemars(extend("x-personal" = "name"))]
        nickname: String,
    },
    /// The user has another picture (rest.md §38).
    #[serde(rename = "user.avatar_changed.v1")]
    AvatarChanged {
        #[schemars(extend("x-personal" = "picture"))]
        avatar: String,
    },
    /// The user answers otherwise to "who may befriend me at once?" (rest.md §10, data.md §6.2).
    #[serde(rename = "user.invite_confirm_changed.v1")]
    InviteConfirmChanged {
        /// 0: anybody; 1: I approve.
        invite_confirm: i16,
    },
    /// The user has other settings, kept word for word (rest.md §10, data.md §6.1).
    #[serde(rename = "user.settings_changed.v1")]
    SettingsChanged {
        /// The JSON text.
        #[schemars(extend("x-personal" = "content"))]
        userset: String,
    },
    /// The password is another one, by the user or an operator (rest.md §42); what it is stays in the credential store.
    #[serde(rename = "user.password_changed.v1")]
    PasswordChanged,
    /// A file of this user's is stored (rest.md §33, §34, §35); its name on their device is not kept.
    #[serde(rename = "user.file_uploaded.v1")]
    FileUploaded(Uploaded),
    /// An operator shut the account.
    #[serde(rename = "user.disabled.v1")]
    Disabled,
    /// An operator opened the account again.
    #[serde(rename = "user.enabled.v1")]
    Enabled,
    /// The person, or an operator for them, gave the account up for good. What it says of them is erased next.
    #[serde(rename = "user.deleted.v1")]
    Deleted,
    /// The keys of what the person wrote and how they were called are gone (ADR 0038): whoever reads the log from now on
    /// finds that empty.
    #[serde(rename = "user.erased.v1")]
    Erased {
        /// Messages that are empty now.
        messages: u64,
        /// Files that were deleted.
        files: u64,
    },
}

/// A file that the service keeps for a user (rest.md §33–§35).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Uploaded {
    /// Which store has it.
    pub place: UploadPlace,
    /// Where in that store: `Diy/chatImgs/20250924/1758692400000_48213377.png`.
    #[schemars(extend("x-personal" = "picture"))]
    pub path: String,
    pub bytes: u64,
    /// What it is, by its content.
    #[schemars(extend("x-personal" = "none"))]
    pub media_type: String,
    /// SHA-256 of its content, in hexadecimal digits.
    #[schemars(extend("x-personal" = "content"))]
    pub sha256: String,
}

/// Where files are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UploadPlace {
    /// The folder that the gateways share.
    Folder,
    /// The object store.
    ObjectStore,
}

/// A guest's device (rest.md §4).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Device {
    /// 36 letters, digits, `_` and `-`, made by the client.
    #[schemars(extend("x-personal" = "device"))]
    pub fingerprint: String,
    /// Kind of platform.
    #[serde(default)]
    #[schemars(extend("x-personal" = "device"))]
    pub uniplatform: String,
    #[serde(default)]
    #[schemars(extend("x-personal" = "device"))]
    pub model: String,
    #[serde(default)]
    #[schemars(extend("x-personal" = "device"))]
    pub os: String,
    #[serde(default)]
    #[schemars(extend("x-personal" = "device"))]
    pub brand: String,
}
