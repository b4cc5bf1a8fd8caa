//! The rules of an account.

#![expect(missing_docs, reason = "a field whose name says what it is needs no comment")]

use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use super::decider::Decider;
use crate::events::{
    Device, Position, Role, Timestamp, Uploaded, UserEvent, UserId, UserSummary, Username,
};

/// An account as the rules see it.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum User {
    /// Nobody has this number.
    #[default]
    Unregistered,
    /// Somebody has.
    Registered(Box<Account>),
}

/// A registered or guest account.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Account {
    pub id: UserId,
    /// Its public identifier.
    pub uuid: Uuid,
    /// Its log-in name.
    pub username: Username,
    /// The display name; may be empty.
    pub nickname: String,
    /// Its picture; never empty.
    pub avatar: String,
    /// The row role (data.md §5.1).
    pub role: Role,
    /// The device that owns it, if one does.
    pub device: Option<Device>,
    /// The settings, word for word; may be empty. Shared, since every request copies the account of its caller.
    pub userset: Arc<str>,
    /// Who may befriend it at once.
    pub invite_confirm: i16,
    /// Shut by an administrator, or deleted?
    pub disabled: bool,
    /// Given up for good?
    pub deleted: bool,
    /// Is what it said of the person gone?
    pub erased: bool,
    /// When it came to be.
    pub registered_at: Timestamp,
}

impl Account {
    /// Nickname, else username.
    pub fn name(&self) -> &str {
        if self.nickname.is_empty() { &self.username.0 } else { &self.nickname }
    }

    /// How this account appears now, under its own name.
    pub fn summary(&self) -> UserSummary {
        self.summary_called(self.name())
    }

    /// How this account appears to somebody who calls it `name`.
    pub fn summary_called(&self, name: &str) -> UserSummary {
        UserSummary { id: self.id, name: name.to_owned(), avatar: self.avatar.clone() }
    }

    /// 1 normal, 0 disabled (data.md §2.1).
    pub fn status(&self) -> i16 {
        i16::from(!self.disabled)
    }
}

impl User {
    /// The account, if there is one.
    pub fn account(&self) -> Option<&Account> {
        match self {
            Self::Unregistered => None,
            Self::Registered(account) => Some(account),
        }
    }

    /// The account, if it exists and has status 1.
    pub fn active(&self) -> Option<&Account> {
        self.account().filter(|account| !account.disabled)
    }
}

/// What can be asked of an account.
#[derive(Debug, Clone)]
pub enum UserCommand {
    /// Come to be.
    Register {
        id: UserId,
        /// Its public identifier.
        uuid: Uuid,
        /// Its log-in name.
        username: Username,
        /// Registered or guest.
        role: Role,
        /// A guest's device.
        device: Option<Device>,
        /// The picture to begin with.
        avatar: String,
        at: Timestamp,
    },
    /// Become a registered user.
    Upgrade(Username),
    /// Note what the device says of itself; `None` fields keep their value.
    DescribeDevice(DeviceReport),
    /// Another display name.
    SetNickname(String),
    /// Another picture.
    SetAvatar(String),
    /// Who may befriend me at once.
    SetInviteConfirm(i16),
    /// Other settings.
    SetUserset(String),
    /// Note that the password changed.
    ChangePassword,
    /// Note that a file of the user's is stored. It changes nothing that a rule asks about.
    NoteUpload(Uploaded),
    /// Shut the account.
    Disable,
    /// Open it again.
    Enable,
    /// Give it up for good.
    Delete,
    /// Note that what it says of the person is gone.
    Erase {
        /// Messages that are empty now.
        messages: u64,
        /// Files that were deleted.
        files: u64,
    },
}

/// A device about itself: what is absent stays as it was (clarification 6).
#[derive(Debug, Clone, Default)]
pub struct DeviceReport {
    /// Kind of platform.
    pub uniplatform: Option<String>,
    pub model: Option<String>,
    pub os: Option<String>,
    pub brand: Option<String>,
}

impl DeviceReport {
    /// `known` with what this report adds.
    pub fn over(&self, known: &Device) -> Device {
        let pick = |new: &Option<String>, old: &String| new.as_ref().unwrap_or(old).clone();
        Device {
            fingerprint: known.fingerprint.clone(),
            uniplatform: pick(&self.uniplatform, &known.uniplatform),
            model: pick(&self.model, &known.model),
            os: pick(&self.os, &known.os),
            brand: pick(&self.brand, &known.brand),
        }
    }
}

/// Why an account says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UserRejection {
    /// The number belongs to another account.
    #[error("this id belongs to another account")]
    IdTaken,
    /// There is no such account.
    #[error("there is no such account")]
    Unknown,
    /// Only guests can be upgraded.
    #[error("the account is registered already")]
    AlreadyRegistered,
    /// Nothing of a deleted account comes back.
    #[error("the account was deleted")]
    Deleted,
    /// Only what was given up is erased.
    #[error("the account was not deleted")]
    NotDeleted,
}

