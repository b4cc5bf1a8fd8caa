//! Frames: what is sent over a socket. A chat message object has its frame around it; refusals, the welcome, hints, the
//! account alert and the heartbeat are whole here.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use time::macros::format_description;
use uuid::Uuid;

use super::{
    message_object::{GroupPart, MessageObject, SenderId, ShowModel},
    reply::Failed,
};
use crate::{
    commands::user::Account,
    events::{MessageId, Role, Timestamp, UserId, UserSummary, enc},
};

/// What comes over a socket, but for a refusal.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(tag = "type")]
pub enum Frame<'a> {
    /// The first one.
    #[serde(rename = "system")]
    Welcome {
        /// A text to be shown.
        data: &'static str,
        /// When it was sent.
        timestamp: Timestamp,
    },
    /// The heartbeat.
    #[serde(rename = "ping")]
    Ping,
    /// The answer to a client's `ping`.
    #[serde(rename = "pong")]
    Pong {
        /// When it was sent.
        timestamp: Timestamp,
    },
    /// A message, whether of a person, a group or the service.
    #[serde(rename = "singleChat")]
    Message {
        /// The message.
        #[schemars(with = "MessageObject<'static>")]
        data: &'a RawValue,
        /// When it was sent.
        timestamp: Timestamp,
    },
}

fn json(frame: &impl Serialize) -> String {
    serde_json::to_string(frame).expect("frames are plain data")
}

/// A refusal (ws.md §2).
pub fn refusal(text: &str) -> String {
    Failed::because(text).json()
}

/// The first frame (ws.md §3).
pub fn welcome(at: Timestamp) -> String {
    json(&Frame::Welcome { data: "欢迎您访问我们的系统！", timestamp: at })
}

/// The heartbeat (ws.md §4).
pub fn ping() -> String {
    json(&Frame::Ping)
}

/// The answer to a client's ping (ws.md §8).
pub fn pong(at: Timestamp) -> String {
    json(&Frame::Pong { timestamp: at })
}

