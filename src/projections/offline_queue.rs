//! What each user has not received yet, in order, with a number of his own (DESIGN §6). In Redis.
//!
//! Every message for a user enters, whether he is online or not, and leaves when it was written to
//! a socket. Entries above the number at which a socket opened are its to receive live; those at or
//! below it wait for a drain. The two sets never meet.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;

use crate::{
    adapters::{
        push::Pushes,
        redis::{Redis, RedisFailure},
    },
    clock,
    events::{
        Answer, ChatEvent, ConnectionId, DeliveryEvent, Event, FriendshipEvent, GroupChatEvent,
        MessageId, Person, Recorded, SessionEvent, Subject, Timestamp, TokenId, UserId,
    },
};

use super::{
    Projection, StoreError, group_notices,
    in_redis::{InRedis, RedisTx, Shared, command, reading},
    message_object::{self, MessageObject, revoked_text, revoked_text_in_group},
    offline_groups::Groups,
};

/// The read model.
pub struct OfflineQueue {
    pushes: Pushes,
}

/// A queue entry for a socket that is open.
pub struct Waiting {
    user: UserId,
    number: u64,
    connection: ConnectionId,
    /// Shared by all who get it.
    object: Arc<str>,
}

/// A message object, and who gets it.
type Told = (Vec<UserId>, String);

/// One user's queue, without its entries.
#[derive(Debug, Clone, Default, PartialEq)]
struct Queue {
    /// The last number given.
    last: u64,
    /// The socket that receives, the token it came with, and the last number given before it opened.
    socket: Option<(ConnectionId, TokenId, u64)>,
}

impl OfflineQueue {
    /// Pushes go out through `pushes`.
    pub fn new(pushes: Pushes) -> Self {
        Self { pushes }
    }
}

impl Projection for OfflineQueue {
    type Store = InRedis;
    type Effect = Waiting;
    const NAME: &'static str = "offline_queue";
    const SUBJECTS: &'static [&'static str] = &[
        "evt.chat.>",
        "evt.friendship.>",
        "evt.group.>",
        "evt.groupchat.>",
        "evt.session.>",
        "evt.delivery.>",
    ];

    /// An event of a group becomes an entry for each member, and Redis serves nobody while it takes a transaction.
    fn portion(events: &[Recorded<Event>]) -> usize {
        const OF_GROUPS: usize = 20;
        let is_of_group = |(_, event): &(usize, &Recorded<Event>)| {
            matches!(event.subject, Subject::Group(_) | Subject::GroupChat(_))
        };
        let beyond = events.iter().enumerate().filter(is_of_group).nth(OF_GROUPS);
        beyond.map_or(events.len(), |(at, _)| at)
    }

    async fn apply(
        &self,
        tx: &mut RedisTx,
        batch: &[Recorded<Event>],
    ) -> Result<Vec<Waiting>, StoreError> {
        let mut groups = Groups::load(tx, batch).await?;
        let mut queues = load(tx, batch, &groups).await?;
        let before = queues.clone();
        let mut waiting = Vec::new();
        for recorded in batch {
            match (&recorded.event, recorded.subject) {
                (Event::Session(event), Subject::Session(user)) => {
                    queues.entry(user).or_default().note(event);
                }
                (Event::Delivery(DeliveryEvent::Written { users }), _) => {
                    for delivered in users {
                        forget(tx, delivered.user, &delivered.ranges);
                    }
                }
                _ => {
                    for (users, object) in messages(recorded, &mut groups) {
                        let object: Arc<str> = object.into();
                        let shared = (users.len() > 1).then(|| tx.share(object.as_bytes()));
                        for user in users {
                            let queue = queues.entry(user).or_default();
                            waiting.extend(queue.push(tx, user, &object, shared));
                        }
                    }
                }
            }
        }
        groups.store(tx);
        for (user, queue) in queues.iter().filter(|(user, queue)| before.get(user) != Some(queue)) {
            queue.store(tx, *user);
        }
        Ok(waiting)
    }

    async fn publish(&self, waiting: Vec<Waiting>) {
        let mut last: Option<(Arc<str>, Bytes)> = None;
        for entry in waiting {
            let frame = match &last {
                Some((object, frame)) if Arc::ptr_eq(object, &entry.object) => frame.clone(),
                _ => message_object::frame(&entry.object, clock::now()).into(),
            };
            last = Some((entry.object, frame.clone()));
            self.pushes.frame(entry.user, entry.number, entry.connection, frame).await;
        }
    }

    /// Nothing was pushed while catching up: sockets look into their queues themselves.
    async fn caught_up(&self) {
        self.pushes.resync().await;
    }
}

