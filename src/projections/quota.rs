//! Quotas: how much a place in Redis keeps of what comes into it.

/// A bound in entries and in bytes that needs no count of the bytes that are there: it follows from the entry that came
/// last, so a rebuild keeps the same.
///
/// After an entry of so many bytes a place keeps as many entries as would fit if all were as large. The one that is the
/// `k`th oldest now was at least the `k`th when it came, so it has `bytes / k` at most, and all of them have at most
/// `bytes * (1 + 1/2 + … + 1/entries)`: seven times `bytes` with 500 entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// So many entries at most.
    pub entries: usize,
    /// So many bytes, if all entries are alike.
    pub bytes: usize,
}

/// What a queue or a timeline keeps; what is older is fetched from `message_history`.
pub const KEPT: Quota = Quota { entries: 500, bytes: 512 * 1024 };

impl Quota {
    /// How many entries a place keeps once it was given one of `size` bytes: that one at least.
    pub fn after(self, size: usize) -> usize {
        self.entries.min(self.bytes / size.max(1)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn a_place_stays_within_its_quota(
            sizes in vec(prop_oneof![1..20_usize, 20..300_usize, 300..2_000_usize], 0..200),
            entries in 1..30_usize,
        ) {
            let quota = Quota { entries, bytes: 1_000 };
            let mut place = VecDeque::new();
            for size in sizes {
                place.push_back(size);
                while place.len() > quota.after(size) {
                    place.pop_front();
                }
                prop_assert_eq!(place.back(), Some(&size), "what came last is there");
                prop_assert!(place.len() <= entries);
                // The oldest may be larger than the quota: it was alone then.
                let oldest = place[0].max(quota.bytes);
                let most = oldest + (2..=place.len()).map(|k| quota.bytes / k).sum::<usize>();
                prop_assert!(place.iter().sum::<usize>() <= most, "{place:?}");
            }
        }
    }
}
