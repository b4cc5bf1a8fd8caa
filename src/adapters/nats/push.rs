//! Pushes: frames on their way to connections. A push is a hint; the queue is the truth (ADR 0003).
//!
//! Each begins with a line that says what it is: `f` number position connection, `d`, `s` position, entry before, audience
//! version, who has told its own connections, and author, or `w` and watermarks; then comes the frame.

#![expect(missing_docs, reason = "a field whose name says what it is needs no comment")]

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_nats::{Client, RequestErrorKind};
use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::{sync::mpsc, time::timeout};

use super::{
    subscriptions::{Subscription, SubscriptionEvent, Subscriptions},
    watermarks::Watermarks,
};
use crate::events::{ConnectionId, GroupId, NodeId, Position, UserId};

/// Every gateway reads all queues of its connections again: pushes may have been missed.
const RESYNC: &str = "push.resync";

/// What was pushed lately.
const WATERMARKS: &str = "push.watermarks";

const DRAIN: &[u8] = b"d\n";

/// How long a gateway may take to say that a connection was told to drain.
const PATIENCE: Duration = Duration::from_millis(500);

/// Sends pushes.
#[derive(Clone)]
pub struct Pushes {
    client: Client,
    here: LocalConnections,
}

/// The connections of this process, if it is a gateway, too: they need no server to be told.
#[derive(Clone, Default)]
pub struct LocalConnections(Arc<OnceLock<Local>>);

struct Local {
    node: NodeId,
    has: Box<dyn Fn(UserId, ConnectionId) -> bool + Send + Sync>,
    /// What a gateway does not take in time waits in memory, as it would in the server's.
    pushes: mpsc::UnboundedSender<Push>,
}

impl LocalConnections {
    /// This process is the gateway `node`, which has the connections that `has` knows; their pushes come out of the
    /// returned channel in order.
    pub fn are(
        &self,
        node: NodeId,
        has: impl Fn(UserId, ConnectionId) -> bool + Send + Sync + 'static,
    ) -> mpsc::UnboundedReceiver<Push> {
        let (pushes, received) = mpsc::unbounded_channel();
        _ = self.0.set(Local { node, has: Box::new(has), pushes });
        received
    }
}

/// Something for connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Push {
    /// An entry of a user's queue, as a frame.
    Queue {
        push: QueuePush,
        /// The frame; empty if the connection has to look by itself.
        frame: Bytes,
    },
    /// Deliver what waits from before the connection opened (rest.md §21).
    Drain {
        user: UserId,
        /// Where it is to be said that their connection was told.
        reply: Option<Bytes>,
    },
    /// What was pushed to all of a large group.
    Group {
        push: GroupPush,
        /// The gateway whose connections have been told already.
        delivered_by: Option<NodeId>,
        /// The frame; empty if connections have to look by themselves.
        frame: Bytes,
    },
    /// What was pushed lately.
    Watermarks(Watermarks),
    /// Pushes may have been missed.
    Resync,
}

/// What was pushed of a user's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueuePush {
    pub user: UserId,
    pub number: u64,
    /// The place in the log that the entry came from.
    pub position: Position,
    /// The connection that it is for.
    pub connection: ConnectionId,
}

/// What was pushed to all of a large group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupPush {
    pub group: GroupId,
    /// The place of the timeline's entry in the log.
    pub position: Position,
    /// The place of the entry before it; 0 if there is none.
    pub after: u64,
    /// Who does not get it, for they wrote it.
    pub author: Option<UserId>,
    /// The last event before it that changed who receives.
    pub audience_version: Position,
}

/// Was a user's connection told?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainAnswer {
    /// It was.
    Yes,
    /// No gateway has one.
    NoSocket,
}

impl Pushes {
    /// Over `client`.
    pub fn new(client: Client, here: LocalConnections) -> Self {
        Self { client, here }
    }

