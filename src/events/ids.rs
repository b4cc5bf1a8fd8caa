//! Identities are types of their own, and subjects say where in the log each aggregate lives.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// A user's number, as clients see it: positive, at most 2^53.
    UserId(i64)
);
id!(
    /// A row of somebody's address book; see [`Position::numbered`].
    EdgeId(i64)
);
id!(
    /// A friend request; see [`Position::numbered`].
    RequestId(i64)
);
id!(
    /// A group, as clients see it.
    GroupId(i64)
);
id!(
    /// Somebody's membership of a group, waiting or not; see [`Position::numbered`].
    MembershipId(i64)
);
id!(
    /// A question answered beforehand: about the millisecond in which it was added. Its owner's alone.
    #[derive(Default)]
    QuickReplyId(i64)
);
id!(
    /// A complaint, as clients see it; see [`Position::numbered`].
    ComplaintId(i64)
);
id!(
    /// A complaint, as the log names it: its subject is needed before its position is known.
    ComplaintKey(Uuid)
);
id!(
    /// A message, or a notice shown like one.
    MessageId(Uuid)
);
id!(
    /// One open socket.
    ConnectionId(Uuid)
);
id!(
    /// The `jti` of a token; worthless without the signature.
    TokenId(Uuid)
);
id!(
    /// One process start of a gateway; never reused.
    NodeId(Uuid)
);
id!(
    /// A place in the log: the stream sequence. 0 is before the first event.
    #[derive(Default)]
    Position(u64)
);

/// How many ids one event may make, at most: 131,072.
pub const IDS_PER_EVENT: usize = 1 << INDEX_BITS;
const INDEX_BITS: u32 = 17;

impl Position {
    /// The id of what the event here makes, the `index`-th of such things; the index is below [`IDS_PER_EVENT`].
    ///
    /// Ids are unique and rise with the log, and need no database, no wait and no look at the log's end (ADR 0014). They
    /// are below 2^53, which clients can count to, for the first 68 billion events.
    pub fn numbered(self, index: usize) -> i64 {
        debug_assert!(index < IDS_PER_EVENT, "the id would be that of another event's thing");
        ((self.0 << INDEX_BITS) | index as u64).cast_signed()
    }

    /// Where the event is that makes what has this id, if any does.
    pub fn of_id(id: i64) -> Self {
        Self(id.cast_unsigned() >> INDEX_BITS)
    }
}

/// Two users in a fixed order, so that both sides name the same thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pair {
    lo: UserId,
    hi: UserId,
}

impl Pair {
    /// The pair of `a` and `b`, in either order.
    pub fn of(a: UserId, b: UserId) -> Self {
        Self { lo: a.min(b), hi: a.max(b) }
    }

    /// The smaller id.
    pub fn lo(self) -> UserId {
        self.lo
    }

    /// The larger id.
    pub fn hi(self) -> UserId {
        self.hi
    }

    /// The one that `one` is not.
    pub fn other(self, one: UserId) -> UserId {
        if one == self.lo { self.hi } else { self.lo }
    }
}

/// What one of two people writes to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChatKey {
    /// Who talks.
    pub pair: Pair,
    /// Who of them writes.
    pub sender: UserId,
}

impl ChatKey {
    /// What `sender` writes to `to`.
    pub fn of(sender: UserId, to: UserId) -> Self {
        Self { pair: Pair::of(sender, to), sender }
    }
}

/// What an event is about: one aggregate, one exact subject (ADR 0001).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// An account.
    User(UserId),
    /// Its log-ins and sockets.
    Session(UserId),
    /// Two users' address books.
    Friendship(Pair),
    /// What one of two people wrote to the other.
    Chat(ChatKey),
    /// A group: its name, its rules, who is in it.
    Group(GroupId),
    /// What its members wrote to it.
    GroupChat(GroupId),
    /// What somebody has answered beforehand.
    QuickReplies(UserId),
    /// A complaint.
    Complaint(ComplaintKey),
    /// What one node has written to sockets.
    Delivery(NodeId),
    /// What operators decided.
    Operations,
}

