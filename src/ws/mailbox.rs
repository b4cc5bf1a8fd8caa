//! What one task is told by others, in order: an empty one costs a hundred bytes, where a channel costs a thousand.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// Words for one reader, kept until he takes them.
#[derive(Debug)]
pub(super) struct Mailbox<T> {
    waiting: Mutex<VecDeque<T>>,
    bell: Notify,
}

impl<T> Mailbox<T> {
    pub(super) fn new() -> Self {
        Self { waiting: Mutex::default(), bell: Notify::new() }
    }

    pub(super) fn put(&self, word: T) {
        self.lock().push_back(word);
        self.bell.notify_one(); // kept, if nobody waits now
    }

    /// The next word, once there is one. Giving up the wait loses none.
    pub(super) async fn next(&self) -> T {
        loop {
            if let Some(word) = self.take() {
                return word;
            }
            self.bell.notified().await;
        }
    }

    fn take(&self) -> Option<T> {
        let mut waiting = self.lock();
        let word = waiting.pop_front();
        if waiting.is_empty() {
            *waiting = VecDeque::new(); // gives the memory back
        }
        word
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn words_come_in_order_whether_they_were_awaited_or_not() {
        let mailbox = Mailbox::new();
        mailbox.put(1);
        mailbox.put(2);
        assert_eq!(mailbox.next().await, 1);
        assert_eq!(mailbox.next().await, 2);
        let (third, ()) = tokio::join!(mailbox.next(), async { mailbox.put(3) });
        assert_eq!(third, 3);
    }

    #[tokio::test]
    async fn a_wait_that_was_given_up_loses_nothing() {
        let mailbox = Mailbox::new();
        assert!(mailbox.next().now_or_never().is_none());
        let mut waiting = Box::pin(mailbox.next());
        assert!(waiting.as_mut().now_or_never().is_none());
        mailbox.put(1);
        drop(waiting); // rung for, and gone before it looked
        assert_eq!(mailbox.next().await, 1);
        mailbox.put(2);
        assert_eq!(mailbox.next().await, 2);
    }
}
