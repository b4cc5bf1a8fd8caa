//! The rules of a message: may it be sent to a person (data.md §6.3), may it be taken back?

use std::{fmt::Debug, sync::Arc};

use serde_json::{Value, value::RawValue};
use uuid::Uuid;

use super::{decider::Decider, friendship::Friendship, group::Group, user::Account};
use crate::events::{
    AggregateEvent, ChatEvent, ChatKey, GroupChatEvent, GroupId, MessageId, Person, Position,
    Revocation, Role, Room, Sent, Timestamp, UserId,
};

/// How long an author may take a message back.
pub const REVOKE_WINDOW_MS: i64 = 5 * 60 * 1000;

/// One message, to a person or to a group.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Message<To = Person> {
    /// Nobody sent it.
    #[default]
    Unsent,
    /// It was accepted.
    Sent(Accepted),
    /// Its author took it back.
    Revoked(Accepted, Revocation<To>),
}

/// What the rules remember of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// The author.
    pub author: UserId,
    /// Where it went.
    pub to: Target,
    /// When the server accepted it.
    pub sent_at: Timestamp,
}

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// To a person.
    User(UserId),
    /// To a group.
    Group(GroupId),
}

/// What a message is sent to: a person or a group.
pub trait Recipient: Debug + Clone + PartialEq + Send + Sync + 'static {
    /// What happens to messages there.
    type Event: AggregateEvent + Debug + Clone + PartialEq + Send + Sync;
    /// What of the recipient the rules judge a draft by.
    type Relation: Debug + Copy + Send + Sync;

    /// Which it is.
    fn target(&self) -> Target;
    /// Where what `author` sends to it is in the log.
    fn key(&self, author: UserId) -> <Self::Event as AggregateEvent>::Id;
    /// May somebody with this role write to it?
    ///
    /// # Errors
    /// The rule that says no.
    fn may_write(relation: Self::Relation, role: Role) -> Result<(), MessageRejection>;
    /// A message was sent to it.
    fn sent(sent: Arc<Sent<Self>>) -> Self::Event;
    /// One was taken back.
    fn revoked(revocation: Revocation<Self>) -> Self::Event;
    /// The reverse of both.
    fn read(event: &Self::Event) -> SentOrRevoked<'_, Self>;
}

/// What happened to a message.
#[derive(Debug, Clone, Copy)]
pub enum SentOrRevoked<'a, To> {
    /// It was sent.
    Sent(&'a Arc<Sent<To>>),
    /// It was taken back.
    Revoked(&'a Revocation<To>),
}

impl Recipient for Person {
    type Event = ChatEvent;
    type Relation = SenderRelation;

    fn target(&self) -> Target {
        Target::User(self.id)
    }

    fn key(&self, author: UserId) -> ChatKey {
        ChatKey::of(author, self.id)
    }

    fn may_write(relation: SenderRelation, role: Role) -> Result<(), MessageRejection> {
        relation.may_write(role).map(drop)
    }

    fn sent(sent: Arc<Sent>) -> ChatEvent {
        ChatEvent::Sent(sent)
    }

    fn revoked(revocation: Revocation) -> ChatEvent {
        ChatEvent::Revoked(revocation)
    }

    fn read(event: &ChatEvent) -> SentOrRevoked<'_, Self> {
        match event {
            ChatEvent::Sent(sent) => SentOrRevoked::Sent(sent),
            ChatEvent::Revoked(revocation) => SentOrRevoked::Revoked(revocation),
        }
    }
}

impl Recipient for Room {
    type Event = GroupChatEvent;
    /// A draft to a group is a member's: [`Draft::to_group`].
    type Relation = ();

    fn target(&self) -> Target {
        Target::Group(self.id)
    }

    fn key(&self, _: UserId) -> GroupId {
        self.id
    }

    fn may_write((): (), _: Role) -> Result<(), MessageRejection> {
        Ok(())
    }

