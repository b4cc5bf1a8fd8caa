//! The name of an aggregate, as operators write it: a kind, and a number or two.

use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeStruct as _};

use crate::events::{ChatKey, GroupId, Pair, Subject, UserId};

/// Which aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AggregateName {
    /// An account.
    User(UserId),
    /// Its log-ins and connections.
    Session(UserId),
    /// Two users' address books.
    Friendship(Pair),
    /// A group.
    Group(GroupId),
    /// What two people write to each other.
    Chat(Pair),
    /// What the members of a group write to it.
    GroupChat(GroupId),
    /// What somebody has answered beforehand.
    QuickReplies(UserId),
    /// A complaint, by the number that clients see.
    Complaint(i64),
}

/// What kind of aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An account: `3`
    User,
    /// Its log-ins and connections: `3`
    Session,
    /// Two users' address books: `3.9`
    Friendship,
    /// A group: `33`
    Group,
    /// What two people write to each other, or a group's members to it: `3.9`, `group:33`
    Chat,
    /// What somebody has answered beforehand: `3`
    QuickReplies,
    /// A complaint: `131072`
    Complaint,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::User,
        Self::Session,
        Self::Friendship,
        Self::Group,
        Self::Chat,
        Self::QuickReplies,
        Self::Complaint,
    ];

    /// As operators write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Session => "session",
            Self::Friendship => "friendship",
            Self::Group => "group",
            Self::Chat => "chat",
            Self::QuickReplies => "quick-replies",
            Self::Complaint => "complaint",
        }
    }

    /// The reverse.
    ///
    /// # Errors
    /// There is no such kind.
    pub fn parse(text: &str) -> Result<Self, UnfitName> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or(UnfitName::Kind)
    }
}

/// Why that names no aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnfitName {
    /// No such kind.
    #[error(
        "a kind is `user`, `session`, `friendship`, `group`, `chat`, `quick-replies` or `complaint`"
    )]
    Kind,
    /// Not one positive number.
    #[error("it is named by one number, like `3`")]
    Number,
    /// Not two positive numbers.
    #[error("it is named by two users' numbers, like `3.9`")]
    Pair,
    /// Neither two people nor a group.
    #[error("a chat is two users' numbers, like `3.9`, or a group's, like `group:33`")]
    Chat,
}

impl AggregateName {
    /// The aggregate of a kind that is called `id`.
    ///
    /// # Errors
    /// That is no name of one.
    pub fn parse(kind: Kind, id: &str) -> Result<Self, UnfitName> {
        let one = || number(id).ok_or(UnfitName::Number);
        Ok(match kind {
            Kind::User => Self::User(UserId(one()?)),
            Kind::Session => Self::Session(UserId(one()?)),
            Kind::Group => Self::Group(GroupId(one()?)),
            Kind::QuickReplies => Self::QuickReplies(UserId(one()?)),
            Kind::Complaint => Self::Complaint(one()?),
            Kind::Friendship => Self::Friendship(pair(id).ok_or(UnfitName::Pair)?),
            Kind::Chat => match id.strip_prefix("group:") {
                Some(group) => Self::GroupChat(GroupId(number(group).ok_or(UnfitName::Chat)?)),
                None => Self::Chat(pair(id).ok_or(UnfitName::Chat)?),
            },
        })
    }

    /// What kind it is of.
    pub fn kind(self) -> Kind {
        match self {
            Self::User(_) => Kind::User,
            Self::Session(_) => Kind::Session,
            Self::Friendship(_) => Kind::Friendship,
            Self::Group(_) => Kind::Group,
            Self::Chat(_) | Self::GroupChat(_) => Kind::Chat,
            Self::QuickReplies(_) => Kind::QuickReplies,
            Self::Complaint(_) => Kind::Complaint,
        }
    }

    /// What it is called among those of its kind.
    pub fn id(self) -> String {
        match self {
            Self::User(id) | Self::Session(id) | Self::QuickReplies(id) => id.to_string(),
            Self::Friendship(pair) | Self::Chat(pair) => format!("{}.{}", pair.lo(), pair.hi()),
            Self::Group(id) => id.to_string(),
            Self::GroupChat(id) => format!("group:{id}"),
            Self::Complaint(id) => id.to_string(),
        }
    }

    /// Where its events are; of a complaint its first event says so.
    pub fn subjects(self) -> Vec<Subject> {
        match self {
            Self::User(id) => vec![Subject::User(id)],
            Self::Session(id) => vec![Subject::Session(id)],
            Self::Friendship(pair) => vec![Subject::Friendship(pair)],
            Self::Group(id) => vec![Subject::Group(id)],
            Self::Chat(pair) => {
                let by = |sender| Subject::Chat(ChatKey { pair, sender });
                vec![by(pair.lo()), by(pair.hi())]
            }
            Self::GroupChat(id) => vec![Subject::GroupChat(id)],
            Self::QuickReplies(id) => vec![Subject::QuickReplies(id)],
            Self::Complaint(_) => Vec::new(),
        }
    }
}

fn number(text: &str) -> Option<i64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| digits)
}

fn pair(text: &str) -> Option<Pair> {
    let (one, other) = text.split_once('.')?;
    let (one, other) = (number(one)?, number(other)?);
    (one != other).then(|| Pair::of(UserId(one), UserId(other)))
}

impl fmt::Display for AggregateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind().as_str(), self.id())
    }
}

impl Serialize for AggregateName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("AggregateName", 2)?;
        fields.serialize_field("kind", self.kind().as_str())?;
        fields.serialize_field("id", &self.id())?;
        fields.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_as_itself() {
        for (kind, id) in [
            ("user", "3"),
            ("session", "3"),
            ("friendship", "3.9"),
            ("group", "33"),
            ("chat", "3.9"),
            ("chat", "group:33"),
            ("quick-replies", "3"),
            ("complaint", "131072"),
        ] {
            let name = Kind::parse(kind).and_then(|kind| AggregateName::parse(kind, id));
            assert_eq!(name.map(|name| name.to_string()), Ok(format!("{kind} {id}")));
        }
        let chat = |id| AggregateName::parse(Kind::Chat, id);
        assert_eq!(chat("9.3"), chat("3.9"), "one name for both");
    }

    #[test]
    fn what_names_nothing_is_refused_and_never_becomes_a_subject() {
        for id in
            ["", "0", "-3", "+3", "03", "3 ", "3.9", "*", ">", "3.>", "9223372036854775808", "٣"]
        {
            assert_eq!(AggregateName::parse(Kind::User, id), Err(UnfitName::Number), "{id}");
        }
        for id in ["3", "3.", ".9", "3.3", "3.9.3", "3.*", "group:33", "3.0"] {
            assert_eq!(AggregateName::parse(Kind::Friendship, id), Err(UnfitName::Pair), "{id}");
        }
        for id in ["33", "group:", "group:3.9", "group:>", "Group:33"] {
            assert_eq!(AggregateName::parse(Kind::Chat, id), Err(UnfitName::Chat), "{id}");
        }
        assert_eq!(Kind::parse("users"), Err(UnfitName::Kind));
    }
}
