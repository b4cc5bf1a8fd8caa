//! Pushes: frames on their way to sockets. A push is a hint; the queue is the truth (DESIGN §6).
//!
//! Each begins with a line that says what it is: `f` number connection, `d`, or `s` position, entry before, ruled, and
//! author; then comes the frame.

use std::time::Duration;

use async_nats::{Client, RequestErrorKind};
use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::time::timeout;

use super::interest::{Heard, Interest, Wanted};
use crate::events::{ConnectionId, GroupId, Position, UserId};

/// Every gateway reads all queues of its sockets again: pushes may have been missed.
const RESYNC: &str = "push.resync";

const DRAIN: &[u8] = b"d\n";

/// How long a gateway may take to say that a socket was told to drain.
const PATIENCE: Duration = Duration::from_millis(500);

/// Sends pushes.
#[derive(Clone)]
pub struct Pushes {
    client: Client,
}

/// Something for sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Push {
    /// An entry of a user's queue, as a frame.
    Frame {
        /// Whose.
        user: UserId,
        /// Its number.
        number: u64,
        /// The socket that it is for.
        connection: ConnectionId,
        /// The frame; empty if the socket has to look by itself.
        frame: Bytes,
    },
    /// Deliver what waits from before the socket opened (rest.md §21).
    Drain {
        /// Whose.
        user: UserId,
        /// Where it is to be said that his socket was told.
        reply: Option<Bytes>,
    },
    /// What was said to all of a large group, as a frame; empty if sockets have to look by themselves.
    Said(SaidPush, Bytes),
    /// Pushes may have been missed.
    Resync,
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

/// Was a user's socket told?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It was.
    Yes,
    /// No gateway has one.
    NoSocket,
}

impl Pushes {
    /// Over `client`.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Sends a frame to whichever gateway holds the socket. Lost if none is connected.
    pub async fn frame(&self, user: UserId, number: u64, connection: ConnectionId, frame: &[u8]) {
        let push = with_frame(&frame_line(number, connection), frame);
        _ = self.client.publish(of_user(user), push).await; // the queue has it
    }

    /// Sends what was said in a group to every gateway with a member's socket.
    pub async fn said(&self, said: &SaidPush, frame: &[u8]) {
        let push = with_frame(&said_line(said), frame);
        _ = self.client.publish(of_group(said.group), push).await; // the timeline has it
    }

    /// Tells the user's socket, wherever it is, to drain the queue.
    ///
    /// # Errors
    /// Not connected to the server, or a gateway does not answer.
    pub async fn drain(&self, user: UserId) -> Result<Told, async_nats::RequestError> {
        let asking = self.client.request(of_user(user), Bytes::from_static(DRAIN));
        match timeout(PATIENCE, asking).await {
            Err(_) => Err(RequestErrorKind::TimedOut.into()),
            Ok(Err(error)) if error.kind() == RequestErrorKind::NoResponders => Ok(Told::NoSocket),
            Ok(Err(error)) => Err(error),
            Ok(Ok(_)) => Ok(Told::Yes),
        }
    }

    /// Tells every gateway that pushes may have been missed.
    pub async fn resync(&self) {
        _ = self.client.publish(RESYNC, Bytes::new()).await;
    }
}

/// What is for a user's sockets.
pub fn want_user(interest: &Interest, user: UserId) -> Wanted {
    interest.want(of_user(user))
}

/// What is said in a large group.
pub fn want_group(interest: &Interest, group: GroupId) -> Wanted {
    interest.want(of_group(group))
}

/// Calls to all gateways.
pub fn want_resyncs(interest: &Interest) -> Wanted {
    interest.want(RESYNC.to_owned())
}

/// Reads what was heard; `None` if it is no push.
pub fn read(heard: Heard) -> Option<Push> {
    let Heard::Message { subject, reply, payload: mut frame } = heard else {
        return Some(Push::Resync);
    };
    let end = frame.iter().position(|byte| *byte == b'\n').map_or(frame.len(), |at| at + 1);
    let line = frame.split_to(end);
    let subject: Vec<&str> = str::from_utf8(&subject).ok()?.split('.').collect();
    let words: Vec<&str> = str::from_utf8(&line).ok()?.trim_end().split(' ').collect();
    match (&subject[..], &words[..]) {
        (["push", "resync"], _) => Some(Push::Resync),
        (["push", "u", user], ["f", number, connection]) => Some(Push::Frame {
            user: UserId(user.parse().ok()?),
            number: number.parse().ok()?,
            connection: ConnectionId(connection.parse().ok()?),
            frame,
        }),
        (["push", "u", user], ["d"]) => {
            Some(Push::Drain { user: UserId(user.parse().ok()?), reply })
        }
        (["push", "g", group], ["s", position, after, ruled, author @ ..]) => {
            let said = SaidPush {
                group: GroupId(group.parse().ok()?),
                position: Position(position.parse().ok()?),
                after: after.parse().ok()?,
                author: author.first().map(|author| author.parse().map(UserId)).transpose().ok()?,
                ruled: Position(ruled.parse().ok()?),
            };
            Some(Push::Said(said, frame))
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

fn frame_line(number: u64, connection: ConnectionId) -> String {
    format!("f {number} {connection}")
}

fn said_line(SaidPush { position, after, author, ruled, .. }: &SaidPush) -> String {
    let by = author.map(|author| author.to_string()).unwrap_or_default();
    format!("s {position} {after} {ruled} {by}")
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
        read(Heard::Message { subject: subject.into(), reply: None, payload })
    }

    #[test]
    fn what_is_sent_is_what_is_read() {
        let (user, connection) = (UserId(9), ConnectionId(uuid::Uuid::from_u128(7)));
        let frame = Bytes::from_static(b"{\"a\":\"\\n\"}");
        let sent = with_frame(&frame_line(5, connection), &frame);
        let read = Push::Frame { user, number: 5, connection, frame: frame.clone() };
        assert_eq!(heard(of_user(user), sent), Some(read));
        for author in [None, Some(user)] {
            let (position, ruled) = (Position(12), Position(10));
            let said = SaidPush { group: GroupId(3), position, after: 11, author, ruled };
            for frame in [frame.clone(), Bytes::new()] {
                let sent = with_frame(&said_line(&said), &frame);
                assert_eq!(
                    heard(of_group(said.group), sent),
                    Some(Push::Said(said.clone(), frame))
                );
            }
        }
        let drain = Push::Drain { user, reply: None };
        assert_eq!(heard(of_user(user), Bytes::from_static(DRAIN)), Some(drain));
        assert_eq!(heard(RESYNC.to_owned(), Bytes::new()), Some(Push::Resync));
    }

    #[test]
    fn what_is_no_push_is_passed_over() {
        for line in ["", "f", "f 1", "f x y", "s 1 2", "g", "\u{0}"] {
            assert_eq!(heard(of_user(UserId(1)), Bytes::from(line)), None, "{line}");
            assert_eq!(heard("push.g".to_owned(), Bytes::from(line)), None, "{line}");
        }
    }
}
