//! The aggregates: where each lives in the log, where it is cached, and which read models show it.

use super::{Aggregate, Caches, Executor, state_cache::StateCache};
use crate::{
    commands::{
        complaint::Complaint, friendship::Friendship, group::Group, quick_replies::QuickReplyList,
        session::Session, user::User,
    },
    events::{ComplaintKey, Event, GroupId, Pair, Position, Subject, UserId},
    projections::{
        address_book, complaints, group_roster, quick_replies, sessions, user_directory,
    },
};

impl Aggregate for User {
    const PROJECTIONS: &'static [&'static str] = &["user_directory"];

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

    async fn load_snapshot(executor: &Executor, id: UserId) -> anyhow::Result<(Self, Position)> {
        Ok(user_directory::load(&executor.pool, id).await?)
    }
}

impl Aggregate for Session {
    const PROJECTIONS: &'static [&'static str] = &[];
    const EXPIRES: bool = true; // connects and disconnects do

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

    async fn load_snapshot(executor: &Executor, id: UserId) -> anyhow::Result<(Self, Position)> {
        Ok(sessions::load(&executor.redis, id).await?)
    }
}

impl Aggregate for Friendship {
    const PROJECTIONS: &'static [&'static str] = &["address_book"];

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

    async fn load_snapshot(executor: &Executor, id: Pair) -> anyhow::Result<(Self, Position)> {
        Ok(address_book::load(&executor.pool, id).await?)
    }
}

impl Aggregate for Group {
    const PROJECTIONS: &'static [&'static str] = &["group_roster"];

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

    async fn load_snapshot(executor: &Executor, id: GroupId) -> anyhow::Result<(Self, Position)> {
        Ok(group_roster::load(&executor.pool, id).await?)
    }
}

impl Aggregate for QuickReplyList {
    const PROJECTIONS: &'static [&'static str] = &["question_book"];

    fn subject(id: UserId) -> Subject {
        Subject::QuickReplies(id)
    }

    fn wrap(event: Self::Event) -> Event {
        Event::QuickReplies(event)
    }

    fn own(event: &Event) -> Option<&Self::Event> {
        match event {
            Event::QuickReplies(event) => Some(event),
            _ => None,
        }
    }

    fn cache(caches: &Caches) -> &StateCache<Self> {
        &caches.questions
    }

    async fn load_snapshot(executor: &Executor, id: UserId) -> anyhow::Result<(Self, Position)> {
        Ok(quick_replies::load(&executor.pool, id).await?)
    }
}

impl Aggregate for Complaint {
    const PROJECTIONS: &'static [&'static str] = &["complaint_box"];

    fn subject(id: ComplaintKey) -> Subject {
        Subject::Complaint(id)
    }

    fn wrap(event: Self::Event) -> Event {
        Event::Complaint(event)
    }

    fn own(event: &Event) -> Option<&Self::Event> {
        match event {
            Event::Complaint(event) => Some(event),
            _ => None,
        }
    }

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
