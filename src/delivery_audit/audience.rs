//! The audience of a message: whom it was for when the log took it.

use std::collections::BTreeSet;

use super::verdict::Reason;
use crate::{
    commands::message::Target,
    events::{GroupId, Position, UserId},
    projections::offline_queue::FANOUT_ON_READ_ABOVE,
};

/// Whom a message was for.
pub(super) struct MessageAudience {
    pub(super) position: Position,
    author: UserId,
    pub(super) to: Target,
    /// Those in the group then but the author, or the one it was to.
    pub(super) members: BTreeSet<UserId>,
    /// How many were in the group, its author included.
    count: usize,
    /// Was its author one of them?
    author_is_in: bool,
}

impl MessageAudience {
    pub(super) fn of(
        position: Position,
        author: UserId,
        to: Target,
        mut members: BTreeSet<UserId>,
    ) -> Self {
        let count = members.len();
        let author_is_in = match to {
            Target::User(_) => true,
            Target::Group(_) => members.remove(&author),
        };
        Self { position, author, to, members, count, author_is_in }
    }

    /// The group whose timeline has it.
    pub(super) fn timeline(&self) -> Option<GroupId> {
        match self.to {
            Target::Group(group) if self.count > FANOUT_ON_READ_ABOVE => Some(group),
            Target::Group(_) | Target::User(_) => None,
        }
    }

    /// How many it was for.
    pub(super) fn entitled(&self) -> usize {
        if self.author_is_in { self.members.len() } else { 0 }
    }

    /// Why it was not for somebody; whether they had left is found out then.
    pub(super) fn judge(&self, user: UserId) -> Option<Reason> {
        if self.members.contains(&user) {
            return (!self.author_is_in).then_some(Reason::AuthorNotAMember);
        }
        Some(match self.to {
            _ if user == self.author => Reason::Author,
            Target::User(_) => Reason::NotARecipient,
            Target::Group(_) => Reason::NotAMember,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTHOR: UserId = UserId(3);

    fn audience(to: Target, members: impl IntoIterator<Item = i64>) -> MessageAudience {
        let members = members.into_iter().map(UserId).collect();
        MessageAudience::of(Position(100), AUTHOR, to, members)
    }

    #[test]
    fn a_message_to_somebody_is_for_them_alone() {
        let to_bob = audience(Target::User(UserId(9)), [9]);
        assert_eq!(to_bob.judge(UserId(9)), None);
        assert_eq!(to_bob.judge(AUTHOR), Some(Reason::Author));
        assert_eq!(to_bob.judge(UserId(4)), Some(Reason::NotARecipient));
        let to_oneself = audience(Target::User(AUTHOR), [AUTHOR.0]);
        assert_eq!((to_oneself.judge(AUTHOR), to_oneself.entitled()), (None, 1));
    }

    #[test]
    fn a_message_to_a_group_is_for_who_is_in_it_but_its_author() {
        let group = Target::Group(GroupId(33));
        let small = audience(group, [3, 4, 9]);
        assert_eq!(
            [4, 9, 3, 5].map(|user| small.judge(UserId(user))),
            [None, None, Some(Reason::Author), Some(Reason::NotAMember)]
        );
        assert_eq!((small.entitled(), small.timeline()), (2, None));
        let left = audience(group, [4, 9]);
        assert_eq!(left.judge(UserId(9)), Some(Reason::AuthorNotAMember));
        assert_eq!(left.entitled(), 0);
        assert_eq!(audience(group, 1..=51).timeline(), Some(GroupId(33)));
        assert_eq!(audience(group, 1..=50).timeline(), None);
    }
}
