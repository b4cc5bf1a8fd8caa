//! What a person asks of the server, and what the answers mean.

use std::sync::Arc;

use anyhow::Context as _;
use hyper::{StatusCode, http::uri::PathAndQuery};
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    PAUSE, Person, Said, World,
    listener::{Listener, MARK},
};
use crate::history::{Fate, Record, To};
use testkit::client::{
    http::{Answer, Broken},
    socket::{Refused, Socket},
};

const SEND: &str = "/api/chat/socket/sendmessage";
const REVOKE: &str = "/api/chat/revokeMessage";
const DRAIN: &str = "/api/chat/chatGetmessageOffLine";
const BEFRIEND: &str = "/api/chat/autoAddFriendAndAgree";
const JOIN: &str = "/api/chat/groupInviteUser";
const LEAVE: &str = "/api/chat/groupDeleteOrQuit";

/// Refusals that say: it is so already. Who got no answer and asks again is told this.
const FRIENDS_ALREADY: &str = "您已经申请过了，请勿重复申请";
const IN_ALREADY: &str = "用户已经在群里";
const OUT_ALREADY: &str = "你不在该群聊中，操作失败";
/// Who is in a group, the checker knows.
const NOT_IN_GROUP: &str = "您不在群里，无法发消息";

/// What is said besides the number.
const PADDING: &str = "the quick brown fox jumps over the lazy dog";

impl Person {
    /// Any gateway will do.
    pub(super) async fn call(
        &mut self,
        path: &'static str,
        body: String,
    ) -> Result<Answer, Broken> {
        let gateway = self.dice.roll(self.http.len());
        let token = self.account.header();
        self.http[gateway].post(path, Some(&token), body).await
    }

    pub(super) async fn send(&mut self, world: &World, to: To, n: u64) -> (Fate, Option<Value>) {
        let (kind, id) = match to {
            To::User(user) => ("single", world.ids[user as usize]),
            To::Group(group) => ("group", world.groups[group as usize]),
        };
        // The body that the published client posts.
        let body = format!(
            r#"{{"sendto_id":{id},"chatType":"{kind}","type":"text","options":"%7B%7D","data":{{"data":"{MARK}{n};{PADDING}","dataType":false,"otherData":null}}}}"#
        );
        match self.call(SEND, body).await {
            Ok(answer) if answer.status == StatusCode::OK => {
                (Fate::Done, answer.data().ok().filter(|object| object["id"].is_string()))
            }
            Ok(answer) if answer.status.is_client_error() => {
                let said = answer.text();
                if matches!(to, To::User(_)) || !said.contains(NOT_IN_GROUP) {
                    self.refused(world, SEND, &said);
                }
                (Fate::Refused, None)
            }
            _ => (Fate::Unknown, None),
        }
    }

    /// The client posts the object that it got.
    pub(super) async fn revoke(&mut self, world: &World, said: &Said) -> Fate {
        let answer = self.call(REVOKE, said.object.to_string()).await;
        self.judge(world, REVOKE, answer, None)
    }

    /// Asks for what waits, to come over the newest socket (rest.md §21).
    pub(super) async fn ask(&mut self, world: &World) -> Fate {
        let begin = world.history.now();
        let answer = self.call(DRAIN, "{}".to_owned()).await;
        let fate = self.judge(world, DRAIN, answer, None);
        if let Some(newest) = self.sockets.last_mut() {
            newest.drained |= fate == Fate::Done;
            let (socket, end) = (newest.socket, world.history.now());
            world.history.note(&Record::Drain { socket, begin, end, fate });
        }
        fate
    }

    pub(super) async fn open(&mut self, world: &Arc<World>, gateway: usize) -> Option<Listener> {
        let begin = world.history.now();
        match Socket::open(&world.origins[gateway], &self.account.token, None).await {
            Ok(socket) => Some(Listener::start(world, socket, (self.number, gateway), begin)),
            Err(error) => {
                if let Some(refused) = error.downcast_ref::<Refused>() {
                    self.refused(world, "/ws", &refused.to_string());
                }
                None
            }
        }
    }

    pub(crate) async fn befriend(
        &mut self,
        world: &World,
        other: u32,
        stop: &CancellationToken,
    ) -> Fate {
        self.met.push(other);
        let begin = world.history.now();
        let body = json!({"friend_id": world.ids[other as usize]}).to_string();
        let fate = self.insist(world, BEFRIEND, &body, FRIENDS_ALREADY, stop).await;
        let (by, with, end) = (self.number, other, world.history.now());
        world.history.note(&Record::Befriend { by, with, begin, end, fate });
        fate
    }

    pub(crate) async fn change_membership(
        &mut self,
        world: &World,
        group: u32,
        joins: bool,
        stop: &CancellationToken,
    ) -> Fate {
        let begin = world.history.now();
        let id = world.groups[group as usize];
        let fate = if joins {
            let body = json!({"group_id": id, "user_id": self.account.id, "inviteuser_id": -1});
            self.insist(world, JOIN, &body.to_string(), IN_ALREADY, stop).await
        } else {
            let body = json!({"id": id}).to_string();
            self.insist(world, LEAVE, &body, OUT_ALREADY, stop).await
        };
        let (user, end) = (self.number, world.history.now());
        world.history.note(&Record::Member { user, group, joins, begin, end, fate });
        fate
    }

    /// Asks until there is an answer. Who got none before may be told that it is so already.
    async fn insist(
        &mut self,
        world: &World,
        path: &'static str,
        body: &str,
        already: &str,
        stop: &CancellationToken,
    ) -> Fate {
        let mut asked = false;
        loop {
            let answer = self.call(path, body.to_owned()).await;
            let fate = self.judge(world, path, answer, Some(already).filter(|_| asked));
            if fate != Fate::Unknown || stop.is_cancelled() {
                return fate;
            }
            asked = true;
            sleep(PAUSE).await;
        }
    }

    pub(super) fn judge(
        &self,
        world: &World,
        path: &str,
        answer: Result<Answer, Broken>,
        already: Option<&str>,
    ) -> Fate {
        match answer {
            Ok(answer) if answer.status == StatusCode::OK => Fate::Done,
            Ok(answer) if answer.status.is_client_error() => {
                let said = answer.text();
                if already.is_some_and(|already| said.contains(already)) {
                    return Fate::Done;
                }
                self.refused(world, path, &said);
                Fate::Refused
            }
            _ => Fate::Unknown,
        }
    }

    fn refused(&self, world: &World, call: &str, said: &str) {
        let (user, at) = (self.number, world.history.now());
        let (call, said) = (call.to_owned(), said.to_owned());
        world.history.note(&Record::Refusal { user, at, call, said });
    }

    /// Makes a group with a friend; answers with its id.
    pub(crate) async fn make_group(&mut self, friend: i64) -> anyhow::Result<i64> {
        let token = self.account.header();
        let http = &mut self.http[0];
        let path = PathAndQuery::try_from(format!("/api/chat/ismygoodfriend/{friend}"))?;
        let row = http.post_to(path, Some(&token), "").await?.data()?["id"].take();
        let body = json!({ "userIds": [row] }).to_string();
        http.post("/api/chat/group/create", Some(&token), body).await?.data()?;
        let listed = http.get(Some("/api/chat/grouplist/1?limit=1"), Some(&token)).await?;
        listed.data()?[0]["id"].as_i64().context("a new group is not listed")
    }
}
