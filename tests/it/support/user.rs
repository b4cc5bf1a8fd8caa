//! A person with an account, as a client sees it.

use std::ops::Deref;

use serde_json::{Value, json};

use super::api::{Api, Reply};
use super::process::until;
use super::socket::Socket;

/// The password of every account that a test does not choose one for.
pub const PASSWORD: &str = "a good one";

/// An account and the token of its newest log-in. Calls go through [`Api`].
#[derive(Debug, Clone)]
pub struct User {
    /// The numeric id.
    pub id: u64,
    /// The public id.
    pub uuid: String,
    /// The log-in name.
    pub username: String,
    /// The login reply (`rest.md` §0.5).
    pub full: Value,
    api: Api,
}

impl Deref for User {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

impl User {
    /// Takes what a log-in answered.
    pub fn from_login(api: &Api, full: Value) -> Self {
        let text =
            |key: &str| full[key].as_str().unwrap_or_else(|| panic!("{key} in {full}")).to_owned();
        Self {
            id: full["id"].as_u64().expect("ids are numbers"),
            uuid: text("uuid"),
            username: text("username"),
            api: api.with_token(&text("token")),
            full,
        }
    }

    /// The same log-in at another gateway.
    pub fn via(&self, origin: String) -> Self {
        Self { api: self.api.at(origin), ..self.clone() }
    }

    /// Logs in once more: the older token ends.
    pub async fn login(&self) -> Self {
        Self::from_login(&self.api, self.try_login().await.ok())
    }

    /// Logs in once more, if the service lets them.
    pub async fn try_login(&self) -> Reply {
        let body = json!({ "username": self.username, "password": PASSWORD });
        self.api.post("/api/loginChat", body).await
    }

    /// Opens a socket, past the welcome and the hints. A gateway that is not live drops it, and a client comes back.
    pub async fn connect(&self) -> Socket {
        until("a socket is greeted", async || {
            let mut socket = self.connect_raw().await;
            socket.is_greeted().await.then_some(socket)
        })
        .await
    }

    /// Opens a socket without reading from it.
    pub async fn connect_raw(&self) -> Socket {
        Socket::open(self.origin(), &format!("/ws?token={}", self.token()))
            .await
            .expect("an upgrade is accepted")
    }

    /// Sends a text (`rest.md` §41).
    pub async fn send(&self, to: &User, text: &str) -> Reply {
        self.post(SEND, text_to("single", to.id, text)).await
    }

    /// Becomes friends with somebody who asks nobody's leave (`rest.md` §40).
    pub async fn befriend(&self, other: &User) {
        self.post("/api/chat/autoAddFriendAndAgree", json!({ "friend_id": other.id })).await.done();
    }

    /// Lets strangers send 0, 1 or any number (2) of messages (`data.md` §6.1).
    pub async fn let_strangers_send(&self, count: u8) {
        let rule = json!({ "sendCount": count, "needFollow": false });
        let userset = json!({ "chatset": { "visitor": rule, "user": rule } });
        self.post("/api/chat/userset", json!({ "userset": userset })).await.done();
    }

    /// Gives the account a nickname.
    pub async fn rename(&self, nickname: &str) {
        let reply = self.change("nickname", nickname).await;
        assert_eq!(reply.ok(), "修改昵称成功");
    }

    /// Changes one field (`rest.md` §38).
    pub async fn change(&self, field: &str, value: &str) -> Reply {
        self.post("/api/chat/updateUserinfo", json!({ "fieldname": field, "fieldValue": value }))
            .await
    }

    /// Asks for what waited (`rest.md` §21).
    pub async fn drain(&self) {
        self.post_empty("/api/chat/chatGetmessageOffLine").await.done();
    }

    /// Asks for what waited with a token that is good no more.
    pub async fn drain_refused(&self, text: &str) {
        self.post_empty("/api/chat/chatGetmessageOffLine").await.refused(400, text);
    }

    /// Blocks or unblocks a friend (`rest.md` §16).
    pub async fn toggle_black(&self, friend: &User) {
        self.post_empty(&format!("/api/chat/setblackgoodfriend/{}", friend.id)).await.done();
    }

    /// The account as everybody sees it (`rest.md` §8).
    pub async fn profile(&self) -> Value {
        self.get(&format!("/api/userinfo/{}", self.uuid)).await.ok()
    }
}

/// The route of `rest.md` §41.
pub const SEND: &str = "/api/chat/socket/sendmessage";

/// The body of a text message, as the published client posts it.
pub fn text_to(chat: &str, to: u64, text: &str) -> Value {
    json!({ "sendto_id": to, "chatType": chat, "type": "text", "options": "%7B%7D",
            "data": { "data": text, "dataType": false, "otherData": null } })
}