    /// Sends a frame to whichever gateway holds the connection; lost if none is connected. Says whether it went over
    /// the server, where it can get lost as well. The queue has it.
    pub async fn queue(&self, push: QueuePush, frame: Bytes) -> bool {
        let QueuePush { user, connection, .. } = push;
        if let Some(local) = self.here.0.get().filter(|local| (local.has)(user, connection)) {
            _ = local.pushes.send(Push::Queue { push, frame });
            return false;
        }
        let message = with_frame(&queue_line(&push), &frame);
        _ = self.client.publish(of_user(user), message).await;
        true
    }

    /// Sends what was pushed in a group to every gateway with a member's connection. The timeline has it.
    pub async fn group(&self, push: GroupPush, frame: Bytes) {
        let here = self.here.0.get();
        let (subject, delivered_by) = (of_group(push.group), here.map(|local| local.node));
        let message = with_frame(&group_line(&push, delivered_by), &frame);
        if let Some(local) = here {
            // By the server it would come later than frames that were sent after it.
            _ = local.pushes.send(Push::Group { push, delivered_by: None, frame });
        }
        _ = self.client.publish(subject, message).await;
    }

    /// Tells every gateway what was pushed lately.
    pub async fn watermarks(&self, watermarks: &Watermarks) {
        _ = self.client.publish(WATERMARKS, watermarks.line().into()).await;
    }

    /// Tells the user's connection, wherever it is, to drain the queue.
    ///
    /// # Errors
    /// Not connected to the server, or a gateway does not answer.
    pub async fn drain(&self, user: UserId) -> Result<DrainAnswer, async_nats::RequestError> {
        let asking = self.client.request(of_user(user), Bytes::from_static(DRAIN));
        match timeout(PATIENCE, asking).await {
            Err(_) => Err(RequestErrorKind::TimedOut.into()),
            Ok(Err(error)) if error.kind() == RequestErrorKind::NoResponders => {
                Ok(DrainAnswer::NoSocket)
            }
            Ok(Err(error)) => Err(error),
            Ok(Ok(_)) => Ok(DrainAnswer::Yes),
        }
    }

    /// Tells every gateway that pushes may have been missed.
    pub async fn refetch_all(&self) {
        _ = self.client.publish(RESYNC, Bytes::new()).await;
    }
}

/// What is for a user's connections.
pub fn subscribe_user(subscriptions: &Subscriptions, user: UserId) -> Subscription {
    subscriptions.subscribe(of_user(user))
}

/// What is pushed in a large group.
pub fn subscribe_group(subscriptions: &Subscriptions, group: GroupId) -> Subscription {
    subscriptions.subscribe(of_group(group))
}

/// What all gateways are told.
pub fn subscribe_calls(subscriptions: &Subscriptions) -> [Subscription; 2] {
    [RESYNC, WATERMARKS].map(|subject| subscriptions.subscribe(subject.to_owned()))
}

/// Reads what was heard; `None` if it is no push.
pub fn read(heard: SubscriptionEvent) -> Option<Push> {
    let SubscriptionEvent::Message { subject, reply, payload: mut frame } = heard else {
        return Some(Push::Resync);
    };
    let end = frame.iter().position(|byte| *byte == b'\n').map_or(frame.len(), |at| at + 1);
    let line = frame.split_to(end);
    let subject: Vec<&str> = str::from_utf8(&subject).ok()?.split('.').collect();
    let words: Vec<&str> = str::from_utf8(&line).ok()?.trim_end().split(' ').collect();
    match (&subject[..], &words[..]) {
        (["push", "resync"], _) => Some(Push::Resync),
        (["push", "watermarks"], ["w", words @ ..]) => {
            Some(Push::Watermarks(Watermarks::read(words)?))
        }
        (["push", "u", user], ["f", number, position, connection]) => {
            let push = QueuePush {
                user: UserId(user.parse().ok()?),
                number: number.parse().ok()?,
                position: Position(position.parse().ok()?),
                connection: ConnectionId(connection.parse().ok()?),
            };
            Some(Push::Queue { push, frame })
        }
        (["push", "u", user], ["d"]) => {
            Some(Push::Drain { user: UserId(user.parse().ok()?), reply })
        }
        (
            ["push", "g", group],
            ["s", position, after, audience_version, delivered_by, author @ ..],
        ) => {
            let delivered_by = Some(*delivered_by).filter(|delivered_by| *delivered_by != NOBODY);
            let delivered_by =
                delivered_by.map(|node| node.parse().map(NodeId)).transpose().ok()?;
            let push = GroupPush {
                group: GroupId(group.parse().ok()?),
                position: Position(position.parse().ok()?),
                after: after.parse().ok()?,
                author: author.first().map(|author| author.parse().map(UserId)).transpose().ok()?,
                audience_version: Position(audience_version.parse().ok()?),
            };
            Some(Push::Group { push, delivered_by, frame })
        }
        _ => None,
    }
}

