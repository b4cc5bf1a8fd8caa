//! The feed of the operators' page: all who watch share the task that takes samples, which is there only while somebody
//! watches.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tokio::{
    sync::watch,
    time::{Duration, MissedTickBehavior, interval},
};
use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFutureOwned},
    task::TaskTracker,
};

/// How often a sample is taken.
const EVERY: Duration = Duration::from_secs(1);
/// How many may watch one process.
pub(super) const MOST_WATCHERS: usize = 16;

/// What all who watch share.
#[derive(Clone)]
pub struct LiveFeed(Arc<Shared>);

struct Shared {
    /// The newest sample; who is slow misses some.
    newest: watch::Sender<Arc<str>>,
    /// Is somebody taking samples?
    running: Mutex<bool>,
    tasks: TaskTracker,
    /// Ends the streams, which else would never end.
    stop: CancellationToken,
}

impl LiveFeed {
    /// Its task runs on `tasks`; `stop` ends it and all streams.
    pub fn new(tasks: TaskTracker, stop: CancellationToken) -> Self {
        let newest = watch::channel(Arc::from("")).0;
        Self(Arc::new(Shared { newest, running: Mutex::default(), tasks, stop }))
    }

    /// Samples from now on, each taken by `sample`, which is handed the one before; `None` if too many watch already.
    pub(super) fn watch<T, F>(&self, sample: F) -> Option<watch::Receiver<Arc<str>>>
    where
        T: Serialize + Send + Sync + 'static,
        F: AsyncTake<T>,
    {
        let mut running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        if self.0.newest.receiver_count() >= MOST_WATCHERS {
            return None;
        }
        let is_running = std::mem::replace(&mut *running, true);
        if !is_running {
            self.0.newest.send_replace(Arc::from("")); // an old one
        }
        let mut receiver = self.0.newest.subscribe();
        if !receiver.borrow().is_empty() {
            receiver.mark_changed(); // it is at most a second old
        }
        if !is_running {
            let feed = self.clone();
            self.0.tasks.spawn(async move {
                let stop = feed.0.stop.clone();
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = feed.run(sample) => {}
                }
            });
        }
        Some(receiver)
    }

    /// The end of all streams.
    pub(super) fn stopped(&self) -> WaitForCancellationFutureOwned {
        self.0.stop.clone().cancelled_owned()
    }

    async fn run<T: Serialize + Send + Sync + 'static>(&self, sample: impl AsyncTake<T>) {
        let mut due = interval(EVERY);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = None;
        loop {
            due.tick().await;
            {
                let mut running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
                if self.0.newest.receiver_count() == 0 {
                    *running = false;
                    return;
                }
            }
            let taken = sample.take(before.take()).await;
            let text = serde_json::to_string(&taken).expect("a sample is plain data");
            self.0.newest.send_replace(text.into());
            before = Some(taken);
        }
    }
}

/// Takes samples.
pub(super) trait AsyncTake<T>: Send + Sync + 'static {
    /// The next one, after `before`.
    fn take(&self, before: Option<T>) -> impl Future<Output = T> + Send;
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting;

    impl AsyncTake<u64> for Counting {
        async fn take(&self, before: Option<u64>) -> u64 {
            before.unwrap_or_default() + 1
        }
    }

    #[tokio::test]
    async fn nobody_takes_samples_that_nobody_watches() {
        let tasks = TaskTracker::new();
        let feed = LiveFeed::new(tasks.clone(), CancellationToken::new());
        let mut first = feed.watch(Counting).expect("nobody watches");
        let mut second = feed.watch(Counting).expect("only one watches");
        assert_eq!(tasks.len(), 1, "they share it");
        first.changed().await.expect("a sample");
        second.changed().await.expect("the same");
        drop((first, second));
        tasks.close();
        tasks.wait().await;
        let mut again = feed.watch(Counting).expect("nobody watches");
        again.changed().await.expect("a sample");
        assert_eq!(&**again.borrow(), "1", "it begins anew");
    }

    #[tokio::test]
    async fn a_stop_ends_it_and_only_so_many_may_watch() {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let feed = LiveFeed::new(tasks.clone(), stop.clone());
        let all: Vec<_> = (0..MOST_WATCHERS).map(|_| feed.watch(Counting)).collect();
        assert!(all.iter().all(Option::is_some));
        assert!(feed.watch(Counting).is_none());
        stop.cancel();
        tasks.close();
        tasks.wait().await;
    }
}
