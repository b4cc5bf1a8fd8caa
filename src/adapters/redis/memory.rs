//! Memory of Redis, and how full it is. What is accepted has to be queued there, and the projection that cannot queue
//! one message cannot forget another either: so messages are refused before Redis refuses, and an operator is told well
//! before that.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::sleep;
use tracing::{debug, error, info};

use super::{Redis, RedisFailure, cmd};
use crate::telemetry::Metrics;

/// How often Redis is asked.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// An operator is told when so much of `maxmemory` is used; in percent.
const WARNED_PERCENT: u64 = 75;
/// From here on no message is accepted. What is left is for those under way, and for what the queues' own work needs.
const FULL_PERCENT: u64 = 90;

/// Whether there is room for more messages.
#[derive(Clone, Default)]
pub struct RedisMemory(Arc<AtomicBool>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Ample,
    Low,
    Full,
}

/// What Redis says of its memory.
#[derive(Debug, PartialEq)]
struct Usage {
    used: u64,
    /// 0: no bound.
    most: u64,
    evicts: bool,
}

impl RedisMemory {
    /// May no message be accepted?
    pub fn is_full(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Watches it, for ever.
    pub async fn run(self, redis: Redis, metrics: Arc<Metrics>) {
        let (mut level, mut was_warned_of_policy) = (Level::Ample, false);
        loop {
            match usage(&redis).await {
                Ok(usage) => {
                    metrics.redis_used.set(usage.used.cast_signed());
                    metrics.redis_most.set(usage.most.cast_signed());
                    let now = usage.level();
                    if now != level {
                        usage.report(now);
                        level = now;
                    }
                    self.0.store(now == Level::Full, Ordering::Relaxed);
                    if usage.evicts && !was_warned_of_policy {
                        error!(
                            "Redis evicts keys when it is full, which loses queues: set maxmemory-policy noeviction"
                        );
                    }
                    was_warned_of_policy = usage.evicts;
                }
                Err(error) => debug!(%error, "cannot ask Redis for its memory"),
            }
            sleep(CHECK_INTERVAL).await;
        }
    }
}

impl Usage {
    fn level(&self) -> Level {
        match self.used.saturating_mul(100).checked_div(self.most) {
            Some(FULL_PERCENT..) => Level::Full,
            Some(WARNED_PERCENT..) => Level::Low,
            _ => Level::Ample,
        }
    }

    fn report(&self, level: Level) {
        let Self { used, most, .. } = self;
        match level {
            Level::Ample => info!(used, most, "Redis has room again"),
            Level::Low => error!(
                used,
                most,
                "Redis is {WARNED_PERCENT} % full; at {FULL_PERCENT} % messages are refused. Raise its maxmemory"
            ),
            Level::Full => error!(
                used,
                most, "Redis is {FULL_PERCENT} % full: messages are refused. Raise its maxmemory"
            ),
        }
    }
}

async fn usage(redis: &Redis) -> Result<Usage, RedisFailure> {
    let info: String = cmd("INFO").arg("memory").query_async(&mut redis.shared()).await?;
    Ok(parse(&info))
}

fn parse(info: &str) -> Usage {
    let value = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().trim()
    };
    let number = |name: &str| value(name).parse().unwrap_or(0);
    let most = number("maxmemory");
    let policy = value("maxmemory_policy");
    Usage {
        used: number("used_memory"),
        most,
        evicts: most > 0 && !policy.is_empty() && policy != "noeviction",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_full_before_redis_refuses() {
        let level = |used, most| Usage { used, most, evicts: false }.level();
        assert_eq!(level(740, 1000), Level::Ample);
        assert_eq!(level(750, 1000), Level::Low);
        assert_eq!(level(899, 1000), Level::Low);
        assert_eq!(level(900, 1000), Level::Full);
        assert_eq!(level(u64::MAX, 1000), Level::Full);
        assert_eq!(level(u64::MAX, 0), Level::Ample, "there is no bound");
    }

    #[test]
    fn what_redis_says_is_read() {
        let info = "# Memory\r\nused_memory:7\r\nused_memory_rss:9\r\nmaxmemory:10\r\nmaxmemory_human:10B\r\n\
                    maxmemory_policy:allkeys-lru\r\n";
        assert_eq!(parse(info), Usage { used: 7, most: 10, evicts: true });
        assert_eq!(parse(""), Usage { used: 0, most: 0, evicts: false });
    }
}