fn with_frame(line: &str, frame: &[u8]) -> Bytes {
    let mut push = BytesMut::with_capacity(line.len() + 1 + frame.len());
    push.put_slice(line.as_bytes());
    push.put_u8(b'\n');
    push.put_slice(frame);
    push.freeze()
}

fn queue_line(QueuePush { number, position, connection, .. }: &QueuePush) -> String {
    format!("f {number} {position} {connection}")
}

/// No gateway has told its connections.
const NOBODY: &str = "-";

fn group_line(
    GroupPush { position, after, author, audience_version, .. }: &GroupPush,
    delivered_by: Option<NodeId>,
) -> String {
    let delivered_by = delivered_by.map_or_else(|| NOBODY.to_owned(), |node| node.to_string());
    let by = author.map(|author| author.to_string()).unwrap_or_default();
    format!("s {position} {after} {audience_version} {delivered_by} {by}")
}

fn of_user(user: UserId) -> String {
    format!("push.u.{user}")
}

fn of_group(group: GroupId) -> String {
    format!("push.g.{group}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(subject: String, payload: Bytes) -> Option<Push> {
        read(SubscriptionEvent::Message { subject: subject.into(), reply: None, payload })
    }

    #[test]
    fn what_is_sent_is_what_is_read() {
        let (user, connection) = (UserId(9), ConnectionId(uuid::Uuid::from_u128(7)));
        let frame = Bytes::from_static(b"{\"a\":\"\\n\"}");
        let push = QueuePush { user, number: 5, position: Position(12), connection };
        let sent = with_frame(&queue_line(&push), &frame);
        let read = Push::Queue { push, frame: frame.clone() };
        assert_eq!(heard(of_user(user), sent), Some(read));
        for author in [None, Some(user)] {
            let (position, audience_version) = (Position(12), Position(10));
            let push =
                GroupPush { group: GroupId(3), position, after: 11, author, audience_version };
            let node = NodeId(uuid::Uuid::from_u128(8));
            for (frame, delivered_by) in [(frame.clone(), None), (Bytes::new(), Some(node))] {
                let sent = with_frame(&group_line(&push, delivered_by), &frame);
                let read = Push::Group { push: push.clone(), delivered_by, frame };
                assert_eq!(heard(of_group(push.group), sent), Some(read));
            }
        }
        let drain = Push::Drain { user, reply: None };
        assert_eq!(heard(of_user(user), Bytes::from_static(DRAIN)), Some(drain));
        assert_eq!(heard(RESYNC.to_owned(), Bytes::new()), Some(Push::Resync));
        let (run, users) = (uuid::Uuid::from_u128(7), vec![(user, 5)]);
        let watermarks = Watermarks { run, number: 1, users, groups: Vec::new() };
        let sent = watermarks.line().into();
        assert_eq!(heard(WATERMARKS.to_owned(), sent), Some(Push::Watermarks(watermarks)));
    }

    #[test]
    fn what_is_no_push_is_passed_over() {
        for line in
            ["", "f", "f 1", "f 1 2", "f x y z", "s 1 2", "s 1 2 3", "g", "w", "w 1 2", "\u{0}"]
        {
            assert_eq!(heard(of_user(UserId(1)), Bytes::from(line)), None, "{line}");
            assert_eq!(heard("push.g".to_owned(), Bytes::from(line)), None, "{line}");
        }
    }
}
