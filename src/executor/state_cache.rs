//! The state of aggregates, kept in the process and kept fresh by the log.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use quick_cache::{
    DefaultHashBuilder, OptionsBuilder, Weighter,
    sync::{Cache, DefaultLifecycle, EntryAction},
};
use tokio::sync::OnceCell;

use crate::{
    commands::{decider::Decider, footprint::Footprint},
    events::Position,
    telemetry::metrics::CacheLookups,
};

/// A cache of one kind of aggregate, bounded by what the states cost in memory.
pub struct StateCache<A: Decider> {
    slots: Cache<A::Id, Entry<A>, ByFootprint>,
    lookups: CacheLookups,
}

/// Each has its part of the bound, so few: the largest group must fit into one of them.
const SHARDS: usize = 8;

/// What an aggregate costs that has no state: its slot, and its places in the cache.
const SLOT: usize = 256;

struct Entry<A: Decider> {
    slot: Arc<Slot<A>>,
    /// What the cache counts it as. It must not change behind the cache's back, so it is no property of the slot.
    weight: u64,
}

impl<A: Decider> Clone for Entry<A> {
    fn clone(&self) -> Self {
        Self { slot: Arc::clone(&self.slot), weight: self.weight }
    }
}

#[derive(Clone)]
struct ByFootprint;

