//! Counters with an end, in Redis, so that limits hold across nodes. They may be lost.

use std::{sync::Arc, time::Duration};

use redis::AsyncCommands as _;

use super::{
    client_address::ClientAddress,
    redis::{Redis, RedisFailure, Script, keys::CounterKey},
};
use crate::{events::UserId, telemetry::Metrics};

/// Counts what attackers like.
#[derive(Clone)]
pub struct RateLimit {
    redis: Redis,
    failures: (u32, u32),
    window: Duration,
    metrics: Arc<Metrics>,
}

/// So many times what an account may fail from one address, it may fail from all together: else anybody could lock its
/// owner out from elsewhere.
const FROM_EVERYWHERE: u32 = 100;

/// The limit on failed log-ins, in metrics.
const LOGINS: &str = "logins";

/// Counts one if the count is below the limit, and then begins the window anew
/// (clarification 7: a refused call does not renew it).
const TAKE: &str = "
local count = tonumber(redis.call('GET', KEYS[1]) or '0')
if count >= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], count + 1, 'EX', ARGV[2])
return 1";

/// Counts an amount unless that makes too much of the window, which begins with the first of it.
const SPEND: &str = "
local count = tonumber(redis.call('GET', KEYS[1]) or '0')
if count + tonumber(ARGV[1]) > tonumber(ARGV[2]) then return 0 end
redis.call('INCRBY', KEYS[1], ARGV[1])
if count == 0 then redis.call('EXPIRE', KEYS[1], ARGV[3]) end
return 1";

/// What a user has so much of.
#[derive(Debug, Clone, Copy)]
pub enum Allowance {
    /// Runs of ffmpeg, in an hour.
    Posters,
    /// Bytes of files, in a day.
    UploadBytes,
}

impl RateLimit {
    /// `failures`: how many failed log-ins an account has from one address, and an address of all accounts, in a window.
    pub fn new(
        redis: Redis,
        failures: (u32, u32),
        window: Duration,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { redis, failures, window, metrics }
    }

    /// One more signed call of this device, unless there were too many (data.md §5.3).
    ///
    /// # Errors
    /// Redis cannot be reached.
    pub async fn take_signed_call(&self, device: &str, limit: u32) -> Result<bool, RedisFailure> {
        let taken: i64 = Script::new(TAKE)
            .key(CounterKey::SignedCalls(device).to_string())
            .arg(limit)
            .arg(3600)
            .invoke_async(&mut self.redis.shared())
            .await?;
        Ok(self.allowed(taken == 1, "signed_calls"))
    }

    /// Takes something of what a user has, unless that is too much; `most` 0: there is no limit.
    ///
    /// # Errors
    /// Redis cannot be reached.
    pub async fn spend(
        &self,
        user: UserId,
        what: Allowance,
        amount: u64,
        most: u64,
    ) -> Result<bool, RedisFailure> {
        if most == 0 {
            return Ok(true);
        }
        let (name, key, seconds) = match what {
            Allowance::Posters => ("posters", CounterKey::Posters(user), 3600),
            Allowance::UploadBytes => ("upload_bytes", CounterKey::UploadBytes(user), 24 * 3600),
        };
        let spent: i64 = Script::new(SPEND)
            .key(key.to_string())
            .arg(amount)
            .arg(most)
            .arg(seconds)
            .invoke_async(&mut self.redis.shared())
            .await?;
        Ok(self.allowed(spent == 1, name))
    }

    /// May somebody at `from` try a password, given how often that has failed (clarification 27)?
    ///
    /// # Errors
    /// Redis cannot be reached.
    pub async fn may_try(&self, account: &str, from: ClientAddress) -> Result<bool, RedisFailure> {
        let (keys, most) = self.counters(account, from);
        let counts: Vec<Option<u32>> = self.redis.shared().mget(&keys).await?;
        let may = counts.iter().zip(most).all(|(count, most)| count.unwrap_or(0) < most);
        Ok(self.allowed(may, LOGINS))
    }

    /// Notes a failed log-in; was it still within the limits?
    ///
    /// # Errors
    /// Redis cannot be reached.
    pub async fn failed(&self, account: &str, from: ClientAddress) -> Result<bool, RedisFailure> {
        self.metrics.login_failures.inc();
        let seconds = i64::try_from(self.window.as_secs()).unwrap_or(i64::MAX);
        let (keys, most) = self.counters(account, from);
        let mut pipe = redis::pipe();
        for key in &keys {
            pipe.incr(key, 1).expire(key, seconds).ignore();
        }
        let counts: Vec<u32> = pipe.query_async(&mut self.redis.shared()).await?;
        let within = counts.iter().zip(most).all(|(count, most)| *count <= most);
        Ok(self.allowed(within, LOGINS))
    }

    /// Counts what a limit has refused.
    fn allowed(&self, allowed: bool, limit: &'static str) -> bool {
        if !allowed {
            self.metrics.limited(limit);
        }
        allowed
    }

    /// What is counted of a failed log-in, and up to where: the account from that address, the account, and the address
    /// unless it is exempt.
    fn counters(&self, account: &str, from: ClientAddress) -> (Vec<String>, Vec<u32>) {
        let (by_both, by_address) = self.failures;
        let mut keys = Vec::from(of_account(account, from));
        let mut most = vec![by_both, by_both.saturating_mul(FROM_EVERYWHERE)];
        if !from.is_exempt {
            keys.push(CounterKey::LoginFailuresFrom(from.network).to_string());
            most.push(by_address);
        }
        (keys, most)
    }

    /// Forgets an account's failed log-ins from there, and that there were any.
    ///
    /// # Errors
    /// Redis cannot be reached.
    pub async fn succeeded(&self, account: &str, from: ClientAddress) -> Result<(), RedisFailure> {
        let keys = of_account(account, from);
        Ok(self.redis.shared().del(&keys).await?)
    }

    /// A field was changed: for a minute the next socket raises no alert (ws.md §5).
    ///
    /// # Errors
    /// Redis cannot be reached.
    pub async fn mark_modified(&self, user: UserId) -> Result<(), RedisFailure> {
        Ok(self.redis.shared().set_ex(CounterKey::Modified(user).to_string(), 1, 60).await?)
    }

    /// Was the mark there? Takes it away.
    ///
    /// # Errors
    /// Redis cannot be reached.
    pub async fn take_modified(&self, user: UserId) -> Result<bool, RedisFailure> {
        let mark: Option<String> =
            self.redis.shared().get_del(CounterKey::Modified(user).to_string()).await?;
        Ok(mark.is_some())
    }
}

/// The counters of an account from there, and from everywhere.
fn of_account(folded: &str, from: ClientAddress) -> [String; 2] {
    let counters =
        [CounterKey::LoginFailuresAt(folded, from.network), CounterKey::LoginFailures(folded)];
    counters.map(|counter| counter.to_string())
}