impl Decider for User {
    type Id = UserId;
    type Command = UserCommand;
    type Event = UserEvent;
    type Rejection = UserRejection;

    fn decide(&self, command: &UserCommand) -> Result<Option<UserEvent>, UserRejection> {
        match (self, command) {
            (Self::Unregistered, UserCommand::Register { .. }) => Ok(Some(registered(command))),
            (Self::Unregistered, _) => Err(UserRejection::Unknown),
            (Self::Registered(account), command) => account.decide(command),
        }
    }

    fn evolve(&mut self, _: Position, event: &UserEvent) {
        if let UserEvent::Registered { id, uuid, username, role, device, avatar, at } = event {
            *self = Self::Registered(Box::new(Account {
                id: *id,
                uuid: *uuid,
                username: username.clone(),
                nickname: String::new(),
                avatar: avatar.clone(),
                role: *role,
                device: device.clone(),
                userset: Arc::default(),
                invite_confirm: 0,
                disabled: false,
                deleted: false,
                erased: false,
                registered_at: *at,
            }));
        } else if let Self::Registered(account) = self {
            account.evolve(event);
        }
    }
}

fn registered(command: &UserCommand) -> UserEvent {
    let UserCommand::Register { id, uuid, username, role, device, avatar, at } = command.clone()
    else {
        unreachable!("called for this command only")
    };
    UserEvent::Registered { id, uuid, username, role, device, avatar, at }
}

impl Account {
    fn decide(&self, command: &UserCommand) -> Result<Option<UserEvent>, UserRejection> {
        let event = match command.clone() {
            UserCommand::Register { uuid, .. } if uuid == self.uuid => return Ok(None),
            UserCommand::Register { .. } => return Err(UserRejection::IdTaken),
            UserCommand::Upgrade(_) | UserCommand::Enable if self.deleted => {
                return Err(UserRejection::Deleted);
            }
            UserCommand::Upgrade(username) => match self.role {
                Role::Visitor => Some(UserEvent::Upgraded { username }),
                Role::User if username == self.username => None,
                Role::User => return Err(UserRejection::AlreadyRegistered),
            },
            UserCommand::DescribeDevice(report) => self
                .device
                .as_ref()
                .map(|known| report.over(known))
                .filter(|device| Some(device) != self.device.as_ref())
                .map(|device| UserEvent::DeviceDescribed { device }),
            UserCommand::SetNickname(nickname) => {
                (nickname != self.nickname).then_some(UserEvent::NicknameChanged { nickname })
            }
            UserCommand::SetAvatar(avatar) => {
                (avatar != self.avatar).then_some(UserEvent::AvatarChanged { avatar })
            }
            UserCommand::SetInviteConfirm(invite_confirm) => (invite_confirm
                != self.invite_confirm)
                .then_some(UserEvent::InviteConfirmChanged { invite_confirm }),
            UserCommand::SetUserset(userset) => {
                (*userset != *self.userset).then_some(UserEvent::SettingsChanged { userset })
            }
            UserCommand::ChangePassword => Some(UserEvent::PasswordChanged),
            UserCommand::NoteUpload(uploaded) => Some(UserEvent::FileUploaded(uploaded)),
            UserCommand::Disable => (!self.disabled).then_some(UserEvent::Disabled),
            UserCommand::Enable => self.disabled.then_some(UserEvent::Enabled),
            UserCommand::Delete => (!self.deleted).then_some(UserEvent::Deleted),
            UserCommand::Erase { .. } if !self.deleted => return Err(UserRejection::NotDeleted),
            UserCommand::Erase { messages, files } => {
                (!self.erased).then_some(UserEvent::Erased { messages, files })
            }
        };
        Ok(event)
    }

    fn evolve(&mut self, event: &UserEvent) {
        match event.clone() {
            UserEvent::Registered { .. }
            | UserEvent::PasswordChanged
            | UserEvent::FileUploaded(_) => {}
            UserEvent::Upgraded { username } => {
                self.username = username;
                self.role = Role::User;
            }
            UserEvent::DeviceDescribed { device } => self.device = Some(device),
            UserEvent::NicknameChanged { nickname } => self.nickname = nickname,
            UserEvent::AvatarChanged { avatar } => self.avatar = avatar,
            UserEvent::InviteConfirmChanged { invite_confirm } => {
                self.invite_confirm = invite_confirm;
            }
            UserEvent::SettingsChanged { userset } => self.userset = userset.into(),
            UserEvent::Disabled => self.disabled = true,
            UserEvent::Enabled => self.disabled = false,
            UserEvent::Deleted => (self.disabled, self.deleted) = (true, true),
            // As whoever folds the events from now on finds it.
            UserEvent::Erased { .. } => {
                self.erased = true;
                (self.username.0, self.nickname, self.avatar) = Default::default();
                (self.userset, self.device) = (Arc::default(), None);
            }
        }
    }
}

#[cfg(test)]
mod tests;
