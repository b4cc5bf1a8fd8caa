//! Pushes: frames on their way to sockets. A push is a hint; the queue is the truth (DESIGN §6).

use std::time::Duration;

use async_nats::{Client, HeaderMap, HeaderValue, Message, Subscriber};
use bytes::Bytes;
use futures_util::{
    StreamExt as _,
    stream::{self, AbortHandle, BoxStream},
};
use tokio::time::timeout;

use crate::events::{ConnectionId, GroupId, Position, UserId};

/// Every gateway reads all queues of its sockets again: pushes may have been missed.
const RESYNC: &str = "push.resync";

/// Sends and receives pushes.
#[derive(Clone)]
pub struct Pushes {
    client: Client,
}

/// Something for one user's socket.
#[derive(Debug, PartialEq, Eq)]
pub enum Push {
    /// The queue entry with this number, as a frame.
    Frame {
        /// The user's queue number.
        number: u64,
        /// The socket that it is for.
        connection: ConnectionId,
        /// The frame; empty if the socket has to look by itself.
        frame: Bytes,
    },
    /// Deliver what waits from before the socket opened (rest.md §21).
    Drain,
}

/// What was said to all of a large group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaidPush {
    /// The group.
    pub group: GroupId,
    /// The place of the timeline's entry in the log.
    pub position: Position,
    /// The place of the entry before it; 0 if there is none.
    pub after: u64,
    /// Who does not get it, for he wrote it.
    pub author: Option<UserId>,
    /// The last event before it that changed who receives.
    pub ruled: Position,
}

/// What is said in one group, with its frames; empty ones where sockets have to look by themselves.
pub type SaidInbox = BoxStream<'static, (SaidPush, Bytes)>;

/// Why there is no inbox.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// Not connected.
    #[error(transparent)]
    Subscribe(#[from] async_nats::SubscribeError),
    /// Not connected.
    #[error(transparent)]
    Publish(#[from] async_nats::PublishError),
    /// The server does not answer.
    #[error("nats does not answer")]
    NoEcho,
}

/// Pushes for one user.
pub struct Inbox {
    subscriber: Subscriber,
}

impl Pushes {
    /// Over `client`.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Sends a frame to whichever gateway holds the socket. Lost if none is connected.
    pub async fn frame(&self, user: UserId, number: u64, connection: ConnectionId, frame: Bytes) {
        let mut headers = HeaderMap::new();
        headers.insert("n", number.to_string());
        headers.insert("c", connection.to_string());
        let sent = self.client.publish_with_headers(subject(user), headers, frame);
        _ = sent.await; // the queue has it
    }

    /// Sends what was said in a group to every gateway with a member's socket.
    pub async fn said(&self, said: &SaidPush, frame: Bytes) {
        let mut headers = HeaderMap::new();
        headers.insert("p", said.position.to_string());
        headers.insert("q", said.after.to_string());
        headers.insert("r", said.ruled.to_string());
        if let Some(author) = said.author {
            headers.insert("a", author.to_string());
        }
        let sent = self.client.publish_with_headers(group_subject(said.group), headers, frame);
        _ = sent.await; // the timeline has it
    }

    /// What is said in a group, until the handle is used. Once [`Pushes::prove`] has returned the server sends it to us.
    ///
    /// # Errors
    /// Not connected to the server.
    pub async fn said_in(&self, group: GroupId) -> Result<(SaidInbox, AbortHandle), PushError> {
        let subscriber = self.client.subscribe(group_subject(group)).await?;
        let said =
            subscriber.filter_map(move |message| std::future::ready(read_said(group, message)));
        let (said, end) = stream::abortable(said);
        Ok((said.boxed(), end))
    }

    /// Returns when the server knows of all subscriptions that were made before.
    ///
    /// # Errors
    /// Not connected to the server.
    pub async fn prove(&self) -> Result<(), PushError> {
        // Subjects of nobody's: one connection is served in order, so its echo comes after them.
        self.inbox(UserId(0)).await.map(drop)
    }

    /// Asks the user's socket, wherever it is, to drain the queue.
    ///
    /// # Errors
    /// Not connected to the server.
    pub async fn drain(&self, user: UserId) -> Result<(), async_nats::PublishError> {
        self.client.publish(subject(user), Bytes::new()).await
    }

    /// Tells every gateway that pushes may have been missed.
    pub async fn resync(&self) {
        _ = self.client.publish(RESYNC, Bytes::new()).await;
    }

    /// Pushes for `user`. When this returns, the server sends them to us: an echo has proved it, for
    /// a subscription that is on its way would miss what others publish meanwhile.
    ///
    /// # Errors
    /// Not connected to the server.
    pub async fn inbox(&self, user: UserId) -> Result<Inbox, PushError> {
        let mut subscriber = self.client.subscribe(subject(user)).await?;
        let echo = crate::clock::random_id().to_string();
        let mut headers = HeaderMap::new();
        headers.insert("echo", echo.as_str());
        self.client.publish_with_headers(subject(user), headers, Bytes::new()).await?;
        let proved = async {
            while let Some(message) = subscriber.next().await {
                let headers = message.headers.as_ref();
                if headers.and_then(|headers| headers.get("echo")).map(HeaderValue::as_str)
                    == Some(&echo)
                {
                    return true;
                }
            }
            false
        };
        match timeout(Duration::from_secs(2), proved).await {
            Ok(true) => Ok(Inbox { subscriber }),
            _ => Err(PushError::NoEcho),
        }
    }

    /// Yields at every call to resync.
    ///
    /// # Errors
    /// Not connected to the server.
    pub async fn resyncs(&self) -> Result<Subscriber, async_nats::SubscribeError> {
        self.client.subscribe(RESYNC).await
    }
}

impl Inbox {
    /// The next push; `None` when the connection is closed for good.
    pub async fn next(&mut self) -> Option<Push> {
        loop {
            let message = self.subscriber.next().await?;
            let Some(headers) = &message.headers else {
                return Some(Push::Drain);
            };
            let number = headers.get("n").and_then(|value| value.as_str().parse().ok());
            let connection = headers.get("c").and_then(|value| value.as_str().parse().ok());
            if let (Some(number), Some(connection)) = (number, connection) {
                return Some(Push::Frame {
                    number,
                    connection: ConnectionId(connection),
                    frame: message.payload,
                });
            }
        }
    }
}

fn read_said(group: GroupId, message: Message) -> Option<(SaidPush, Bytes)> {
    let headers = message.headers.as_ref()?;
    let number = |name| headers.get(name)?.as_str().parse::<u64>().ok();
    let author = headers.get("a").and_then(|value| value.as_str().parse().ok());
    let said = SaidPush {
        group,
        position: Position(number("p")?),
        after: number("q")?,
        author: author.map(UserId),
        ruled: Position(number("r")?),
    };
    Some((said, message.payload))
}

fn group_subject(group: GroupId) -> String {
    format!("push.g.{group}")
}

fn subject(user: UserId) -> String {
    format!("push.u.{user}")
}
