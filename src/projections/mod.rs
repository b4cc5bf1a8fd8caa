//! Read models: tables and keys that can be thrown away, and built again from the log.

pub mod address_book;
pub mod analytics;
pub mod chat_log;
pub mod complaints;
pub mod engine;
pub mod group_roster;
pub mod message_history;
pub mod offline_queue;
pub mod presence;
pub mod quick_replies;
pub mod quota;
pub mod sessions;
pub mod user_directory;

use std::{sync::LazyLock, time::Duration};

pub use engine::checkpoint::Checkpoint;
use engine::generation::Store;

pub use crate::protocol::parameters::Page;

use sqlx::PgPool;

use crate::{
    adapters::{nats::push::Pushes, redis::Redis},
    events::{Event, Recorded},
};

/// What a read model keeps, and how an event changes it. It sees only events: no clock, no other
/// read model.
pub trait Projection: Send + Sync + 'static {
    /// Where it is kept.
    type Store: Store;
    /// Something to do once a batch is committed: a push.
    type Effect: Send;
    /// Its name: in checkpoints, schemas and key prefixes.
    const NAME: &'static str;
    /// The events it wants.
    const SUBJECTS: &'static [&'static str];

    /// Is there such a read model here?
    fn is_wanted(_: &ProjectionParts) -> bool {
        true
    }

    /// The read model, and the store that it is kept in, if it is wanted.
    fn open(parts: &ProjectionParts) -> (Self, Self::Store)
    where
        Self: Sized;

    /// Can another generation be built beside the live one? Otherwise a rebuild empties what readers see.
    const IS_BUILT_BESIDE: bool = true;

    /// From one transaction to the next, at least: what comes meanwhile shares the next one, which under load costs a
    /// fraction. The first event after a pause does not wait, nor does anything while somebody waits for the read model.
    const MIN_BATCH_INTERVAL: Duration = Duration::from_millis(1);

    /// How many of these events, at least one, make a transaction of a bearable size.
    fn split_batch(events: &[Recorded<Event>]) -> usize {
        events.len()
    }

    /// Applies a batch through `tx`, which moves the checkpoint too: each event counts once.
    ///
    /// # Errors
    /// The store refuses; nothing of the batch counts.
    fn apply(
        &self,
        tx: &mut <Self::Store as Store>::Tx,
        batch: &[Recorded<Event>],
    ) -> impl Future<Output = Result<Vec<Self::Effect>, StoreError>> + Send;

    /// Does what a committed batch asks for. Never while catching up or rebuilding.
    fn publish(&self, _effects: Vec<Self::Effect>) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// The read model has caught up with the log: live from now on.
    fn caught_up(&self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Every few seconds while it is live.
    fn heartbeat(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// Why a store did not take a batch.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another runner moved the checkpoint, or the store lost it.
    #[error("the checkpoint is not where this runner left it")]
    Fenced,
    /// The store is away; the same batch will do later.
    #[error("{0}")]
    Transient(String),
    /// The store will never take this batch.
    #[error("{0}")]
    Refused(String),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if crate::adapters::postgres::is_transient(&error) {
            Self::Transient(error.to_string())
        } else {
            Self::Refused(error.to_string())
        }
    }
}

impl From<crate::adapters::redis::RedisFailure> for StoreError {
    fn from(error: crate::adapters::redis::RedisFailure) -> Self {
        if error.code() == Some("FENCED") {
            Self::Fenced
        } else if error.is_transient() {
            Self::Transient(error.to_string())
        } else {
            Self::Refused(error.to_string())
        }
    }
}

/// What read models are opened with.
#[derive(Clone)]
pub struct ProjectionParts {
    /// PostgreSQL, with the rights of the read models' owner.
    pub pool: PgPool,
    /// Redis.
    pub redis: Redis,
    /// Where pushes go.
    pub pushes: Pushes,
    /// Messages per chat in `chat_log`.
    pub chat_log_length: usize,
    /// For the analysts' stream, where there is one.
    pub analytics: Option<analytics::AnalyticsParts>,
}

/// Does something with every read model, whatever its type: `for_each_projection!(|P| println!("{}", P::NAME))`.
#[macro_export]
macro_rules! for_each_projection {
    (|$name:ident| $body:expr) => {
        // The one list, in the order in which operators see it.
        $crate::for_each_projection!(
            @each $name, $body;
            user_directory::UserDirectory,
            address_book::AddressBook,
            group_roster::GroupRoster,
            message_history::MessageHistory,
            quick_replies::QuickReplies,
            complaints::Complaints,
            sessions::Sessions,
            presence::Presence,
            offline_queue::OfflineQueue,
            chat_log::ChatLog,
            analytics::Analytics,
        )
    };
    (@each $name:ident, $body:expr; $($module:ident::$projection:ident,)+) => {{
        use $crate::projections::Projection as _;
        $({
            type $name = $crate::projections::$module::$projection;
            $body
        })+
    }};
}

/// A read model: its name, and the events that it wants.
pub type NameAndSubjects = (&'static str, &'static [&'static str]);

/// All read models.
pub static ALL: LazyLock<Vec<NameAndSubjects>> = LazyLock::new(|| {
    let mut all = Vec::new();
    for_each_projection!(|P| all.push((P::NAME, P::SUBJECTS)));
    all
});

/// Their names.
pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|(name, _)| *name).collect()
}

/// Does what clients are told depend on it? A gateway serves them without the others.
pub fn serves_clients(name: &str) -> bool {
    name != analytics::Analytics::NAME
}

/// A part of a list: what comes after a row that is known, however much the list has changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct After {
    /// The id of that row; the list begins at its beginning if there is none.
    pub id: Option<i64>,
    /// How many rows at most.
    pub limit: i64,
}