impl Subject {
    /// Reads a subject of the log back; `None` for one that this version does not know.
    pub fn parse(text: &str) -> Option<Self> {
        let user = |token: Option<&str>| token?.parse().ok().map(UserId);
        let group = |token: Option<&str>| token?.parse().ok().map(GroupId);
        let mut tokens = text.split('.');
        let mut next = || tokens.next();
        if next()? != "evt" {
            return None;
        }
        let subject = match next()? {
            "user" => Self::User(user(next())?),
            "session" => Self::Session(user(next())?),
            "friendship" => Self::Friendship(Pair::of(user(next())?, user(next())?)),
            "chat" => {
                let pair = Pair::of(user(next())?, user(next())?);
                Self::Chat(ChatKey { pair, sender: user(next())? })
            }
            "group" => Self::Group(group(next())?),
            "groupchat" => Self::GroupChat(group(next())?),
            "questions" => Self::QuickReplies(user(next())?),
            "complaint" => Self::Complaint(ComplaintKey(next()?.parse().ok()?)),
            "operations" => Self::Operations,
            "delivery" => Self::Delivery(NodeId(next()?.parse().ok()?)),
            _ => return None,
        };
        next().is_none().then_some(subject)
    }

    /// The same with other numbers for people.
    pub(super) fn with_people(self, other: impl Fn(UserId) -> UserId) -> Self {
        let pair = |pair: Pair| Pair::of(other(pair.lo), other(pair.hi));
        match self {
            Self::User(id) => Self::User(other(id)),
            Self::Session(id) => Self::Session(other(id)),
            Self::QuickReplies(id) => Self::QuickReplies(other(id)),
            Self::Friendship(both) => Self::Friendship(pair(both)),
            Self::Chat(ChatKey { pair: both, sender }) => {
                Self::Chat(ChatKey { pair: pair(both), sender: other(sender) })
            }
            Self::Group(_)
            | Self::GroupChat(_)
            | Self::Complaint(_)
            | Self::Delivery(_)
            | Self::Operations => self,
        }
    }

    /// Is it about what `user` has or does alone, or with one other?
    pub fn is_of(self, user: UserId) -> bool {
        match self {
            Self::User(id) | Self::Session(id) | Self::QuickReplies(id) => id == user,
            Self::Friendship(pair) | Self::Chat(ChatKey { pair, .. }) => {
                pair.lo == user || pair.hi == user
            }
            Self::Group(_)
            | Self::GroupChat(_)
            | Self::Complaint(_)
            | Self::Delivery(_)
            | Self::Operations => false,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "evt.user.{id}"),
            Self::Session(id) => write!(f, "evt.session.{id}"),
            Self::Friendship(pair) => write!(f, "evt.friendship.{}.{}", pair.lo, pair.hi),
            Self::Chat(ChatKey { pair, sender }) => {
                write!(f, "evt.chat.{}.{}.{sender}", pair.lo, pair.hi)
            }
            Self::Group(id) => write!(f, "evt.group.{id}"),
            Self::GroupChat(id) => write!(f, "evt.groupchat.{id}"),
            Self::QuickReplies(owner) => write!(f, "evt.questions.{owner}"),
            Self::Complaint(key) => write!(f, "evt.complaint.{key}"),
            Self::Delivery(node) => write!(f, "evt.delivery.{node}"),
            Self::Operations => f.write_str("evt.operations"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_reads_back_as_itself() {
        let (ann, bob) = (UserId(3), UserId(9));
        for subject in [
            Subject::User(ann),
            Subject::Session(bob),
            Subject::Friendship(Pair::of(bob, ann)),
            Subject::Chat(ChatKey::of(bob, ann)),
            Subject::Group(GroupId(33)),
            Subject::GroupChat(GroupId(33)),
            Subject::QuickReplies(ann),
            Subject::Complaint(ComplaintKey(Uuid::max())),
            Subject::Delivery(NodeId(Uuid::nil())),
            Subject::Operations,
        ] {
            assert_eq!(Subject::parse(&subject.to_string()), Some(subject));
        }
    }

    #[test]
    fn ids_rise_with_the_log_and_lead_back_to_it() {
        let ids = [(1, 0), (1, 1), (1, IDS_PER_EVENT - 1), (2, 0), (68_000_000_000, 0)];
        let ids = ids.map(|(at, index)| (Position(at), Position(at).numbered(index)));
        assert!(ids.is_sorted_by(|(_, one), (_, next)| one < next));
        assert!(ids.iter().all(|(_, id)| *id < 1 << 53));
        assert!(ids.iter().all(|(at, id)| Position::of_id(*id) == *at));
    }

    #[test]
    fn a_strange_subject_is_no_subject() {
        for text in ["", "evt", "evt.user", "evt.user.x", "evt.user.1.2", "sec.user.1"] {
            assert_eq!(Subject::parse(text), None, "{text}");
        }
    }
}