    fn sent(sent: Arc<Sent<Self>>) -> GroupChatEvent {
        GroupChatEvent::Sent(sent)
    }

    fn revoked(revocation: Revocation<Self>) -> GroupChatEvent {
        GroupChatEvent::Revoked(revocation)
    }

    fn read(event: &GroupChatEvent) -> SentOrRevoked<'_, Self> {
        match event {
            GroupChatEvent::Sent(sent) => SentOrRevoked::Sent(sent),
            GroupChatEvent::Revoked(revocation) => SentOrRevoked::Revoked(revocation),
        }
    }
}

/// What can be asked of a message.
#[derive(Debug, Clone)]
pub enum MessageCommand<To: Recipient = Person> {
    /// Accept it.
    Send(Draft<To>),
    /// Take it back.
    Revoke {
        /// What the recipient will be told.
        revocation: Revocation<To>,
        /// Who wants it.
        revoker: Revoker,
    },
}

/// Who takes a message back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoker {
    /// Its author, who has [`REVOKE_WINDOW_MS`] for it.
    Author,
    /// An operator, at any time. The recipients are told that its author did: clients know nobody else.
    Operator,
}

/// What somebody wants to say.
#[derive(Debug, Clone)]
pub struct MessageContent {
    /// `text`, `image` ….
    pub kind: String,
    /// JSON text, passed through.
    pub data: String,
    /// Extra parameters, passed through.
    pub options: Option<Box<RawValue>>,
}

/// A message to be.
#[derive(Debug, Clone)]
pub struct Draft<To: Recipient = Person> {
    /// Its id.
    pub id: MessageId,
    /// How the recipient regards the author.
    pub relation: To::Relation,
    /// The author, by the name that the recipients see, with their role.
    pub from: Person,
    /// The author's role on their row.
    pub from_role: Role,
    /// The author's public identifier.
    pub from_uuid: Uuid,
    /// The recipient, by the name that the author sees.
    pub to: To,
    /// What is said.
    pub content: MessageContent,
    /// Now.
    pub at: Timestamp,
}

/// How a recipient regards an author, which decides whether he may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SenderRelation {
    /// There is no such recipient, or he is disabled.
    Gone,
    /// The recipient's blacklist has the author.
    Blocked,
    /// The author is in the recipient's address book, or is the recipient.
    Friend,
    /// Neither; what the recipient lets strangers do.
    Stranger(SendCount),
}

/// How many messages a stranger may send (data.md §6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendCount {
    /// None before being friends.
    None,
    /// One, ever, before being friends.
    One,
    /// Any number.
    Unlimited,
}

/// Under which condition the log may take the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendQuota {
    /// As long as the friendship is as the rules saw it.
    Unlimited,
    /// Only as the author's first message to this recipient.
    First,
}

/// Why a message is refused. The texts differ by the author's role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageRejection {
    /// Step 1.
    #[error("the recipient does not exist or is disabled")]
    RecipientGone,
    /// Step 2.
    #[error("the recipient blocked the author")]
    Blocked(Role),
    /// Step 5.
    #[error("the recipient takes messages of friends only")]
    FriendsOnly(Role),
    /// Step 6.
    #[error("the one message to a stranger was sent already")]
    QuotaUsed,
    /// The id names another message.
    #[error("the id is taken")]
    IdTaken,
    /// Unknown, somebody else's, or sent elsewhere (DEV-15).
    #[error("no such message of the caller in this chat")]
    NotYours,
    /// Later than [`REVOKE_WINDOW_MS`].
    #[error("too late to revoke")]
    TooLate,
    /// There is no such group to write to (rest.md §41).
    #[error("there is no such group")]
    GroupGone,
    /// Only members write to a group.
    #[error("the author is not in the group")]
    NotInGroup,
    /// There is no such group to take something back from (rest.md §36).
    #[error("there is no such group")]
    NoGroupToRevokeIn,
    /// Who is not in the group takes nothing back.
    #[error("the caller is not in the group")]
    RevokerNotInGroup,
}

