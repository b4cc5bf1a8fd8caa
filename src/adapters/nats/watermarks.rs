//! Watermarks say again what was pushed since the last heartbeat: a push that was lost is missed within seconds, and
//! only the connections that it was for look (ADR 0022).
//!
//! A push is lost where nobody notices between two servers of a cluster, or in a projector's connection that broke.
//! Whoever hears the next push to the same user sees a gap in the numbers; these are for the last one.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{Mutex, PoisonError},
};

use uuid::Uuid;

use crate::{
    clock,
    events::{GroupId, Position, UserId},
};

/// How many users and groups one message names: 300 KB.
const MOST: usize = 10_000;

/// One message: what was pushed between two others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watermarks {
    /// The range of work of a projector: what it pushed before is not told.
    pub run: Uuid,
    /// Counts the messages of a run.
    pub number: u64,
    /// The last number that was pushed to each user.
    pub users: Vec<(UserId, u64)>,
    /// The last position that was pushed to each large group.
    pub groups: Vec<(GroupId, Position)>,
}

/// Collects what one projector pushes.
#[derive(Debug, Default)]
pub struct Pushed {
    run: Uuid,
    number: u64,
    users: HashMap<UserId, u64>,
    groups: HashMap<GroupId, Position>,
}

impl Pushed {
    /// From now on everything is collected. Nobody knows what was pushed before.
    pub fn begin(&mut self) {
        *self = Self { run: clock::random_id(), ..Self::default() };
    }

    /// A user was pushed this number.
    pub fn record(&mut self, user: UserId, number: u64) {
        self.users.insert(user, number);
    }

    /// What was said in a large group at this position was pushed.
    pub fn record_group(&mut self, group: GroupId, position: Position) {
        self.groups.insert(group, position);
    }

    /// What was pushed since the last call, in one message at least: that none was missed can be told from their
    /// numbers.
    pub fn take(&mut self) -> Vec<Watermarks> {
        let users: Vec<_> = std::mem::take(&mut self.users).into_iter().collect();
        let groups: Vec<_> = std::mem::take(&mut self.groups).into_iter().collect();
        let count = users.len().max(groups.len()).div_ceil(MOST).max(1);
        let (mut users, mut groups) = (users.chunks(MOST), groups.chunks(MOST));
        let mut next = || {
            self.number += 1;
            let users = users.next().unwrap_or_default().to_vec();
            let groups = groups.next().unwrap_or_default().to_vec();
            Watermarks { run: self.run, number: self.number, users, groups }
        };
        (0..count).map(|_| next()).collect()
    }
}

/// Whether a gateway has heard every message.
#[derive(Debug, Default)]
pub struct Continuity(Mutex<Option<(Uuid, u64)>>);

impl Continuity {
    /// Is this the one after the last that was heard? If not, pushes may have been missed that nothing tells of.
    pub fn follows(&self, next: &Watermarks) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.replace((next.run, next.number));
        before == Some((next.run, next.number - 1))
    }
}

impl Watermarks {
    /// A line of words.
    pub(super) fn line(&self) -> String {
        let mut line = format!("w {} {}", self.run, self.number);
        for (user, number) in &self.users {
            _ = write!(line, " u{user} {number}");
        }
        for (group, position) in &self.groups {
            _ = write!(line, " g{group} {position}");
        }
        line
    }

    /// Reads it, without the first word.
    pub(super) fn read(words: &[&str]) -> Option<Self> {
        let [run, number, rest @ ..] = words else { return None };
        let (mut users, mut groups) = (Vec::new(), Vec::new());
        let (pairs, []) = rest.as_chunks() else { return None };
        for [who, last] in pairs {
            match who.split_at_checked(1)? {
                ("u", user) => users.push((UserId(user.parse().ok()?), last.parse().ok()?)),
                ("g", group) => {
                    groups.push((GroupId(group.parse().ok()?), Position(last.parse().ok()?)));
                }
                _ => return None,
            }
        }
        let number = number.parse().ok().filter(|number| *number > 0)?;
        Some(Self { run: run.parse().ok()?, number, users, groups })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(watermarks: &Watermarks) -> Option<Watermarks> {
        let line = watermarks.line();
        let words: Vec<_> = line.split(' ').collect();
        Watermarks::read(&words[1..])
    }

    #[test]
    fn the_last_push_to_each_is_told_once() {
        let mut pushed = Pushed::default();
        pushed.begin();
        for (user, number) in [(1, 5), (2, 9), (1, 6)] {
            pushed.record(UserId(user), number);
        }
        pushed.record_group(GroupId(33), Position(77));
        let [mut told] = <[_; 1]>::try_from(pushed.take()).expect("one message");
        assert_eq!(read(&told).as_ref(), Some(&told));
        told.users.sort_unstable();
        assert_eq!(told.users, [(UserId(1), 6), (UserId(2), 9)]);
        assert_eq!(told.groups, [(GroupId(33), Position(77))]);
        let [empty] = <[_; 1]>::try_from(pushed.take()).expect("one message, also of nothing");
        assert_eq!((empty.number, empty.users.len()), (2, 0));
        assert_eq!(read(&empty), Some(empty));
    }

    #[test]
    fn many_are_told_in_several_messages_of_a_bounded_size() {
        let mut pushed = Pushed::default();
        pushed.begin();
        (0..25_000).for_each(|user| pushed.record(UserId(i64::MAX - user), u64::MAX));
        let told = pushed.take();
        assert_eq!(told.iter().map(|one| one.number).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(told.iter().map(|one| one.users.len()).sum::<usize>(), 25_000);
        assert!(told.iter().all(|one| one.line().len() < 512 * 1024));
    }

    #[test]
    fn a_message_that_was_missed_is_noticed_and_so_is_another_projector() {
        let heard = Continuity::default();
        let of = |run, number| Watermarks {
            run: Uuid::from_u128(run),
            number,
            users: Vec::new(),
            groups: Vec::new(),
        };
        assert!(!heard.follows(&of(1, 7)), "nobody knows what was before");
        assert!(heard.follows(&of(1, 8)) && heard.follows(&of(1, 9)));
        assert!(!heard.follows(&of(1, 11)) && heard.follows(&of(1, 12)));
        assert!(!heard.follows(&of(2, 1)) && heard.follows(&of(2, 2)));
    }

    #[test]
    fn what_is_no_watermark_is_passed_over() {
        let run = Uuid::nil();
        let lines = [String::new(), "x 1".into()]
            .into_iter()
            .chain(["", " 0", " 1 u1", " 1 x1 2", " 1 é1 2"].map(|rest| format!("{run}{rest}")));
        for line in lines {
            let words: Vec<_> = line.split(' ').collect();
            assert_eq!(Watermarks::read(&words), None, "{line}");
        }
    }
}
