//! The state of aggregates, kept in the process and kept fresh by the log.

use std::sync::{Arc, Mutex, PoisonError};

use quick_cache::sync::Cache;
use tokio::sync::OnceCell;

use super::decider::Decider;
use crate::events::Position;

/// A bounded cache of one kind of aggregate.
pub struct StateCache<A: Decider> {
    slots: Cache<A::Id, Arc<Slot<A>>>,
}

/// An aggregate's state and the position of its last event.
#[derive(Debug)]
pub struct Versioned<A> {
    /// The state.
    pub state: Arc<A>,
    /// The position of the aggregate's last event; 0 if it has none.
    pub version: Position,
}

impl<A> Clone for Versioned<A> {
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state), version: self.version }
    }
}

struct Slot<A: Decider> {
    loaded: OnceCell<()>,
    held: Mutex<Held<A>>,
}

/// What a slot holds: the state, or what happened while somebody was loading it.
enum Held<A: Decider> {
    Loading(Vec<(Position, A::Event)>),
    Ready(Versioned<A>),
}

impl<A: Decider> StateCache<A>
where
    A::Event: Clone + Send,
{
    /// Holds at most `capacity` aggregates.
    pub fn new(capacity: usize) -> Self {
        Self { slots: Cache::new(capacity) }
    }

    /// The state of `id`, loaded by `load` if it is not there.
    ///
    /// # Errors
    /// `load` failed.
    pub async fn get<E>(
        &self,
        id: A::Id,
        load: impl AsyncFnOnce() -> Result<Versioned<A>, E>,
    ) -> Result<Versioned<A>, E> {
        let slot = match self.slots.get(&id) {
            Some(slot) => slot,
            // The slot is there before loading begins, so that no event is missed meanwhile.
            None => self
                .slots
                .get_or_insert_with(&id, || Ok::<_, std::convert::Infallible>(Slot::empty()))
                .unwrap_or_else(|never| match never {}),
        };
        let result = slot
            .loaded
            .get_or_try_init(async || {
                let loaded = load().await?;
                slot.fill(loaded);
                Ok(())
            })
            .await;
        if let Err(error) = result {
            self.slots.remove(&id);
            return Err(error);
        }
        Ok(slot.ready().expect("a loaded slot is ready"))
    }

    /// Takes an event in, if its aggregate is held. Repeats and events known already do nothing.
    pub fn apply(&self, id: A::Id, position: Position, event: &A::Event) {
        let Some(slot) = self.slots.peek(&id) else { return };
        let mut held = slot.held.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *held {
            Held::Loading(missed) => missed.push((position, event.clone())),
            Held::Ready(versioned) => versioned.apply(position, event),
        }
    }

    /// Forgets everything: the log is not the one that was read.
    pub fn clear(&self) {
        self.slots.clear();
    }

    /// Forgets one aggregate.
    pub fn forget(&self, id: A::Id) {
        self.slots.remove(&id);
    }
}

impl<A: Decider> Slot<A>
where
    A::Event: Clone + Send,
{
    fn empty() -> Arc<Self> {
        Arc::new(Self { loaded: OnceCell::new(), held: Mutex::new(Held::Loading(Vec::new())) })
    }

    fn fill(&self, mut loaded: Versioned<A>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Held::Loading(missed) = &*held {
            for (position, event) in missed {
                loaded.apply(*position, event);
            }
        }
        *held = Held::Ready(loaded);
    }

    fn ready(&self) -> Option<Versioned<A>> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match &*held {
            Held::Loading(_) => None,
            Held::Ready(versioned) => Some(versioned.clone()),
        }
    }
}

impl<A: Decider> Versioned<A> {
    /// Takes an event in, unless it is in already.
    pub fn apply(&mut self, position: Position, event: &A::Event) {
        if position > self.version {
            Arc::make_mut(&mut self.state).evolve(event);
            self.version = position;
        }
    }
}

impl<A: Decider> Default for Versioned<A> {
    fn default() -> Self {
        Self { state: Arc::default(), version: Position(0) }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::{
        commands::session::Session,
        events::{Role, SessionEvent, TokenId, UserId},
    };

    fn log_in(token: u128) -> SessionEvent {
        SessionEvent::LoggedIn { token: TokenId(uuid::Uuid::from_u128(token)), role: Role::User }
    }

    fn token(held: &Versioned<Session>) -> u128 {
        held.state.user_token.expect("logged in").0.as_u128()
    }

    #[tokio::test]
    async fn what_happens_while_loading_is_not_missed() {
        let cache = StateCache::<Session>::new(10);
        let held = cache
            .get(UserId(1), async || {
                cache.apply(UserId(1), Position(7), &log_in(7));
                cache.apply(UserId(1), Position(3), &log_in(3)); // older than what is loaded
                let mut loaded = Versioned::default();
                loaded.apply(Position(5), &log_in(5));
                Ok::<_, Infallible>(loaded)
            })
            .await
            .expect("it loads");
        assert_eq!((token(&held), held.version), (7, Position(7)));
    }

    #[tokio::test]
    async fn a_repeated_event_changes_nothing() {
        let cache = StateCache::<Session>::new(10);
        let load = async || Ok::<_, Infallible>(Versioned::default());
        cache.get(UserId(1), load).await.expect("it loads");
        cache.apply(UserId(1), Position(2), &log_in(2));
        cache.apply(UserId(1), Position(3), &log_in(3));
        cache.apply(UserId(1), Position(2), &log_in(2));
        let held = cache.get(UserId(1), load).await.expect("it is there");
        assert_eq!((token(&held), held.version), (3, Position(3)));
    }

    #[tokio::test]
    async fn a_failed_load_is_tried_again() {
        let cache = StateCache::<Session>::new(10);
        assert!(cache.get(UserId(1), async || Err("away")).await.is_err());
        assert!(cache.get(UserId(1), async || Ok::<_, &str>(Versioned::default())).await.is_ok());
    }
}
