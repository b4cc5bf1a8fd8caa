//! Has everything arrived that was acknowledged, once and in order?

use std::collections::HashMap;

use serde::Serialize;

/// The outcome of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// 200: it must arrive.
    Acknowledged,
    /// 4xx: it must not.
    Refused,
    /// 5xx, or no answer: it may.
    Unknown,
}

/// Whom a message is to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum To {
    User(usize),
    Group(usize),
}

/// All that one author sent: each call after the answer to the one before, so that their order is known.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) calls: Vec<(To, Outcome)>,
}

/// What has reached one user.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    by_author: HashMap<usize, Seen>,
    distinct: u64,
    doubled: u64,
    repeated: u64,
    out_of_order: u64,
    any_order: bool,
}

/// Of one author.
#[derive(Debug, Default)]
struct Seen {
    /// The highest number so far.
    last: Option<usize>,
    numbers: Numbers,
    /// Those that came over sockets that were lost, and have not come again.
    before: Numbers,
}

/// A set of small numbers.
#[derive(Debug, Default, Clone)]
struct Numbers(Vec<u64>);

impl Numbers {
    fn has(&self, number: usize) -> bool {
        self.0.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    fn add(&mut self, number: usize) {
        if self.0.len() <= number / 64 {
            self.0.resize(number / 64 + 1, 0);
        }
        self.0[number / 64] |= 1 << (number % 64);
    }

    /// Was it there?
    fn remove(&mut self, number: usize) -> bool {
        let had = self.has(number);
        if had {
            self.0[number / 64] &= !(1 << (number % 64));
        }
        had
    }
}

impl Arrived {
    /// The socket was lost. What it brought last may come again over the next one: the gateway may have had no time to
    /// say that it was written (ADR 0003). And a queue drains beside live messages, in no order (ws.md §7.6).
    pub(super) fn lose_socket(&mut self) {
        self.any_order = true;
        for seen in self.by_author.values_mut() {
            seen.before = seen.numbers.clone();
        }
    }

    /// Takes in the author's message with this number; `false` if it has come before.
    pub(super) fn take(&mut self, author: usize, number: usize) -> bool {
        let seen = self.by_author.entry(author).or_default();
        if seen.numbers.has(number) {
            let count =
                if seen.before.remove(number) { &mut self.repeated } else { &mut self.doubled };
            *count += 1;
            return false;
        }
        if seen.last.is_some_and(|last| last > number) && !self.any_order {
            self.out_of_order += 1;
        }
        seen.last = seen.last.max(Some(number));
        seen.numbers.add(number);
        self.distinct += 1;
        true
    }

    fn has(&self, author: usize, number: usize) -> bool {
        self.by_author.get(&author).is_some_and(|seen| seen.numbers.has(number))
    }
}

/// What a run shows of the promises.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Report {
    /// Calls answered with 200.
    pub(super) acknowledged: u64,
    /// Calls answered with 4xx.
    pub(super) refused: u64,
    /// Calls without an answer, or with 5xx.
    pub(super) unknown: u64,
    /// Messages that had to reach somebody; a group's message counts for each member.
    pub(super) due: u64,
    /// Of which have arrived.
    pub(super) arrived: u64,
    /// Of which have not.
    pub(super) lost: u64,
    /// Arrivals of what had arrived before over the same socket.
    pub(super) doubled: u64,
    /// Arrivals of what had arrived before over a socket that was lost since: not promised otherwise.
    pub(super) repeated: u64,
    /// Arrivals after a later one of the same author.
    pub(super) out_of_order: u64,
    /// Arrivals of what was refused, or was not to that user.
    pub(super) unexpected: u64,
}

impl Report {
    /// Was something acknowledged, and was every promise kept?
    pub(super) fn is_good(&self) -> bool {
        let broken = self.lost + self.doubled + self.out_of_order + self.unexpected;
        self.acknowledged > 0 && broken == 0
    }
}

