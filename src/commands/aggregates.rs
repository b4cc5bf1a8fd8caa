//! The aggregates: where each lives in the log, where it is cached, and which read models show it.

use super::{
    execute::{Aggregate, Caches, Executor},
    friendship::Friendship,
    group::Group,
    session::Session,
    state_cache::StateCache,
    user::User,
};
use crate::{
    events::{Event, GroupId, Pair, Position, Subject, UserId},
    projections::{address_book, group_roster, sessions, user_directory},
};

impl Aggregate for User {
    const SHOWN_BY: &'static [&'static str] = &["user_directory"];
    const GUARDED: bool = true;

    fn subject(id: UserId) -> Subject {
        Subject::User(id)
    }

    fn wrap(event: Self::Event) -> Event {
        Event::User(event)
    }

    fn own(event: &Event) -> Option<&Self::Event> {
        match event {
            Event::User(event) => Some(event),
            _ => None,
        }
    }

    fn cache(caches: &Caches) -> &StateCache<Self> {
        &caches.users
    }

    async fn stored(executor: &Executor, id: UserId) -> anyhow::Result<(Self, Position)> {
        Ok(user_directory::load(&executor.pool, id).await?)
    }
}

impl Aggregate for Session {
    const SHOWN_BY: &'static [&'static str] = &[];
    /// The last log-in counts, whatever came before it; so does the last socket.
    const GUARDED: bool = false;

    fn subject(id: UserId) -> Subject {
        Subject::Session(id)
    }

    fn wrap(event: Self::Event) -> Event {
        Event::Session(event)
    }

    fn own(event: &Event) -> Option<&Self::Event> {
        match event {
            Event::Session(event) => Some(event),
            _ => None,
        }
    }

    fn cache(caches: &Caches) -> &StateCache<Self> {
        &caches.sessions
    }

    async fn stored(executor: &Executor, id: UserId) -> anyhow::Result<(Self, Position)> {
        Ok(sessions::load(&executor.redis, id).await?)
    }
}

impl Aggregate for Friendship {
    const SHOWN_BY: &'static [&'static str] = &["address_book"];
    const GUARDED: bool = true;

    fn subject(id: Pair) -> Subject {
        Subject::Friendship(id)
    }

    fn wrap(event: Self::Event) -> Event {
        Event::Friendship(event)
    }

    fn own(event: &Event) -> Option<&Self::Event> {
        match event {
            Event::Friendship(event) => Some(event),
            _ => None,
        }
    }

    fn cache(caches: &Caches) -> &StateCache<Self> {
        &caches.friendships
    }

    async fn stored(executor: &Executor, id: Pair) -> anyhow::Result<(Self, Position)> {
        Ok(address_book::load(&executor.pool, id).await?)
    }
}

impl Aggregate for Group {
    const SHOWN_BY: &'static [&'static str] = &["group_roster"];
    const GUARDED: bool = true;

    fn subject(id: GroupId) -> Subject {
        Subject::Group(id)
    }

    fn wrap(event: Self::Event) -> Event {
        Event::Group(event)
    }

    fn own(event: &Event) -> Option<&Self::Event> {
        match event {
            Event::Group(event) => Some(event),
            _ => None,
        }
    }

    fn cache(caches: &Caches) -> &StateCache<Self> {
        &caches.groups
    }

    async fn stored(executor: &Executor, id: GroupId) -> anyhow::Result<(Self, Position)> {
        Ok(group_roster::load(&executor.pool, id).await?)
    }
}
