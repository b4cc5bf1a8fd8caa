//! The verdict on one recipient: what is known of them comes to a delivery, or to exactly one reason why there is none.

use serde::Serialize;

use super::connections::{AuditedConnection, End};
use crate::{
    events::{ConnectionId, NodeId, Position, Timestamp},
    projections::offline_queue::lookup::Held,
};

/// Why somebody has not received a message. The list is closed: whoever adds a way for messages to stay away names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// They wrote it.
    Author,
    /// It is between two others.
    NotARecipient,
    /// They were not in the group then, and had never been.
    NotAMember,
    /// They had left the group, or were put out of it.
    LeftBefore,
    /// Whoever wrote it was not in the group any more (ADR 0021).
    AuthorNotAMember,
    /// The queue has yet to take it in.
    NotQueuedYet,
    /// They were offline then, and have been since.
    NeverConnectedSince,
    /// They have been online, and nobody has asked for what waits.
    NotDrained,
    /// It is on its way over the connection that is there.
    NotAcknowledged,
    /// The connection that it was for ended before its client had it.
    ConnectionLost,
    /// The gateway of that connection was lost before it said that the client had it.
    GatewayLost,
    /// The queue has forgotten it, and `message_history` has it.
    BeyondQuota,
    /// It does not wait, and no report names it.
    NotReported,
}

impl Reason {
    /// In operators' words: why, and what will become of it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Author => "they wrote it; their client has it from the answer",
            Self::NotARecipient => "it is a message between two others",
            Self::NotAMember => "they were not in the group when it was accepted, nor before",
            Self::LeftBefore => {
                "they were in the group, and not any more when the message was accepted"
            }
            Self::AuthorNotAMember => {
                "its author was not in the group when the log took it, so it reaches nobody"
            }
            Self::NotQueuedYet => "offline_queue has yet to apply it: look at its lag",
            Self::NeverConnectedSince => {
                "it waits: they were not connected then, and have not been since"
            }
            Self::NotDrained => {
                "it waits: they have connected since, and their client has not asked for what waits"
            }
            Self::NotAcknowledged => {
                "it is on its way: they are connected, and their client has not acknowledged it"
            }
            Self::ConnectionLost => {
                "it waits: the connection that it was pushed to ended before the client had acknowledged it"
            }
            Self::GatewayLost => {
                "it waits: the gateway that it was pushed to was lost before it reported it as delivered; it comes again \
                 with the next connection"
            }
            Self::BeyondQuota => {
                "it waits beyond the quota of queues: the next drain brings it from message_history"
            }
            Self::NotReported => {
                "it does not wait, and no report names its position: it was delivered before reports did so, or a report \
                 is missing"
            }
        }
    }
}

/// By which report a message counts as delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// Where in the log the report is.
    pub position: Position,
    /// When the log took it.
    pub stored: String,
    /// The gateway that reported it.
    pub gateway: NodeId,
    /// The connection that brought it, if the log still has its events and no other of the gateway ended just then.
    pub connection: Option<ConnectionId>,
    /// How it came over that.
    pub by: Option<Way>,
}

/// How a message comes over a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// As soon as it was there.
    Live,
    /// Since the client asked for what waits.
    Drain,
}

/// A delivery report that names the message and the recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) position: Position,
    pub(super) stored_at: Timestamp,
    pub(super) gateway: NodeId,
    /// Of an entry of a queue.
    pub(super) number: Option<u64>,
}

/// The verdict on somebody who was entitled to the message at `position`: where it is held, what they have had to receive
/// it over, and the report, which is looked for if it is held no more.
pub(super) fn judge(
    position: Position,
    held: Held,
    connections: &[AuditedConnection],
    report: Option<&Found>,
) -> Result<Delivery, Reason> {
    match held {
        Held::NotYet => Err(Reason::NotQueuedYet),
        Held::Evicted(_) => Err(Reason::BeyondQuota),
        Held::Waiting(_) => Err(waits(position, connections)),
        Held::Gone => {
            report.map(|report| delivery(position, connections, report)).ok_or(Reason::NotReported)
        }
    }
}

