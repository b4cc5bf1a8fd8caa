//! A group, as its members see it.

use std::{ops::Range, sync::Arc, time::Duration};

use futures_util::future::join_all;
use hongyan::{
    adapters::nats::{
        connect,
        event_log::{EventLog, Promises},
        new_event::{Expect, NewEvent},
    },
    events::{
        AccountSummary, Applicant, Cause, Event, GroupEvent, GroupId, JoinContext, NodeId, Role,
        Timestamp, UserEvent, UserId, Username,
    },
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::api::Reply;
use super::app::App;
use super::shapes::asset;
use super::socket::Socket;
use super::user::{SEND, User, text_to};

/// A group that somebody made.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// The numeric id.
    pub id: u64,
}

impl App {
    /// A group that `owner` makes of themselves and `others`, who become their friends.
    pub async fn group(&self, owner: &User, others: &[&User]) -> Group {
        for other in others {
            if owner.post_empty(&format!("/api/chat/ismygoodfriend/{}", other.id)).await.status
                != 200
            {
                owner.befriend(other).await;
            }
        }
        owner.create_group(others).await.done();
        Group { id: owner.groups().await[0]["id"].as_u64().expect("an id") }
    }

    /// Puts `count` strangers into a group who never had an account: a large group is made quickly so. Nobody is told.
    pub async fn crowd(&self, owner: &User, group: Group, count: i64) {
        self.crowd_of(owner, group, 1..count + 1).await;
    }

    /// The same with these strangers.
    pub async fn crowd_of(&self, owner: &User, group: Group, strangers: Range<i64>) {
        let log = self.log().await;
        let id = GroupId(i64::try_from(group.id).expect("an id"));
        let owner = AccountSummary {
            id: UserId(i64::try_from(owner.id).expect("an id")),
            username: Username(owner.username.clone()),
            nickname: String::new(),
            avatar: String::new(),
        };
        let joins = strangers.map(|stranger| {
            let user = stranger_in(id, stranger);
            let user = Applicant {
                id: user,
                uuid: Uuid::new_v4(),
                name: format!("stranger {stranger}"),
                avatar: String::new(),
                role: Role::Visitor,
            };
            let icon = String::new();
            let (owner, roster) = (owner.clone(), Vec::new());
            let event = GroupEvent::Joined {
                avatar: asset("user.jpg"),
                entry: JoinContext { user, inviter: None, icon, owner, roster },
                notice: None,
                at: Timestamp(1_758_675_907_004),
            };
            NewEvent::new(Event::Group(id, event), None, &Cause::own("a test"))
        });
        let mut joins: Vec<NewEvent> = joins.collect();
        for join in
            join_all(joins.iter_mut().map(|join| log.append_unsynced(join, Expect::Anything))).await
        {
            join.expect("the log takes it");
        }
        self.settle().await;
    }

    /// The first `count` strangers of a group get accounts, named `stranger_1` and so on.
    pub async fn introduce(&self, group: Group, count: i64) {
        let log = self.log().await;
        let id = GroupId(i64::try_from(group.id).expect("an id"));
        let accounts = (1..=count).map(|stranger| {
            let event = UserEvent::Registered {
                id: stranger_in(id, stranger),
                uuid: Uuid::new_v4(),
                username: Username(format!("stranger_{stranger}")),
                role: Role::User,
                device: None,
                avatar: asset("user.jpg"),
                at: Timestamp(1_758_675_907_004),
            };
            let user = stranger_in(id, stranger);
            NewEvent::new(Event::User(user, event), None, &Cause::own("a test"))
        });
        let mut accounts: Vec<NewEvent> = accounts.collect();
        for some in accounts.chunks_mut(200) {
            let appended = some.iter_mut().map(|new| log.append_unsynced(new, Expect::Anything));
            for appended in join_all(appended).await {
                appended.expect("the log takes it");
            }
        }
        self.settle().await;
    }

    /// The log, as a gateway opens it.
    pub async fn log(&self) -> EventLog {
        let url = self.servers.nats.url();
        let nats =
            connect::connect(&url, "gateway", &"gatewaypw".into()).await.expect("nats-server");
        let second = Duration::from_secs(1);
        let timeout = 20 * second; // many events are told at once, on a busy machine
        let promises =
            Promises { replicated: false, timeout, fact_ttl: 600 * second, expires: true };
        let node = NodeId(Uuid::new_v4());
        EventLog::open(nats, node, None, &promises, Arc::default()).await.expect("the log")
    }
}

