//! What people may try, in any order.

use hongyan::{
    commands::user::{DeviceReport, UserCommand},
    events::{NodeId, Role, UploadPlace, Uploaded, UserId, Username},
};
use proptest::collection::{SizeRange, vec};
use proptest::prelude::{Just, Strategy, any};
use proptest::strategy::Union;
use uuid::Uuid;

/// So many that chats, edges and queues of one do not stand for those of all.
pub const PEOPLE: i64 = 4;

const TEXTS: [&str; 5] = ["", "鸿雁", "it's \"quoted\" \\ {}", "🪿\u{301}\n", "{\"a\":[null]}"];

/// Something that somebody tries.
#[derive(Debug, Clone)]
pub struct Step {
    /// What.
    pub what: What,
    /// Who tries.
    pub who: UserId,
    /// With whom, where it takes two.
    pub whom: UserId,
    /// Decides what the step leaves open.
    pub pick: u16,
}

/// What it may be.
#[derive(Debug, Clone, Copy)]
pub enum What {
    Register,
    ChangeAccount,
    LogIn,
    LogOut,
    Connect,
    Disconnect,
    Ask,
    Answer,
    Befriend,
    End,
    Block,
    Star,
    Show,
    Send,
    Revoke,
    Deliver,
    MakeGroup,
    Rule,
    Join,
    Decide,
    Name,
    Leave,
    Say,
    TakeBack,
    QuickReply,
    Complain,
}

/// How often.
const WEIGHTS: [(u32, What); 26] = [
    (6, What::Register),
    (6, What::ChangeAccount),
    (4, What::LogIn),
    (1, What::LogOut),
    (4, What::Connect),
    (3, What::Disconnect),
    (4, What::Ask),
    (4, What::Answer),
    (2, What::Befriend),
    (1, What::End),
    (2, What::Block),
    (2, What::Star),
    (2, What::Show),
    (12, What::Send),
    (5, What::Revoke),
    (4, What::Deliver),
    (2, What::MakeGroup),
    (4, What::Rule),
    (6, What::Join),
    (5, What::Decide),
    (2, What::Name),
    (1, What::Leave),
    (6, What::Say),
    (3, What::TakeBack),
    (4, What::QuickReply),
    (4, What::Complain),
];

/// So many steps.
pub fn steps(count: impl Into<SizeRange>) -> impl Strategy<Value = Vec<Step>> {
    let weighted = WEIGHTS.map(|(weight, what)| (weight, Just(what)));
    let what = Union::new_weighted(weighted.to_vec());
    let person = || (1..=PEOPLE).prop_map(UserId);
    let step = (what, person(), person(), any::<u16>());
    vec(step.prop_map(|(what, who, whom, pick)| Step { what, who, whom, pick }), count)
}

/// Another account, in one of all the ways.
pub fn change(pick: u16) -> UserCommand {
    let (what, text) = (pick % 11, text(pick / 11));
    match what {
        // Rarely, since nothing else happens to such an account any more.
        _ if pick > 65_000 => UserCommand::Delete,
        _ if pick > 64_000 => UserCommand::Erase { messages: 7, files: 1 },
        0 => UserCommand::Upgrade(Username(format!("new name {pick}"))),
        1 => {
            UserCommand::DescribeDevice(DeviceReport { os: Some(text), ..DeviceReport::default() })
        }
        2 => UserCommand::SetNickname(text),
        3 => UserCommand::SetAvatar(format!("https://example.org/{pick}.png")),
        4 => UserCommand::SetInviteConfirm(i16::from(pick > 9_999)),
        5 | 6 => {
            let count = pick / 10 % 3;
            let both = format!(r#"{{"chatset":{{"user":{count},"visitor":{count}}}}}"#);
            UserCommand::SetUserset(both)
        }
        7 => UserCommand::ChangePassword,
        8 => UserCommand::Disable,
        9 => UserCommand::NoteUpload(Uploaded {
            place: UploadPlace::Folder,
            path: format!("Diy/{pick}.png"),
            bytes: u64::from(pick),
            media_type: "image/png".into(),
            sha256: text,
        }),
        _ => UserCommand::Enable,
    }
}

/// One of them.
pub fn one_of<T: Copy>(all: &[T], pick: u16) -> T {
    all[usize::from(pick) % all.len()]
}

/// One of the last few.
pub fn recent<T>(all: &[T], pick: u16) -> Option<&T> {
    all.iter().rev().nth(usize::from(pick % 8))
}

/// One of the texts that something could stumble over.
pub fn text(pick: u16) -> String {
    one_of(&TEXTS, pick).to_owned()
}

/// One of both.
pub fn role(pick: u16) -> Role {
    one_of(&[Role::User, Role::Visitor], pick)
}

/// One of two gateways.
pub fn node(pick: u16) -> NodeId {
    NodeId(Uuid::from_u128(1_000_000 + u128::from(pick % 2)))
}