/// A `singleChat` frame around a message object's JSON, as [`Frame::Message`] is written: objects are kept as text, and
/// each is put into as many frames as it has recipients on different nodes.
pub fn message(object: &str, at: Timestamp) -> String {
    let mut frame = String::with_capacity(object.len() + 64);
    frame.push_str(r#"{"type":"singleChat","data":"#);
    frame.push_str(object);
    frame.push_str(r#","timestamp":"#);
    frame.push_str(&at.0.to_string());
    frame.push('}');
    frame
}

/// What the hints depend on beside the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HintsFor {
    /// The role of the token.
    pub role: Role,
    /// Has the user a membership?
    pub in_groups: bool,
    /// Has the user a friend?
    pub has_friends: bool,
}

struct Hint {
    key: &'static str,
    name: &'static str,
    text: &'static str,
    icon: String,
    url: String,
}

/// The start-up hints, in their order (ws.md §3.4, §6.1).
pub fn hints(
    account: &Account,
    asset_base: &str,
    wanted: HintsFor,
    (at, new_id): (Timestamp, impl Fn() -> Uuid),
) -> Vec<String> {
    let asset = |path: &str| format!("{asset_base}{path}");
    let set_page = "/pages/setpageInfo/setpageInfo?action=";
    let groups = || Hint {
        key: "groupList",
        name: "我的群聊",
        text: "可查看我加入的群聊列表",
        icon: asset("/chat/img/grouplist.png"),
        url: format!(
            "/pages/applyMyfriend/applyMyfriend?action=grouplist&title={}",
            enc("我的群聊列表")
        ),
    };
    let friends = || Hint {
        key: "friendsList",
        name: "我的通讯录",
        text: "可查看我的通讯录好友",
        icon: asset("/chat/img/friendList.png"),
        url: "/pages/friendsList/friendsList".into(),
    };
    let avatar = || Hint {
        key: "userInfoSet",
        name: "头像设置",
        text: "不满意你的头像可以更换",
        icon: account.avatar.clone(),
        url: format!(
            "{set_page}userinfoSet&title={}&redirectUrl={}&redirectType=switchTab",
            enc("账号信息设置"),
            enc("/pages/wode/wode")
        ),
    };
    let who_can_chat = || Hint {
        key: "whoCanChatMe",
        name: "聊天消息条数限制",
        text: "谁可以和我聊天，可向我发几条消息",
        icon: asset("/chat/img/whoCanChatMe.png"),
        url: format!("{set_page}chatset&title={}", enc("和我聊天设置")),
    };
    let qr_code = || Hint {
        key: "myQrcode",
        name: "我的二维码",
        text: "展示给别人加你为好友",
        icon: asset("/chat/img/myQrcode1.png"),
        url: format!(
            "{set_page}groupQrcode&title={}&id={}&name={}&avatar={}&chatType=single",
            enc("我的二维码"),
            account.id,
            enc(account.name()),
            enc(&account.avatar)
        ),
    };
    let search = || Hint {
        key: "search",
        name: "搜索加好友",
        text: "搜索账号加好友或聊天",
        icon: asset("/chat/img/search.png"),
        url: "/pages/search/search".into(),
    };
    let log_in = || Hint {
        key: "visitorLogin",
        name: "系统消息",
        text: "欢迎您，登录可以获取更多功能！",
        icon: asset("/chat/kefu.png"),
        url: "/pages/loginCenter/loginCenter".into(),
    };
    let mut hints = Vec::new();
    if wanted.in_groups {
        hints.push(groups());
    }
    match wanted.role {
        Role::Visitor => hints.extend([who_can_chat(), log_in()]),
        Role::User => {
            if wanted.has_friends {
                hints.push(friends());
            }
            hints.extend([avatar(), who_can_chat(), qr_code(), search()]);
        }
    }
    hints.into_iter().map(|hint| hint.frame(account, at, MessageId(new_id()))).collect()
}

impl Hint {
    fn frame(self, account: &Account, at: Timestamp, id: MessageId) -> String {
        let key = format!("redirect-{}-{}", self.key, account.id);
        let from = UserSummary { id: account.id, name: self.name.into(), avatar: self.icon };
        let to = account.summary();
        let mut object = MessageObject::page(id, (&key, &from), &to, self.text, &self.url, at);
        object.group = Some(GroupPart::Empty);
        message(&object.json(), at)
    }
}

/// F1, the account alert (ws.md §6.4).
pub fn alert(account: &Account, asset_base: &str, (at, id): (Timestamp, Uuid)) -> String {
    let key = format!("redirect-forceLogout-{}", account.id);
    let text = format!(
        "您的账号于 {} 尝试在其它设备上登录，如果不是您的操作，那么您的账号密码可能已泄露，请及时修改密码",
        alert_time(at)
    );
    let from = UserSummary {
        id: UserId(0),
        name: "账号异常提示".into(),
        avatar: format!("{asset_base}/chat/kefu.png"),
    };
    let to = account.summary();
    let mut object = MessageObject::page(MessageId(id), (&key, &from), &to, &text, "", at);
    object.from_id = SenderId::User(from.id);
    object.redirect = Some(None);
    object.group = Some(GroupPart::Empty);
    object.show_model = Some(ShowModel { kind: "forceLogin", content: &text });
    message(&object.json(), at)
}

/// `2025年09月24日 9:05:07` in UTC+08:00.
fn alert_time(at: Timestamp) -> String {
    at.local_text(format_description!(
        "[year]年[month]月[day]日 [hour padding:none]:[minute]:[second]"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_an_alert_reads_as_clients_expect() {
        assert_eq!(alert_time(Timestamp(1_758_675_907_004)), "2025年09月24日 9:05:07");
    }

    #[test]
    fn a_message_is_framed_as_its_type_says() {
        let (object, timestamp) = (r#"{"id":"x","options":{}}"#, Timestamp(1_758_675_907_004));
        let data: &RawValue = serde_json::from_str(object).expect("JSON");
        assert_eq!(message(object, timestamp), json(&Frame::Message { data, timestamp }));
        assert_eq!(ping(), r#"{"type":"ping"}"#);
        assert_eq!(pong(timestamp), r#"{"type":"pong","timestamp":1758675907004}"#);
    }
}
