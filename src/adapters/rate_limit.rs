//! Counters with an end, in Redis, so that limits hold across nodes. They may be lost.

use std::{net::IpAddr, time::Duration};

use redis::AsyncCommands as _;

use super::redis::{Redis, RedisFailure, Script};
use crate::events::UserId;

/// Counts what attackers like.
#[derive(Clone)]
pub struct RateLimit {
    redis: Redis,
    failures: (u32, u32),
    window: Duration,
}

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
    /// `failures`: how many failed log-ins an account and an address have in a window.
    pub fn new(redis: Redis, failures: (u32, u32), window: Duration) -> Self {
        Self { redis, failures, window }
    }

    /// One more signed call of this device, unless there were too many (data.md §5.3).
    ///
    /// # Errors
    /// Redis cannot be reached.
    pub async fn take_signed_call(&self, device: &str, limit: u32) -> Result<bool, RedisFailure> {
        let taken: i64 = Script::new(TAKE)
            .key(format!("chat_visitor_reg:{device}"))
            .arg(limit)
            .arg(3600)
            .invoke_async(&mut self.redis.shared())
            .await?;
        Ok(taken == 1)
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
        let (name, seconds) = match what {
            Allowance::Posters => ("posters", 3600),
            Allowance::UploadBytes => ("upload_bytes", 24 * 3600),
        };
        let spent: i64 = Script::new(SPEND)
            .key(format!("spent:{name}:{user}"))
            .arg(amount)
            .arg(most)
            .arg(seconds)
            .invoke_async(&mut self.redis.shared())
            .await?;
        Ok(spent == 1)
    }

    /// May somebody try a password, given how often that failed for the account and the address?
    ///
    /// # Errors
    /// Redis cannot be reached.
    pub async fn may_try(
        &self,
        account: &str,
        address: Option<IpAddr>,
    ) -> Result<bool, RedisFailure> {
        let mut connection = self.redis.shared();
        let by_account: Option<u32> = connection.get(by_account(account)).await?;
        let by_address: Option<u32> = match address {
            Some(address) => connection.get(by_address(address)).await?,
            None => None,
        };
        Ok(by_account.unwrap_or(0) < self.failures.0 && by_address.unwrap_or(0) < self.failures.1)
    }

    /// Notes a failed log-in; was it still within the limits?
    ///
    /// # Errors
    /// Redis cannot be reached.
    pub async fn failed(
        &self,
        account: &str,
        address: Option<IpAddr>,
    ) -> Result<bool, RedisFailure> {
        let seconds = i64::try_from(self.window.as_secs()).unwrap_or(i64::MAX);
        let mut pipe = redis::pipe();
        for key in [Some(by_account(account)), address.map(by_address)].into_iter().flatten() {
            pipe.incr(&key, 1).expire(&key, seconds).ignore();
        }
        let counts: Vec<u32> = pipe.query_async(&mut self.redis.shared()).await?;
        Ok(counts
            .iter()
            .zip([self.failures.0, self.failures.1])
            .all(|(count, most)| *count <= most))
    }

    /// Forgets an account's failed log-ins.
    ///
    /// # Errors
    /// Redis cannot be reached.
    pub async fn succeeded(&self, account: &str) -> Result<(), RedisFailure> {
        Ok(self.redis.shared().del(by_account(account)).await?)
    }

    /// A field was changed: for a minute the next socket raises no alert (ws.md §5).
    ///
    /// # Errors
    /// Redis cannot be reached.
    pub async fn mark_modified(&self, user: UserId) -> Result<(), RedisFailure> {
        Ok(self.redis.shared().set_ex(modified(user), 1, 60).await?)
    }

    /// Was the mark there? Takes it away.
    ///
    /// # Errors
    /// Redis cannot be reached.
    pub async fn take_modified(&self, user: UserId) -> Result<bool, RedisFailure> {
        let mark: Option<String> = self.redis.shared().get_del(modified(user)).await?;
        Ok(mark.is_some())
    }
}

fn by_account(folded: &str) -> String {
    format!("login_failures:account:{folded}")
}

fn by_address(address: IpAddr) -> String {
    format!("login_failures:address:{address}")
}

fn modified(user: UserId) -> String {
    format!("user:modify:{user}")
}
