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
    waiting: Mutex<Waiting<T>>,
    bell: Notify,
}

#[derive(Debug)]
struct Waiting<T> {
    words: VecDeque<T>,
    /// Were some left out since the last was taken?
    left_out: bool,
    /// Was one put in that leaves nothing to be finished?
    is_over: bool,
}

impl<T> Mailbox<T> {
    pub(super) fn new() -> Self {
        let waiting = Waiting { words: VecDeque::new(), left_out: false, is_over: false };
        Self { waiting: Mutex::new(waiting), bell: Notify::new() }
    }

    pub(super) fn put(&self, word: T) {
        self.lock().words.push_back(word);
        self.bell.notify_one(); // kept, if nobody waits now
    }

    /// Puts a word after which what the reader is about is of no use any more: [`Mailbox::is_over`].
    pub(super) fn put_last(&self, word: T) {
        self.lock().is_over = true;
        self.put(word);
    }

    /// Was a last word put in, whether it was taken or not?
    pub(super) fn is_over(&self) -> bool {
        self.lock().is_over
    }

    /// Waits for a last word, and takes none.
    pub(super) async fn over(&self) {
        while !self.is_over() {
            self.bell.notified().await;
        }
    }

    /// Puts a word that may be left out, if `most` are waiting; then `instead` says so, once.
    pub(super) fn put_if_room(&self, word: T, most: usize, instead: T) {
        let mut waiting = self.lock();
        if waiting.words.len() < most {
            waiting.words.push_back(word);
        } else if !std::mem::replace(&mut waiting.left_out, true) {
            waiting.words.push_back(instead);
        }
        drop(waiting);
        self.bell.notify_one();
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

    /// The next word, if there is one.
    pub(super) fn take(&self) -> Option<T> {
        let mut waiting = self.lock();
        let word = waiting.words.pop_front();
        waiting.left_out = false;
        if waiting.words.is_empty() {
            waiting.words = VecDeque::new(); // gives the memory back
        }
        word
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
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
    async fn what_finds_no_room_is_told_of_once_whenever_it_happens() {
        let mailbox = Mailbox::new();
        let taken = || std::iter::from_fn(|| mailbox.take()).collect::<Vec<_>>();
        (1..=5).for_each(|word| mailbox.put_if_room(word, 2, 0));
        mailbox.put(9);
        assert_eq!(mailbox.take(), Some(1));
        (6..=7).for_each(|word| mailbox.put_if_room(word, 2, 0));
        assert_eq!(taken(), [2, 0, 9, 0]);
        mailbox.put_if_room(8, 2, 0);
        assert_eq!(taken(), [8]);
    }

    #[tokio::test]
    async fn a_last_word_is_noticed_before_it_is_taken() {
        let mailbox = Mailbox::new();
        mailbox.put(1);
        let mut over = Box::pin(mailbox.over());
        assert!(over.as_mut().now_or_never().is_none());
        mailbox.put_last(2);
        over.await;
        assert_eq!((mailbox.next().await, mailbox.next().await), (1, 2));
        assert!(mailbox.is_over());
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
