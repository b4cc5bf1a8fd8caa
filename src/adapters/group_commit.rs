//! Group commit: one `syncfs` serves every command that waits (DESIGN §3, ADR 0002).

use std::{fs::File, io, path::Path, sync::Arc};

use tokio::sync::{mpsc, oneshot};
use tracing::error;

/// A barrier: what was in the page cache before it is on the disk after it.
#[derive(Clone)]
pub struct GroupCommit {
    waiting: mpsc::UnboundedSender<oneshot::Sender<()>>,
}

impl GroupCommit {
    /// Watches over the file system that holds `directory`.
    ///
    /// # Errors
    /// The directory cannot be opened.
    pub fn start(
        directory: &Path,
    ) -> io::Result<(Self, impl Future<Output = ()> + Send + 'static)> {
        let directory = Arc::new(File::open(directory)?);
        let (waiting, arrivals) = mpsc::unbounded_channel();
        Ok((Self { waiting }, serve(arrivals, directory)))
    }

    /// Returns once a `syncfs` that began after this call has succeeded; `false` if none did.
    pub async fn barrier(&self) -> bool {
        let (done, wait) = oneshot::channel();
        self.waiting.send(done).is_ok() && wait.await.is_ok()
    }
}

/// Who arrives while a sync runs waits for the next one: the running one may have passed his pages.
async fn serve(mut arrivals: mpsc::UnboundedReceiver<oneshot::Sender<()>>, directory: Arc<File>) {
    let mut group = Vec::new();
    while arrivals.recv_many(&mut group, usize::MAX).await > 0 {
        let file = Arc::clone(&directory);
        match tokio::task::spawn_blocking(move || rustix::fs::syncfs(&*file)).await {
            Ok(Ok(())) => group.drain(..).for_each(|waiter| _ = waiter.send(())),
            // After a failed write-back the kernel may drop the pages, so a later success would
            // prove nothing about these: nobody in this group is acknowledged.
            Ok(Err(error)) => {
                error!(%error, "the log's file system failed to sync: commands are refused");
                group.clear();
            }
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_waiter_is_served() {
        let directory = tempfile::tempdir().expect("a directory");
        let (commit, task) = GroupCommit::start(directory.path()).expect("it opens");
        let waiters = async move {
            let all = futures_util::future::join_all((0..100).map(|_| commit.barrier())).await;
            drop(commit); // ends the task
            all
        };
        let (all, ()) = tokio::join!(waiters, task);
        assert!(all.into_iter().all(|synced| synced));
    }

    #[tokio::test]
    async fn without_a_sync_nobody_is_acknowledged() {
        let directory = tempfile::tempdir().expect("a directory");
        let (commit, task) = GroupCommit::start(directory.path()).expect("it opens");
        drop(task);
        assert!(!commit.barrier().await);
    }
}