impl<A: Decider> Weighter<A::Id, Entry<A>> for ByFootprint {
    fn weight(&self, _: &A::Id, entry: &Entry<A>) -> u64 {
        entry.weight
    }
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

impl<A: Decider + Footprint> StateCache<A>
where
    A::Event: Clone + Send,
{
    /// Holds about `count` aggregates, and in any case no more than `bytes`.
    pub fn new(count: usize, bytes: usize, lookups: CacheLookups) -> Self {
        let options = OptionsBuilder::new()
            .shards(SHARDS)
            .estimated_items_capacity(count)
            .weight_capacity(bytes as u64)
            .build()
            .expect("both capacities are given");
        let (hasher, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        let slots = Cache::with_options(options, ByFootprint, hasher, lifecycle);
        Self { slots, lookups }
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
        let entry = match self.slots.get(&id) {
            Some(entry) => entry,
            // The slot is there before loading begins, so that no event is missed meanwhile.
            None => self
                .slots
                .get_or_insert_with(&id, || Ok::<_, std::convert::Infallible>(Entry::empty()))
                .unwrap_or_else(|never| match never {}),
        };
        let slot = &entry.slot;
        let lookups = &self.lookups;
        if slot.loaded.initialized() { &lookups.hits } else { &lookups.misses }.inc();
        let result = slot
            .loaded
            .get_or_try_init(async || {
                let loaded = load().await?;
                slot.fill(loaded);
                self.weigh(id, &entry);
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
        let Some(entry) = self.slots.peek(&id) else { return };
        entry.slot.apply(position, event);
        self.weigh(id, &entry);
    }

    /// Tells the cache what an aggregate costs by now.
    fn weigh(&self, id: A::Id, known: &Entry<A>) {
        if known.slot.weight() == known.weight {
            return;
        }
        // Only the entry whose slot it is: meanwhile it may have been dropped, and loaded into another.
        _ = self.slots.entry(&id, Some(Duration::ZERO), |_, entry| {
            if Arc::ptr_eq(&entry.slot, &known.slot) {
                entry.weight = entry.slot.weight();
            }
            EntryAction::Retain(())
        });
        // It makes room only for what is inserted.
        let most = self.slots.capacity();
        if self.slots.weight() > most {
            self.slots.set_capacity(most);
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

impl<A: Decider + Footprint> Entry<A>
where
    A::Event: Clone + Send,
{
    fn empty() -> Self {
        let held = Mutex::new(Held::Loading(Vec::new()));
        let slot = Arc::new(Slot { loaded: OnceCell::new(), held });
        Self { weight: slot.weight(), slot }
    }
}

impl<A: Decider + Footprint> Slot<A>
where
    A::Event: Clone + Send,
{
    fn apply(&self, position: Position, event: &A::Event) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *held {
            Held::Loading(missed) => missed.push((position, event.clone())),
            Held::Ready(versioned) => versioned.apply(position, event),
        }
    }

    /// Rounded up by an eighth or so, so that it seldom changes.
    fn weight(&self) -> u64 {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let state = match &*held {
            Held::Loading(_) => 0,
            Held::Ready(versioned) => versioned.state.footprint(),
        };
        let bytes = SLOT + size_of::<A>() + state;
        bytes.next_multiple_of((bytes / 8).next_power_of_two()) as u64
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
            Arc::make_mut(&mut self.state).evolve(position, event);
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

    use uuid::Uuid;

    use super::*;
    use crate::{
        commands::{
            group::{ActiveGroup, Group, GroupRow, Member},
            session::Session,
            user::User,
        },
        events::{
            AccountSummary, Applicant, GroupEvent, GroupId, JoinContext, MembershipId, Role,
            SessionEvent, Timestamp, TokenId, UserEvent, UserId, Username,
        },
    };

    fn log_in(token: u128) -> SessionEvent {
        SessionEvent::LoggedIn { token: TokenId(uuid::Uuid::from_u128(token)), role: Role::User }
    }

    fn joins(id: i64) -> GroupEvent {
        let user = Applicant {
            id: UserId(id),
            uuid: Uuid::nil(),
            name: String::new(),
            avatar: String::new(),
            role: Role::User,
        };
        let owner = AccountSummary {
            id: UserId(0),
            username: Username(String::new()),
            nickname: String::new(),
            avatar: String::new(),
        };
        let entry =
            JoinContext { user, inviter: None, icon: String::new(), owner, roster: Vec::new() };
        GroupEvent::Joined { avatar: String::new(), entry, notice: None, at: Timestamp(0) }
    }

    fn token(held: &Versioned<Session>) -> u128 {
        held.state.user_token.expect("logged in").0.as_u128()
    }

    #[tokio::test]
    async fn what_happens_while_loading_is_not_missed() {
        let cache = StateCache::<Session>::new(10, 1 << 20, CacheLookups::default());
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
        let cache = StateCache::<Session>::new(10, 1 << 20, CacheLookups::default());
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
        let cache = StateCache::<Session>::new(10, 1 << 20, CacheLookups::default());
        assert!(cache.get(UserId(1), async || Err("away")).await.is_err());
        assert!(cache.get(UserId(1), async || Ok::<_, &str>(Versioned::default())).await.is_ok());
    }
    /// A group of `members`, and then one more.
    fn group(members: i64) -> Versioned<Group> {
        let at = Timestamp(0);
        let (owner, avatar) = (UserId(0), String::new());
        let (name, remark) = (String::new(), String::new());
        let row = GroupRow {
            id: GroupId(1),
            uuid: Uuid::nil(),
            owner,
            name,
            avatar,
            remark,
            policy: 0,
            created_at: at,
            updated_at: at,
        };
        let member = |id| Member {
            id: MembershipId(id),
            user: UserId(id),
            nickname: String::new(),
            waiting: false,
            created_at: at,
            updated_at: at,
        };
        let state = Arc::new(Group::from_rows(row, (0..members).map(member).collect()));
        Versioned { state, version: Position(1) }
    }

    #[tokio::test]
    async fn many_large_groups_cost_no_more_than_the_bound() {
        const BYTES: usize = 16 << 20;
        let cache = StateCache::<Group>::new(20_000, BYTES, CacheLookups::default());
        for id in 0..40 {
            let load = async || Ok::<_, Infallible>(group(5_000));
            let held = cache.get(GroupId(id), load).await.expect("it loads");
            assert_eq!(held.state.active().map(ActiveGroup::count), Some(5_000));
            assert!(cache.slots.weight() <= BYTES as u64, "{}", cache.slots.weight());
        }
        assert!(cache.slots.len() >= 2, "some of them stay");
    }

    #[tokio::test]
    async fn many_large_settings_cost_no_more_than_the_bound() {
        const BYTES: usize = 16 << 20;
        let cache = StateCache::<User>::new(200_000, BYTES, CacheLookups::default());
        let device = None;
        let (uuid, username, avatar) = (Uuid::nil(), Username(String::new()), String::new());
        for number in 0..2_000 {
            let id = UserId(number);
            let load = async || Ok::<_, Infallible>(Versioned::default());
            cache.get(id, load).await.expect("it loads");
            let (username, avatar, device) = (username.clone(), avatar.clone(), device.clone());
            let (role, at) = (Role::User, Timestamp(0));
            let registered = UserEvent::Registered { id, uuid, username, role, device, avatar, at };
            cache.apply(id, Position(1), &registered);
            let userset = "x".repeat(65_535);
            cache.apply(id, Position(2), &UserEvent::SettingsChanged { userset });
            assert!(cache.slots.weight() <= BYTES as u64, "{}", cache.slots.weight());
        }
        assert!((100..256).contains(&cache.slots.len()), "{} stay", cache.slots.len());
    }

    #[tokio::test]
    async fn what_somebody_holds_is_shared_with_what_comes_of_it() {
        let cache = StateCache::<Group>::new(20_000, 16 << 20, CacheLookups::default());
        let load = async || Ok::<_, Infallible>(group(1_000));
        let held = cache.get(GroupId(1), load).await.expect("it loads");
        cache.apply(GroupId(1), Position(2), &joins(1_000));
        let now = cache.get(GroupId(1), load).await.expect("it is there");
        let members = |of: &Versioned<Group>| -> Vec<*const Member> {
            of.state.active().expect("a group").members().map(std::ptr::from_ref).collect()
        };
        let (before, after) = (members(&held), members(&now));
        assert_eq!((before.len(), after.len()), (1_000, 1_001));
        assert_eq!(before, after[..1_000], "none of them was copied");
    }

    #[tokio::test]
    async fn a_group_that_grows_is_weighed_anew() {
        let cache = StateCache::<Group>::new(20_000, 16 << 20, CacheLookups::default());
        let load = async || Ok::<_, Infallible>(group(1));
        cache.get(GroupId(1), load).await.expect("it loads");
        let before = cache.slots.weight();
        for number in 2..1_000 {
            cache.apply(
                GroupId(1),
                Position(number),
                &joins(i64::try_from(number).expect("small")),
            );
        }
        assert!(cache.slots.weight() > 64 * before, "{before} {}", cache.slots.weight());
        let load = async || Err("it is there");
        assert_eq!(cache.get(GroupId(1), load).await.map(|held| held.version), Ok(Position(999)));
    }
}
