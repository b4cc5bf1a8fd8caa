//! Unreported acknowledgements: which entries users have received, cut into events that the log takes whatever their
//! number.

use std::collections::{BTreeMap, HashMap};

use tracing::error;

use crate::{
    adapters::nats::log_error::LogError,
    adapters::nats::new_event::Appended,
    events::{Delivered, DeliveredInGroup, DeliveryEvent, GroupId, Position, UserId},
};

/// How long one report may be, encoded: far below what the log takes, and short enough to be applied at once.
const MOST_BYTES: usize = 256 * 1024;

/// Of how many entries, ranges and users one row tells, so that it fits into a report whatever the numbers are.
const MOST_ENTRIES: usize = 2_000;
const MOST_RANGES: usize = 500;
const MOST_USERS: usize = 5_000;

/// How long what is encoded can be: a number has 20 digits at most.
const RANGE_BYTES: usize = 44;
const POSITION_BYTES: usize = 21;
const USER_BYTES: usize = 21;
const ROW_BYTES: usize = 80;
const REPORT_BYTES: usize = 1_000;

/// Ranges, both ends included.
type Ranges = Vec<(u64, u64)>;

/// What was delivered and not reported yet.
#[derive(Debug, Clone, Default)]
pub(super) struct UnreportedAcks {
    /// Of queues: numbers, and where in the log these entries came from.
    queues: BTreeMap<UserId, Vec<(u64, Position)>>,
    /// Of timelines, by place in the log.
    timelines: HashMap<GroupId, HashMap<UserId, Ranges>>,
}

impl UnreportedAcks {
    /// An entry of the user's queue.
    pub(super) fn add(&mut self, user: UserId, number: u64, position: Position) {
        self.queues.entry(user).or_default().push((number, position));
    }

    /// What a group's timeline has there.
    pub(super) fn add_in_group(&mut self, user: UserId, group: GroupId, range: (u64, u64)) {
        extend(self.timelines.entry(group).or_default().entry(user).or_default(), range);
    }

    /// All of it, in as many reports as that takes.
    pub(super) fn into_reports(self) -> Vec<DeliveryEvent> {
        let mut cut = Cut::default();
        for (user, entries) in self.queues {
            for entries in entries.chunks(MOST_ENTRIES) {
                let mut ranges = Ranges::new();
                for (number, _) in entries {
                    extend(&mut ranges, (*number, *number));
                }
                let positions: Vec<Position> = entries.iter().map(|(_, at)| *at).collect();
                let bytes = ranges.len() * RANGE_BYTES + positions.len() * POSITION_BYTES;
                cut.room_for(bytes).users.push(Delivered { user, ranges, positions });
            }
        }
        for (group, ranges, users) in alike(self.timelines) {
            for ranges in ranges.chunks(MOST_RANGES) {
                for users in users.chunks(MOST_USERS) {
                    let (ranges, users) = (ranges.to_vec(), users.to_vec());
                    let row = DeliveredInGroup { group, ranges, users };
                    let bytes = row.ranges.len() * RANGE_BYTES + row.users.len() * USER_BYTES;
                    cut.room_for(bytes).groups.push(row);
                }
            }
        }
        let rows = cut.reports.into_iter();
        rows.map(|Rows { users, groups, .. }| DeliveryEvent::Written { users, groups }).collect()
    }
}

/// The rows of one report.
#[derive(Default)]
struct Rows {
    users: Vec<Delivered>,
    groups: Vec<DeliveredInGroup>,
    bytes: usize,
}

#[derive(Default)]
struct Cut {
    reports: Vec<Rows>,
}

impl Cut {
    /// The report that one more row goes into, whose lists have so many bytes.
    fn room_for(&mut self, lists: usize) -> &mut Rows {
        let bytes = ROW_BYTES + lists;
        let fits = self.reports.last().is_some_and(|last| last.bytes + bytes <= MOST_BYTES);
        if !fits {
            self.reports.push(Rows { bytes: REPORT_BYTES, ..Rows::default() });
        }
        let last = self.reports.last_mut().expect("one was pushed if there was none");
        last.bytes += bytes;
        last
    }
}

fn extend(ranges: &mut Ranges, (from, to): (u64, u64)) {
    match ranges.last_mut() {
        Some((_, end)) if end.checked_add(1) == Some(from) => *end = to,
        _ => ranges.push((from, to)),
    }
}

/// Those who have received the same of a group, together.
fn alike(
    timelines: HashMap<GroupId, HashMap<UserId, Ranges>>,
) -> impl Iterator<Item = (GroupId, Ranges, Vec<UserId>)> {
    timelines.into_iter().flat_map(|(group, members)| {
        let mut same: BTreeMap<Ranges, Vec<UserId>> = BTreeMap::new();
        for (user, ranges) in members {
            same.entry(ranges).or_default().push(user);
        }
        same.into_iter().map(move |(ranges, mut users)| {
            users.sort_unstable();
            (group, ranges, users)
        })
    })
}

