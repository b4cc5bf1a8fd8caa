//! Metrics of a process, in Prometheus' text format: what was done and how long it took, and how its projections are.

#![expect(missing_docs, reason = "a field whose name says what it is needs no comment")]

use std::{collections::BTreeMap, sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::text::{encode, encode_registry},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Metric, Registry, Unit},
};
use tokio::time::Instant;

use super::{
    file_systems::FileSystem,
    health::ProjectionHealth,
    labels::{
        AggregateLabels, FileSystemLabels, LimitLabels, PartLabels, ProjectionLabels,
        RequestLabels, WaitLabels,
    },
    process,
};
use crate::{clock, events::Timestamp};

/// Upper bounds of the buckets of durations, in seconds.
const DURATIONS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Upper bounds of the buckets of ages, in seconds: from a moment to 30 days.
const AGES: [f64; 9] = [0.1, 1.0, 10.0, 60.0, 600.0, 3_600.0, 86_400.0, 604_800.0, 2_592_000.0];

type Durations<L> = Family<L, Histogram, fn() -> Histogram>;

/// What a process counts and measures.
pub struct Metrics {
    request_duration: Durations<RequestLabels>,
    append_duration: Histogram,
    /// From that acknowledgement to the end of a `syncfs` that began afterwards.
    pub barrier_duration: Histogram,
    wait_duration: Durations<WaitLabels>,
    batch_duration: Durations<ProjectionLabels>,
    events_applied: Family<ProjectionLabels, Counter>,
    push_to_write: Histogram,
    /// How old messages are that are written out of a queue or timeline.
    pub queue_age: Histogram,
    pub messages_sent: Counter,
    /// Messages written to connections.
    pub frames_written: Counter,
    /// Appends that somebody else's came before.
    pub conflicts: Counter,
    /// Commands that were judged anew.
    pub retries: Counter,
    /// Commands that were given up after conflicts.
    pub retries_exhausted: Counter,
    /// Reads of queue and timelines by connections that missed a push, or opened.
    pub refetches: Counter,
    /// The same for what waited until its user asked for it.
    pub drains: Counter,
    cache_hits: Family<AggregateLabels, Counter>,
    cache_misses: Family<AggregateLabels, Counter>,
    rate_limited: Family<LimitLabels, Counter>,
    /// Log-ins with a wrong name or password.
    pub login_failures: Counter,
    pub uploads: Counter,
    /// Their size together.
    pub upload_bytes: Counter,
    pub connections: Gauge,
    /// Memory that request bodies hold, in bytes.
    pub bodies_held: Gauge,
    /// Memory that Redis uses, in bytes.
    pub redis_used: Gauge,
    /// Its `maxmemory`; 0: none.
    pub redis_most: Gauge,
    ready: Gauge,
    part_ready: Family<PartLabels, Gauge>,
    sync_failed: Gauge,
    gateways: Gauge,
    file_system_size: Family<FileSystemLabels, Gauge>,
    file_system_free: Family<FileSystemLabels, Gauge>,
    lag: Family<ProjectionLabels, Gauge>,
    lag_duration: Family<ProjectionLabels, Gauge<f64, AtomicU64>>,
    position: Family<ProjectionLabels, Gauge>,
    generation: Family<ProjectionLabels, Gauge>,
    stopped: Family<ProjectionLabels, Gauge>,
    waiting: Family<ProjectionLabels, Gauge>,
    verified: Family<ProjectionLabels, Gauge>,
    differs: Family<ProjectionLabels, Gauge>,
    started: Timestamp,
    registry: Registry,
}

/// How often the cache of one kind of aggregate was asked, and had the answer or not.
#[derive(Debug, Clone, Default)]
pub struct CacheLookups {
    pub hits: Counter,
    /// It had to be loaded.
    pub misses: Counter,
}

/// Measures how long it lives.
#[derive(Debug)]
pub struct Timer {
    histogram: Histogram,
    begun: Instant,
}

impl Timer {
    fn start(histogram: Histogram) -> Self {
        Self { histogram, begun: Instant::now() }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.histogram.observe(self.begun.elapsed().as_secs_f64());
    }
}

/// A registry under construction: each metric is named once, where it is made.
struct Names(Registry);

impl Names {
    fn add<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }

    fn counter(&mut self, name: &str, help: &str) -> Counter {
        self.add(name, help, Counter::default())
    }

    fn in_unit<M: Metric + Clone>(&mut self, name: &str, unit: Unit, help: &str, metric: M) -> M {
        self.0.register_with_unit(name, help, unit, metric.clone());
        metric
    }

    fn duration(&mut self, name: &str, help: &str) -> Histogram {
        self.in_unit(name, Unit::Seconds, help, durations())
    }

    fn durations<L>(&mut self, name: &str, help: &str) -> Durations<L>
    where
        Durations<L>: Metric,
        L: Clone + std::hash::Hash + Eq,
    {
        self.in_unit(name, Unit::Seconds, help, Family::new_with_constructor(durations))
    }
}