impl<To: Recipient> Message<To> {
    /// May it be taken back? `None`: it was already (rest.md §36, DEV-15).
    ///
    /// # Errors
    /// The rule that says no.
    pub fn revoke(
        &self,
        revocation: &Revocation<To>,
        revoker: Revoker,
    ) -> Result<Option<Revocation<To>>, MessageRejection> {
        match self {
            Self::Unsent => Err(MessageRejection::NotYours),
            Self::Sent(message) | Self::Revoked(message, _)
                if message.author != revocation.by.id || message.to != revocation.to.target() =>
            {
                Err(MessageRejection::NotYours)
            }
            Self::Sent(message)
                if revoker == Revoker::Author
                    && revocation.at.0 - message.sent_at.0 > REVOKE_WINDOW_MS =>
            {
                Err(MessageRejection::TooLate)
            }
            Self::Sent(_) => Ok(Some(revocation.clone())),
            Self::Revoked(..) => Ok(None),
        }
    }
}

impl SenderRelation {
    /// The rule table's view of `author` by `recipient` (data.md §6.3).
    pub fn of(author: &Account, recipient: Option<&Account>, between: &Friendship) -> Self {
        let Some(recipient) = recipient else {
            return Self::Gone;
        };
        match between.edge_of(recipient.id) {
            Some(edge) if edge.blocked => Self::Blocked,
            Some(_) => Self::Friend,
            None if recipient.id == author.id => Self::Friend,
            None => Self::Stranger(SendCount::of(&recipient.userset, author.role)),
        }
    }

    /// Steps 1 to 7; whether step 6 bites is for the log to say.
    ///
    /// # Errors
    /// The step that says no.
    pub fn may_write(self, role: Role) -> Result<SendQuota, MessageRejection> {
        match self {
            Self::Gone => Err(MessageRejection::RecipientGone),
            Self::Blocked => Err(MessageRejection::Blocked(role)),
            Self::Stranger(SendCount::None) => Err(MessageRejection::FriendsOnly(role)),
            Self::Stranger(SendCount::One) => Ok(SendQuota::First),
            Self::Friend | Self::Stranger(SendCount::Unlimited) => Ok(SendQuota::Unlimited),
        }
    }
}

impl SendCount {
    /// What `userset` says for authors of this role; 1 where it says nothing usable (DEV-13).
    pub fn of(userset: &str, author: Role) -> Self {
        let settings: Value = serde_json::from_str(userset).unwrap_or_default();
        let part = &settings["chatset"][author.as_str()];
        let count = if part.is_object() { &part["sendCount"] } else { part };
        match count.as_i64() {
            Some(0) => Self::None,
            Some(2) => Self::Unlimited,
            _ => Self::One,
        }
    }
}

impl<To: Recipient> Decider for Message<To> {
    type Id = MessageId;
    type Command = MessageCommand<To>;
    type Event = To::Event;
    type Rejection = MessageRejection;

    fn decide(&self, command: &MessageCommand<To>) -> Result<Option<To::Event>, MessageRejection> {
        match (self, command) {
            (Self::Unsent, MessageCommand::Send(draft)) => {
                To::may_write(draft.relation, draft.from_role)?;
                Ok(Some(draft.sent()))
            }
            (Self::Sent(_) | Self::Revoked(..), MessageCommand::Send(_)) => {
                Err(MessageRejection::IdTaken)
            }
            (message, MessageCommand::Revoke { revocation, revoker }) => {
                Ok(message.revoke(revocation, *revoker)?.map(To::revoked))
            }
        }
    }

