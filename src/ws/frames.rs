//! What is said on a socket beside messages: refusals, welcome, hints, alert, ping and pong.

use serde_json::json;

use crate::{
    clock,
    commands::user::Account,
    events::{MessageId, Person, Role, Timestamp, enc},
    projections::message_object::{From, MessageObject, ShowModel, frame},
};

/// A refusal (ws.md §2).
pub fn refusal(text: &str) -> String {
    json!({"msg": "fail", "data": text}).to_string()
}

/// The first frame (ws.md §3).
pub fn welcome(at: Timestamp) -> String {
    json!({"type": "system", "data": "欢迎您访问我们的系统！", "timestamp": at.0}).to_string()
}

/// The heartbeat (ws.md §4).
pub const PING: &str = r#"{"type":"ping"}"#;

/// The answer to a client's ping (ws.md §8).
pub fn pong(at: Timestamp) -> String {
    json!({"type": "pong", "timestamp": at.0}).to_string()
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
pub fn hints(account: &Account, asset_base: &str, wanted: HintsFor) -> Vec<String> {
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
    hints.into_iter().map(|hint| hint.frame(account)).collect()
}

impl Hint {
    fn frame(self, account: &Account) -> String {
        let at = clock::now();
        let key = format!("redirect-{}-{}", self.key, account.id);
        let from = Person { id: account.id, name: self.name.into(), avatar: self.icon };
        let to = account.person();
        let id = MessageId(clock::random_id());
        let mut object = MessageObject::page(id, (&key, &from), &to, self.text, &self.url, at);
        object.group = Some(crate::projections::message_object::Group::Empty);
        frame(&object.json(), at)
    }
}

/// F1, the account alert (ws.md §6.4).
pub fn alert(account: &Account, asset_base: &str) -> String {
    let at = clock::now();
    let key = format!("redirect-forceLogout-{}", account.id);
    let text = format!(
        "您的账号于 {} 尝试在其它设备上登录，如果不是您的操作，那么您的账号密码可能已泄露，请及时修改密码",
        at.alert_text()
    );
    let from = Person {
        id: crate::events::UserId(0),
        name: "账号异常提示".into(),
        avatar: format!("{asset_base}/chat/kefu.png"),
    };
    let to = account.person();
    let mut object =
        MessageObject::page(MessageId(clock::random_id()), (&key, &from), &to, &text, "", at);
    object.from_id = From::User(from.id);
    object.redirect = Some(None);
    object.group = Some(crate::projections::message_object::Group::Empty);
    object.show_model = Some(ShowModel { kind: "forceLogin", content: &text });
    frame(&object.json(), at)
}
