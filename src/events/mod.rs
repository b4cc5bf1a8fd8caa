//! Events say what has happened, as plain data without I/O, clock or randomness.

mod cause;
mod codec;
mod complaint;
mod delivery;
mod friendship;
mod group;
mod ids;
mod message;
mod operations;
mod quick_replies;
mod recorded;
mod redaction;
mod schema;
mod sealing;
mod session;
mod user;
mod values;

pub use cause::{Cause, Operator, TraceParent, UnfitOperator};
pub use codec::DecodeError;
pub use complaint::{Accused, ComplaintEvent, Statement};
pub use delivery::{Delivered, DeliveredInGroup, DeliveryEvent};
pub use friendship::{Answer, FriendshipEvent, NewEdge, Visibility};
pub use group::{AccountSummary, Applicant, GroupEvent, Inviter, JoinContext};
pub use ids::{
    ChatKey, ComplaintId, ComplaintKey, ConnectionId, EdgeId, GroupId, IDS_PER_EVENT, MembershipId,
    MessageId, NodeId, Pair, Position, QuickReplyId, RequestId, Subject, TokenId, UserId,
};
pub use message::{ChatEvent, GroupChatEvent, GroupSummary, Revocation, Sent};
pub use operations::OperationsEvent;
pub use quick_replies::QuickReplyEvent;
pub use recorded::Recorded;
pub use redaction::{Attribute, Disclosure, Redaction};
pub use schema::{EventSchema, schemas, schemas_of_draft_07};
pub use sealing::{
    ContentKey, KeyOwner, KeyState, UnsealError, Unsealed, seal_text, sealed_by, unseal,
};
pub use session::{DisconnectReason, SessionEvent};
pub use user::{Device, UploadPlace, Uploaded, UserEvent};
pub use values::{ChatKind, Role, Timestamp, UserSummary, Username, enc};

/// The events of one kind of aggregate, among all events.
pub trait AggregateEvent: Sized {
    /// What tells aggregates of this kind apart.
    type Id: Copy;

    /// Where the aggregate lives in the log.
    fn subject(id: Self::Id) -> Subject;

    /// The event of the aggregate `id`, as an event.
    fn of(self, id: Self::Id) -> Event;

    /// The reverse, if it is an event of this kind.
    fn into_own(event: Event) -> Option<(Self::Id, Self)>;
}

/// A kind of aggregate, as the documents of the log name it.
#[derive(Debug)]
pub struct AggregateKind {
    /// Its events are this variant of [`Event`].
    pub name: &'static str,
    /// Its subjects, with the parameters in braces: `evt.user.{user}`.
    pub address: &'static str,
    schema: fn(&mut schemars::SchemaGenerator) -> schemars::Schema,
}

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident($id:ty, $event:ty) at $address:literal;)+) => {
        /// Any event of the log. It names its aggregate, so that an event and its subject cannot disagree.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Event {
            $($(#[$doc])* $name($id, $event),)+
            /// About running the service.
            Operations(OperationsEvent),
        }

        impl Event {
            /// Where its aggregate lives in the log.
            pub fn subject(&self) -> Subject {
                match self {
                    $(Self::$name(id, _) => Subject::$name(*id),)+
                    Self::Operations(_) => Subject::Operations,
                }
            }
        }

        impl AggregateKind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[
                $(Self {
                    name: stringify!($name),
                    address: $address,
                    schema: <$event as schemars::JsonSchema>::json_schema,
                },)+
                Self {
                    name: "Operations",
                    address: "evt.operations",
                    schema: <OperationsEvent as schemars::JsonSchema>::json_schema,
                },
            ];
        }

        $(impl AggregateEvent for $event {
            type Id = $id;

            fn subject(id: $id) -> Subject {
                Subject::$name(id)
            }

            fn of(self, id: $id) -> Event {
                Event::$name(id, self)
            }

            fn into_own(event: Event) -> Option<($id, Self)> {
                match event {
                    Event::$name(id, event) => Some((id, event)),
                    _ => None,
                }
            }
        })+
    };
}

events! {
    /// About an account.
    User(UserId, UserEvent) at "evt.user.{user}";
    /// About log-ins and connections of an account.
    Session(UserId, SessionEvent) at "evt.session.{user}";
    /// About two users' address books.
    Friendship(Pair, FriendshipEvent) at "evt.friendship.{lower}.{higher}";
    /// About one message between two people.
    Chat(ChatKey, ChatEvent) at "evt.chat.{lower}.{higher}.{sender}";
    /// About a group.
    Group(GroupId, GroupEvent) at "evt.group.{group}";
    /// About one message to a group.
    GroupChat(GroupId, GroupChatEvent) at "evt.groupchat.{group}";
    /// About what somebody has answered beforehand.
    QuickReplies(UserId, QuickReplyEvent) at "evt.questions.{user}";
    /// About a complaint.
    Complaint(ComplaintKey, ComplaintEvent) at "evt.complaint.{complaint}";
    /// About what has been written to connections of one gateway.
    Delivery(NodeId, DeliveryEvent) at "evt.delivery.{node}";
}
