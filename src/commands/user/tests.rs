//! Specifications of the rules: given what happened, when somebody asks, then this.

use super::*;
use crate::commands::specification::given;

fn register(uuid: Uuid, role: Role) -> UserCommand {
    UserCommand::Register {
        id: UserId(1),
        uuid,
        username: Username("VIS12345678".into()),
        role,
        device: None,
        avatar: "https://h/a.png".into(),
        at: Timestamp(1),
    }
}

fn has_registered(role: Role, device: Option<Device>) -> UserEvent {
    UserEvent::Registered {
        id: UserId(1),
        uuid: Uuid::nil(),
        username: Username("VIS12345678".into()),
        role,
        device,
        avatar: "https://h/a.png".into(),
        at: Timestamp(1),
    }
}

fn registered(role: Role) -> User {
    given([has_registered(role, None)])
}

#[test]
fn an_account_begins_as_it_is_registered() {
    let decided = User::default().decide(&register(Uuid::nil(), Role::Visitor));
    assert_eq!(decided, Ok(Some(has_registered(Role::Visitor, None))));
    let user = registered(Role::Visitor);
    let account = user.active().expect("registered");
    assert_eq!((account.id, account.role, account.status()), (UserId(1), Role::Visitor, 1));
    assert_eq!((account.name(), &*account.userset), ("VIS12345678", ""));
}

#[test]
fn a_change_happens_once() {
    let begin = has_registered(Role::Visitor, None);
    for (command, event) in [
        (
            UserCommand::Upgrade(Username("alice".into())),
            UserEvent::Upgraded { username: Username("alice".into()) },
        ),
        (
            UserCommand::SetNickname("six".into()),
            UserEvent::NicknameChanged { nickname: "six".into() },
        ),
        (
            UserCommand::SetAvatar("/6.png".into()),
            UserEvent::AvatarChanged { avatar: "/6.png".into() },
        ),
        (UserCommand::SetInviteConfirm(1), UserEvent::InviteConfirmChanged { invite_confirm: 1 }),
        (UserCommand::SetUserset("{}".into()), UserEvent::SettingsChanged { userset: "{}".into() }),
        (UserCommand::Disable, UserEvent::Disabled),
    ] {
        let before = given::<User>([begin.clone()]);
        assert_eq!(before.decide(&command), Ok(Some(event.clone())));
        let after = given::<User>([begin.clone(), event]);
        assert_eq!(after.decide(&command), Ok(None), "{command:?}");
    }
    let disabled = given::<User>([begin.clone(), UserEvent::Disabled]);
    assert_eq!(disabled.active(), None);
    assert_eq!(disabled.decide(&UserCommand::Enable), Ok(Some(UserEvent::Enabled)));
    let enabled = given::<User>([begin, UserEvent::Disabled, UserEvent::Enabled]);
    assert!(enabled.active().is_some());
}

#[test]
fn every_change_of_password_is_noted() {
    let begin = has_registered(Role::User, None);
    for events in [vec![begin.clone()], vec![begin, UserEvent::PasswordChanged]] {
        let decided = given::<User>(events).decide(&UserCommand::ChangePassword);
        assert_eq!(decided, Ok(Some(UserEvent::PasswordChanged)));
    }
}

/// Clarification 6.
#[test]
fn a_device_tells_more_and_forgets_nothing() {
    let known = Device { os: "O".into(), brand: "B".into(), ..Device::default() };
    let report = DeviceReport { os: Some("P".into()), ..DeviceReport::default() };
    let described = Device { os: "P".into(), ..known.clone() };
    let described = UserEvent::DeviceDescribed { device: described };
    let tell = UserCommand::DescribeDevice(report);
    let begin = has_registered(Role::Visitor, Some(known));
    assert_eq!(given::<User>([&begin]).decide(&tell), Ok(Some(described.clone())));
    assert_eq!(given::<User>([&begin, &described]).decide(&tell), Ok(None));
    assert_eq!(registered(Role::User).decide(&tell), Ok(None), "no device owns it");
}

