//! The aggregates that rules ask about are registered here: where each is cached, which read models show it, and what
//! its read model says of it.

use super::{Executor, state_cache::StateCache};
use crate::{
    adapters::nats::log_error::LogError,
    commands::{
        complaint::Complaint, decider::Decider, footprint::Footprint, friendship::Friendship,
        group::Group, quick_replies::QuickReplyList, session::Session, user::User,
    },
    events::{AggregateEvent, ComplaintKey, Event, GroupId, Pair, Position, Subject, UserId},
    projections::{
        address_book, complaints, group_roster, quick_replies, sessions, user_directory,
    },
    telemetry::Metrics,
};

/// An aggregate that lives in the log on a subject of its own, and is cached.
pub trait Aggregate:
    Decider<Event: AggregateEvent<Id = <Self as Decider>::Id> + Clone + Send + Sync> + Footprint
{
    /// The read models that show it; an answer waits for them.
    const PROJECTIONS: &'static [&'static str];
    /// May its events vanish from the log?
    const EXPIRES: bool = false;

    /// Where it lives.
    fn subject(id: Self::Id) -> Subject {
        Self::Event::subject(id)
    }

    /// Where it is cached.
    fn cache(caches: &Caches) -> &StateCache<Self>;

    /// What its read model says: it may lag, the log has the rest.
    fn load_snapshot(
        executor: &Executor,
        id: Self::Id,
    ) -> impl Future<Output = anyhow::Result<(Self, Position)>> + Send;
}

/// The unit of what caches may cost: all of them together 752.
const MIB: usize = 1 << 20;

/// Everything that is done with each of them: its cache, the events that it is kept up to date by, about how many
/// aggregates it holds, and in how many MiB.
macro_rules! aggregates {
    ($($cache:ident: $aggregate:ty, $kind:ident on $subjects:literal, $count:literal in $mib:literal;)+) => {
        /// The states of everything that rules ask about.
        pub struct Caches {
            $($cache: StateCache<$aggregate>,)+
        }

        /// What the caches are kept up to date by.
        pub const SUBJECTS: &[&str] = &[$($subjects),+];

        impl Caches {
            /// Empty ones, whose look-ups are counted.
            pub(super) fn new(metrics: &Metrics) -> Self {
                let counted = |aggregate| metrics.cache(aggregate);
                Self {
                    $($cache: StateCache::new($count, $mib * MIB, counted(stringify!($cache))),)+
                }
            }

            /// Takes an event in, if its aggregate is held.
            pub(super) fn apply(&self, at: Position, event: &Event) {
                match event {
                    $(Event::$kind(id, event) => self.$cache.apply(*id, at, event),)+
                    _ => {}
                }
            }

            /// Forgets one aggregate.
            pub(super) fn forget(&self, subject: Subject) {
                match subject {
                    $(Subject::$kind(id) => self.$cache.forget(id),)+
                    _ => {}
                }
            }

            /// Forgets everything: nobody has kept it up to date.
            pub(super) fn clear(&self) {
                $(self.$cache.clear();)+
            }
        }

        impl Executor {
            /// Brings the cache up to the log after a conflict said that it is behind; `false` if the log has nothing new.
            ///
            /// # Errors
            /// The log cannot be reached.
            pub(super) async fn catch_up_with(
                &self,
                subject: Subject,
                seen: Position,
            ) -> Result<bool, LogError> {
                match subject {
                    $(Subject::$kind(id) => self.catch_up_cache::<$aggregate>(id, seen).await,)+
                    _ => Ok(false),
                }
            }
        }
    };
}

aggregates! {
    users: User, User on "evt.user.>", 200_000 in 192;
    sessions: Session, Session on "evt.session.>", 200_000 in 96;
    friendships: Friendship, Friendship on "evt.friendship.>", 400_000 in 192;
    groups: Group, Group on "evt.group.>", 20_000 in 256;
    quick_replies: QuickReplyList, QuickReplies on "evt.questions.>", 1_000 in 8;
    complaints: Complaint, Complaint on "evt.complaint.>", 1_000 in 8;
}

impl Aggregate for User {
    const PROJECTIONS: &'static [&'static str] = &["user_directory"];

    fn cache(caches: &Caches) -> &StateCache<Self> {
        &caches.users
    }

    async fn load_snapshot(executor: &Executor, id: UserId) -> anyhow::Result<(Self, Position)> {
        Ok(user_directory::load(&executor.pool, id).await?)
    }
}

impl Aggregate for Session {
    const PROJECTIONS: &'static [&'static str] = &[];
    const EXPIRES: bool = true; // connects and disconnects do

    fn cache(caches: &Caches) -> &StateCache<Self> {
        &caches.sessions
    }

    async fn load_snapshot(executor: &Executor, id: UserId) -> anyhow::Result<(Self, Position)> {
        Ok(sessions::load(&executor.redis, id).await?)
    }
}

impl Aggregate for Friendship {
    const PROJECTIONS: &'static [&'static str] = &["address_book"];

    fn cache(caches: &Caches) -> &StateCache<Self> {
        &caches.friendships
    }

    async fn load_snapshot(executor: &Executor, id: Pair) -> anyhow::Result<(Self, Position)> {
        Ok(address_book::load(&executor.pool, id).await?)
    }
}

impl Aggregate for Group {
    const PROJECTIONS: &'static [&'static str] = &["group_roster"];

    fn cache(caches: &Caches) -> &StateCache<Self> {
        &caches.groups
    }

    async fn load_snapshot(executor: &Executor, id: GroupId) -> anyhow::Result<(Self, Position)> {
        Ok(group_roster::load(&executor.pool, id).await?)
    }
}

impl Aggregate for QuickReplyList {
    const PROJECTIONS: &'static [&'static str] = &["question_book"];

    fn cache(caches: &Caches) -> &StateCache<Self> {
        &caches.quick_replies
    }

    async fn load_snapshot(executor: &Executor, id: UserId) -> anyhow::Result<(Self, Position)> {
        Ok(quick_replies::load(&executor.pool, id).await?)
    }
}

impl Aggregate for Complaint {
    const PROJECTIONS: &'static [&'static str] = &["complaint_box"];

    fn cache(caches: &Caches) -> &StateCache<Self> {
        &caches.complaints
    }

    async fn load_snapshot(
        executor: &Executor,
        id: ComplaintKey,
    ) -> anyhow::Result<(Self, Position)> {
        Ok(complaints::load(&executor.pool, id).await?)
    }
}