/// Where a report is in the log; `None` if the log will never take it. Then what it names is delivered again, and what
/// comes after it is reported all the same.
///
/// # Errors
/// The log cannot be reached.
pub(super) fn reported(answer: Result<Appended, LogError>) -> Result<Option<Position>, LogError> {
    match answer {
        Ok(appended) => Ok(Some(appended.position)),
        Err(LogError::TooLarge) => {
            error!(
                "the log refuses a delivery report as too large; is its max_payload below 2 MB?"
            );
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Where these tests have an entry with a number come from.
    fn position(number: u64) -> Position {
        Position(number.saturating_add(7))
    }

    /// Everything that reports name: the group or none, the user, the range.
    fn named(reports: &[DeliveryEvent]) -> Vec<(Option<GroupId>, UserId, (u64, u64))> {
        let mut named = Vec::new();
        for DeliveryEvent::Written { users, groups } in reports {
            for Delivered { user, ranges, positions } in users {
                named.extend(ranges.iter().map(|range| (None, *user, *range)));
                let numbers = ranges.iter().flat_map(|(from, to)| *from..=*to);
                assert_eq!(*positions, numbers.map(position).collect::<Vec<_>>(), "in this order");
            }
            for DeliveredInGroup { group, ranges, users } in groups {
                for user in users {
                    named.extend(ranges.iter().map(|range| (Some(*group), *user, *range)));
                }
            }
        }
        named
    }

    fn longest(reports: &[DeliveryEvent]) -> usize {
        let lengths = reports.iter().map(|report| serde_json::to_vec(report).expect("data").len());
        lengths.max().unwrap_or(0)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Few or many users, groups and ranges, with numbers of any length.
        #[test]
        fn reports_are_bounded_and_name_exactly_what_was_delivered(
            users in 0_i64..20_000,
            ranges in 1_u64..4,
            scattered in 0_u64..9_000,
            members in 0_i64..15_000,
            kinds in 1_i64..4,
            first in prop_oneof![Just(1_u64), 0..u64::MAX - 1_000_000],
        ) {
            let mut all = BTreeSet::new();
            let mut unreported = UnreportedAcks::default();
            let mut add = |user: UserId, number: u64| {
                unreported.add(user, number, position(number));
                all.insert((None, user, (number, number)));
            };
            for user in 0..users {
                (0..ranges).for_each(|range| add(UserId(i64::MAX - user), first + 2 * range));
            }
            (0..scattered).for_each(|range| add(UserId(1), first + 2 * range));
            for member in 0..members {
                let (group, user) = (GroupId(i64::MAX), UserId(member));
                for kind in 0..=(member % kinds).unsigned_abs() {
                    let range = (first + 10 * kind, first + 10 * kind + 5);
                    unreported.add_in_group(user, group, range);
                    all.insert((Some(group), user, range));
                }
            }
            let reports = unreported.into_reports();
            prop_assert!(longest(&reports) <= MOST_BYTES);
            let named = named(&reports);
            prop_assert_eq!(named.len(), all.len(), "each once");
            prop_assert_eq!(named.into_iter().collect::<BTreeSet<_>>(), all);
        }
    }

    #[test]
    fn a_row_fits_whatever_its_numbers_are() {
        let mut unreported = UnreportedAcks::default();
        for user in 0..10_000 {
            for range in 0..1_000 {
                let number = u64::MAX - 2 * range;
                unreported.add_in_group(
                    UserId(i64::MIN + user),
                    GroupId(i64::MIN),
                    (number, number),
                );
            }
        }
        assert!(longest(&unreported.into_reports()) <= MOST_BYTES);
    }

    #[test]
    fn what_few_users_have_received_is_one_report() {
        let mut unreported = UnreportedAcks::default();
        for number in 1..=100 {
            (1..=100).for_each(|user| unreported.add(UserId(user), number, position(number)));
        }
        assert_eq!(unreported.into_reports().len(), 1);
        assert!(UnreportedAcks::default().into_reports().is_empty());
    }

    #[test]
    fn a_report_that_the_log_does_not_take_holds_nothing_up() {
        let appended = Appended { position: Position(7), duplicate: false };
        assert!(matches!(reported(Ok(appended)), Ok(Some(Position(7)))));
        assert!(matches!(reported(Err(LogError::TooLarge)), Ok(None)));
        assert!(reported(Err(LogError::Unavailable(String::new()))).is_err());
    }
}
