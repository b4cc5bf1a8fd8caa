//! The calls of a client: what it asks of the server, and what the answers mean.

use std::sync::Arc;

use anyhow::Context as _;
use hyper::{StatusCode, http::uri::PathAndQuery};
use serde_json::{Value, json};
use testkit::client::{
    http::{Answer, CallError},
    socket::{Refused, Socket},
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    Client, PAUSE, SentMessage, SharedState,
    listener::{Listener, MESSAGE_TAG},
};
use crate::history::{Outcome, Record, To};

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

impl Client {
    /// Any gateway will do.
    pub(super) async fn call(
        &mut self,
        path: &'static str,
        body: String,
    ) -> Result<Answer, CallError> {
        let gateway = self.rng.below(self.http.len());
        let token = self.account.header();
        self.http[gateway].post(path, Some(&token), body).await
    }

    pub(super) async fn send(
        &mut self,
        shared: &SharedState,
        to: To,
        n: u64,
    ) -> (Outcome, Option<Value>) {
        let (kind, id) = match to {
            To::User(user) => ("single", shared.ids[user as usize]),
            To::Group(group) => ("group", shared.groups[group as usize]),
        };
        // The body that the published client posts.
        let body = format!(
            r#"{{"sendto_id":{id},"chatType":"{kind}","type":"text","options":"%7B%7D","data":{{"data":"{MESSAGE_TAG}{n};{PADDING}","dataType":false,"otherData":null}}}}"#
        );
        match self.call(SEND, body).await {
            Ok(answer) if answer.status == StatusCode::OK => {
                (Outcome::Done, answer.data().ok().filter(|object| object["id"].is_string()))
            }
            Ok(answer) if answer.status.is_client_error() => {
                let said = answer.text();
                if matches!(to, To::User(_)) || !said.contains(NOT_IN_GROUP) {
                    self.refused(shared, SEND, &said);
                }
                (Outcome::Refused, None)
            }
            _ => (Outcome::Unknown, None),
        }
    }

    /// The client posts the object that it got.
    pub(super) async fn revoke(&mut self, shared: &SharedState, said: &SentMessage) -> Outcome {
        let answer = self.call(REVOKE, said.object.to_string()).await;
        self.outcome_of(shared, REVOKE, answer, None)
    }

    /// Asks for what waits, to come over the newest socket (rest.md §21).
    pub(super) async fn drain(&mut self, shared: &SharedState) -> Outcome {
        let begin = shared.history.now();
        let answer = self.call(DRAIN, "{}".to_owned()).await;
        let outcome = self.outcome_of(shared, DRAIN, answer, None);
        if let Some(newest) = self.sockets.last_mut() {
            newest.drained |= outcome == Outcome::Done;
            let (socket, end) = (newest.socket, shared.history.now());
            shared.history.record(&Record::Drain { socket, begin, end, outcome });
        }
        outcome
    }

    pub(super) async fn open(
        &mut self,
        shared: &Arc<SharedState>,
        gateway: usize,
    ) -> Option<Listener> {
        let begin = shared.history.now();
        match Socket::open(&shared.origins[gateway], &self.account.token, None).await {
            Ok(socket) => Some(Listener::start(shared, socket, (self.number, gateway), begin)),
            Err(error) => {
                if let Some(refused) = error.downcast_ref::<Refused>() {
                    self.refused(shared, "/ws", &refused.to_string());
                }
                None
            }
        }
    }

    pub(crate) async fn befriend(
        &mut self,
        shared: &SharedState,
        other: u32,
        stop: &CancellationToken,
    ) -> Outcome {
        self.met.push(other);
        let begin = shared.history.now();
        let body = json!({"friend_id": shared.ids[other as usize]}).to_string();
        let outcome =
            self.retry_until_answered(shared, BEFRIEND, &body, FRIENDS_ALREADY, stop).await;
        let (by, with, end) = (self.number, other, shared.history.now());
        shared.history.record(&Record::Befriend { by, with, begin, end, outcome });
        outcome
    }

    pub(crate) async fn change_membership(
        &mut self,
        shared: &SharedState,
        group: u32,
        joins: bool,
        stop: &CancellationToken,
    ) -> Outcome {
        let begin = shared.history.now();
        let id = shared.groups[group as usize];
        let outcome = if joins {
            let body = json!({"group_id": id, "user_id": self.account.id, "inviteuser_id": -1});
            self.retry_until_answered(shared, JOIN, &body.to_string(), IN_ALREADY, stop).await
        } else {
            let body = json!({"id": id}).to_string();
            self.retry_until_answered(shared, LEAVE, &body, OUT_ALREADY, stop).await
        };
        let (user, end) = (self.number, shared.history.now());
        shared.history.record(&Record::Member { user, group, joins, begin, end, outcome });
        outcome
    }

    /// Asks until there is an answer. Who got none before may be told that it is so already.
    async fn retry_until_answered(
        &mut self,
        shared: &SharedState,
        path: &'static str,
        body: &str,
        already: &str,
        stop: &CancellationToken,
    ) -> Outcome {
        let mut asked = false;
        loop {
            let answer = self.call(path, body.to_owned()).await;
            let outcome = self.outcome_of(shared, path, answer, Some(already).filter(|_| asked));
            if outcome != Outcome::Unknown || stop.is_cancelled() {
                return outcome;
            }
            asked = true;
            sleep(PAUSE).await;
        }
    }

    pub(super) fn outcome_of(
        &self,
        shared: &SharedState,
        path: &str,
        answer: Result<Answer, CallError>,
        already: Option<&str>,
    ) -> Outcome {
        match answer {
            Ok(answer) if answer.status == StatusCode::OK => Outcome::Done,
            Ok(answer) if answer.status.is_client_error() => {
                let said = answer.text();
                if already.is_some_and(|already| said.contains(already)) {
                    return Outcome::Done;
                }
                self.refused(shared, path, &said);
                Outcome::Refused
            }
            _ => Outcome::Unknown,
        }
    }

    fn refused(&self, shared: &SharedState, call: &str, said: &str) {
        let (user, at) = (self.number, shared.history.now());
        let (call, said) = (call.to_owned(), said.to_owned());
        shared.history.record(&Record::Refusal { user, at, call, said });
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