/// Who hears what of an event (ws.md §7.2).
fn messages(recorded: &Recorded<Event>, groups: &mut Groups) -> Vec<Told> {
    let at = recorded.at;
    match &recorded.event {
        Event::Chat(ChatEvent::Sent(sent)) => {
            vec![(vec![sent.to.id], MessageObject::chat(sent).json())]
        }
        Event::Chat(ChatEvent::Revoked(revocation)) => {
            let text = revoked_text(revocation);
            vec![(vec![revocation.to.id], MessageObject::revoked(revocation, &text).json())]
        }
        Event::Group(event) => {
            let Subject::Group(id) = recorded.subject else { return Vec::new() };
            let told = groups.take(id, event, |group| group_notices::of(event, group));
            told.flatten().into_iter().collect()
        }
        Event::GroupChat(GroupChatEvent::Sent(sent)) => {
            let Some(group) = groups.get(sent.to.id) else { return Vec::new() };
            let others = group.members().map(|member| member.user);
            let others = others.filter(|user| *user != sent.from.id).collect();
            vec![(others, MessageObject::group_chat(sent, Some(group)).json())]
        }
        Event::GroupChat(GroupChatEvent::Revoked(revocation)) => {
            let Some(group) = groups.get(revocation.to.id) else { return Vec::new() };
            let everybody = group.members().map(|member| member.user).collect();
            let text = revoked_text_in_group(revocation);
            vec![(everybody, MessageObject::revoked_in_group(revocation, &text).json())]
        }
        Event::Friendship(FriendshipEvent::Requested { asker, asked, icon, notice, .. }) => {
            let key = format!("redirect-applyFriend-{}", asker.id);
            let from =
                Person { id: asker.id, name: "好友申请提醒".into(), avatar: icon.clone() };
            let text = format!("用户[{}]申请添加您为好友，请尽快处理", asker.name);
            let url = "/pages/applyMyfriend/applyMyfriend";
            let object = MessageObject::page(*notice, (&key, &from), asked, &text, url, at);
            vec![(vec![asked.id], object.json())]
        }
        Event::Friendship(
            FriendshipEvent::Answered { answer: Answer::Agree, caller, other, notice, .. }
            | FriendshipEvent::Befriended { caller, other, notice, .. },
        ) => now_friends(*notice, caller, other, at),
        _ => Vec::new(),
    }
}

fn now_friends(id: MessageId, caller: &Person, other: &Person, at: Timestamp) -> Vec<Told> {
    [(caller, other), (other, caller)]
        .map(|(from, to)| (vec![to.id], MessageObject::now_friends(id, from, to, at).json()))
        .into()
}

impl Queue {
    /// The same as [`crate::commands::session::Session`] says about the socket, with the number at which it opened.
    fn note(&mut self, event: &SessionEvent) {
        match *event {
            SessionEvent::Connected { connection, token, .. } => {
                self.socket = Some((connection, token, self.last));
            }
            SessionEvent::Disconnected { connection, .. } => {
                self.socket.take_if(|(current, ..)| *current == connection);
            }
            SessionEvent::LoggedOut { token } => {
                self.socket.take_if(|(_, current, _)| *current == token);
            }
            SessionEvent::Revoked { kept } => {
                self.socket.take_if(|(_, current, _)| Some(*current) != kept);
            }
            SessionEvent::LoggedIn { .. } => {}
        }
    }

    /// A new entry; a push of it, if a socket is open.
    fn push(
        &mut self,
        tx: &mut RedisTx,
        user: UserId,
        object: &Arc<str>,
        shared: Option<Shared>,
    ) -> Option<Waiting> {
        self.last += 1;
        let key = tx.key(format_args!("chat_getmessage_{user}"));
        let id = format!("{}-0", self.last);
        match shared {
            Some(shared) => tx.run_with(&command("XADD", &key, (id, "m")), shared),
            None => tx.run(&command("XADD", &key, (id, "m", &**object))),
        }
        let (connection, ..) = self.socket?;
        Some(Waiting { user, number: self.last, connection, object: Arc::clone(object) })
    }

    fn store(&self, tx: &mut RedisTx, user: UserId) {
        let key = tx.key(format_args!("queue_{user}"));
        let (connection, token, from) = match self.socket {
            Some((connection, token, from)) => {
                (connection.to_string(), token.to_string(), from.to_string())
            }
            None => Default::default(),
        };
        let fields = [
            ("last", self.last.to_string()),
            ("connection", connection),
            ("token", token),
            ("from", from),
        ];
        tx.run(&command("HSET", &key, &fields));
    }
}