#[test]
fn a_number_is_given_once() {
    let user = registered(Role::User);
    assert_eq!(user.decide(&register(Uuid::nil(), Role::User)), Ok(None));
    assert_eq!(user.decide(&register(Uuid::max(), Role::User)), Err(UserRejection::IdTaken));
}

#[test]
fn only_a_guest_is_upgraded() {
    let upgrade = UserCommand::Upgrade(Username("alice".into()));
    let upgraded = UserEvent::Upgraded { username: Username("alice".into()) };
    let guest = given::<User>([has_registered(Role::Visitor, None), upgraded]);
    let account = guest.account().expect("registered");
    assert_eq!((account.role, account.username.0.as_str()), (Role::User, "alice"));
    assert_eq!(guest.decide(&upgrade), Ok(None));
    assert_eq!(registered(Role::User).decide(&upgrade), Err(UserRejection::AlreadyRegistered));
}

#[test]
fn what_is_so_already_is_no_event() {
    let user = registered(Role::User);
    assert_eq!(user.decide(&UserCommand::SetNickname(String::new())), Ok(None));
    assert_eq!(user.decide(&UserCommand::Enable), Ok(None));
    assert_eq!(user.decide(&UserCommand::SetInviteConfirm(0)), Ok(None));
}

#[test]
fn an_upload_is_noted_each_time_and_leaves_the_account_as_it_was() {
    let mut user = registered(Role::Visitor);
    let before = user.clone();
    let uploaded = Uploaded {
        place: crate::events::UploadPlace::Folder,
        path: "Diy/a/20250924/1_2.png".into(),
        bytes: 3,
        media_type: "image/png".into(),
        sha256: "00".into(),
    };
    let note = UserCommand::NoteUpload(uploaded.clone());
    for _ in 0..2 {
        let event = user.decide(&note).expect("an account").expect("an event");
        assert_eq!(event, UserEvent::FileUploaded(uploaded.clone()));
        user.evolve(Position(1), &event);
        assert_eq!(user, before);
    }
}

#[test]
fn nobody_changes_an_account_that_is_not() {
    for command in [
        UserCommand::Upgrade(Username("alice".into())),
        UserCommand::DescribeDevice(DeviceReport::default()),
        UserCommand::SetNickname("six".into()),
        UserCommand::SetAvatar("/6.png".into()),
        UserCommand::SetInviteConfirm(1),
        UserCommand::SetUserset("{}".into()),
        UserCommand::ChangePassword,
        UserCommand::Disable,
        UserCommand::Enable,
    ] {
        assert_eq!(User::default().decide(&command), Err(UserRejection::Unknown));
    }
}

/// Nothing of it comes back, and what it says of its person is erased after that, once.
#[test]
fn an_account_is_deleted_for_good() {
    let erase = UserCommand::Erase { messages: 7, files: 1 };
    let erased = UserEvent::Erased { messages: 7, files: 1 };
    let begin = has_registered(Role::User, None);
    let mine = given::<User>([begin.clone()]);
    assert_eq!(mine.decide(&erase), Err(UserRejection::NotDeleted));
    assert_eq!(mine.decide(&UserCommand::Delete), Ok(Some(UserEvent::Deleted)));
    let gone = given::<User>([begin.clone(), UserEvent::Deleted]);
    assert_eq!(gone.decide(&UserCommand::Delete), Ok(None));
    for command in [UserCommand::Enable, UserCommand::Upgrade(Username("alice".into()))] {
        assert_eq!(gone.decide(&command), Err(UserRejection::Deleted));
    }
    assert_eq!(gone.decide(&erase), Ok(Some(erased.clone())));
    assert!(gone.active().is_none() && gone.account().is_some());
    let nobody = given::<User>([begin, UserEvent::Deleted, erased]);
    assert_eq!(nobody.decide(&erase), Ok(None));
    assert_eq!(nobody.account().map(Account::name), Some(""));
}
