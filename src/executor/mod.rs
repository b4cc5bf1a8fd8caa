//! The executor: loads what a command is judged by, decides, appends with a guard, tries again after a concurrency
//! conflict, and waits for the effect.

pub mod accounts;
pub mod aggregates;
pub mod authority;
pub mod cache_sync;
pub mod contention_queue;
pub mod group_messages;
pub mod groups;
pub mod messages;
pub mod reaper;
pub mod running_commands;
pub mod state_cache;

use std::{sync::Arc, time::Duration};

use sqlx::PgPool;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use self::{
    authority::{Authority, Unauthorized},
    contention_queue::ContentionQueue,
    running_commands::{RunningCommand, RunningCommands},
    state_cache::{StateCache, Versioned},
};
use crate::{
    adapters::{
        id_allocation::IdAllocationError,
        nats::{
            checkpoints::Checkpoints,
            event_log::{Appended, EventLog, Expect, LogError, NewEvent},
            liveness::Liveness,
        },
        redis::Redis,
    },
    commands::{
        complaint::Complaint, decider::Decider, footprint::Footprint, friendship::Friendship,
        group::Group, quick_replies::QuickReplyList, session::Session, user::User,
    },
    events::{Event, NodeId, Position, Subject},
    projections::engine::postgres,
};

/// How often a command is decided anew before it is refused as too busy.
pub(super) const ATTEMPTS: u32 = 40;

/// The unit of what caches may cost: all of them together 752.
const MIB: usize = 1 << 20;

/// What executes commands in this process.
#[derive(Clone)]
pub struct Executor {
    /// The log.
    pub log: EventLog,
    /// Who has seen how much of it.
    pub checkpoints: Checkpoints,
    /// The read models in PostgreSQL.
    pub pool: PgPool,
    /// The read models in Redis.
    pub redis: Redis,
    pub(super) caches: Arc<Caches>,
    /// Those who were too slow.
    pub(super) contention: Arc<ContentionQueue>,
    /// This process.
    pub node: NodeId,
    /// Is the log kept by several servers? Guards that many writers share collapse there (ADR 0008).
    pub replicated: bool,
    /// What runs here, and by what it is judged.
    pub(super) commands: RunningCommands,
    /// Of a gateway, which keeps its caches fresh and serves by them.
    pub(super) liveness: Option<Arc<Liveness>>,
    wait: Duration,
}

/// The state of everything that rules ask about.
pub struct Caches {
    pub(super) users: StateCache<User>,
    pub(super) sessions: StateCache<Session>,
    pub(super) friendships: StateCache<Friendship>,
    pub(super) groups: StateCache<Group>,
    pub(super) questions: StateCache<QuickReplyList>,
    pub(super) complaints: StateCache<Complaint>,
}

/// An aggregate that lives in the log on a subject of its own, and is cached.
pub trait Aggregate: Decider + Footprint {
    /// The read models that show it; an answer waits for them.
    const PROJECTIONS: &'static [&'static str];
    /// May its events vanish from the log?
    const EXPIRES: bool = false;
    /// Where it lives.
    fn subject(id: Self::Id) -> Subject;
    /// Its event among all events.
    fn wrap(event: Self::Event) -> Event;
    /// Its event, if it is one.
    fn own(event: &Event) -> Option<&Self::Event>;
    /// Where it is cached.
    fn cache(caches: &Caches) -> &StateCache<Self>;
    /// What its read model says: it may lag, the log has the rest.
    fn load_snapshot(
        executor: &Executor,
        id: Self::Id,
    ) -> impl Future<Output = anyhow::Result<(Self, Position)>> + Send;
}

