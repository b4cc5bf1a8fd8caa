//! Friends, requests and the address book: parameters and answers (rest.md §9, §11–§19, §37, §40).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::{
    parameters::{Declare, Page, flag, id, name, one_of, page, request, text},
    users::UserInfo,
};
use crate::{
    commands::user::Account,
    events::{Answer, EdgeId, RequestId, Role, UserId, Username, Visibility},
};

request! {
    /// Whom to befriend.
    ApplyFriend {
        friend: UserId = id("friend_id", "我申请添加的好友id").map(UserId),
        // No name: it may have lines.
        text: Option<String> = introduction("我的昵称或者说明"),
    }
}

request! {
    /// Whom to befriend at once.
    AddFriend {
        friend: UserId = id("friend_id", "我申请添加的好友id").map(UserId),
        text: Option<String> = introduction("说明"),
    }
}

request! {
    /// Which requests.
    ListRequests {
        page: Page = page(10),
    }
}

request! {
    /// What becomes of a request.
    AnswerRequest {
        id: RequestId = id("id", "申请表的id").note("The number of the request (§12).").map(RequestId),
        remark: Option<String> = name("nickname", "好友备注", 50, "好友备注", "")
            .note("1–50 characters.")
            .or_default(""),
        answer: Option<Answer> = one_of("status", "处理状态", &[
            ("pending", None),
            ("refuse", Some(Answer::Refuse)),
            ("agree", Some(Answer::Agree)),
            ("ignore", Some(Answer::Ignore)),
        ]),
    }
}

request! {
    /// Which part of the address book.
    ListFriends {
        page: Page = page(2000),
    }
}

request! {
    /// Which friend.
    OfFriend {
        friend: UserId = id("id", "好友id").note("The friend's user id.").map(UserId),
    }
}

request! {
    /// Which user.
    OfUser {
        user: UserId = id("id", "朋友id").note("A user id.").map(UserId),
    }
}

request! {
    /// Who sees whose posts.
    SetVisibility {
        friend: UserId = id("id", "朋友id").note("A user id.").map(UserId),
        visibility: Visibility = (
            flag("friendlookme", "朋友是否可以看我的动态"),
            flag("melookfriend", "我的朋友圈是否出现朋友的信息（我是否看朋友的动态）"),
        )
            .map(|(friend_sees_mine, i_see_theirs)| Visibility { friend_sees_mine, i_see_theirs }),
    }
}

fn introduction(label: &'static str) -> impl Declare<Value = Option<String>> {
    text("nickname", label, (1, 50), "").note("1–50 characters.").or_default("")
}

/// A friend's number, remark and account.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Friend")]
pub struct FriendObject {
    /// The row of the address book.
    pub id: EdgeId,
    /// Whose book.
    pub user_id: UserId,
    /// Who is in it.
    pub friend_id: UserId,
    /// The owner's remark.
    pub nickname: String,
    /// The friend's account.
    pub friendinfo: FriendInfo,
}

/// The account of a friend.
#[derive(Debug, Serialize, JsonSchema)]
#[allow(missing_docs, reason = "data.md §2.1 documents each field")]
pub struct FriendInfo {
    pub id: UserId,
    pub username: Username,
    pub avatar: String,
    pub nickname: String,
    pub role: Role,
    pub status: i16,
    pub userinfo: UserInfo,
}

impl FriendInfo {
    /// Of an account.
    pub fn of(account: &Account, userinfo: UserInfo) -> Self {
        Self {
            id: account.id,
            username: account.username.clone(),
            avatar: account.avatar.clone(),
            nickname: account.nickname.clone(),
            role: account.role,
            status: account.status(),
            userinfo,
        }
    }
}

/// A row of an address book.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "FriendRow")]
#[allow(missing_docs, reason = "data.md §2.3 documents each field")]
pub struct FriendRowObject {
    pub id: EdgeId,
    pub user_id: UserId,
    pub friend_id: UserId,
    pub nickname: String,
    pub friendlookme: i16,
    pub melookfriend: i16,
    pub ismystarfriend: i16,
    pub isblack: i16,
    pub status: i16,
}

