//! The throttle counts the requests of a user and of an address in a minute, on all nodes together.
//!
//! Counted here and, where it may matter, in Redis: a key that is far from its limit costs no round
//! trip, and one that is near is known everywhere within a second. So the limits hold but for what
//! each node lets through in that second. Without Redis each node counts for itself.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::sleep;
use tracing::debug;

use super::{
    client_address::ClientNetwork,
    redis::{Redis, RedisFailure, Script, keys::CounterKey},
};
use crate::{clock, events::UserId, telemetry::Metrics};

const MINUTE_MS: i64 = 60_000;
/// How often nodes tell each other, through Redis.
const TICK: Duration = Duration::from_secs(1);
/// Which part of its limit a key must have used before anybody is told.
const NEAR: u64 = 20;

/// How many requesters are counted in a minute, so that the memory for it is bounded.
const MOST_COUNTED: usize = 1_000_000;

/// Adds what this node has let through, and tells what all have. KEYS: the counters of the minute.
const ADD: &str = "
local totals = {}
for i, key in ipairs(KEYS) do
  totals[i] = redis.call('INCRBY', key, ARGV[i])
  redis.call('EXPIRE', key, 120)
end
return totals";

/// Whose requests are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Requester {
    /// An account, whatever its device.
    User(UserId),
    /// An address.
    Address(ClientNetwork),
}

/// Counts requests.
#[derive(Clone)]
pub struct Throttle {
    redis: Redis,
    per_user: u64,
    per_address: u64,
    minute: Arc<Mutex<Minute>>,
    metrics: Arc<Metrics>,
}

/// The minute that is counted now.
#[derive(Default)]
struct Minute {
    number: i64,
    counts: HashMap<Requester, Count>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Count {
    /// Let through here, and not told yet.
    unshared: u64,
    /// Let through anywhere, as last heard.
    known: u64,
}

impl Throttle {
    /// At most so many requests in a minute; 0 is no limit.
    pub fn new(redis: Redis, per_user: u64, per_address: u64, metrics: Arc<Metrics>) -> Self {
        Self { redis, per_user, per_address, minute: Arc::default(), metrics }
    }

    fn most(&self, requester: Requester) -> u64 {
        match requester {
            Requester::User(_) => self.per_user,
            Requester::Address(_) => self.per_address,
        }
    }

    /// One more request, unless there were too many in this minute. A refused one is not counted.
    pub fn admit(&self, requester: Requester) -> bool {
        let most = self.most(requester);
        if most == 0 {
            return true;
        }
        let mut minute = self.now();
        if minute.counts.len() >= MOST_COUNTED {
            minute.counts.clear(); // so many at once are no few that ask too much
        }
        let count = minute.counts.entry(requester).or_default();
        if count.known + count.unshared >= most {
            self.metrics.limited(match requester {
                Requester::User(_) => "requests_per_user",
                Requester::Address(_) => "requests_per_address",
            });
            return false;
        }
        count.unshared += 1;
        true
    }

    /// The counts of this minute; those of another are over.
    fn now(&self) -> MutexGuard<'_, Minute> {
        let number = clock::now().0 / MINUTE_MS;
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        if minute.number != number {
            *minute = Minute { number, counts: HashMap::new() };
        }
        minute
    }

    /// Tells the other nodes, for ever.
    pub async fn run(self) {
        loop {
            sleep(TICK).await;
            if let Err(error) = self.share().await {
                debug!(%error, "requests are counted by each node alone");
            }
        }
    }

    async fn share(&self) -> Result<(), RedisFailure> {
        let (number, told) = {
            let minute = self.now();
            let near = minute.counts.iter().filter(|(requester, count)| {
                count.known + count.unshared > self.most(**requester) / NEAR
            });
            (minute.number, near.map(|(requester, count)| (*requester, count.unshared)).collect())
        };
        let told: Vec<(Requester, u64)> = told;
        if told.is_empty() {
            return Ok(());
        }
        let script = Script::new(ADD);
        let mut invocation = script.prepare_invoke();
        for (requester, unshared) in &told {
            invocation.key(key(*requester, number)).arg(*unshared);
        }
        let totals: Vec<u64> = invocation.invoke_async(&mut self.redis.shared()).await?;
        let mut minute = self.now();
        if minute.number == number {
            for ((requester, told), total) in told.into_iter().zip(totals) {
                let count = minute.counts.entry(requester).or_default();
                count.unshared = count.unshared.saturating_sub(told);
                count.known = total;
            }
        }
        Ok(())
    }
}

fn key(requester: Requester, minute: i64) -> String {
    match requester {
        Requester::User(user) => CounterKey::UserRequests(user, minute).to_string(),
        Requester::Address(network) => CounterKey::NetworkRequests(network, minute).to_string(),
    }
}
