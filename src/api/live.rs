//! Live samples of a process for the operators' page: one a second as a server-sent event. All who watch share the task
//! that takes them, which is there only while somebody watches.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response, Sse, sse::Event},
};
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use tokio::{
    sync::watch,
    time::{Duration, Instant, MissedTickBehavior, interval},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::admin::{Admin, OpenedLog, Readiness, ask};
use crate::{
    clock,
    events::{NodeId, Position, Timestamp},
    projections::{
        self,
        engine::progress::{self, GenerationPosition},
    },
    telemetry::recent_errors::LogLine,
};

/// How often a sample is taken.
const EVERY: Duration = Duration::from_secs(1);
/// How many may watch one process.
const MOST_WATCHERS: usize = 16;

/// What all who watch share.
#[derive(Clone)]
pub struct LiveFeed(Arc<Shared>);

struct Shared {
    /// The newest sample; who is slow misses some.
    newest: watch::Sender<Arc<str>>,
    /// Is somebody taking samples?
    running: Mutex<bool>,
    tasks: TaskTracker,
    /// Ends the streams, which else would never end.
    stop: CancellationToken,
}

impl LiveFeed {
    /// Its task runs on `tasks`; `stop` ends it and all streams.
    pub fn new(tasks: TaskTracker, stop: CancellationToken) -> Self {
        let newest = watch::channel(Arc::from("")).0;
        Self(Arc::new(Shared { newest, running: Mutex::default(), tasks, stop }))
    }

    /// Samples from now on, each taken by `sample`, which is handed the one before; `None` if too many watch already.
    fn watch<T, F>(&self, sample: F) -> Option<watch::Receiver<Arc<str>>>
    where
        T: Serialize + Send + Sync + 'static,
        F: AsyncTake<T>,
    {
        let mut running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        if self.0.newest.receiver_count() >= MOST_WATCHERS {
            return None;
        }
        let is_running = std::mem::replace(&mut *running, true);
        if !is_running {
            self.0.newest.send_replace(Arc::from("")); // an old one
        }
        let mut receiver = self.0.newest.subscribe();
        if !receiver.borrow().is_empty() {
            receiver.mark_changed(); // it is at most a second old
        }
        if !is_running {
            let feed = self.clone();
            self.0.tasks.spawn(async move {
                let stop = feed.0.stop.clone();
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = feed.run(sample) => {}
                }
            });
        }
        Some(receiver)
    }

    async fn run<T: Serialize + Send + Sync + 'static>(&self, sample: impl AsyncTake<T>) {
        let mut due = interval(EVERY);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = None;
        loop {
            due.tick().await;
            {
                let mut running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
                if self.0.newest.receiver_count() == 0 {
                    *running = false;
                    return;
                }
            }
            let taken = sample.take(before.take()).await;
            let text = serde_json::to_string(&taken).expect("a sample is plain data");
            self.0.newest.send_replace(text.into());
            before = Some(taken);
        }
    }
}

/// Takes samples.
trait AsyncTake<T>: Send + Sync + 'static {
    /// The next one, after `before`.
    fn take(&self, before: Option<T>) -> impl Future<Output = T> + Send;
}

/// What a process and those that it hears are like at one moment.
#[derive(Serialize)]
struct Sample {
    at: Timestamp,
    /// This process.
    node: NodeId,
    readiness: Readiness,
    /// The log's last position.
    last: Option<Position>,
    /// Events per second since the sample before.
    events_per_second: Option<f64>,
    lags: BTreeMap<&'static str, Lag>,
    /// Of every read model; nothing while a store is away.
    generations: Option<BTreeMap<&'static str, Vec<GenerationPosition>>>,
    /// Open WebSockets by gateway; one of an older version does not say.
    gateways: BTreeMap<String, Option<i64>>,
    /// The newest last.
    errors: Vec<LogLine>,
    #[serde(skip)]
    taken: Instant,
}

/// How far behind a projection is.
#[derive(Serialize)]
struct Lag {
    events: u64,
    /// How old the last applied event is; known where it is applied.
    seconds: Option<f64>,
}

