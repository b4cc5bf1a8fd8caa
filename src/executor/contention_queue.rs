//! The contention queue: who met a concurrency conflict tries again alone, one after the other. Many who change one
//! aggregate at once would else only get into each other's way, for each append makes all others decide anew.

use std::hash::{BuildHasher as _, RandomState};

use tokio::sync::{Mutex, MutexGuard};

use crate::events::Subject;

/// The queues of those who were too slow once, in this process. Two aggregates may share one, which
/// costs time and nothing else.
pub struct ContentionQueue {
    queues: [Mutex<()>; 256],
    hasher: RandomState,
}

/// The right to be the only one here who tries again.
pub type ContentionTurn<'a> = Option<MutexGuard<'a, ()>>;

impl Default for ContentionQueue {
    /// Nobody waits.
    fn default() -> Self {
        Self { queues: std::array::from_fn(|_| Mutex::new(())), hasher: RandomState::new() }
    }
}

impl ContentionQueue {
    /// The first attempt is anybody's, and others until there was a conflict; then one waits, once, and keeps the turn.
    pub async fn wait<'a>(
        &'a self,
        held: ContentionTurn<'a>,
        conflicts: u32,
        subject: Subject,
    ) -> ContentionTurn<'a> {
        match held {
            None if conflicts > 0 => {
                let queues = self.queues.len() as u64;
                let number = self.hasher.hash_one(subject) % queues;
                let queue = &self.queues[usize::try_from(number).unwrap_or_default()];
                Some(queue.lock().await)
            }
            held => held,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::events::GroupId;

    #[test]
    fn who_was_too_slow_tries_again_alone() {
        let contention = ContentionQueue::default();
        let subject = Subject::Group(GroupId(33));
        let now = |held, conflicts| contention.wait(held, conflicts, subject).now_or_never();
        assert!(now(None, 0).is_some_and(|turn| turn.is_none()), "at first nobody waits");
        let turn = now(None, 1).flatten();
        assert!(turn.is_some());
        assert!(now(None, 1).is_none(), "the next one waits");
        assert!(now(None, 0).is_some());
        let turn = now(turn, 2).flatten();
        assert!(turn.is_some(), "who has it keeps it");
        drop(turn);
        assert!(now(None, 1).flatten().is_some());
    }
}
