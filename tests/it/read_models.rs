//! Read models are what the log says, however its events are grouped and whatever happens between two batches.

use std::collections::BTreeSet;

use hongyan::{
    adapters::{
        nats::push::{LocalConnections, Pushes},
        postgres,
        redis::Redis,
    },
    events::{Event, Pair, Recorded, SessionEvent, Subject},
    for_each_projection,
    projections::{
        Checkpoint, Projection, ProjectionParts, StoreError, address_book, complaints,
        engine::{
            generation::{BuildPurpose, CheckpointAdvance, FenceToken, Generation, Store},
            redis::RedisStore,
        },
        group_roster,
        offline_queue::{Bounds, OfflineQueue},
        quick_replies,
        quota::{KEPT, Quota},
        sessions, user_directory,
    },
};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, prop_assert_eq, prop_oneof};
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};
use secrecy::SecretString;
use sqlx::PgPool;
use tokio::runtime::Handle;
use tokio::task::block_in_place;
use uuid::Uuid;

use crate::support::{Servers, model::Model, steps::steps};

/// What happens to a batch on its way.
#[derive(Debug, Clone, Copy)]
pub enum BatchOutcome {
    /// It is committed.
    Smooth,
    /// The process dies before the commit, and the batch comes again.
    Lost,
    /// It comes again after its commit.
    Twice,
    /// Another runner takes over before the commit.
    Overtaken,
}

/// How a stream is cut: sizes, from the front, again and again.
pub type Cut = Vec<(usize, BatchOutcome)>;

pub fn at_once() -> Cut {
    vec![(usize::MAX, BatchOutcome::Smooth)]
}

fn cut() -> impl Strategy<Value = Cut> {
    let fate = prop_oneof![
        6 => Just(BatchOutcome::Smooth), 1 => Just(BatchOutcome::Lost), 1 => Just(BatchOutcome::Twice), 1 => Just(BatchOutcome::Overtaken),
    ];
    let size = prop_oneof![3 => 1..3_usize, 2 => 3..20_usize, 1 => 20..80_usize];
    vec((size, fate), 1..12)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_the_log_is_cut_the_read_models_are_the_same() {
    let stores = Stores::start().await;
    let log_and_cuts = (steps(100..240), vec(cut(), 2));
    hold(8, &log_and_cuts, async |(steps, cuts)| {
        let log = Model::of(&steps).log;
        for_each_projection!(|P| {
            if P::is_wanted(&stores.parts) {
                let (projection, store) = P::open(&stores.parts);
                same_however_cut(&projection, &store, &log, &cuts).await?;
            }
        });
        Ok(())
    });
}

/// Groups of two are large here, so that timelines begin and end; and queues and timelines keep little, so that they
/// forget.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_the_log_is_cut_the_timelines_are_the_same() {
    let stores = Stores::start().await;
    let log_and_cuts = (steps(100..240), vec(cut(), 2));
    hold(16, &log_and_cuts, async |(steps, cuts)| {
        let log = Model::of(&steps).log;
        for quota in [KEPT, Quota { entries: 3, bytes: 2_000 }] {
            let projection =
                OfflineQueue::bounded(stores.parts.pushes.clone(), Bounds { large: 1, quota });
            same_however_cut(&projection, &stores.in_redis, &log, &cuts).await?;
        }
        Ok(())
    });
}

async fn same_however_cut<P: Projection>(
    projection: &P,
    store: &P::Store,
    log: &[Recorded<Event>],
    cuts: &[Cut],
) -> TestCaseResult {
    let whole = build(projection, store, log, &at_once()).await;
    for cut in cuts {
        let other = build(projection, store, log, cut).await;
        same(store, &other, &whole).await?;
        store.drop(&other).await.expect("a generation that is not live is dropped");
    }
    store.drop(&whole).await.expect("a generation that is not live is dropped");
    Ok(())
}

async fn same<S: Store>(store: &S, found: &Generation, expected: &Generation) -> TestCaseResult {
    for part in store.parts(&[*found, *expected]).await.expect("parts") {
        let (_, digests) = store.digests(found, &part).await.expect("digests");
        let (_, wanted) = store.digests(expected, &part).await.expect("digests");
        let ranges = digests.keys().chain(wanted.keys());
        for range in ranges.filter(|range| digests.get(*range) != wanted.get(*range)) {
            let (_, rows) = store.rows(found, &part, *range).await.expect("rows");
            let (_, wanted) = store.rows(expected, &part, *range).await.expect("rows");
            prop_assert_eq!(rows, wanted, "{}", expected.name);
        }
        prop_assert_eq!(digests, wanted, "{}", expected.name);
    }
    Ok(())
}

