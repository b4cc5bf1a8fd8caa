//! Sets of positions of the log, as ranges.
//!
//! A list of ranges, as nearly all sets have one to three: a push to a connection asks and notes in 12 ns, where
//! `rangemap` takes 32 and `range-set-blaze` 155, and with 200 ranges a change takes 41 ns, where they take 106 and
//! 4,400 (ADR 0031).

use std::{fmt, str::FromStr};

/// Positions as ranges with both ends, in order and apart from each other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PositionSet(Vec<(u64, u64)>);

/// There is no last position.
pub const ENDLESS: u64 = u64::MAX;

impl PositionSet {
    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Does it go on for ever?
    pub fn is_endless(&self) -> bool {
        self.0.last().is_some_and(|(_, to)| *to == ENDLESS)
    }

    /// Is this position one of them?
    pub fn contains(&self, position: u64) -> bool {
        self.first_within(position, position).is_some()
    }

    /// The first range, as far as it is between these positions.
    pub fn first_within(&self, from: u64, to: u64) -> Option<(u64, u64)> {
        let at = self.0.partition_point(|(_, end)| *end < from);
        let (start, end) = *self.0.get(at)?;
        let (from, to) = (start.max(from), end.min(to));
        (from <= to).then_some((from, to))
    }

    /// With these positions.
    pub fn add(&mut self, mut from: u64, mut to: u64) {
        if from > to {
            return;
        }
        // Those that it overlaps or touches.
        let begin = self.0.partition_point(|(_, end)| end.saturating_add(1) < from);
        let end = self.0.partition_point(|(start, _)| *start <= to.saturating_add(1));
        if let ([(start, _), ..], [.., (_, end)]) = (&self.0[begin..end], &self.0[begin..end]) {
            (from, to) = (from.min(*start), to.max(*end));
        }
        self.0.splice(begin..end, [(from, to)]);
    }

    /// Without these positions.
    pub fn remove(&mut self, from: u64, to: u64) {
        if from > to {
            return;
        }
        let begin = self.0.partition_point(|(_, end)| *end < from);
        let end = self.0.partition_point(|(start, _)| *start <= to);
        let ([(start, _), ..], [.., (_, last)]) = (&self.0[begin..end], &self.0[begin..end]) else {
            return;
        };
        let before = (*start < from).then(|| (*start, from - 1));
        let after = (*last > to).then(|| (to + 1, *last));
        self.0.splice(begin..end, before.into_iter().chain(after));
    }

    /// Without all of those.
    pub fn remove_all(&mut self, others: &Self) {
        for &(from, to) in &others.0 {
            self.remove(from, to);
        }
    }
}

/// `3-7 9-9 12-`
impl fmt::Display for PositionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (count, (from, to)) in self.0.iter().enumerate() {
            let gap = if count > 0 { " " } else { "" };
            match *to {
                ENDLESS => write!(f, "{gap}{from}-")?,
                to => write!(f, "{gap}{from}-{to}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for PositionSet {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all = Self::default();
        for range in text.split_ascii_whitespace() {
            let (from, to) = range.split_once('-').unwrap_or((range, range));
            let to = if to.is_empty() { ENDLESS } else { to.parse()? };
            all.add(from.parse()?, to);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// So far a test looks.
    const FAR: u64 = 40;

    proptest! {
        #[test]
        fn ranges_are_sets_of_positions(
            steps in vec((any::<bool>(), 0..FAR, 0..9_u64, any::<bool>()), 0..30)
        ) {
            let (mut ranges, mut set) = (PositionSet::default(), BTreeSet::new());
            for (add, from, length, endless) in steps {
                let to = from + length;
                if add {
                    ranges.add(from, if endless { ENDLESS } else { to });
                    set.extend(from..=if endless { 2 * FAR } else { to });
                } else {
                    ranges.remove(from, to);
                    set.retain(|position| !(from..=to).contains(position));
                }
                prop_assert_eq!(ranges.to_string().parse(), Ok(ranges.clone()));
                for position in 0..2 * FAR {
                    prop_assert_eq!(ranges.contains(position), set.contains(&position));
                }
                prop_assert!(ranges.0.windows(2).all(|two| two[0].1 + 1 < two[1].0), "{ranges}");
            }
        }
    }

    #[test]
    fn the_first_range_is_cut_to_what_was_asked_for() {
        let ranges: PositionSet = "3-7 12-".parse().expect("ranges");
        assert_eq!(ranges.first_within(0, 100), Some((3, 7)));
        assert_eq!(ranges.first_within(5, 6), Some((5, 6)));
        assert_eq!(ranges.first_within(8, 11), None);
        assert_eq!(ranges.first_within(14, 13), None);
        assert_eq!(ranges.first_within(8, ENDLESS), Some((12, ENDLESS)));
        assert!(ranges.is_endless());
    }
}