    fn evolve(&mut self, _: Position, event: &To::Event) {
        *self = match (std::mem::take(self), To::read(event)) {
            (Self::Unsent, SentOrRevoked::Sent(sent)) => {
                let (author, to) = (sent.from.id, sent.to.target());
                Self::Sent(Accepted { author, to, sent_at: sent.sent_at })
            }
            (Self::Sent(message), SentOrRevoked::Revoked(revocation)) => {
                Self::Revoked(message, revocation.clone())
            }
            (state, _) => state,
        };
    }
}

impl Draft {
    /// What `author` wants to say to `recipient`, each called as the other knows them.
    ///
    /// # Errors
    /// There is no such recipient, or they are disabled.
    pub fn to_person(
        author: &Account,
        recipient: Option<&Account>,
        between: &Friendship,
        content: MessageContent,
        (id, at): (MessageId, Timestamp),
    ) -> Result<Self, MessageRejection> {
        let relation = SenderRelation::of(author, recipient, between);
        let recipient = recipient.ok_or(MessageRejection::RecipientGone)?;
        Ok(Self {
            id,
            relation,
            from: seen_by(between, recipient.id, author, author.role),
            from_role: author.role,
            from_uuid: author.uuid,
            to: seen_by(between, author.id, recipient, author.role),
            content,
            at,
        })
    }
}

impl Draft<Room> {
    /// What `author` wants to say to a group (rest.md §41).
    ///
    /// # Errors
    /// There is no such group, or they are not in it.
    pub fn to_group(
        author: &Account,
        group: &Group,
        content: MessageContent,
        (id, at): (MessageId, Timestamp),
    ) -> Result<Self, MessageRejection> {
        let group = group.active().ok_or(MessageRejection::GroupGone)?;
        let member = group.member(author.id).ok_or(MessageRejection::NotInGroup)?;
        Ok(Self {
            id,
            relation: (),
            from: member.person(author),
            from_role: author.role,
            from_uuid: author.uuid,
            to: group.room(),
            content,
            at,
        })
    }
}

impl<To: Recipient> Draft<To> {
    fn sent(&self) -> To::Event {
        let MessageContent { kind, data, options } = self.content.clone();
        To::sent(Arc::new(Sent {
            id: self.id,
            from: self.from.clone(),
            from_uuid: self.from_uuid,
            to: self.to.clone(),
            kind,
            data,
            options,
            sent_at: self.at,
        }))
    }
}

