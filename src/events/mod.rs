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
mod session;
mod user;
mod values;

pub use cause::{Cause, Operator, TraceParent, UnfitOperator};
pub use codec::DecodeError;
pub use complaint::{Accused, ComplaintEvent, Statement};
pub use delivery::{Delivered, DeliveredInGroup, DeliveryEvent};
pub use friendship::{Answer, FriendshipEvent, NewEdge, Visibility};
pub use group::{Applicant, Card, Entrance, GroupEvent, Inviter};
pub use ids::{
    ComplaintId, ComplaintKey, ConnectionId, EdgeId, GroupId, IDS_PER_EVENT, MembershipId,
    MessageId, NodeId, Pair, Position, QuickReplyId, RequestId, Subject, TokenId, UserId,
};
pub use message::{ChatEvent, GroupChatEvent, Revocation, Room, Sent};
pub use operations::OperationsEvent;
pub use quick_replies::QuickReplyEvent;
pub use recorded::Recorded;
pub use session::{DisconnectReason, SessionEvent};
pub use user::{Device, UploadPlace, Uploaded, UserEvent};
pub use values::{ChatKind, Person, Role, Timestamp, Username, enc};

/// Any fact of the log.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// About an account.
    User(UserEvent),
    /// About log-ins and sockets of an account.
    Session(SessionEvent),
    /// About two users' address books.
    Friendship(FriendshipEvent),
    /// About one message between two people.
    Chat(ChatEvent),
    /// About a group.
    Group(GroupEvent),
    /// About one message to a group.
    GroupChat(GroupChatEvent),
    /// About what somebody has answered beforehand.
    QuickReplies(QuickReplyEvent),
    /// About a complaint.
    Complaint(ComplaintEvent),
    /// About what has been written to sockets.
    Delivery(DeliveryEvent),
    /// About running the service.
    Operations(OperationsEvent),
}