/// A request that waits for an answer.
#[derive(Debug, Serialize, JsonSchema)]
#[allow(missing_docs, reason = "data.md §2.4 documents each field")]
pub struct PendingRequest {
    pub id: RequestId,
    pub user_id: UserId,
    pub friend_id: UserId,
    pub nickname: String,
    pub friendlookme: i16,
    pub melookfriend: i16,
    pub ismystarfriend: i16,
    pub isblack: i16,
    pub status: &'static str,
    #[serde(rename = "userId")]
    pub asker: UserId,
}

impl PendingRequest {
    /// A request of `asker` to `asked`, in the asker's words.
    pub fn of(id: RequestId, asker: UserId, asked: UserId, text: String) -> Self {
        Self {
            id,
            user_id: asker,
            friend_id: asked,
            nickname: text,
            friendlookme: 1,
            melookfriend: 1,
            ismystarfriend: 0,
            isblack: 0,
            status: "pending",
            asker,
        }
    }
}

/// Requests, and how many wait.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FriendRequests {
    /// Those of the page.
    pub alldata: Vec<FriendRequest>,
    /// Those that wait, on other pages too.
    #[serde(rename = "pendingCount")]
    pub pending: i64,
}

/// A request and who asks.
#[derive(Debug, Serialize, JsonSchema)]
#[allow(missing_docs, reason = "data.md §2.4 documents each field")]
pub struct FriendRequest {
    pub create_time: String,
    pub id: RequestId,
    pub user_id: UserId,
    pub friend_id: UserId,
    pub nickname: String,
    pub friendlookme: i16,
    pub melookfriend: i16,
    pub ismystarfriend: i16,
    pub isblack: i16,
    pub status: String,
    pub order: u8,
    pub update_time: String,
    #[serde(rename = "userId")]
    pub asker: UserId,
    pub user: Asker,
}

/// Who asks to be a friend.
#[derive(Debug, Serialize, JsonSchema)]
#[allow(missing_docs, reason = "data.md §2.1 documents each field")]
pub struct Asker {
    pub id: UserId,
    pub username: String,
    pub avatar: String,
    pub nickname: String,
    pub uuid: Uuid,
}

/// An address book, in sections.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AddressBook")]
pub struct AddressBookObject {
    /// How many friends the page has.
    pub count: usize,
    /// The sections; an empty list if there are none.
    pub rows: Rows,
}

/// The sections of an address book, or none.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum Rows {
    /// With friends.
    Sections(Sections),
    /// Without.
    None(#[schemars(with = "Vec<Section>", length(max = 0))] [Section; 0]),
}

/// The sections of an address book.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Sections {
    /// The sections, in the order of their letters, `#` last.
    #[serde(rename = "newList")]
    pub list: Vec<Section>,
    /// Their letters.
    #[serde(rename = "indexList")]
    pub index: Vec<char>,
    /// How many they are.
    pub total: usize,
}

/// A section of an address book.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Section {
    /// The first letter of the pinyin of each name in it, or `#`.
    pub title: char,
    /// Its friends.
    pub list: Vec<AddressBookEntry>,
}

/// A friend in an address book.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AddressBookEntry {
    /// The row of the address book.
    pub id: EdgeId,
    /// The owner's remark.
    pub beizhu: String,
    /// The friend's log-in name.
    pub username: String,
    /// The friend's picture.
    pub avatar: String,
    /// The friend's display name.
    pub friend_nickname: String,
    /// Who it is.
    pub friend_id: UserId,
    /// Remark, nickname or username: what is shown, and decides the section.
    pub name: String,
    /// The friend's public identifier.
    pub uuid: Uuid,
}

impl AddressBookObject {
    /// Friends, each with the letter of their section.
    pub fn of(friends: Vec<(char, AddressBookEntry)>, last: char) -> Self {
        let count = friends.len();
        if count == 0 {
            return Self { count, rows: Rows::None([]) };
        }
        let mut sections = BTreeMap::<_, Vec<AddressBookEntry>>::new();
        for (title, entry) in friends {
            sections.entry((title == last, title)).or_default().push(entry);
        }
        let index: Vec<char> = sections.keys().map(|(_, title)| *title).collect();
        let section = |((_, title), list)| Section { title, list };
        let list: Vec<Section> = sections.into_iter().map(section).collect();
        let total = list.len();
        Self { count, rows: Rows::Sections(Sections { list, index, total }) }
    }
}

/// The friendship has ended.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum Unfriended {
    /// Done.
    #[serde(rename = "删除好友成功")]
    Done,
}
