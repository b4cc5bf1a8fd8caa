//! The connections that a recipient has had since a message was accepted, one after the other: each could have brought it.

use serde::Serialize;

use crate::events::{
    ConnectionId, DisconnectReason, NodeId, Position, Recorded, SessionEvent, Timestamp, TokenId,
};

/// One that pushes went to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditedConnection {
    /// Which.
    pub connection: ConnectionId,
    /// The gateway that holds it, or held it.
    pub gateway: NodeId,
    /// Where it connected.
    pub from: Position,
    /// Where it ended, and why; `None` as long as it is there.
    pub to: Option<(Position, End)>,
    /// When that was.
    #[serde(skip)]
    ended_at: Option<Timestamp>,
    /// What it came with.
    #[serde(skip)]
    token: TokenId,
}

/// Why pushes went to a connection no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The client closed it, or its network did.
    Closed,
    /// It did not read what was sent.
    TooSlow,
    /// The account had too many, and this was the oldest.
    TooMany,
    /// Its gateway stopped in order.
    Shutdown,
    /// Its gateway was not heard of any more.
    GatewayLost,
    /// A newer one took over.
    Superseded,
    /// Its token was given back, or taken back.
    LoggedOut,
}

impl From<DisconnectReason> for End {
    fn from(reason: DisconnectReason) -> Self {
        match reason {
            DisconnectReason::Closed => Self::Closed,
            DisconnectReason::TooSlow => Self::TooSlow,
            DisconnectReason::TooMany => Self::TooMany,
            DisconnectReason::Shutdown => Self::Shutdown,
            DisconnectReason::NodeLost => Self::GatewayLost,
        }
    }
}

impl AuditedConnection {
    /// Was it there when the event at a position was stored? Then what that sent is live on it, else it waits for a drain.
    pub fn is_live_at(&self, position: Position) -> bool {
        self.from < position
    }

    /// May a report of its gateway tell of it? One of a connection that has ended comes in the next moment.
    pub(super) fn may_be_told_of(&self, report: Position, at: Timestamp) -> bool {
        const LAST_REPORT_MS: i64 = 5_000;
        self.from < report
            && self.ended_at.is_none_or(|ended| at.0.saturating_sub(ended.0) < LAST_REPORT_MS)
    }
}

/// The current connection when the event at a position was stored, and those that came after it. They are the same as
/// [`crate::commands::session::Session`] says; a renewal is no new one.
pub(super) fn since(
    position: Position,
    events: &[Recorded<SessionEvent>],
) -> Vec<AuditedConnection> {
    let mut all: Vec<AuditedConnection> = Vec::new();
    for Recorded { event, position: at, stored_at, .. } in events {
        let current = all.last_mut().filter(|last| last.to.is_none());
        let end = match (event, &current) {
            (SessionEvent::Connected { connection, .. }, Some(current)) => {
                (current.connection != *connection).then_some(End::Superseded)
            }
            (SessionEvent::Disconnected { connection, reason }, Some(current)) => {
                (current.connection == *connection).then_some(End::from(*reason))
            }
            (SessionEvent::LoggedOut { token }, Some(current)) => {
                (current.token == *token).then_some(End::LoggedOut)
            }
            (SessionEvent::Revoked { kept, .. }, Some(current)) => {
                (Some(current.token) != *kept).then_some(End::LoggedOut)
            }
            (_, None) | (SessionEvent::LoggedIn { .. }, _) => None,
        };
        let is_renewal = current.is_some() && end.is_none();
        if let (Some(current), Some(end)) = (current, end) {
            (current.to, current.ended_at) = (Some((*at, end)), Some(*stored_at));
        }
        if let SessionEvent::Connected { connection, node, token, .. } = *event
            && !is_renewal
        {
            let (gateway, from, to, ended_at) = (node, *at, None, None);
            all.push(AuditedConnection { connection, gateway, from, to, ended_at, token });
        }
    }
    all.retain(|one| one.to.is_none_or(|(to, _)| to > position));
    all
}

#[cfg(test)]
pub(super) mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        commands::{decider::Decider as _, session::Session},
        events::{Cause, Role},
    };

    /// Where these tests have an event be stored: a second after the one before.
    pub(in crate::delivery_audit) fn millis(position: u64) -> Timestamp {
        Timestamp(i64::try_from(position).expect("small") * 1000)
    }

    fn recorded(position: u64, event: SessionEvent) -> Recorded<SessionEvent> {
        let (id, at) = (Uuid::from_u128(position.into()), millis(position));
        let (actor, cause) = (None, Cause::own("test"));
        Recorded { event, position: Position(position), id, at, stored_at: at, actor, cause }
    }

    fn connected(connection: u128) -> SessionEvent {
        SessionEvent::Connected {
            connection: ConnectionId(Uuid::from_u128(connection)),
            node: NodeId(Uuid::from_u128(9)),
            token: TokenId(Uuid::from_u128(connection)),
            role: Role::User,
        }
    }

    fn disconnected(connection: u128, reason: DisconnectReason) -> SessionEvent {
        SessionEvent::Disconnected { connection: ConnectionId(Uuid::from_u128(connection)), reason }
    }

    /// One from where to where, for specifications.
    pub(in crate::delivery_audit) fn connection(
        number: u128,
        from: u64,
        to: Option<(u64, End)>,
    ) -> AuditedConnection {
        AuditedConnection {
            connection: ConnectionId(Uuid::from_u128(number)),
            gateway: NodeId(Uuid::from_u128(9)),
            from: Position(from),
            to: to.map(|(to, end)| (Position(to), end)),
            ended_at: to.map(|(to, _)| millis(to)),
            token: TokenId(Uuid::from_u128(number)),
        }
    }

    #[test]
    fn they_follow_each_other_as_the_session_says() {
        let events = [
            recorded(10, connected(1)),
            recorded(20, connected(2)),
            recorded(21, disconnected(1, DisconnectReason::Closed)),
            recorded(30, connected(2)),
            recorded(40, disconnected(2, DisconnectReason::NodeLost)),
            recorded(50, SessionEvent::LoggedIn { token: TokenId(Uuid::nil()), role: Role::User }),
            recorded(60, connected(3)),
            recorded(70, SessionEvent::LoggedOut { token: TokenId(Uuid::from_u128(3)) }),
            recorded(80, connected(4)),
        ];
        let all = [
            connection(1, 10, Some((20, End::Superseded))),
            connection(2, 20, Some((40, End::GatewayLost))),
            connection(3, 60, Some((70, End::LoggedOut))),
            connection(4, 80, None),
        ];
        assert_eq!(since(Position(0), &events), all);
        assert_eq!(since(Position(25), &events), all[1..]);
        assert_eq!(since(Position(75), &events), all[3..]);
        let mut session = Session::default();
        for (count, recorded) in events.iter().enumerate() {
            session.evolve(recorded.position, &recorded.event);
            let found = since(Position(0), &events[..=count]);
            let current = found.last().filter(|last| last.to.is_none()).map(|last| last.connection);
            assert_eq!(current, session.socket.as_ref().map(|socket| socket.connection));
        }
    }

    #[test]
    fn live_is_what_came_after_it_connected() {
        assert!(connection(1, 10, None).is_live_at(Position(11)));
        assert!(!connection(1, 10, None).is_live_at(Position(9)));
    }
}