fn stranger_in(group: GroupId, stranger: i64) -> UserId {
    UserId(1_000_000 + group.0 * 10_000 + stranger)
}

impl User {
    /// Makes a group with friends (`rest.md` §20).
    pub async fn create_group(&self, friends: &[&User]) -> Reply {
        let mut rows = Vec::new();
        for friend in friends {
            rows.push(self.friend_row(friend).await);
        }
        self.post("/api/chat/group/create", json!({ "userIds": rows })).await
    }

    /// The number of a friend's row in my book (`rest.md` §19).
    pub async fn friend_row(&self, friend: &User) -> u64 {
        let path = format!("/api/chat/ismygoodfriend/{}", friend.id);
        self.post_empty(&path).await.ok()["id"].as_u64().expect("a row")
    }

    /// My groups, newest first (`rest.md` §22).
    pub async fn groups(&self) -> Vec<Value> {
        let list = self.get("/api/chat/grouplist/1").await.ok();
        list.as_array().expect("a list").clone()
    }

    /// A group with its roster (`rest.md` §23).
    pub async fn group_info(&self, group: Group) -> Reply {
        self.get(&format!("/api/chat/groupinfo/{}", group.id)).await
    }

    /// The users in a group, in the order of its roster.
    pub async fn roster(&self, group: Group) -> Vec<u64> {
        let info = self.group_info(group).await.ok();
        let rows = info["group_users"].as_array().expect("a roster");
        rows.iter().map(|row| row["user_id"].as_u64().expect("an id")).collect()
    }

    /// Joins a group (`rest.md` §29).
    pub async fn join(&self, group: Group) -> Reply {
        self.bring(group, self, -1).await
    }

    /// Invites somebody to a group.
    pub async fn invite(&self, group: Group, user: &User) -> Reply {
        self.bring(group, user, i64::try_from(self.id).expect("ids are small")).await
    }

    /// Invites somebody in the name of whomever.
    pub async fn bring(&self, group: Group, user: &User, inviter: i64) -> Reply {
        let body = json!({ "group_id": group.id, "user_id": user.id, "inviteuser_id": inviter,
            "addGroupDesc": "please" });
        self.post("/api/chat/groupInviteUser", body).await
    }

    /// Sets how people get in (`rest.md` §27).
    pub async fn set_policy(&self, group: Group, policy: u8) -> Reply {
        let body = json!({ "group_id": group.id, "addGroupSet": policy });
        self.post("/api/chat/groupAddUserSet", body).await
    }

    /// Decides on an application (`rest.md` §28): `agree` or `no`.
    pub async fn decide(&self, group: Group, user: &User, decision: &str) -> Reply {
        let body = json!({ "group_id": group.id, "user_id": user.id, "type": decision });
        self.post("/api/chat/groupAgreeOrNo", body).await
    }

    /// Puts somebody out (`rest.md` §26).
    pub async fn remove(&self, group: Group, user: &User) -> Reply {
        let body = json!({ "group_id": group.id, "user_id": user.id });
        self.post("/api/chat/groupDeleteUser", body).await
    }

    /// Chooses a name in a group (`rest.md` §30).
    pub async fn rename_in(&self, group: Group, nickname: &str) -> Reply {
        let body = json!({ "id": group.id, "nickname": nickname });
        self.post("/api/chat/groupnickname", body).await
    }

    /// Leaves or dissolves (`rest.md` §31).
    pub async fn leave(&self, group: Group) -> Reply {
        self.post("/api/chat/groupDeleteOrQuit", json!({ "id": group.id })).await
    }

    /// Sends a text to a group (`rest.md` §41).
    pub async fn say(&self, group: Group, text: &str) -> Reply {
        self.post(SEND, text_to("group", group.id, text)).await
    }

    /// Opens a socket and waits until nothing of the past comes any more.
    pub async fn listen(&self) -> Socket {
        let mut socket = self.connect().await;
        self.drain().await;
        // What comes to oneself comes behind the drain.
        let mark = self.send(self, "mark").await.ok()["id"].clone();
        while socket.next_push().await["id"] != mark {}
        socket
    }
}
