//! Commands to a connection: what the registry and the pushes tell it, in the order of its mailbox.

use std::sync::Arc;

use axum::extract::ws::Utf8Bytes;
use bytes::Bytes;
use tokio::sync::oneshot;

use super::mailbox::Mailbox;
use crate::{
    adapters::nats::push::{GroupPush, QueuePush},
    events::{DisconnectReason, GroupId, Position, Role},
    telemetry::metrics::Timer,
};

/// What the registry tells a connection.
#[derive(Debug)]
pub(super) enum ConnectionCommand {
    /// A newer connection of the account, with a token of this role, took over (ws.md §5).
    Superseded(Role),
    /// Deliver nothing more; say so when the last write is done.
    HandOver(oneshot::Sender<()>),
    /// The token was logged out (DEV-30), or taken back.
    Mute,
    /// An entry of the queue; an empty frame says that there is something to fetch.
    QueuePush(QueuePush, Bytes, Timer),
    /// Deliver what waits from before the connection opened.
    Drain,
    /// Pushes may have been missed.
    Refetch,
    /// Pushes of the queue up to this number may have been missed.
    QueueWatermark(u64),
    /// A push of what was said in a large group may have been missed.
    TimelineWatermark(GroupId, Position),
    /// Events up to this one may have been missed.
    EventsMissed(Position),
    /// The user has left a group.
    LeftGroup(GroupId, Position),
    /// Something was said in a large group.
    GroupPush(Arc<GroupFrame>),
    /// The account was disabled: a close frame is right here (ws.md §7.7).
    Close,
    /// End without a close frame.
    Abort(DisconnectReason),
}

impl ConnectionCommand {
    /// Is it a push?
    pub(super) fn is_push(&self) -> bool {
        matches!(self, Self::QueuePush(..) | Self::GroupPush(_))
    }

    /// Is what the connection would still deliver for another one, or for none?
    pub(super) fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Superseded(_) | Self::HandOver(_) | Self::Mute | Self::Close | Self::Abort(_)
        )
    }
}

/// What was pushed, as a connection hears it.
#[derive(Debug)]
pub struct GroupFrame {
    /// Where and by whom.
    pub push: GroupPush,
    /// The frame; none if the connection has to refetch.
    pub frame: Option<Utf8Bytes>,
    /// From its arrival until the last connection is done with it.
    pub _timer: Timer,
}

/// With more commands waiting, pushes are left out, and the connection refetches.
const MOST_WAITING: usize = 1024;

/// Tells a connection of a push.
pub(super) fn push_command(commands: &Mailbox<ConnectionCommand>, push: ConnectionCommand) {
    commands.put_if_room(push, MOST_WAITING, ConnectionCommand::Refetch); // the socket may have ended just now
}