/// Connects and disconnects vanish from the log after a while. The account's own socket is told of again before that;
/// the others have ended by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn facts_that_have_expired_leave_nothing_behind() {
    let stores = Stores::start().await;
    hold(12, &(steps(60..240), steps(1..40)), async |(before, after)| {
        let mut model = Model::of(&before);
        let old = model.log.len();
        model.renew_sockets();
        model.go_on(&after);
        let expired = |at: usize, recorded: &Recorded<Event>| {
            use SessionEvent::{Connected, Disconnected};
            let fact = &recorded.event;
            at < old && matches!(fact, Event::Session(_, Connected { .. } | Disconnected { .. }))
        };
        let events = model.log.iter().enumerate();
        let left: Vec<Recorded<Event>> = events
            .filter(|(at, recorded)| !expired(*at, recorded))
            .map(|(_, recorded)| recorded.clone())
            .collect();
        for_each_projection!(|P| {
            if P::is_wanted(&stores.parts) {
                let (projection, store) = P::open(&stores.parts);
                let full = build(&projection, &store, &model.log, &at_once()).await;
                let rebuilt = build(&projection, &store, &left, &at_once()).await;
                same(&store, &rebuilt, &full).await?;
            }
        });
        Ok(())
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_rules_load_is_what_they_decided() {
    let stores = Stores::start().await;
    hold(12, &(steps(60..240), cut()), async |(steps, cut)| {
        let model = Model::of(&steps);
        for_each_projection!(|P| {
            if P::is_wanted(&stores.parts) {
                let (projection, store) = P::open(&stores.parts);
                go_live(&projection, &store, &model.log, &cut).await;
            }
        });
        loads(&stores, &model).await
    });
}

pub async fn go_live<P: Projection>(
    projection: &P,
    store: &P::Store,
    log: &[Recorded<Event>],
    cut: &Cut,
) {
    let generation = build(projection, store, log, cut).await;
    let live = store.live(P::NAME, 1).await.expect("a live generation");
    let owner = Uuid::new_v4();
    let at = store.claim(&live, owner).await.expect("it is claimed").position;
    let held = FenceToken::claimed(&live, owner, at);
    store.switch(held, &generation).await.expect("a generation goes live");
}

async fn loads(stores: &Stores, model: &Model) -> TestCaseResult {
    for id in Model::people() {
        let user = model.users.get(&id).cloned().unwrap_or_default();
        let loaded = user_directory::load(&stores.reader, id).await.expect("a user");
        prop_assert_eq!(loaded, (user, model.version(Subject::User(id))));

        let session = model.sessions.get(&id).cloned().unwrap_or_default();
        let loaded = sessions::load(&stores.redis, id).await.expect("a session");
        prop_assert_eq!(loaded, (session, model.version(Subject::Session(id))));

        let questions = model.lists.questions.get(&id).cloned().unwrap_or_default();
        let loaded = quick_replies::load(&stores.reader, id).await.expect("questions");
        prop_assert_eq!(loaded, (questions, model.version(Subject::QuickReplies(id))));

        for pair in Model::people().filter(|other| *other > id).map(|other| Pair::of(id, other)) {
            let friendship = model.friendships.get(&pair).cloned().unwrap_or_default();
            let loaded = address_book::load(&stores.reader, pair).await.expect("a friendship");
            prop_assert_eq!(loaded, (friendship, model.version(Subject::Friendship(pair))));
        }
    }
    for (id, group) in &model.groups {
        let loaded = group_roster::load(&stores.reader, *id).await.expect("a group");
        prop_assert_eq!(loaded, (group.clone(), model.version(Subject::Group(*id))));
    }
    for (id, complaint) in &model.lists.complaints {
        let loaded = complaints::load(&stores.reader, *id).await.expect("a complaint");
        prop_assert_eq!(loaded, (complaint.clone(), model.version(Subject::Complaint(*id))));
    }
    Ok(())
}

/// Event types that no stream here has: those of runners, not of read models.
const UNTOLD: &[&str] = &[
    "operations.content_read.v1",
    "operations.event_skipped.v1",
    "operations.messages_expired.v1",
];

/// The properties above are worth what their streams tell.
#[test]
fn streams_tell_of_all_that_can_happen() {
    let mut runner = TestRunner::deterministic();
    let steps = steps(6000).new_tree(&mut runner).expect("steps").current();
    let told: BTreeSet<String> = Model::of(&steps)
        .log
        .iter()
        .map(|recorded| Event::type_name(&recorded.event.encode()).to_owned())
        .collect();
    let golden = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/events"));
    let known = golden
        .expect("golden events")
        .flatten()
        .filter_map(|file| Some(file.file_name().to_str()?.strip_suffix(".json")?.to_owned()));
    let missing: Vec<String> =
        known.filter(|name| !told.contains(name) && !UNTOLD.contains(&name.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// A new generation of `log`, in batches as cut.
pub async fn build<P: Projection>(
    projection: &P,
    store: &P::Store,
    log: &[Recorded<Event>],
    cut: &Cut,
) -> Generation {
    let generation = store.add(P::NAME, 1, BuildPurpose::Rebuild).await.expect("a new generation");
    let mut work =
        Runner { projection, store, generation, owner: Uuid::nil(), at: Checkpoint::default() };
    work.claim().await;
    let wanted: Vec<Recorded<Event>> =
        log.iter().filter(|recorded| is_wanted::<P>(recorded)).cloned().collect();
    let mut rest = &wanted[..];
    for (size, fate) in cut.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (batch, after) = rest.split_at(rest.len().min(*size));
        work.take(batch, *fate).await;
        rest = after;
    }
    generation
}

fn is_wanted<P: Projection>(recorded: &Recorded<Event>) -> bool {
    let subject = recorded.subject().to_string();
    P::SUBJECTS.iter().any(|wanted| subject.starts_with(wanted.trim_end_matches('>')))
}

/// A runner's work, step by step.
struct Runner<'a, P: Projection> {
    projection: &'a P,
    store: &'a P::Store,
    generation: Generation,
    owner: Uuid,
    at: Checkpoint,
}

impl<P: Projection> Runner<'_, P> {
    async fn take(&mut self, batch: &[Recorded<Event>], fate: BatchOutcome) {
        let before = Self { ..*self };
        match fate {
            BatchOutcome::Smooth | BatchOutcome::Twice => {}
            BatchOutcome::Lost => drop(self.begun(batch).await),
            BatchOutcome::Overtaken => self.claim().await,
        }
        if matches!(fate, BatchOutcome::Overtaken) {
            before.is_fenced(batch).await;
        }
        self.at = self.commit(batch).await.expect("a batch is committed");
        if matches!(fate, BatchOutcome::Twice) {
            before.is_fenced(batch).await;
        }
    }

    async fn claim(&mut self) {
        self.owner = Uuid::new_v4();
        let at = self.store.claim(&self.generation, self.owner).await.expect("it can be claimed");
        assert_eq!(at, self.at, "the checkpoint stays where it was");
    }

    async fn begun(
        &self,
        batch: &[Recorded<Event>],
    ) -> (<P::Store as Store>::Tx, CheckpointAdvance) {
        let last = batch.last().expect("no batch is empty");
        let to = Checkpoint { position: last.position, event: Some(last.id) };
        let moved = CheckpointAdvance { owner: self.owner, from: self.at, to };
        let mut tx = self.store.begin(&self.generation, moved).await.expect("a transaction");
        self.projection.apply(&mut tx, batch).await.expect("a batch can be applied");
        (tx, moved)
    }

    async fn commit(&self, batch: &[Recorded<Event>]) -> Result<Checkpoint, StoreError> {
        let (tx, moved) = self.begun(batch).await;
        self.store.commit(tx, &self.generation, moved).await.map(|()| moved.to)
    }

    async fn is_fenced(&self, batch: &[Recorded<Event>]) {
        let moved = CheckpointAdvance { owner: self.owner, from: self.at, to: self.at };
        let mut tx = self.store.begin(&self.generation, moved).await.expect("a transaction");
        let refused = match self.projection.apply(&mut tx, batch).await {
            Ok(_) => self.store.commit(tx, &self.generation, moved).await,
            Err(refused) => Err(refused), // a key that is there already
        };
        let is_refused = matches!(refused, Err(StoreError::Fenced | StoreError::Refused(_)));
        assert!(is_refused, "{} took a batch twice: {refused:?}", P::NAME);
    }
}

/// Real stores, and what works on them.
pub struct Stores {
    pub parts: ProjectionParts,
    /// Of the read models in Redis.
    pub in_redis: RedisStore,
    pub reader: PgPool,
    pub redis: Redis,
    _servers: Servers,
}

impl Stores {
    pub async fn start() -> Self {
        let servers = Servers::start().await;
        let owner = SecretString::from(servers.postgres.owner_url());
        let migrators = postgres::migrators(&owner).expect("a URL");
        sqlx::migrate!("./migrations").run(&migrators).await.expect("migrations");
        let redis = Redis::open(&servers.redis.url().into()).expect("a URL");
        let nats = servers.nats.connect("projector", "projectorpw").await;
        let parts = ProjectionParts {
            pool: postgres::writers(&owner, 2).expect("a URL"),
            redis: redis.clone(),
            pushes: Pushes::new(nats, LocalConnections::default()),
            chat_log_length: 5, // so that old messages fall out
            analytics: None,
        };
        let reader = SecretString::from(servers.postgres.reader_url());
        let reader = postgres::readers(&reader, 2).expect("a URL");
        let in_redis = RedisStore::new(redis.clone());
        Self { parts, in_redis, reader, redis, _servers: servers }
    }
}

/// Tries a property on so many inputs, and then on somewhat smaller ones.
pub fn hold<S: Strategy>(
    cases: u32,
    inputs: &S,
    property: impl AsyncFn(S::Value) -> TestCaseResult,
) {
    let config =
        Config { cases, max_shrink_iters: 40, failure_persistence: None, ..Config::default() };
    let run = |input| block_in_place(|| Handle::current().block_on(property(input)));
    if let Err(error) = TestRunner::new(config).run(inputs, run) {
        panic!("{error}");
    }
}
