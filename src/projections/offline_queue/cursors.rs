//! Queue cursors: the last number of each user's queue, and their current connection. In Redis.
//!
//! The number is the queue's own: a stream knows the last one that it was given, also when all entries are gone.

use std::collections::{BTreeSet, HashMap};

use super::members::AT_ONCE;
use crate::{
    adapters::redis::keys::RedisKey,
    events::{ConnectionId, Position, SessionEvent, TokenId, UserId},
    projections::{
        StoreError,
        engine::redis::{NONE, RedisTx, command},
    },
};

/// The queues that this batch and those before it have touched so far.
#[derive(Default)]
pub(super) struct QueueCursors {
    now: HashMap<UserId, QueueCursor>,
    /// Those whose connection may have changed.
    changed: BTreeSet<UserId>,
}

/// One user's queue, without its entries.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct QueueCursor {
    /// The last number given.
    last: u64,
    /// The connection that receives.
    pub(super) socket: Option<CursorConnection>,
}

/// A connection, as its user's queue sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct CursorConnection {
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
pub(super) struct Allocated {
    /// Its number.
    pub(super) number: u64,
    /// The connection that is open.
    pub(super) connection: Option<ConnectionId>,
}

/// KEYS: per user their cursor and their queue.
const READ: &str = "
local cursors = {}
for i = 1, #KEYS, 2 do
  local last, queue = '0', KEYS[i + 1]
  if redis.call('EXISTS', queue) == 1 then
    local about = redis.call('XINFO', 'STREAM', queue)
    for j = 1, #about, 2 do
      if about[j] == 'last-generated-id' then last = string.match(about[j + 1], '^%d+') end
    end
  end
  local socket = redis.call('HMGET', KEYS[i], 'connection', 'token', 'from', 'position')
  cursors[#cursors + 1] = {last, unpack(socket)}
end
return cursors";

/// A stored queue: last, connection, token, from, position.
type Fields = (u64, Option<String>, Option<String>, Option<String>, Option<String>);

impl QueueCursors {
    /// Reads some queues, unless they were read before.
    pub(super) async fn load(
        &mut self,
        tx: &mut RedisTx,
        users: impl IntoIterator<Item = UserId>,
    ) -> Result<(), StoreError> {
        let unread = users.into_iter().filter(|user| !self.now.contains_key(user));
        let unread: BTreeSet<UserId> = unread.collect();
        let unread: Vec<UserId> = unread.into_iter().collect();
        let read = |some: &[UserId]| {
            let keys =
                some.iter().flat_map(|user| [RedisKey::Cursor(*user), RedisKey::Queue(*user)]);
            let keys: Vec<String> = keys.map(|key| tx.key(key)).collect();
            command("EVAL", READ, (keys.len(), keys))
        };
        let commands: Vec<_> = unread.chunks(AT_ONCE).map(read).collect();
        let rows: Vec<Vec<Fields>> = tx.read(commands).await?;
        for (user, row) in unread.into_iter().zip(rows.into_iter().flatten()) {
            let (last, connection, token, from, position) = row;
            let socket = socket(connection, token, from, position);
            self.now.insert(user, QueueCursor { last, socket });
        }
        Ok(())
    }

    /// Takes in what happens to somebody's connections.
    pub(super) fn apply(&mut self, user: UserId, event: &SessionEvent, at: Position) {
        self.changed.insert(user);
        self.now.entry(user).or_default().apply(event, at);
    }

    /// The next number of a queue, for a new entry.
    pub(super) fn allocate(&mut self, user: UserId) -> Allocated {
        let queue = self.now.entry(user).or_default();
        queue.last += 1;
        Allocated { number: queue.last, connection: queue.socket.map(|socket| socket.connection) }
    }

    /// Writes what changed.
    pub(super) fn store(&mut self, tx: &mut RedisTx) {
        for user in std::mem::take(&mut self.changed) {
            if let Some(queue) = self.now.get(&user) {
                queue.store(tx, user);
            }
        }
    }

    /// How many are known.
    pub(super) fn count(&self) -> usize {
        self.now.len()
    }
}

impl QueueCursor {
    /// The same as [`crate::commands::session::Session`] says about the connection, with the number at which it opened.
    fn apply(&mut self, event: &SessionEvent, at: Position) {
        match *event {
            SessionEvent::Connected { connection, token, .. } => {
                let (from, position) = (self.last, at.0);
                self.socket = Some(CursorConnection { connection, token, from, position });
            }
            SessionEvent::Disconnected { connection, .. } => {
                self.socket.take_if(|current| current.connection == connection);
            }
            SessionEvent::LoggedOut { token } => {
                self.socket.take_if(|current| current.token == token);
            }
            SessionEvent::Revoked { kept, .. } => {
                self.socket.take_if(|current| Some(current.token) != kept);
            }
            SessionEvent::LoggedIn { .. } => {}
        }
    }

    fn store(&self, tx: &mut RedisTx, user: UserId) {
        let key = tx.key(RedisKey::Cursor(user));
        let Some(CursorConnection { connection, token, from, position }) = self.socket else {
            tx.run(&command("DEL", &key, NONE));
            return;
        };
        let fields = [
            ("connection", connection.to_string()),
            ("token", token.to_string()),
            ("from", from.to_string()),
            ("position", position.to_string()),
        ];
        tx.run(&command("HSET", &key, &fields));
    }
}

fn socket(
    connection: Option<String>,
    token: Option<String>,
    from: Option<String>,
    position: Option<String>,
) -> Option<CursorConnection> {
    Some(CursorConnection {
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

    /// The queue keeps its own view of the connection, for a projection reads no other; it must be the same.
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
            SessionEvent::Revoked { kept: Some(TokenId(id(4))), change: None },
            SessionEvent::Revoked { kept: None, change: None },
            connected(3, 4),
            SessionEvent::Disconnected {
                connection: ConnectionId(id(3)),
                reason: DisconnectReason::NodeLost,
            },
        ];
        let (mut queue, mut session) = (QueueCursor::default(), Session::default());
        for event in events {
            queue.apply(&event, Position(7));
            session.evolve(Position(7), &event);
            let ours = queue.socket.map(|socket| socket.connection);
            assert_eq!(ours, session.socket.as_ref().map(|socket| socket.connection), "{event:?}");
        }
    }
}