/// How `viewer` knows `who`: by their remark, if they made one. In what guests write, remarks do not count (ws.md §6.2).
fn seen_by(between: &Friendship, viewer: UserId, who: &Account, author: Role) -> Person {
    let remark = between
        .edge_of(viewer)
        .filter(|_| author == Role::User && viewer != who.id)
        .map(|edge| edge.remark.as_str())
        .filter(|remark| !remark.is_empty());
    who.person_called(remark.unwrap_or(who.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: UserId = UserId(3);
    const BOB: UserId = UserId(9);

    fn person(id: UserId) -> Person {
        Person { id, name: "n".into(), avatar: "a".into() }
    }

    fn send(relation: SenderRelation, role: Role) -> MessageCommand {
        MessageCommand::Send(Draft {
            id: MessageId(Uuid::nil()),
            relation,
            from: person(ANN),
            from_role: role,
            from_uuid: Uuid::nil(),
            to: person(BOB),
            content: MessageContent { kind: "text".into(), data: "{}".into(), options: None },
            at: Timestamp(1_000),
        })
    }

    fn revoke(by: UserId, to: UserId, at: i64) -> MessageCommand {
        let revocation = Revocation {
            message: MessageId(Uuid::nil()),
            by: person(by),
            to: person(to),
            at: Timestamp(at),
        };
        MessageCommand::Revoke { revocation, revoker: Revoker::Author }
    }

    fn given(commands: &[MessageCommand]) -> Message {
        commands.iter().fold(Message::default(), |mut message, command| {
            let event = message.decide(command).expect("allowed").expect("a change");
            message.evolve(Position(1), &event);
            message
        })
    }

    fn sent() -> Message {
        given(&[send(SenderRelation::Friend, Role::User)])
    }

    #[test]
    fn dev_15_only_the_author_revokes_and_only_in_the_right_chat() {
        use MessageRejection::NotYours;
        assert_eq!(sent().decide(&revoke(BOB, BOB, 1_001)), Err(NotYours));
        assert_eq!(sent().decide(&revoke(ANN, ANN, 1_001)), Err(NotYours));
        assert_eq!(Message::default().decide(&revoke(ANN, BOB, 1)), Err(NotYours));
    }

    #[test]
    fn five_minutes_by_the_servers_clock() {
        let last = 1_000 + REVOKE_WINDOW_MS;
        assert!(sent().decide(&revoke(ANN, BOB, last)).is_ok());
        let late = sent().decide(&revoke(ANN, BOB, last + 1));
        assert_eq!(late, Err(MessageRejection::TooLate));
    }

    #[test]
    fn operators_have_no_window_and_change_no_author() {
        let late = 1_000 + REVOKE_WINDOW_MS + 1;
        let by_operator = |by, to| match revoke(by, to, late) {
            MessageCommand::Revoke { revocation, .. } => {
                MessageCommand::Revoke { revocation, revoker: Revoker::Operator }
            }
            other @ MessageCommand::Send(_) => other,
        };
        assert!(matches!(sent().decide(&by_operator(ANN, BOB)), Ok(Some(ChatEvent::Revoked(_)))));
        let not_theirs = Err(MessageRejection::NotYours);
        assert_eq!(sent().decide(&by_operator(BOB, BOB)), not_theirs);
        assert_eq!(Message::default().decide(&by_operator(ANN, BOB)), not_theirs);
        let again = given(&[send(SenderRelation::Friend, Role::User), by_operator(ANN, BOB)]);
        assert_eq!(again.decide(&by_operator(ANN, BOB)), Ok(None));
    }

    #[test]
    fn a_second_revoke_is_already_so() {
        let message = given(&[send(SenderRelation::Friend, Role::User), revoke(ANN, BOB, 1_001)]);
        assert_eq!(message.decide(&revoke(ANN, BOB, 1_002)), Ok(None));
    }

    #[test]
    fn strangers_write_as_the_recipient_lets_them() {
        use MessageRejection::{Blocked, FriendsOnly, RecipientGone};
        for role in [Role::User, Role::Visitor] {
            let may = |standing: SenderRelation| standing.may_write(role);
            assert_eq!(may(SenderRelation::Gone), Err(RecipientGone));
            assert_eq!(may(SenderRelation::Blocked), Err(Blocked(role)));
            assert_eq!(may(SenderRelation::Friend), Ok(SendQuota::Unlimited));
            assert_eq!(may(SenderRelation::Stranger(SendCount::None)), Err(FriendsOnly(role)));
            assert_eq!(may(SenderRelation::Stranger(SendCount::One)), Ok(SendQuota::First));
            assert_eq!(
                may(SenderRelation::Stranger(SendCount::Unlimited)),
                Ok(SendQuota::Unlimited)
            );
        }
    }

    #[test]
    fn dev_13_settings_that_say_nothing_mean_one() {
        let of = |text| SendCount::of(text, Role::User);
        for text in ["", "no json", "[]", "{}", r#"{"chatset":{}}"#, r#"{"chatset":{"user":{}}}"#] {
            assert_eq!(of(text), SendCount::One, "{text}");
        }
        assert_eq!(of(r#"{"chatset":{"user":0}}"#), SendCount::None);
        assert_eq!(of(r#"{"chatset":{"user":{"sendCount":2}}}"#), SendCount::Unlimited);
        assert_eq!(of(r#"{"chatset":{"user":{"sendCount":7}}}"#), SendCount::One);
        let visitors = r#"{"chatset":{"visitor":{"sendCount":0},"user":2}}"#;
        assert_eq!(SendCount::of(visitors, Role::Visitor), SendCount::None);
    }
}