impl AsyncTake<Sample> for Admin {
    #[expect(clippy::cast_precision_loss, reason = "no second has so many events")]
    async fn take(&self, before: Option<Sample>) -> Sample {
        let redis = &self.generations_in_redis;
        let (readiness, generations) =
            tokio::join!(self.readiness(), ask(progress::all_generations(&self.pool, redis)));
        let (last, taken) = (readiness.end, Instant::now());
        let since = before.and_then(|before| Some((before.last?, before.taken)));
        let rate = |(was, when): (Position, Instant)| {
            Some(last?.0.saturating_sub(was.0) as f64 / (taken - when).as_secs_f64())
        };
        Sample {
            at: clock::now(),
            node: self.node,
            last,
            events_per_second: since.and_then(rate),
            lags: self.lags(&readiness, last).await,
            generations: generations.ok(),
            gateways: self
                .opened
                .get()
                .map(|opened| opened.checkpoints.gateways())
                .unwrap_or_default(),
            errors: self.recent_errors.all(),
            readiness,
            taken,
        }
    }
}

impl Admin {
    /// Of the projections that run here as they say, of others as far as their heartbeats tell.
    async fn lags(
        &self,
        readiness: &Readiness,
        last: Option<Position>,
    ) -> BTreeMap<&'static str, Lag> {
        let here = self.projections.all();
        let mut lags = BTreeMap::new();
        for (name, subjects) in projections::ALL.iter() {
            let own = here.get(name).filter(|state| !matches!(state.state, "" | "standby"));
            if let Some(state) = own {
                let seconds = Some(state.lag_seconds(clock::now()));
                lags.insert(*name, Lag { events: state.lag, seconds });
                continue;
            }
            let (Some(OpenedLog { log, .. }), Some(last), Some(state)) =
                (self.opened.get(), last, readiness.projections.get(name))
            else {
                continue;
            };
            if state.state == "silent" {
                continue;
            }
            let next = Position(state.position + 1);
            if let Ok(has_all) = log.has_none(subjects, next, last).await {
                let events = if has_all { 0 } else { last.0.saturating_sub(state.position) };
                lags.insert(*name, Lag { events, seconds: None });
            }
        }
        lags
    }
}

/// A sample a second, for as long as the caller listens and the process runs.
pub(super) async fn live(State(admin): State<Admin>) -> Response {
    let Some(samples) = admin.live.watch(admin.clone()) else {
        let why = format!("{MOST_WATCHERS} watch this process already\n");
        return (StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    };
    let events = stream::unfold(samples, async |mut samples| {
        samples.changed().await.ok()?;
        let newest = Arc::clone(&samples.borrow_and_update());
        Some((Ok::<_, Infallible>(Event::default().data(newest)), samples))
    });
    let stop = admin.live.0.stop.clone();
    Sse::new(events.take_until(stop.cancelled_owned())).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting;

    impl AsyncTake<u64> for Counting {
        async fn take(&self, before: Option<u64>) -> u64 {
            before.unwrap_or_default() + 1
        }
    }

    #[tokio::test]
    async fn nobody_takes_samples_that_nobody_watches() {
        let tasks = TaskTracker::new();
        let feed = LiveFeed::new(tasks.clone(), CancellationToken::new());
        let mut first = feed.watch(Counting).expect("nobody watches");
        let mut second = feed.watch(Counting).expect("only one watches");
        assert_eq!(tasks.len(), 1, "they share it");
        first.changed().await.expect("a sample");
        second.changed().await.expect("the same");
        drop((first, second));
        tasks.close();
        tasks.wait().await;
        let mut again = feed.watch(Counting).expect("nobody watches");
        again.changed().await.expect("a sample");
        assert_eq!(&**again.borrow(), "1", "it begins anew");
    }

    #[tokio::test]
    async fn a_stop_ends_it_and_only_so_many_may_watch() {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let feed = LiveFeed::new(tasks.clone(), stop.clone());
        let all: Vec<_> = (0..MOST_WATCHERS).map(|_| feed.watch(Counting)).collect();
        assert!(all.iter().all(Option::is_some));
        assert!(feed.watch(Counting).is_none());
        stop.cancel();
        tasks.close();
        tasks.wait().await;
    }
}
