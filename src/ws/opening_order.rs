//! The opening order of connections: of two of one user here, the one that was asked for first.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{Mutex as Queue, OwnedMutexGuard};

use crate::events::UserId;

/// With more queues than this, those in which nobody stands are dropped.
const MOST: usize = 1024;

/// The queues of users whose connections are opening. A client that gives a connection up and opens another must not
/// find that the older one comes into the log later and takes over.
#[derive(Default)]
pub struct OpeningOrder(Mutex<HashMap<UserId, Arc<Queue<()>>>>);

/// The right to open a connection, until it is dropped.
pub(super) type OpeningPermit = OwnedMutexGuard<()>;

impl OpeningOrder {
    /// Waits until the user's connections that were asked for before have opened, or have not.
    pub(super) async fn wait(&self, user: UserId) -> OpeningPermit {
        let queue = {
            let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if queues.len() > MOST {
                queues.retain(|_, queue| Arc::strong_count(queue) > 1);
            }
            Arc::clone(queues.entry(user).or_default())
        };
        queue.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn one_opens_after_the_other_and_nobody_waits_for_another_user() {
        let turns = OpeningOrder::default();
        let [ann, bob] = [UserId(1), UserId(2)];
        let turn = turns.wait(ann).now_or_never().expect("nobody is before it");
        assert!(turns.wait(ann).now_or_never().is_none());
        assert!(turns.wait(bob).now_or_never().is_some());
        drop(turn);
        assert!(turns.wait(ann).now_or_never().is_some());
    }

    #[test]
    fn queues_in_which_nobody_stands_are_dropped() {
        let turns = OpeningOrder::default();
        let held = turns.wait(UserId(0)).now_or_never().expect("nobody is before it");
        for user in 1..3000 {
            turns.wait(UserId(user)).now_or_never().expect("nobody is before it");
        }
        assert!(turns.0.lock().expect("no panic").len() <= MOST + 1);
        assert!(turns.wait(UserId(0)).now_or_never().is_none());
        drop(held);
    }
}