/// Compares what was sent with what has arrived at those users who were looked at. `readers` are the users that a
/// message of an author is to.
pub(super) fn check<'a>(
    sent: &[Sent],
    arrived: &[Option<Arrived>],
    readers: impl Fn(usize, To) -> Box<dyn Iterator<Item = usize> + 'a>,
) -> Report {
    let looked_at = || arrived.iter().flatten();
    let mut report = Report {
        doubled: looked_at().map(|user| user.doubled).sum(),
        repeated: looked_at().map(|user| user.repeated).sum(),
        out_of_order: looked_at().map(|user| user.out_of_order).sum(),
        ..Report::default()
    };
    let mut accounted_for = 0;
    for (author, sent) in sent.iter().enumerate() {
        for (number, (to, outcome)) in sent.calls.iter().enumerate() {
            let count = match outcome {
                Outcome::Acknowledged => &mut report.acknowledged,
                Outcome::Refused => &mut report.refused,
                Outcome::Unknown => &mut report.unknown,
            };
            *count += 1;
            if *outcome == Outcome::Refused {
                continue;
            }
            for user in readers(author, *to).filter_map(|user| arrived[user].as_ref()) {
                let has = user.has(author, number);
                accounted_for += u64::from(has);
                if *outcome == Outcome::Acknowledged {
                    report.due += 1;
                    report.arrived += u64::from(has);
                    report.lost += u64::from(!has);
                }
            }
        }
    }
    let distinct: u64 = looked_at().map(|user| user.distinct).sum();
    report.unexpected = distinct - accounted_for;
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use Outcome::{Acknowledged, Refused, Unknown};

    /// Author 0 is user 0 and writes to user 1 or to group 0, whose members are users 0, 1 and 2.
    fn checked(calls: &[(To, Outcome)], arrivals: [&[usize]; 3]) -> Report {
        let sent = [Sent { calls: calls.to_vec() }];
        let arrived = arrivals.map(|numbers| {
            let mut user = Arrived::default();
            for number in numbers {
                user.take(0, *number);
            }
            Some(user)
        });
        check(&sent, &arrived, |_, to| match to {
            To::User(user) => Box::new(std::iter::once(user)),
            To::Group(_) => Box::new([1, 2].into_iter()),
        })
    }

    const ONE: To = To::User(1);

    #[test]
    fn all_that_was_acknowledged_once_and_in_order_is_good() {
        let report =
            checked(&[(ONE, Acknowledged); 200], [&[], &(0..200).collect::<Vec<_>>(), &[]]);
        assert!(report.is_good());
        assert_eq!((report.acknowledged, report.due, report.arrived), (200, 200, 200));
    }

    #[test]
    fn what_was_acknowledged_and_has_not_arrived_is_lost() {
        let report = checked(&[(ONE, Acknowledged); 3], [&[], &[0, 2], &[]]);
        assert_eq!((report.lost, report.out_of_order), (1, 0));
        assert!(!report.is_good());
    }

    #[test]
    fn what_comes_again_is_doubled_and_not_counted_as_arrived() {
        let report = checked(&[(ONE, Acknowledged); 2], [&[], &[0, 1, 0], &[]]);
        assert_eq!((report.doubled, report.arrived, report.out_of_order), (1, 2, 0));
        assert!(!report.is_good());
    }

    #[test]
    fn what_comes_after_a_later_one_is_out_of_order() {
        let report = checked(&[(ONE, Acknowledged); 3], [&[], &[0, 2, 1], &[]]);
        assert_eq!((report.out_of_order, report.lost), (1, 0));
        assert!(!report.is_good());
    }

    #[test]
    fn after_a_socket_was_lost_messages_may_come_again_once_and_in_any_order() {
        let mut user = Arrived::default();
        for number in [0, 2] {
            user.take(0, number);
        }
        user.lose_socket();
        for number in [3, 1, 2] {
            user.take(0, number);
        }
        assert_eq!((user.repeated, user.doubled, user.out_of_order, user.distinct), (1, 0, 0, 4));
        user.take(0, 2);
        user.take(0, 3);
        assert_eq!((user.repeated, user.doubled), (1, 2), "they have come over the same socket");
    }

    #[test]
    fn a_call_without_an_answer_may_arrive_or_not_but_not_twice() {
        let calls = [(ONE, Acknowledged), (ONE, Unknown), (ONE, Unknown)];
        let report = checked(&calls, [&[], &[0, 1], &[]]);
        assert!(report.is_good());
        assert_eq!((report.unknown, report.due), (2, 1));
        assert_eq!(checked(&calls, [&[], &[0, 1, 1], &[]]).doubled, 1);
    }

    #[test]
    fn a_refused_call_and_somebody_elses_message_must_not_arrive() {
        let calls = [(ONE, Acknowledged), (ONE, Refused)];
        assert_eq!(checked(&calls, [&[], &[0, 1], &[]]).unexpected, 1);
        let report = checked(&calls, [&[], &[0], &[0]]);
        assert_eq!((report.unexpected, report.is_good()), (1, false));
    }

    #[test]
    fn a_groups_message_is_due_to_each_member_but_its_author() {
        let calls = [(To::Group(0), Acknowledged), (ONE, Acknowledged)];
        let report = checked(&calls, [&[], &[0, 1], &[0]]);
        assert_eq!((report.due, report.arrived, report.is_good()), (3, 3, true));
        assert_eq!(checked(&calls, [&[], &[0, 1], &[]]).lost, 1);
    }

    #[test]
    fn who_was_not_looked_at_is_not_checked_and_silence_is_not_good() {
        let sent = [Sent { calls: vec![(ONE, Acknowledged)] }];
        let to_one =
            |_: usize, _: To| -> Box<dyn Iterator<Item = usize>> { Box::new(std::iter::once(1)) };
        let report = check(&sent, &[None, None], to_one);
        assert_eq!((report.due, report.lost, report.is_good()), (0, 0, true));
        assert!(!check(&[], &[None, None], to_one).is_good());
    }
}