/// How a command ended well.
#[derive(Debug)]
pub struct Done<A: Decider> {
    /// What happened; `None` if all was so already.
    pub event: Option<A::Event>,
    /// Where that is in the log; where the aggregate's last event was, if nothing happened.
    pub position: Position,
}

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub enum CommandError<R: std::error::Error> {
    /// A rule says no.
    #[error(transparent)]
    Rejected(R),
    /// The log says no, or nothing.
    #[error(transparent)]
    Log(#[from] LogError),
    /// PostgreSQL or Redis cannot be asked what the command needs.
    #[error("a read model is unavailable: {0}")]
    Unavailable(String),
    /// What the caller came with has ended meanwhile.
    #[error(transparent)]
    Unauthorized(#[from] Unauthorized),
    /// Others appended first each time.
    #[error("retries exhausted after concurrency conflicts")]
    Contended,
}

impl<R: std::error::Error> From<IdAllocationError> for CommandError<R> {
    fn from(error: IdAllocationError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl Executor {
    /// Over the log and the read models; an answer waits for its effect at most `wait`.
    pub fn new(
        log: EventLog,
        checkpoints: Checkpoints,
        (pool, redis): (PgPool, Redis),
        node: NodeId,
        replicated: bool,
        wait: Duration,
        liveness: Option<Arc<Liveness>>,
    ) -> Self {
        let caches = Arc::new(Caches {
            users: StateCache::new(200_000, 192 * MIB),
            sessions: StateCache::new(200_000, 96 * MIB),
            friendships: StateCache::new(400_000, 192 * MIB),
            groups: StateCache::new(20_000, 256 * MIB),
            // Seldom asked for.
            questions: StateCache::new(1_000, 8 * MIB),
            complaints: StateCache::new(1_000, 8 * MIB),
        });
        let (contention, commands) = (Arc::default(), RunningCommands::default());
        Self {
            log,
            checkpoints,
            pool,
            redis,
            caches,
            contention,
            node,
            replicated,
            commands,
            liveness,
            wait,
        }
    }

    /// An aggregate as it is now.
    ///
    /// # Errors
    /// The log cannot be reached.
    pub async fn state<A: Aggregate>(&self, id: A::Id) -> Result<Versioned<A>, LogError>
    where
        A::Event: Clone + Send,
    {
        A::cache(&self.caches).get(id, async || self.load::<A>(id).await).await
    }

    /// What the read model says, and then what the log says beyond it. So a read model that lags,
    /// or is gone, costs time but never an error.
    async fn load<A: Aggregate>(&self, id: A::Id) -> Result<Versioned<A>, LogError> {
        let mut versioned = match A::load_snapshot(self, id).await {
            Ok((state, version)) => Versioned { state: Arc::new(state), version },
            Err(error) => {
                debug!(%error, "folding an aggregate from the log alone");
                Versioned::default()
            }
        };
        loop {
            self.catch_up::<A>(id, &mut versioned).await?;
            if !A::EXPIRES {
                return Ok(versioned);
            }
            // The event whose position is the version may have vanished; then the server expects the one before.
            let last = self.log.last_of(A::subject(id)).await?;
            if last <= versioned.version {
                return Ok(Versioned { version: last, ..versioned });
            }
        }
    }

    async fn catch_up<A: Aggregate>(
        &self,
        id: A::Id,
        versioned: &mut Versioned<A>,
    ) -> Result<(), LogError> {
        let subject = A::subject(id);
        loop {
            let from = Position(versioned.version.0 + 1);
            let Some(recorded) = self.log.next_of(subject, from).await? else { return Ok(()) };
            match A::own(&recorded.event) {
                Some(event) => versioned.apply(recorded.position, event),
                None => versioned.version = recorded.position,
            }
        }
    }

    /// Brings the cache up to the log after a conflict said that it is behind.
    ///
    /// # Errors
    /// The log cannot be reached.
    pub async fn refresh<A: Aggregate>(&self, id: A::Id, seen: Position) -> Result<(), LogError>
    where
        A::Event: Clone + Send,
    {
        let cache = A::cache(&self.caches);
        let mut from = Position(seen.0 + 1);
        while let Some(recorded) = self.log.next_of(A::subject(id), from).await? {
            if let Some(event) = A::own(&recorded.event) {
                cache.apply(id, recorded.position, event);
            }
            from = Position(recorded.position.0 + 1);
        }
        if from.0 == seen.0 + 1 {
            cache.forget(id); // the log has less than we saw: it is another log
        }
        Ok(())
    }

    /// Judges a command and appends what it yields.
    ///
    /// # Errors
    /// A rule or the log says no.
    pub async fn execute<A: Aggregate>(
        &self,
        id: A::Id,
        command: &A::Command,
        authority: Authority<'_>,
    ) -> Result<Done<A>, CommandError<A::Rejection>>
    where
        A::Event: Clone + Send,
    {
        self.execute_observing::<A>(id, command, authority, |_| {}).await
    }

    /// The same; `look` sees each state that the command is judged against, the last one being what the append was
    /// guarded by.
    ///
    /// # Errors
    /// As [`Executor::execute`].
    pub async fn execute_observing<A: Aggregate>(
        &self,
        id: A::Id,
        command: &A::Command,
        authority: Authority<'_>,
        mut look: impl FnMut(&A) + Send,
    ) -> Result<Done<A>, CommandError<A::Rejection>>
    where
        A::Event: Clone + Send,
    {
        let mut turn = None;
        for attempt in 0..ATTEMPTS {
            turn = self.contention.wait(turn, attempt, A::subject(id)).await;
            let running = self.begin(authority).await?;
            let seen = self.state::<A>(id).await?;
            look(&seen.state);
            if let Some(done) = self.attempt::<A>(id, seen, command, authority, running).await? {
                return Ok(done);
            }
            jitter(attempt).await;
        }
        Err(CommandError::Contended)
    }

    /// Judges and appends once; `None` if somebody was faster, which the cache knows by now. For
    /// commands with facts that depend on the state; the others leave the repeating to `execute`.
    pub(super) async fn attempt<A: Aggregate>(
        &self,
        id: A::Id,
        Versioned { state, version }: Versioned<A>,
        command: &A::Command,
        authority: Authority<'_>,
        running: RunningCommand,
    ) -> Result<Option<Done<A>>, CommandError<A::Rejection>>
    where
        A::Event: Clone + Send,
    {
        let decided = state.decide(command).map_err(CommandError::Rejected)?;
        let Some(event) = decided else {
            return Ok(Some(Done { event: None, position: version }));
        };
        drop(state); // so that the cache changes its own, and copies nothing
        let subject = A::subject(id);
        let Authority { actor, cause, .. } = authority;
        let mut new = NewEvent::new(subject, A::wrap(event.clone()), actor, cause);
        match self.append(&mut new, Expect::Last(subject, version), &running).await {
            Ok(Appended { position, .. }) => {
                // Nothing came in between, so the next command here may build on it.
                A::cache(&self.caches).apply(id, position, &event);
                Ok(Some(Done { event: Some(event), position }))
            }
            Err(LogError::Conflict) => {
                self.refresh::<A>(id, version).await?;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Executes, and then waits until everybody sees it: the read models, and the rules on every
    /// node (clarification 18).
    ///
    /// # Errors
    /// As [`Executor::execute`].
    pub async fn execute_and_wait<A: Aggregate>(
        &self,
        id: A::Id,
        command: &A::Command,
        authority: Authority<'_>,
    ) -> Result<Done<A>, CommandError<A::Rejection>>
    where
        A::Event: Clone + Send,
    {
        let done = self.execute::<A>(id, command, authority).await?;
        self.wait_for_all(done.position, A::PROJECTIONS).await;
        Ok(done)
    }

    /// Waits until `read_models` and all gateways have passed `position`. Bounded: what was
    /// appended counts, even if it shows later.
    pub async fn wait_for_all(&self, position: Position, read_models: &[&str]) {
        let shown = self.checkpoints.wait_for_projections(position, read_models, self.wait);
        let (shown, ()) = tokio::join!(shown, self.checkpoints.wait_for_gateways(position));
        if !shown {
            warn!(%position, "an effect was not visible everywhere in time");
        }
    }

    /// Waits a while for a read model to pass `position`.
    pub async fn catch_up_to(&self, position: Position, read_model: &str) {
        self.checkpoints.wait_for_projections(position, &[read_model], self.wait).await;
    }

    /// Waits until a read model in PostgreSQL has seen all that the log holds on `subject`; `false` if that takes too
    /// long.
    ///
    /// # Errors
    /// The log cannot be reached.
    pub async fn wait_for_projection(
        &self,
        subject: Subject,
        read_model: &str,
    ) -> Result<bool, LogError> {
        let last = self.log.last_of(subject).await?;
        let deadline = Instant::now() + self.wait;
        while self.checkpoints.wait_for_projections(last, &[read_model], self.wait).await {
            // What was heard of the read model may be older than a restore of its database.
            match postgres::has_seen(&self.pool, read_model, last).await {
                Ok(true) => return Ok(true),
                Ok(false) if Instant::now() < deadline => sleep(Duration::from_millis(5)).await,
                Ok(false) | Err(_) => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Waits until the caches of this process have taken `position` in; `false` if that takes too long.
    pub async fn wait_for_local(&self, position: Position) -> bool {
        let mut applied = self.commands.subscribe();
        let seen = timeout(self.wait, applied.wait_for(|applied| *applied >= position)).await;
        matches!(seen, Ok(Ok(_)))
    }
}

/// Spreads those who were too slow, so that they do not meet again.
pub(super) async fn jitter(attempt: u32) {
    let spread = u32::from(crate::clock::random_id().as_bytes()[0]) % 8;
    sleep(Duration::from_millis(u64::from(spread * attempt.min(4)))).await;
}
