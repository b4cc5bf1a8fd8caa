//! Read models: tables and keys that can be thrown away, and built again from the log.

pub mod address_book;
pub mod chat_log;
pub mod complaints;
pub mod engine;
pub mod group_notices;
pub mod group_object;
pub mod group_roster;
pub mod message_history;
pub mod message_object;
pub mod offline_queue;
pub mod presence;
pub mod quick_replies;
pub mod quota;
pub mod sessions;
pub mod user_directory;
mod user_objects;

use std::time::Duration;

pub use engine::checkpoint::Checkpoint;
use engine::generation::Store;

use crate::events::{Event, Recorded};

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

/// All read models, in the order in which they are listed: name, and the events that it wants.
pub const ALL: &[(&str, &[&str])] = {
    const fn of<P: Projection>() -> (&'static str, &'static [&'static str]) {
        (P::NAME, P::SUBJECTS)
    }
    &[
        of::<user_directory::UserDirectory>(),
        of::<address_book::AddressBook>(),
        of::<group_roster::GroupRoster>(),
        of::<message_history::MessageHistory>(),
        of::<quick_replies::QuickReplies>(),
        of::<complaints::Complaints>(),
        of::<sessions::Sessions>(),
        of::<presence::Presence>(),
        of::<offline_queue::OfflineQueue>(),
        of::<chat_log::ChatLog>(),
    ]
};

/// Their names.
pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|(name, _)| *name).collect()
}

/// Does something with every read model, whatever its type.
#[macro_export]
macro_rules! for_each_projection {
    ($parts:expr, |$projection:ident, $store:ident| $body:expr) => {{
        use $crate::projections as p;
        let parts = &$parts;
        {
            let ($projection, $store) = (p::user_directory::UserDirectory, parts.postgres.clone());
            $body
        }
        {
            let ($projection, $store) = (p::address_book::AddressBook, parts.postgres.clone());
            $body
        }
        {
            let ($projection, $store) = (p::group_roster::GroupRoster, parts.postgres.clone());
            $body
        }
        {
            let ($projection, $store) =
                (p::message_history::MessageHistory, parts.postgres.clone());
            $body
        }
        {
            let ($projection, $store) = (p::quick_replies::QuickReplies, parts.postgres.clone());
            $body
        }
        {
            let ($projection, $store) = (p::complaints::Complaints, parts.postgres.clone());
            $body
        }
        {
            let ($projection, $store) = (p::sessions::Sessions, parts.redis.clone());
            $body
        }
        {
            let ($projection, $store) = (p::presence::Presence, parts.redis.clone());
            $body
        }
        {
            let $projection = p::offline_queue::OfflineQueue::new(parts.pushes.clone());
            let $store = parts.redis.clone();
            $body
        }
        {
            let $projection = p::chat_log::ChatLog::new(parts.chat_log_length);
            let $store = parts.redis.clone();
            $body
        }
    }};
}

/// A part of a list: what comes after a row that is known, however much the list has changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct After {
    /// The id of that row; the list begins at its beginning if there is none.
    pub id: Option<i64>,
    /// How many rows at most.
    pub limit: i64,
}

/// A part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// How many rows at most.
    pub limit: i64,
    /// How many come before it.
    pub offset: i64,
}
