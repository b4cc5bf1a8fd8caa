//! Specifications of the read models: given these events, then these rows, both written out by hand. What every build
//! of a read model gets wrong alike is seen here, and only here.
//!
//! Events are written as the log has them, the first at position 1, one a second from 01:00:01 on. Rows are compared
//! whole, tables and keys that nobody named included. A text that is JSON is written as JSON.

#![expect(clippy::needless_pass_by_value, reason = "JSON reads best where it is used")]
#![expect(clippy::too_many_lines, reason = "rows are written out, however many there are")]

mod address_book;
mod chat;
mod chat_log;
mod club;
mod complaints;
mod group_roster;
mod message_history;
mod offline_queue;
mod presence;
mod quick_replies;
mod sessions;
mod user_directory;

use std::collections::{BTreeMap, BTreeSet};

use hongyan::{
    adapters::redis::keys,
    events::{Cause, Event, Position, Recorded, Subject, Timestamp},
    projections::{
        Projection,
        engine::{
            generation::{Generation, Store},
            postgres::PostgresStore,
            redis::RedisStore,
        },
    },
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::read_models::{Stores, at_once, build};

/// 2025-09-24 01:00:00 UTC, in milliseconds.
const START_MS: i64 = 1_758_675_600_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_models_have_the_rows_that_are_written_here() {
    let mut specifications = Specifications { stores: Stores::start().await, broken: Vec::new() };
    let all = &mut specifications;
    user_directory::hold(all).await;
    address_book::hold(all).await;
    group_roster::hold(all).await;
    message_history::hold(all).await;
    quick_replies::hold(all).await;
    complaints::hold(all).await;
    sessions::hold(all).await;
    presence::hold(all).await;
    offline_queue::hold(all).await;
    chat_log::hold(all).await;
    assert!(all.broken.is_empty(), "{}", all.broken.join("\n\n"));
}

/// Specifications on servers that all of them share, and what became of them.
struct Specifications {
    stores: Stores,
    broken: Vec<String>,
}

impl Specifications {
    /// Given events, each as its subject and its body, then these rows and no others.
    async fn check<P: Projection<Store: Rows>>(
        &mut self,
        title: &str,
        given: &[(&str, Value)],
        then: Value,
    ) {
        let (projection, store) = P::open(&self.stores.parts);
        self.check_of(&projection, &store, title, (given, then)).await;
    }

    /// The same of a read model with bounds of its own.
    async fn check_of<P: Projection<Store: Rows>>(
        &mut self,
        projection: &P,
        store: &P::Store,
        title: &str,
        (given, then): (&[(&str, Value)], Value),
    ) {
        let log: Vec<Recorded<Event>> = (1..).zip(given).map(recorded).collect();
        let generation = build(projection, store, &log, &at_once()).await;
        let found = unfold(store.all_rows(&self.stores, &generation).await);
        if found != then {
            let name = P::NAME;
            self.broken.push(format!("{name}: {title}\n  found    {found}\n  expected {then}"));
        }
    }
}

fn recorded((position, (subject, body)): (u64, &(&str, Value))) -> Recorded<Event> {
    let subject = Subject::parse(subject).expect("a subject of the log");
    let event = Event::decode(&subject, body.to_string().as_bytes());
    let at = Timestamp(START_MS + 1000 * position.cast_signed());
    Recorded {
        event: event.expect("an event of the log"),
        position: Position(position),
        id: Uuid::from_u128(position.into()),
        at,
        stored_at: at,
        actor: None,
        cause: Cause::default(),
    }
}

/// A store all of whose rows can be read.
trait Rows: Store {
    async fn all_rows(&self, stores: &Stores, generation: &Generation) -> Value;
}

/// Each table's rows, in the order of their keys.
impl Rows for PostgresStore {
    async fn all_rows(&self, _: &Stores, generation: &Generation) -> Value {
        let mut tables = Map::new();
        for part in self.parts(&[*generation]).await.expect("tables") {
            let mut all = BTreeMap::new();
            for range in self.digests(generation, &part).await.expect("digests").1.into_keys() {
                all.extend(self.rows(generation, &part, range).await.expect("rows").1);
            }
            let row = |row: String| -> Value { serde_json::from_str(&row).expect("rows are JSON") };
            tables.insert(part.0.to_owned(), all.into_values().map(row).collect());
        }
        tables.into()
    }
}

/// Each key with what it holds: a set as a list in order, a stream as pairs of an entry's id and fields.
impl Rows for RedisStore {
    async fn all_rows(&self, stores: &Stores, generation: &Generation) -> Value {
        let prefix = keys::prefix(generation.name, generation.number);
        let mut redis = stores.redis.shared();
        let mut names = redis::cmd("KEYS");
        let names: Result<Vec<String>, _> =
            names.arg(format!("{prefix}*")).query_async(&mut redis).await;
        let mut rows = Map::new();
        for key in BTreeSet::from_iter(names.expect("Redis answers")) {
            rows.insert(key[prefix.len()..].to_owned(), content(stores, &key).await);
        }
        rows.into()
    }
}

async fn content(stores: &Stores, key: &str) -> Value {
    let mut redis = stores.redis.shared();
    let mut ask = async |words: &[&str]| -> redis::Value {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]).query_async(&mut redis).await.expect("Redis answers")
    };
    let kind: String = read(ask(&["TYPE", key]).await);
    match kind.as_str() {
        "hash" => {
            let fields: BTreeMap<String, String> = read(ask(&["HGETALL", key]).await);
            json!(fields)
        }
        "list" => {
            let entries: Vec<String> = read(ask(&["LRANGE", key, "0", "-1"]).await);
            json!(entries)
        }
        "set" => {
            let mut members: Vec<String> = read(ask(&["SMEMBERS", key]).await);
            members.sort_unstable();
            json!(members)
        }
        "stream" => {
            let entries: Vec<(String, BTreeMap<String, String>)> =
                read(ask(&["XRANGE", key, "-", "+"]).await);
            json!(entries)
        }
        other => panic!("a key of the kind `{other}`"),
    }
}

fn read<T: redis::FromRedisValue>(value: redis::Value) -> T {
    T::from_redis_value(value).expect("as that kind of key is answered")
}

/// With each text that is a JSON object or list as that.
fn unfold(value: Value) -> Value {
    match value {
        Value::String(text) if text.starts_with(['{', '[']) => {
            serde_json::from_str(&text).map_or(Value::String(text), unfold)
        }
        Value::Array(values) => values.into_iter().map(unfold).collect(),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, value)| (name, unfold(value))).collect())
        }
        other => other,
    }
}
