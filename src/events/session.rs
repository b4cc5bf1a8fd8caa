//! Session events are about the log-ins and connections of one account.

#![expect(missing_docs, reason = "a field whose name says what it is needs no comment")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    ids::{ConnectionId, NodeId, TokenId},
    values::Role,
};

/// A fact about one account's sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "data")]
pub enum SessionEvent {
    /// A token was issued and became the current one: a log-in, a registration or a guest identity (rest.md §1 to §6,
    /// data.md §4.1).
    #[serde(rename = "session.logged_in.v1")]
    LoggedIn {
        token: TokenId,
        /// The role played with it.
        role: Role,
    },
    /// A token was given back (rest.md §3).
    #[serde(rename = "session.logged_out.v1")]
    LoggedOut { token: TokenId },
    /// All tokens were taken back but one, because the password changed; their connections get no more pushes.
    #[serde(rename = "session.revoked.v1")]
    Revoked {
        /// The one that stays what it was, if any.
        kept: Option<TokenId>,
        /// The change of password that this is part of.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("x-personal" = "none"))]
        change: Option<Uuid>,
    },
    /// A socket opened and became the account's current connection (ws.md §3). Expires after `log.fact_ttl_s`.
    #[serde(rename = "session.connected.v1")]
    Connected {
        connection: ConnectionId,
        /// The gateway that holds it.
        node: NodeId,
        /// The token it came with.
        token: TokenId,
        /// The role of that token.
        role: Role,
    },
    /// A connection ended, for this reason. Expires after `log.fact_ttl_s`.
    #[serde(rename = "session.disconnected.v1")]
    Disconnected { connection: ConnectionId, reason: DisconnectReason },
}

/// Why a socket ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DisconnectReason {
    /// The client closed it, or its network did.
    Closed,
    /// It did not read what was sent.
    TooSlow,
    /// The account had too many sockets, and this was the oldest.
    TooMany,
    /// The gateway stopped in order.
    Shutdown,
    /// The gateway was not heard of any more.
    NodeLost,
}
