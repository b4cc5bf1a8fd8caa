//! Account events are about one account: its name, its picture, what it allows, its uploads.

#![expect(missing_docs, reason = "a field whose name says what it is needs no comment")]

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    ids::UserId,
    values::{Role, Timestamp, Username},
};

/// A fact about one account. Additive only: what a log once held stays readable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum UserEvent {
    /// The account came to be.
    #[serde(rename = "user.registered.v1")]
    Registered {
        id: UserId,
        /// Its public identifier.
        uuid: Uuid,
        /// Its log-in name; a guest's is made from the device.
        username: Username,
        /// Registered or guest.
        role: Role,
        /// The device that owns a guest's account.
        device: Option<Device>,
        /// Its picture, until it is changed.
        avatar: String,
        at: Timestamp,
    },
    /// A guest became a registered user (rest.md §5).
    #[serde(rename = "user.upgraded.v1")]
    Upgraded {
        /// The name chosen.
        username: Username,
    },
    /// A guest's device told about itself.
    #[serde(rename = "user.device_described.v1")]
    DeviceDescribed {
        /// As it is now.
        device: Device,
    },
    /// Another display name.
    #[serde(rename = "user.nickname_changed.v1")]
    NicknameChanged {
        /// May be empty.
        nickname: String,
    },
    /// Another picture.
    #[serde(rename = "user.avatar_changed.v1")]
    AvatarChanged { avatar: String },
    /// Another answer to "who may befriend me at once?" (data.md §6.2).
    #[serde(rename = "user.invite_confirm_changed.v1")]
    InviteConfirmChanged {
        /// 0: anybody; 1: I approve.
        invite_confirm: i16,
    },
    /// Other settings, kept word for word (data.md §6.1).
    #[serde(rename = "user.settings_changed.v1")]
    SettingsChanged {
        /// The JSON text.
        userset: String,
    },
    /// The password is another one; what it is stays in the credential store.
    #[serde(rename = "user.password_changed.v1")]
    PasswordChanged,
    /// A file of this user's is stored; its name on their device is not kept.
    #[serde(rename = "user.file_uploaded.v1")]
    FileUploaded(Uploaded),
    /// An administrator shut the account.
    #[serde(rename = "user.disabled.v1")]
    Disabled,
    /// An administrator opened it again.
    #[serde(rename = "user.enabled.v1")]
    Enabled,
}

/// A file that the service keeps for a user (rest.md §33–§35).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uploaded {
    /// Which store has it.
    pub place: UploadPlace,
    /// Where in that store: `Diy/chatImgs/20250924/1758692400000_48213377.png`.
    pub path: String,
    pub bytes: u64,
    /// What it is, by its content.
    pub media_type: String,
    /// SHA-256 of its content, in hexadecimal digits.
    pub sha256: String,
}

/// Where files are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UploadPlace {
    /// The folder that the gateways share.
    Folder,
    /// The object store.
    ObjectStore,
}

/// A guest's device (rest.md §4).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Device {
    /// 36 letters, digits, `_` and `-`, made by the client.
    pub fingerprint: String,
    /// Kind of platform.
    #[serde(default)]
    pub uniplatform: String,
    #[serde(default)]
    pub model: String,
    #[serde(default)]
    pub os: String,
    #[serde(default)]
    pub brand: String,
}