fn durations() -> Histogram {
    Histogram::new(DURATIONS)
}

impl Default for Metrics {
    #[expect(clippy::too_many_lines, reason = "each metric has its name and its help here")]
    fn default() -> Self {
        let mut names = Names(Registry::with_prefix("hongyan"));
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        names.0.register("build", "the program", version);
        Self {
            request_duration: names.durations(
                "http_request_duration",
                "requests of clients by route and class of status, up to the answer's head",
            ),
            append_duration: names.duration(
                "append_duration",
                "appends to the log, until JetStream has acknowledged them",
            ),
            barrier_duration: names.duration(
                "barrier_duration",
                "waits for a sync of the log's file system after an append, with log.durability = synced",
            ),
            wait_duration: names.durations(
                "wait_duration",
                "waits for the effect of a command: until all gateways, a projection, or this process have it",
            ),
            batch_duration: names.durations(
                "projection_batch_duration",
                "transactions of projections, until they are committed",
            ),
            events_applied: names
                .add("projection_events", "events that projections have applied", Family::default()),
            push_to_write: names.duration(
                "push_to_write_duration",
                "from a push's arrival at this gateway until its frame is written to the last connection that it is for",
            ),
            queue_age: names.in_unit(
                "offline_queue_age",
                Unit::Seconds,
                "age of messages that are written out of an offline queue or a timeline",
                Histogram::new(AGES),
            ),
            messages_sent: names.counter("messages_sent", "messages accepted"),
            frames_written: names.counter("frames_written", "messages written to connections"),
            conflicts: names.counter(
                "concurrency_conflicts",
                "appends that were refused since somebody else appended first",
            ),
            retries: names.counter("command_retries", "commands that were judged anew after a conflict"),
            retries_exhausted: names.counter(
                "command_retries_exhausted",
                "commands that were given up after conflicts",
            ),
            refetches: names.counter(
                "refetches",
                "reads of queues and timelines by connections that missed pushes, or opened",
            ),
            drains: names.counter(
                "drains",
                "reads of queues and timelines by connections whose users asked for what waited",
            ),
            cache_hits: names.add(
                "cache_hits",
                "states that the cache of an aggregate had",
                Family::default(),
            ),
            cache_misses: names.add(
                "cache_misses",
                "states that had to be loaded from a read model and the log",
                Family::default(),
            ),
            rate_limited: names.add(
                "rate_limited",
                "requests and uploads that were refused by a limit",
                Family::default(),
            ),
            login_failures: names.counter("login_failures", "log-ins with a wrong name or password"),
            uploads: names.counter("uploads", "files that users have uploaded"),
            upload_bytes: names.in_unit(
                "upload",
                Unit::Bytes,
                "size of the files that users have uploaded",
                Counter::default(),
            ),
            connections: names.add("connections", "open WebSockets", Gauge::default()),
            bodies_held: names.in_unit(
                "request_bodies_held",
                Unit::Bytes,
                "memory that request bodies hold, of limits.bodies_bytes",
                Gauge::default(),
            ),
            redis_used: names.in_unit(
                "redis_memory_used",
                Unit::Bytes,
                "memory that Redis uses, as this gateway last heard",
                Gauge::default(),
            ),
            redis_most: names.in_unit(
                "redis_memory_max",
                Unit::Bytes,
                "Redis' maxmemory, 0 if it has none",
                Gauge::default(),
            ),
            ready: names.add("ready", "1 if /health/ready says yes", Gauge::default()),
            part_ready: names.add(
                "part_ready",
                "1 if a part is well: the log, PostgreSQL, Redis, the projections, this gateway",
                Family::default(),
            ),
            sync_failed: names.add(
                "log_sync_failed",
                "1 if a sync of the log's file system failed: nothing is acknowledged any more",
                Gauge::default(),
            ),
            gateways: names.add(
                "gateways",
                "gateways that were heard within 10 s",
                Gauge::default(),
            ),
            file_system_size: names.in_unit(
                "file_system_size",
                Unit::Bytes,
                "size of the file system that a setting's folder is on",
                Family::default(),
            ),
            file_system_free: names.in_unit(
                "file_system_free",
                Unit::Bytes,
                "what is free of it",
                Family::default(),
            ),
            lag: names.add("projection_lag_events", "events not yet applied", Family::default()),
            lag_duration: names.in_unit(
                "projection_lag",
                Unit::Seconds,
                "how old the last applied event is, if there are later ones; else 0",
                Family::default(),
            ),
            position: names.add(
                "projection_position",
                "position of the last event applied",
                Family::default(),
            ),
            generation: names.add(
                "projection_generation",
                "number of the generation that is live",
                Family::default(),
            ),
            stopped: names.add(
                "projection_stopped",
                "1 if it met an event it cannot apply",
                Family::default(),
            ),
            waiting: names.in_unit(
                "projection_waiting",
                Unit::Seconds,
                "how long its store or the log has not let it go on",
                Family::default(),
            ),
            verified: names.in_unit(
                "projection_verified_timestamp",
                Unit::Seconds,
                "when it was last compared with the log",
                Family::default(),
            ),
            differs: names.add(
                "projection_differs",
                "1 if it was not what the log says when it was last compared",
                Family::default(),
            ),
            started: clock::now(),
            registry: names.0,
        }
    }
}

