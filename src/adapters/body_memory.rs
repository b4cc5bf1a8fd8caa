//! Memory for request bodies that are being read or worked on: bounded in all, and shared out by a dynamic threshold
//! (Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998): nobody holds more than is free. One who wants
//! all of it gets half, and n of them leave one part of n + 1 to everybody else.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus_client::metrics::gauge::Gauge;
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::throttle::Requester;

/// What a body may hold without being counted, so that ordinary requests are served whoever fills the memory.
const UNCOUNTED_BYTES: usize = 16 * 1024;

/// A larger body is parsed beside the threads that serve everybody: a megabyte takes ten milliseconds.
const PARSED_AT_ONCE_BYTES: usize = 64 * 1024;

/// The memory of one gateway.
#[derive(Debug, Clone)]
pub struct BodyMemory {
    total: usize,
    held: Arc<Mutex<Held>>,
    gauge: Gauge,
    /// Held by the one large body that is being parsed.
    parsing: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Held {
    bytes: usize,
    by: HashMap<Requester, usize>,
}

impl BodyMemory {
    /// So many bytes; `gauge` tells how many are held.
    pub fn new(total: usize, gauge: Gauge) -> Self {
        Self { total, held: Arc::default(), gauge, parsing: Arc::new(Semaphore::new(1)) }
    }

    /// What a body of `requester` takes, nothing at first.
    pub fn lease(&self, requester: Requester) -> Lease {
        Lease { memory: self.clone(), requester, bytes: 0 }
    }

    /// Parses a body.
    pub async fn parse<T: Send + 'static>(
        &self,
        body: Vec<u8>,
        parse: impl FnOnce(Vec<u8>) -> T + Send + 'static,
    ) -> T {
        if body.len() <= PARSED_AT_ONCE_BYTES {
            return parse(body);
        }
        let _turn = self.parsing.acquire().await.expect("it is never closed");
        spawn_blocking(move || parse(body)).await.expect("parsing does not panic")
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one body takes; given back when it is dropped.
#[derive(Debug)]
pub struct Lease {
    memory: BodyMemory,
    requester: Requester,
    bytes: usize,
}

impl Lease {
    /// The body has grown to `bytes`; `false` if there is no memory for that.
    pub fn grow_to(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(UNCOUNTED_BYTES + self.bytes);
        if more == 0 {
            return true;
        }
        let mut held = self.memory.held();
        let free = self.memory.total.saturating_sub(held.bytes);
        let own = held.by.get(&self.requester).copied().unwrap_or_default() + more;
        if own > free {
            return false;
        }
        held.by.insert(self.requester, own);
        held.bytes += more;
        self.bytes += more;
        self.memory.gauge.inc_by(more.cast_signed() as i64);
        true
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut held = self.memory.held();
        held.bytes -= self.bytes;
        self.memory.gauge.dec_by(self.bytes.cast_signed() as i64);
        let own = held.by.get_mut(&self.requester).expect("who holds bytes is counted");
        *own -= self.bytes;
        if *own == 0 {
            held.by.remove(&self.requester);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::UserId;

    const KIB: usize = 1024;

    fn user(id: i64) -> Requester {
        Requester::User(UserId(id))
    }

    /// As many bodies of 64 KiB as there is memory for, beside the part that is not counted.
    fn fill(memory: &BodyMemory, requester: Requester) -> Vec<Lease> {
        let next = || {
            let mut lease = memory.lease(requester);
            lease.grow_to(64 * KIB + UNCOUNTED_BYTES).then_some(lease)
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn nobody_holds_more_than_is_free() {
        let memory = BodyMemory::new(1024 * KIB, Gauge::default());
        let first = fill(&memory, user(1));
        assert_eq!(first.len(), 8, "half of it");
        let second = fill(&memory, user(2));
        assert_eq!(second.len(), 4, "half of what is left");
        assert_eq!(fill(&memory, user(4)).len(), 2);
        let mut small = memory.lease(user(1));
        assert!(small.grow_to(UNCOUNTED_BYTES), "ordinary requests are always served");
        assert!(!small.grow_to(UNCOUNTED_BYTES + 1));
        drop(second);
        drop(first);
        assert_eq!(fill(&memory, user(3)).len(), 8, "what was held is free again");
    }

    #[test]
    fn a_body_is_counted_once_as_it_grows() {
        let memory = BodyMemory::new(1024 * KIB, Gauge::default());
        let mut lease = memory.lease(user(1));
        for kib in (0..=512).step_by(8) {
            assert!(lease.grow_to(kib * KIB + UNCOUNTED_BYTES));
        }
        assert_eq!(memory.held().bytes, 512 * KIB);
        drop(lease);
        assert!(memory.held().by.is_empty());
    }
}
