//! Each user's queue without its entries: the last number given, and the socket that receives. In Redis.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    StoreError,
    in_redis::{RedisTx, Shared, command},
};
use crate::events::{ConnectionId, Position, SessionEvent, TokenId, UserId};

/// The queues that a batch has touched so far.
#[derive(Default)]
pub(super) struct Heads {
    now: HashMap<UserId, Queue>,
    stored: HashMap<UserId, Queue>,
    /// Those to which something happened.
    touched: BTreeSet<UserId>,
}

/// One user's queue, without its entries.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Queue {
    /// The last number given.
    last: u64,
    /// The socket that receives.
    pub(super) socket: Option<Socket>,
}

/// A socket, as its user's queue sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Socket {
    /// Its name.
    pub(super) connection: ConnectionId,
    /// What it came with.
    token: TokenId,
    /// The last number given before it opened.
    from: u64,
    /// Where in the log it opened.
    position: u64,
}

/// A new entry of a queue.
pub(super) struct Given {
    /// Its number.
    pub(super) number: u64,
    /// The socket that is open.
    pub(super) connection: Option<ConnectionId>,
}

/// A stored queue: last, connection, token, from, position.
type Fields = (Option<u64>, Option<String>, Option<String>, Option<String>, Option<String>);

impl Heads {
    /// Reads some queues, unless they were read before.
    pub(super) async fn load(
        &mut self,
        tx: &mut RedisTx,
        users: impl IntoIterator<Item = UserId>,
    ) -> Result<(), StoreError> {
        let unread = users.into_iter().filter(|user| !self.now.contains_key(user));
        let unread: BTreeSet<UserId> = unread.collect();
        let fields = &["last", "connection", "token", "from", "position"];
        let commands: Vec<_> =
            unread.iter().map(|user| command("HMGET", &key(tx, *user), fields)).collect();
        let rows: Vec<Fields> = tx.read(commands).await?;
        for (user, (last, connection, token, from, position)) in unread.into_iter().zip(rows) {
            let socket = socket(connection, token, from, position);
            let queue = Queue { last: last.unwrap_or_default(), socket };
            if last.is_some() {
                self.stored.insert(user, queue.clone());
            }
            self.now.insert(user, queue);
        }
        Ok(())
    }

    /// Takes in what happens to somebody's sockets.
    pub(super) fn note(&mut self, user: UserId, event: &SessionEvent, at: Position) {
        self.touched.insert(user);
        self.now.entry(user).or_default().note(event, at);
    }

    /// A new entry, which may have nothing in it but that there is something in another place.
    pub(super) fn push(
        &mut self,
        tx: &mut RedisTx,
        user: UserId,
        at: Position,
        object: &Arc<str>,
        shared: Option<Shared>,
    ) -> Given {
        self.touched.insert(user);
        let queue = self.now.entry(user).or_default();
        queue.last += 1;
        let key = tx.key(format_args!("chat_getmessage_{user}"));
        let id = format!("{}-0", queue.last);
        match shared {
            Some(shared) => tx.run_with(&command("XADD", &key, (id, "p", at.0, "m")), shared),
            None => tx.run(&command("XADD", &key, (id, "p", at.0, "m", &**object))),
        }
        Given { number: queue.last, connection: queue.socket.map(|socket| socket.connection) }
    }

    /// Writes what changed.
    pub(super) fn store(&self, tx: &mut RedisTx) {
        for user in &self.touched {
            let queue = self.now.get(user);
            if let Some(queue) = queue.filter(|queue| self.stored.get(user) != Some(queue)) {
                queue.store(tx, *user);
            }
        }
    }
}

impl Queue {
    /// The same as [`crate::commands::session::Session`] says about the socket, with the number at which it opened.
    fn note(&mut self, event: &SessionEvent, at: Position) {
        match *event {
            SessionEvent::Connected { connection, token, .. } => {
                let (from, position) = (self.last, at.0);
                self.socket = Some(Socket { connection, token, from, position });
            }
            SessionEvent::Disconnected { connection, .. } => {
                self.socket.take_if(|current| current.connection == connection);
            }
            SessionEvent::LoggedOut { token } => {
                self.socket.take_if(|current| current.token == token);
            }
            SessionEvent::Revoked { kept } => {
                self.socket.take_if(|current| Some(current.token) != kept);
            }
            SessionEvent::LoggedIn { .. } => {}
        }
    }

    fn store(&self, tx: &mut RedisTx, user: UserId) {
        let (connection, token, from, position) = match self.socket {
            Some(Socket { connection, token, from, position }) => {
                (connection.to_string(), token.to_string(), from.to_string(), position.to_string())
            }
            None => Default::default(),
        };
        let fields = [
            ("last", self.last.to_string()),
            ("connection", connection),
            ("token", token),
            ("from", from),
            ("position", position),
        ];
        tx.run(&command("HSET", &key(tx, user), &fields));
    }
}

fn key(tx: &RedisTx, user: UserId) -> String {
    tx.key(format_args!("queue_{user}"))
}

fn socket(
    connection: Option<String>,
    token: Option<String>,
    from: Option<String>,
    position: Option<String>,
) -> Option<Socket> {
    Some(Socket {
        connection: ConnectionId(connection?.parse().ok()?),
        token: TokenId(token?.parse().ok()?),
        from: from?.parse().ok()?,
        position: position?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        commands::{decider::Decider as _, session::Session},
        events::{DisconnectReason, NodeId, Role},
    };

    /// The queue keeps its own view of the socket, for a projection reads no other; it must be the same.
    #[test]
    fn the_queue_agrees_with_the_session_about_the_socket() {
        let id = Uuid::from_u128;
        let connected = |connection, token| SessionEvent::Connected {
            connection: ConnectionId(id(connection)),
            node: NodeId(id(9)),
            token: TokenId(id(token)),
            role: Role::User,
        };
        let events = [
            connected(1, 1),
            connected(2, 1),
            SessionEvent::Disconnected {
                connection: ConnectionId(id(1)),
                reason: DisconnectReason::Closed,
            },
            SessionEvent::LoggedIn { token: TokenId(id(2)), role: Role::User },
            SessionEvent::LoggedOut { token: TokenId(id(2)) },
            SessionEvent::LoggedOut { token: TokenId(id(1)) },
            connected(3, 4),
            SessionEvent::Revoked { kept: Some(TokenId(id(4))) },
            SessionEvent::Revoked { kept: None },
            connected(3, 4),
            SessionEvent::Disconnected {
                connection: ConnectionId(id(3)),
                reason: DisconnectReason::NodeLost,
            },
        ];
        let (mut queue, mut session) = (Queue::default(), Session::default());
        for event in events {
            queue.note(&event, Position(7));
            session.evolve(&event);
            let ours = queue.socket.map(|socket| socket.connection);
            assert_eq!(ours, session.socket.as_ref().map(|socket| socket.connection), "{event:?}");
        }
    }
}
