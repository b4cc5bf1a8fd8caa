//! Delivery reports, looked through for one that names a message and a recipient: first those of the gateways that the
//! recipient was connected to, from when on they were, then all.

use std::{collections::HashMap, sync::Arc};

use tokio::sync::Mutex;

use super::{connections::AuditedConnection, verdict::Found};
use crate::{
    adapters::nats::{event_log::EventLog, log_error::LogError},
    events::{
        Delivered, DeliveredInGroup, DeliveryEvent, Event, GroupId, NodeId, Position, Recorded,
        UserId,
    },
};

/// So many reports of a gateway are read for a connection, one part after the other: of some ten seconds in which something is
/// delivered all the time. It is nearly always one of the first.
const NEAR: [usize; 3] = [4, 16, 30];

/// So many are read at once where it is none of those.
const PAGE: usize = 500;

/// Beyond so many a report counts as missing.
const MOST: usize = 100_000;

type Reports = Arc<Vec<Recorded<Event>>>;

/// The reports that come after one message. Its recipients share what was read.
pub(super) struct ReportSearch<'a> {
    log: &'a EventLog,
    message: Position,
    /// The group, if the message is in the timeline of a large one.
    timeline: Option<GroupId>,
    read: Mutex<HashMap<(NodeId, Position), Reports>>,
}

impl<'a> ReportSearch<'a> {
    pub(super) fn new(log: &'a EventLog, message: Position, timeline: Option<GroupId>) -> Self {
        Self { log, message, timeline, read: Mutex::default() }
    }

    /// The first report that names the recipient. That there is none takes long to know: it is asked if there must be one.
    pub(super) async fn find(
        &self,
        user: UserId,
        connections: &[AuditedConnection],
    ) -> Result<Option<Found>, LogError> {
        for connection in connections {
            let mut from = connection.from.max(self.message);
            for most in NEAR {
                let near = self.near(connection.gateway, from, most).await?;
                if let Some(found) = self.among(&near, user) {
                    return Ok(Some(found));
                }
                let Some(last) = near.last().filter(|_| near.len() == most) else { break };
                from = last.position;
            }
        }
        // Connects expire, and a report that was held up comes when it comes.
        let (mut from, mut seen) = (Position(self.message.0 + 1), 0);
        while seen < MOST {
            let reports = self.log.delivery_reports(None, from, PAGE).await?;
            if let Some(found) = self.among(&reports, user) {
                return Ok(Some(found));
            }
            let Some(last) = reports.last().filter(|_| reports.len() == PAGE) else { break };
            (from, seen) = (Position(last.position.0 + 1), seen + PAGE);
        }
        Ok(None)
    }

    async fn near(
        &self,
        gateway: NodeId,
        from: Position,
        most: usize,
    ) -> Result<Reports, LogError> {
        let mut read = self.read.lock().await;
        if let Some(known) = read.get(&(gateway, from)) {
            return Ok(Arc::clone(known));
        }
        let from_then = Position(from.0 + 1);
        let found = self.log.delivery_reports(Some(gateway), from_then, most).await?;
        let found = Arc::new(found);
        read.insert((gateway, from), Arc::clone(&found));
        Ok(found)
    }

    fn among(&self, reports: &[Recorded<Event>], user: UserId) -> Option<Found> {
        reports.iter().find_map(|recorded| {
            let Event::Delivery(gateway, report) = &recorded.event else { return None };
            let number = match self.timeline {
                Some(group) => names_in_group(report, group, user, self.message).then_some(None)?,
                None => Some(number_of(report, user, self.message)?),
            };
            let (position, stored_at) = (recorded.position, recorded.stored_at);
            Some(Found { position, stored_at, gateway: *gateway, number })
        })
    }
}

/// The number of the entry of a user's queue that came from a position, if a report names it.
fn number_of(report: &DeliveryEvent, user: UserId, position: Position) -> Option<u64> {
    let DeliveryEvent::Written { users, .. } = report;
    let rows = users.iter().filter(|delivered| delivered.user == user);
    rows.into_iter().find_map(|Delivered { ranges, positions, .. }| {
        let index = positions.iter().position(|at| *at == position)?;
        ranges.iter().flat_map(|(from, to)| *from..=*to).nth(index)
    })
}

/// Does a report say that a member has what a group's timeline has at a position?
fn names_in_group(
    report: &DeliveryEvent,
    group: GroupId,
    user: UserId,
    position: Position,
) -> bool {
    let DeliveryEvent::Written { groups, .. } = report;
    groups.iter().filter(|row| row.group == group).any(
        |DeliveredInGroup { ranges, users, .. }| {
            users.contains(&user)
                && ranges.iter().any(|(from, to)| (*from..=*to).contains(&position.0))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_entries_of_queues_by_number_and_position() {
        let row = |ranges: Vec<(u64, u64)>, positions: &[u64]| Delivered {
            user: UserId(9),
            ranges,
            positions: positions.iter().copied().map(Position).collect(),
        };
        let users = vec![row(vec![(1, 2)], &[]), row(vec![(5, 6), (9, 9)], &[821, 830, 844])];
        let report = DeliveryEvent::Written { users, groups: Vec::new() };
        let number = |user, position| number_of(&report, UserId(user), Position(position));
        assert_eq!([821, 830, 844, 822].map(|at| number(9, at)), [Some(5), Some(6), Some(9), None]);
        assert_eq!(number(3, 821), None);
    }

    #[test]
    fn a_report_names_what_members_have_of_a_timeline_by_ranges() {
        let (group, users) = (GroupId(33), vec![UserId(3), UserId(9)]);
        let row = DeliveredInGroup { group, ranges: vec![(801, 812), (820, 820)], users };
        let report = DeliveryEvent::Written { users: Vec::new(), groups: vec![row] };
        let names = |group, user, position| {
            names_in_group(&report, GroupId(group), UserId(user), Position(position))
        };
        assert!(names(33, 9, 801) && names(33, 9, 812) && names(33, 3, 820));
        assert!(!names(33, 9, 813) && !names(34, 9, 801) && !names(33, 4, 801));
    }
}
