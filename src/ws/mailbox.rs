//! The mailbox of a task: what others tell it, in order. An empty one costs a hundred bytes, where a channel costs a
//! thousand.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// Messages for one reader, kept until it takes them.
#[derive(Debug)]
pub(super) struct Mailbox<T> {
    inner: Mutex<Inner<T>>,
    arrived: Notify,
}

#[derive(Debug)]
struct Inner<T> {
    messages: VecDeque<T>,
    /// Were some left out since the last was taken?
    left_out: bool,
    /// Was one put in that leaves nothing to be finished?
    has_final: bool,
}

impl<T> Mailbox<T> {
    pub(super) fn new() -> Self {
        let inner = Inner { messages: VecDeque::new(), left_out: false, has_final: false };
        Self { inner: Mutex::new(inner), arrived: Notify::new() }
    }

    pub(super) fn put(&self, message: T) {
        self.lock().messages.push_back(message);
        self.arrived.notify_one(); // kept, if nobody waits now
    }

    /// Puts a message after which what the reader is about is of no use any more: [`Mailbox::has_final`].
    pub(super) fn put_final(&self, message: T) {
        self.lock().has_final = true;
        self.put(message);
    }

    /// Was a final message put in, whether it was taken or not?
    pub(super) fn has_final(&self) -> bool {
        self.lock().has_final
    }

    /// Waits for a final message, and takes none.
    pub(super) async fn final_arrived(&self) {
        while !self.has_final() {
            self.arrived.notified().await;
        }
    }

    /// Puts a message that may be left out, if `most` are waiting; then `instead` says so, once.
    pub(super) fn put_if_room(&self, message: T, most: usize, instead: T) {
        let mut inner = self.lock();
        if inner.messages.len() < most {
            inner.messages.push_back(message);
        } else if !std::mem::replace(&mut inner.left_out, true) {
            inner.messages.push_back(instead);
        }
        drop(inner);
        self.arrived.notify_one();
    }

    /// The next message, once there is one. Giving up the wait loses none.
    pub(super) async fn next(&self) -> T {
        loop {
            if let Some(message) = self.take() {
                return message;
            }
            self.arrived.notified().await;
        }
    }

    /// The next message, if there is one.
    pub(super) fn take(&self) -> Option<T> {
        let mut inner = self.lock();
        let message = inner.messages.pop_front();
        inner.left_out = false;
        if inner.messages.is_empty() {
            inner.messages = VecDeque::new(); // gives the memory back
        }
        message
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
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
    async fn what_finds_no_room_is_told_of_once_whenever_it_happens() {
        let mailbox = Mailbox::new();
        let taken = || std::iter::from_fn(|| mailbox.take()).collect::<Vec<_>>();
        (1..=5).for_each(|message| mailbox.put_if_room(message, 2, 0));
        mailbox.put(9);
        assert_eq!(mailbox.take(), Some(1));
        (6..=7).for_each(|message| mailbox.put_if_room(message, 2, 0));
        assert_eq!(taken(), [2, 0, 9, 0]);
        mailbox.put_if_room(8, 2, 0);
        assert_eq!(taken(), [8]);
    }

    #[tokio::test]
    async fn a_last_word_is_noticed_before_it_is_taken() {
        let mailbox = Mailbox::new();
        mailbox.put(1);
        let mut over = Box::pin(mailbox.final_arrived());
        assert!(over.as_mut().now_or_never().is_none());
        mailbox.put_final(2);
        over.await;
        assert_eq!((mailbox.next().await, mailbox.next().await), (1, 2));
        assert!(mailbox.has_final());
    }

    #[tokio::test]
    async fn a_wait_that_was_given_up_loses_nothing() {
        let mailbox = Mailbox::new();
        assert!(mailbox.next().now_or_never().is_none());
        let mut waiting = Box::pin(mailbox.next());
        assert!(waiting.as_mut().now_or_never().is_none());
        mailbox.put(1);
        drop(waiting); // notified, and gone before it looked
        assert_eq!(mailbox.next().await, 1);
        mailbox.put(2);
        assert_eq!(mailbox.next().await, 2);
    }
}
