//! Undelivered sets: who has yet to receive what of the timelines of large groups (ADR 0011). In Redis, beside the
//! queues.
//!
//! A member's undelivered set is where in the log entries of the timeline may be that are theirs and that they have not
//! received.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    members::AT_ONCE,
    position_set::{ENDLESS, PositionSet},
};
use crate::{
    adapters::redis::keys::RedisKey,
    events::{GroupId, UserId},
    projections::{
        StoreError,
        engine::redis::{RedisTx, command},
    },
};

/// The undelivered sets that a batch has touched so far.
#[derive(Default)]
pub(super) struct UndeliveredSets {
    undelivered: BTreeMap<(GroupId, UserId), UndeliveredSet>,
}

#[derive(Default)]
struct UndeliveredSet {
    now: PositionSet,
    stored: PositionSet,
}

impl UndeliveredSets {
    /// Reads the undelivered sets of some members, unless they were read before.
    pub(super) async fn load(
        &mut self,
        tx: &mut RedisTx,
        group: GroupId,
        users: impl IntoIterator<Item = UserId>,
    ) -> Result<(), StoreError> {
        let unread =
            users.into_iter().filter(|user| !self.undelivered.contains_key(&(group, *user)));
        let unread: BTreeSet<UserId> = unread.collect();
        if unread.is_empty() {
            return Ok(());
        }
        let fields: Vec<String> = unread.iter().map(UserId::to_string).collect();
        let read = command("HMGET", &key(tx, group), fields);
        let rows: Vec<Vec<Option<String>>> = tx.read([read]).await?;
        for (user, row) in unread.into_iter().zip(rows.into_iter().flatten()) {
            self.put(group, user, &row.unwrap_or_default())?;
        }
        Ok(())
    }

    fn put(&mut self, group: GroupId, user: UserId, text: &str) -> Result<(), StoreError> {
        let stored: PositionSet = text.parse().map_err(|error| {
            StoreError::Refused(format!("the undelivered set `{text}`: {error}"))
        })?;
        self.undelivered
            .entry((group, user))
            .or_insert_with(|| UndeliveredSet { now: stored.clone(), stored });
        Ok(())
    }

    /// From `position` on all that is said is for them; `false` if that was so before.
    pub(super) fn open(&mut self, group: GroupId, user: UserId, position: u64) -> bool {
        let undelivered = self.undelivered(group, user);
        let new = !undelivered.is_endless();
        if new {
            undelivered.add(position, ENDLESS);
        }
        new
    }

    /// Nothing is for them that comes after `last`, the newest entry.
    pub(super) fn close(&mut self, group: GroupId, user: UserId, last: u64) {
        self.undelivered(group, user).remove(last + 1, ENDLESS);
    }

    /// They have received what is there.
    pub(super) fn receive(&mut self, group: GroupId, user: UserId, ranges: &[(u64, u64)]) {
        let undelivered = self.undelivered(group, user);
        for &(from, to) in ranges {
            undelivered.remove(from, to);
        }
    }

    fn undelivered(&mut self, group: GroupId, user: UserId) -> &mut PositionSet {
        &mut self.undelivered.entry((group, user)).or_default().now
    }

    /// Writes what changed.
    pub(super) fn store(&self, tx: &mut RedisTx) {
        let mut fields: BTreeMap<GroupId, Vec<(String, String)>> = BTreeMap::new();
        let mut gone: BTreeMap<GroupId, Vec<String>> = BTreeMap::new();
        for (&(group, user), UndeliveredSet { now, stored }) in &self.undelivered {
            if now == stored {
                continue;
            }
            if now.is_empty() {
                gone.entry(group).or_default().push(user.to_string());
            } else {
                fields.entry(group).or_default().push((user.to_string(), now.to_string()));
            }
            if now.is_empty() != stored.is_empty() {
                let what = if now.is_empty() { "SREM" } else { "SADD" };
                let key = tx.key(RedisKey::LargeGroups(user));
                tx.run(&command(what, &key, group.0));
            }
        }
        for (group, fields) in fields {
            for some in fields.chunks(AT_ONCE / 2) {
                tx.run(&command("HSET", &key(tx, group), some));
            }
        }
        for (group, gone) in gone {
            for some in gone.chunks(AT_ONCE) {
                tx.run(&command("HDEL", &key(tx, group), some));
            }
        }
    }
}

fn key(tx: &RedisTx, group: GroupId) -> String {
    tx.key(RedisKey::Undelivered(group))
}
