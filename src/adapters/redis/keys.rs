//! Keys in Redis: what they are called and what is in them. Writers have them from here, and so have scripts, which are
//! told each key that they touch in their `KEYS` (ADR 0032).
//!
//! `hongyan projections verify` tells tables apart by names: what stands before `_` and a digit is the table of a key,
//! and a hash whose name has no digit is a table of its own, a field a row.

use std::fmt::{self, Display};

use crate::{
    adapters::client_address::ClientNetwork,
    events::{GroupId, NodeId, Pair, UserId},
};

/// A key of a read model, below the prefix of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RedisKey {
    /// `sessions`. Hash: the `session` as JSON, the `version` that it is.
    Session(UserId),
    /// `presence`. Hash: connection → node.
    Online(UserId),
    /// `presence`. Set: `{user} {connection}` of each connection that a node has.
    Node(NodeId),
    /// `presence`. Hash: node → how many connections it has.
    Nodes,
    /// `chat_log`. List: message objects between two people, the newest last.
    PairLog(Pair),
    /// `chat_log`. The same of a group.
    GroupLog(GroupId),
    /// `offline_queue`. Stream: number → position in the log `p`, message object `m`; [`SHARED`] where that is in
    /// [`RedisKey::Objects`], empty where there is something in a timeline to look at.
    Queue(UserId),
    /// `offline_queue`. Stream: number → position `p` of each undelivered entry that the queue has forgotten.
    Evicted(UserId),
    /// `offline_queue`. Hash: the `connection` that receives, its `token`, the number `from` and the `position` at which
    /// it connected.
    Cursor(UserId),
    /// `offline_queue`. Hash: position → an object that several queues have; `{position}:queues` → how many have it.
    Objects,
    /// `offline_queue`. Hash: a group as JSON (`row`), user → membership as JSON, where its `timeline` ends and what its
    /// last fan-out was, and up to where that has forgotten (`floor`).
    Group(GroupId),
    /// `offline_queue`. Stream: position → position of the entry before `q`, author `a`, message object `m`.
    Timeline(GroupId),
    /// `offline_queue`. Hash: user → the positions of the timeline that they have not received.
    Undelivered(GroupId),
    /// `offline_queue`. Set: the groups of whose timelines a user has not received something.
    LargeGroups(UserId),
    /// `offline_queue`. Hash: the `version` is the last event that changed who receives.
    AudienceVersion,
}

/// What stands in an entry of a queue for an object that several queues have.
pub const SHARED: &str = "@";

impl Display for RedisKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(user) => write!(f, "chat_user_{user}"),
            Self::Online(user) => write!(f, "online_{user}"),
            Self::Node(node) => write!(f, "node_{node}"),
            Self::Nodes => write!(f, "nodes"),
            Self::PairLog(pair) => {
                write!(f, "chatlog:chatlog_{}_single_{}", pair.lo(), pair.hi())
            }
            Self::GroupLog(group) => write!(f, "chatlog:chatlog_{group}_group_{group}"),
            Self::Queue(user) => write!(f, "chat_getmessage_{user}"),
            Self::Evicted(user) => write!(f, "evicted_{user}"),
            Self::Cursor(user) => write!(f, "cursor_{user}"),
            Self::Objects => write!(f, "objects"),
            Self::Group(group) => write!(f, "group_{group}"),
            Self::Timeline(group) => write!(f, "timeline_{group}"),
            Self::Undelivered(group) => write!(f, "undelivered_{group}"),
            Self::LargeGroups(user) => write!(f, "large_groups_{user}"),
            Self::AudienceVersion => write!(f, "audience_version"),
        }
    }
}

/// What the keys of a generation begin with. Each read model has its own, so that generations can be dropped apart.
pub fn prefix(read_model: &str, generation: i32) -> String {
    format!("{read_model}:g{generation}:")
}

/// String: the number of the generation that is live.
pub fn live(read_model: &str) -> String {
    format!("hy:{read_model}:active")
}

/// String: the highest number that a generation of it was ever given.
pub fn generations(read_model: &str) -> String {
    format!("hy:{read_model}:generations")
}

/// Hash: the `position` of the last event that counts and which `event` that was, who works on it (`owner`), of which
/// log (`created`), and the `shape` of its keys.
pub fn checkpoint(read_model: &str, generation: i32) -> String {
    format!("hy:{read_model}:g{generation}")
}

/// A counter that ends by itself, or a mark: strings that belong to no read model and may be lost.
#[derive(Debug, Clone, Copy)]
pub enum CounterKey<'a> {
    /// Signed calls of a device; an hour after the last that was accepted it is gone (clarification 7).
    SignedCalls(&'a str),
    /// Runs of ffmpeg for a user in the hour that began with the first.
    Posters(UserId),
    /// Bytes that a user has uploaded in the 24 hours that began with the first.
    UploadBytes(UserId),
    /// Failed log-ins of an account, by its folded name, until `limits.login_window_s` after the last; so the next two.
    LoginFailures(&'a str),
    /// The same from one address; of IPv6 its /64.
    LoginFailuresAt(&'a str, ClientNetwork),
    /// Failed log-ins of all accounts from one address.
    LoginFailuresFrom(ClientNetwork),
    /// Requests of a user in a minute, counted since 1970; gone after two.
    UserRequests(UserId, i64),
    /// The same from an address.
    NetworkRequests(ClientNetwork, i64),
    /// A mark: the user has changed a field within the last minute (`ws.md` §5).
    Modified(UserId),
}

impl Display for CounterKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SignedCalls(device) => write!(f, "chat_visitor_reg:{device}"),
            Self::Posters(user) => write!(f, "spent:posters:{user}"),
            Self::UploadBytes(user) => write!(f, "spent:upload_bytes:{user}"),
            Self::LoginFailures(name) => write!(f, "login_failures:account:{name}"),
            // A name may have colons in it.
            Self::LoginFailuresAt(name, network) => {
                write!(f, "login_failures:account_at:{network}:{name}")
            }
            Self::LoginFailuresFrom(network) => write!(f, "login_failures:address:{network}"),
            Self::UserRequests(user, minute) => write!(f, "requests:user:{user}:{minute}"),
            Self::NetworkRequests(network, minute) => {
                write!(f, "requests:address:{network}:{minute}")
            }
            Self::Modified(user) => write!(f, "user:modify:{user}"),
        }
    }
}