fn delivery(position: Position, connections: &[AuditedConnection], report: &Found) -> Delivery {
    let mut possible = connections.iter().filter(|one| {
        one.gateway == report.gateway && one.may_be_told_of(report.position, report.stored_at)
    });
    let over = possible.next().filter(|_| possible.next().is_none());
    Delivery {
        position: report.position,
        stored: report.stored_at.iso_text(),
        gateway: report.gateway,
        connection: over.map(|one| one.connection),
        by: over.map(|one| if one.is_live_at(position) { Way::Live } else { Way::Drain }),
    }
}

/// Why something waits, by the last connection that could have brought it.
fn waits(position: Position, connections: &[AuditedConnection]) -> Reason {
    let Some(last) = connections.last() else { return Reason::NeverConnectedSince };
    match (last.is_live_at(position), last.to) {
        (true, None) => Reason::NotAcknowledged,
        (_, Some((_, End::GatewayLost))) => Reason::GatewayLost,
        (true, Some(_)) => Reason::ConnectionLost,
        (false, _) => Reason::NotDrained,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{
        super::connections::tests::{connection, millis},
        *,
    };

    /// Where the message is.
    const SENT: Position = Position(100);

    fn verdict(held: Held, connections: &[AuditedConnection]) -> Result<Delivery, Reason> {
        judge(SENT, held, connections, None)
    }

    #[test]
    fn what_waits_has_one_reason() {
        let waiting =
            |connections: &[AuditedConnection]| verdict(Held::Waiting(Some(17)), connections);
        let closed = |at| Some((at, End::Closed));
        for (connections, reason) in [
            (vec![], Reason::NeverConnectedSince),
            (vec![connection(1, 90, None)], Reason::NotAcknowledged),
            (vec![connection(1, 90, closed(110))], Reason::ConnectionLost),
            (vec![connection(1, 90, Some((110, End::GatewayLost)))], Reason::GatewayLost),
            (vec![connection(1, 110, None)], Reason::NotDrained),
            (vec![connection(1, 110, closed(120))], Reason::NotDrained),
            (vec![connection(1, 110, Some((120, End::GatewayLost)))], Reason::GatewayLost),
            (
                vec![connection(1, 90, Some((110, End::Superseded))), connection(2, 110, None)],
                Reason::NotDrained,
            ),
        ] {
            assert_eq!(waiting(&connections), Err(reason), "{connections:?}");
        }
    }

    #[test]
    fn where_it_is_held_comes_before_who_was_connected() {
        let connections = [connection(1, 90, None)];
        for (held, reason) in [
            (Held::NotYet, Reason::NotQueuedYet),
            (Held::Evicted(Some(17)), Reason::BeyondQuota),
            (Held::Gone, Reason::NotReported),
        ] {
            assert_eq!(verdict(held, &connections), Err(reason));
        }
    }

    #[test]
    fn a_report_names_the_gateway_and_so_the_connection() {
        let report = |position, gateway| Found {
            position: Position(position),
            stored_at: millis(position),
            gateway: NodeId(Uuid::from_u128(gateway)),
            number: Some(17),
        };
        let connections =
            [connection(1, 90, Some((110, End::GatewayLost))), connection(2, 110, None)];
        let over = |report: &Found| {
            let delivery = judge(SENT, Held::Gone, &connections, Some(report)).expect("delivered");
            (delivery.connection.map(|connection| connection.0.as_u128()), delivery.by)
        };
        assert_eq!(over(&report(105, 9)), (Some(1), Some(Way::Live)));
        assert_eq!(over(&report(115, 9)), (Some(2), Some(Way::Drain)));
        assert_eq!(over(&report(112, 9)), (None, None), "one of them; the other has just ended");
        assert_eq!(over(&report(115, 8)), (None, None), "its connects have expired");
    }
}