/// A stored queue: last, connection, token, from.
type Fields = (Option<u64>, Option<String>, Option<String>, Option<String>);

/// The queues that a batch touches, as they are before it.
async fn load(
    tx: &mut RedisTx,
    batch: &[Recorded<Event>],
    groups: &Groups,
) -> Result<HashMap<UserId, Queue>, StoreError> {
    let mut users: Vec<UserId> = batch.iter().flat_map(touched).collect();
    users.extend(groups.users(batch));
    users.sort_unstable();
    users.dedup();
    let commands: Vec<_> = users
        .iter()
        .map(|user| {
            let key = tx.key(format_args!("queue_{user}"));
            command("HMGET", &key, &["last", "connection", "token", "from"])
        })
        .collect();
    let rows: Vec<Fields> = tx.read(commands).await?;
    Ok(users
        .into_iter()
        .zip(rows)
        .filter_map(|(user, (last, connection, token, from))| {
            Some((user, Queue { last: last?, socket: socket(connection, token, from) }))
        })
        .collect())
}

fn socket(
    connection: Option<String>,
    token: Option<String>,
    from: Option<String>,
) -> Option<(ConnectionId, TokenId, u64)> {
    Some((
        ConnectionId(connection?.parse().ok()?),
        TokenId(token?.parse().ok()?),
        from?.parse().ok()?,
    ))
}

fn touched(recorded: &Recorded<Event>) -> Vec<UserId> {
    match (&recorded.event, recorded.subject) {
        (Event::Session(_), Subject::Session(user)) => vec![user],
        (Event::Chat(ChatEvent::Sent(sent)), _) => vec![sent.to.id],
        (Event::Chat(ChatEvent::Revoked(revocation)), _) => vec![revocation.to.id],
        (Event::Friendship(_), Subject::Friendship(pair)) => vec![pair.lo(), pair.hi()],
        _ => Vec::new(),
    }
}

/// Takes delivered entries out. Naming one that is gone already does no harm.
fn forget(tx: &mut RedisTx, user: UserId, ranges: &[(u64, u64)]) {
    const AT_ONCE: usize = 1000; // words of one command, which Lua keeps on its stack
    let numbers: Vec<String> = ranges
        .iter()
        .flat_map(|&(from, to)| from..=to)
        .map(|number| format!("{number}-0"))
        .collect();
    for some in numbers.chunks(AT_ONCE) {
        let key = tx.key(format_args!("chat_getmessage_{user}"));
        tx.run(&command("XDEL", &key, some));
    }
}

/// The last number given before `connection` opened; `None` if it is not the user's socket.
///
/// # Errors
/// Redis cannot be reached, or has no queues yet.
pub async fn opened_at(
    redis: &Redis,
    user: UserId,
    connection: ConnectionId,
) -> Result<Option<u64>, RedisFailure> {
    let body = "return redis.call('HMGET', p .. 'queue_' .. ARGV[1], 'connection', 'from')";
    let (current, from): (Option<String>, Option<u64>) =
        reading("offline_queue", body).arg(user.0).invoke_async(&mut redis.shared()).await?;
    Ok(from.filter(|_| current == Some(connection.to_string())))
}

/// Entries with numbers from `from` to `to`, the first `most` of them: number and message object.
///
/// # Errors
/// Redis cannot be reached, or has no queues yet.
pub async fn entries(
    redis: &Redis,
    user: UserId,
    (from, to): (u64, u64),
    most: usize,
) -> Result<Vec<(u64, String)>, RedisFailure> {
    let body = "return redis.call('XRANGE', p .. 'chat_getmessage_' .. ARGV[1], \
                ARGV[2] .. '-0', ARGV[3], 'COUNT', ARGV[4])";
    let to = if to == u64::MAX { "+".to_owned() } else { format!("{to}-0") };
    let found: Vec<(String, (String, String))> = reading("offline_queue", body)
        .arg(user.0)
        .arg(from)
        .arg(to)
        .arg(most)
        .invoke_async(&mut redis.shared())
        .await?;
    Ok(found
        .into_iter()
        .filter_map(|(id, (_, object))| Some((id.strip_suffix("-0")?.parse().ok()?, object)))
        .collect())
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
            queue.note(&event);
            session.evolve(&event);
            let ours = queue.socket.map(|(connection, ..)| connection);
            assert_eq!(ours, session.socket.as_ref().map(|socket| socket.connection), "{event:?}");
        }
    }
}