impl Metrics {
    /// A request was answered. `route` is a pattern of the router's, so that there are few of them.
    pub fn answered(&self, route: &str, status: u16, after: Duration) {
        let status = match status / 100 {
            1 => "1xx",
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        };
        let labels = RequestLabels { route: route.to_owned(), status };
        self.request_duration.get_or_create(&labels).observe(after.as_secs_f64());
    }

    /// From now on somebody waits `until` an effect is there: `all`, `projection`, `local`.
    pub fn wait_timer(&self, until: &'static str) -> Timer {
        Timer::start(self.wait_duration.get_or_create_owned(&WaitLabels { until }))
    }

    /// An append begins.
    pub fn append_timer(&self) -> Timer {
        Timer::start(self.append_duration.clone())
    }

    /// A projection has committed a transaction with `events` that began at `begun`.
    pub fn committed(&self, projection: &'static str, events: usize, begun: Instant) {
        let labels = ProjectionLabels { projection };
        self.batch_duration.get_or_create(&labels).observe(begun.elapsed().as_secs_f64());
        self.events_applied.get_or_create(&labels).inc_by(events as u64);
    }

    /// A read model was compared with the log.
    pub fn verified(&self, projection: &'static str, at: Timestamp, equal: bool) {
        let labels = ProjectionLabels { projection };
        self.verified.get_or_create(&labels).set(at.0 / 1000);
        self.differs.get_or_create(&labels).set(i64::from(!equal));
    }

    /// From a push that arrives now until it is written to the last connection that it is for.
    pub fn push_timer(&self) -> Timer {
        Timer::start(self.push_to_write.clone())
    }

    /// A limit has refused something.
    pub fn limited(&self, limit: &'static str) {
        self.rate_limited.get_or_create(&LimitLabels { limit }).inc();
    }

    /// The counters of one cache.
    pub fn cache(&self, aggregate: &'static str) -> CacheLookups {
        let labels = AggregateLabels { aggregate };
        CacheLookups {
            hits: self.cache_hits.get_or_create_owned(&labels),
            misses: self.cache_misses.get_or_create_owned(&labels),
        }
    }

    /// How ready the process is to serve, and how each of its parts is.
    pub fn readiness(&self, ready: bool, parts: &BTreeMap<&'static str, bool>, sync_failed: bool) {
        self.ready.set(i64::from(ready));
        self.sync_failed.set(i64::from(sync_failed));
        for (part, is_well) in parts {
            self.part_ready.get_or_create(&PartLabels { part }).set(i64::from(*is_well));
        }
    }

    /// How many gateways are heard.
    pub fn gateways(&self, heard: usize) {
        self.gateways.set(i64::try_from(heard).unwrap_or(i64::MAX));
    }

    /// How full the disks are.
    pub fn file_systems(&self, looked: &[FileSystem]) {
        for FileSystem { setting, size, free } in looked {
            let labels = FileSystemLabels { setting };
            self.file_system_size.get_or_create(&labels).set(size.cast_signed());
            self.file_system_free.get_or_create(&labels).set(free.cast_signed());
        }
    }

    /// All of it, in the text format that Prometheus reads (`OpenMetrics` 1.0).
    pub fn text(&self, health: &ProjectionHealth) -> String {
        for (projection, state) in health.all() {
            let labels = ProjectionLabels { projection };
            self.lag.get_or_create(&labels).set(state.lag.cast_signed());
            self.lag_duration.get_or_create(&labels).set(state.lag_seconds(clock::now()));
            self.position.get_or_create(&labels).set(state.position.cast_signed());
            self.generation.get_or_create(&labels).set(state.generation);
            self.stopped.get_or_create(&labels).set(i64::from(state.state == "stopped"));
            let waited = health.waited(projection, Instant::now()).as_secs();
            self.waiting.get_or_create(&labels).set(waited.cast_signed());
        }
        let mut text = String::new();
        let process = encode_registry(&mut text, &process::registry(self.started));
        process.and_then(|()| encode(&mut text, &self.registry)).expect("writing to a string");
        text
    }
}
