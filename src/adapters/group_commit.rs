//! Group commit: one `syncfs` serves every command that waits (DESIGN §3, ADR 0002).

use std::{io, path::Path, sync::Arc};

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
    pub fn start(directory: &Path) -> io::Result<(Self, impl Future<Output = ()> + Send + use<>)> {
        let directory = Arc::new(Directory::open(directory)?);
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
async fn serve(
    mut arrivals: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
    directory: Arc<Directory>,
) {
    let mut group = Vec::new();
    while arrivals.recv_many(&mut group, usize::MAX).await > 0 {
        let file = Arc::clone(&directory);
        match tokio::task::spawn_blocking(move || file.sync()).await {
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

/// A directory whose file system can be told to write everything out.
#[cfg(target_os = "linux")]
struct Directory(std::fs::File);

#[cfg(target_os = "linux")]
impl Directory {
    fn open(path: &Path) -> io::Result<Self> {
        std::fs::File::open(path).map(Self)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.0)?)
    }
}

/// Elsewhere there is no such call: every file below is synced by itself, which is slower and as safe.
#[cfg(any(not(target_os = "linux"), test))]
mod file_by_file {
    use std::{
        fs::{self, File},
        io,
        path::{Path, PathBuf},
    };

    pub(super) struct Directory(PathBuf);

    impl Directory {
        pub(super) fn open(path: &Path) -> io::Result<Self> {
            File::open(path).map(|_| Self(path.to_owned()))
        }

        pub(super) fn sync(&self) -> io::Result<()> {
            sync_below(&self.0)
        }
    }

    fn sync_below(folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            match (path.is_dir(), File::open(&path)) {
                (true, _) => sync_below(&path)?,
                (false, Ok(file)) => file.sync_all()?, // F_FULLFSYNC on macOS
                // Compacted away meanwhile: what counts of it is in another file.
                (false, Err(error)) if error.kind() == io::ErrorKind::NotFound => {}
                (false, Err(error)) => return Err(error),
            }
        }
        File::open(folder)?.sync_all()
    }
}
#[cfg(not(target_os = "linux"))]
use file_by_file::Directory;

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

    #[test]
    fn file_by_file_reaches_every_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let below = directory.path().join("streams/EVENTS/msgs");
        std::fs::create_dir_all(&below).expect("folders");
        std::fs::write(below.join("1.blk"), "x").expect("a file");
        let synced = file_by_file::Directory::open(directory.path()).and_then(|all| all.sync());
        synced.expect("all can be synced");
        assert!(file_by_file::Directory::open(&below.join("gone")).is_err());
    }

    #[tokio::test]
    async fn without_a_sync_nobody_is_acknowledged() {
        let directory = tempfile::tempdir().expect("a directory");
        let (commit, task) = GroupCommit::start(directory.path()).expect("it opens");
        drop(task);
        assert!(!commit.barrier().await);
    }
}
