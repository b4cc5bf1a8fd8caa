//! Group commit: one `syncfs` serves every command that waits (ADR 0002). One that failed closes it (ADR 0017):
//! `docs/design/log-and-group-commit.md`.

use std::{
    fs, io, iter,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, mpsc},
    thread,
};

use tokio::sync::oneshot;
use tracing::{error, info};

/// What writes the page cache out.
type SyncCall = Box<dyn Fn() -> io::Result<()> + Send>;

/// A barrier: what was in the page cache before it is on the disk after it.
#[derive(Clone)]
pub struct GroupCommit {
    waiting: mpsc::Sender<oneshot::Sender<()>>,
    failure: Arc<OnceLock<String>>,
}

impl GroupCommit {
    /// Watches over the file system that holds `directory`. Closed from the beginning if a sync failed here since the
    /// machine was started.
    ///
    /// # Errors
    /// The directory cannot be opened, or there is no thread for it.
    pub fn start(directory: &Path) -> io::Result<Self> {
        let synced = Directory::open(directory)?;
        Self::start_with(directory, boot(), Box::new(move || synced.sync()))
    }

    /// The syncs run on a thread of their own, which ends with the last clone: handing each to a pool of threads costs
    /// several times the thread switches, which is most of what a sync costs at low rates.
    fn start_with(directory: &Path, boot: String, sync: SyncCall) -> io::Result<Self> {
        let mark = Mark { file: directory.join(MARK), boot };
        let failure = Arc::new(mark.find().map_or_else(OnceLock::new, OnceLock::from));
        if let Some(why) = failure.get() {
            error!("{why}: commands are refused");
        }
        let (waiting, arrivals) = mpsc::channel();
        let closed = Arc::clone(&failure);
        let serving = move || serve(&arrivals, &sync, &mark, &closed);
        thread::Builder::new().name("group-commit".into()).spawn(serving)?;
        Ok(Self { waiting, failure })
    }

    /// Returns once a sync that began after this call has succeeded; `false` if none did, or one has failed before.
    pub async fn barrier(&self) -> bool {
        let (done, wait) = oneshot::channel();
        self.failure().is_none() && self.waiting.send(done).is_ok() && wait.await.is_ok()
    }

    /// Why nothing is acknowledged any more, if that is so.
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }
}

/// Who arrives while a sync runs waits for the next one: the running one may have passed their pages.
fn serve(
    arrivals: &mpsc::Receiver<oneshot::Sender<()>>,
    sync: &SyncCall,
    mark: &Mark,
    failure: &OnceLock<String>,
) {
    while let Ok(first) = arrivals.recv() {
        let group: Vec<_> = iter::once(first).chain(arrivals.try_iter()).collect();
        if failure.get().is_some() {
            continue;
        }
        match sync() {
            Ok(()) => group.into_iter().for_each(|waiter| _ = waiter.send(())),
            // The kernel takes pages that it could not write for written: a later sync succeeds without them, and they
            // can still be read. So nothing that this process could look at opens the barrier again.
            Err(error) => {
                let why = mark.reason(&error.to_string());
                error!("{why}: commands are refused");
                if let Err(error) = mark.leave(&error.to_string()) {
                    error!(%error, "{} cannot be written: start no process before the store is whole", mark.file.display());
                }
                _ = failure.set(why);
            }
        }
    }
}

/// The file beside the server's own that says that a sync has failed, and since which start of the machine that matters.
const MARK: &str = "hongyan-sync-failed";

/// Tells processes that start later what only those saw that had the store open: a failed write-back is reported once.
struct Mark {
    file: PathBuf,
    /// Names this run of the kernel, whose page cache may hold what the disk does not.
    boot: String,
}

impl Mark {
    fn leave(&self, error: &str) -> io::Result<()> {
        fs::write(&self.file, format!("{}\n{error}\n", self.boot))
    }

    /// Why nothing can be promised here. A mark of an earlier run of the kernel is void: what is read now was on the disk.
    fn find(&self) -> Option<String> {
        match fs::read_to_string(&self.file) {
            Ok(text) => {
                let (boot, error) = text.split_once('\n').unwrap_or_default();
                if boot == self.boot {
                    return Some(self.reason(error.trim_end()));
                }
                info!(
                    "the log's file system failed to sync before this machine was started: {}",
                    error.trim_end()
                );
                _ = fs::remove_file(&self.file);
                None
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => Some(self.reason(&error.to_string())),
        }
    }

    fn reason(&self, error: &str) -> String {
        format!(
            "the log's file system failed to sync ({error}), and what is read from it may not be on the disk; see to the \
             disk and start the machine anew, or mount the file system anew and remove {}",
            self.file.display()
        )
    }
}

/// Which run of the kernel this is; empty where that cannot be told: then a mark holds until it is removed.
fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim_end().to_owned()
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
        let commit = GroupCommit::start(directory.path()).expect("it opens");
        let all = futures_util::future::join_all((0..100).map(|_| commit.barrier())).await;
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

    /// Syncs that succeed but for the second one.
    fn fails_once() -> SyncCall {
        let syncs = std::sync::atomic::AtomicU32::new(0);
        Box::new(move || match syncs.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            1 => Err(io::Error::other("a bad sector")),
            _ => Ok(()),
        })
    }

    #[tokio::test]
    async fn a_sync_that_succeeds_after_a_failure_proves_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let start = |boot: &str| {
            GroupCommit::start_with(directory.path(), boot.to_owned(), fails_once())
                .expect("a thread")
        };
        let commit = start("this boot");
        let barriers = [commit.barrier().await, commit.barrier().await, commit.barrier().await];
        assert_eq!(barriers, [true, false, false]);
        assert!(commit.failure().is_some_and(|why| why.contains("a bad sector")));

        // Another process has not seen the failure, and must not trust what it can read.
        let commit = start("this boot");
        assert!(commit.failure().is_some_and(|why| why.contains("a bad sector")));
        assert!(!commit.barrier().await);

        // A machine that was started anew reads what is on the disk.
        let commit = start("the next boot");
        assert!(commit.barrier().await);
        assert!(!directory.path().join(MARK).exists());
    }

    #[tokio::test]
    async fn without_a_sync_nobody_is_acknowledged() {
        let directory = tempfile::tempdir().expect("a directory");
        let ends = Box::new(|| panic!("the thread ends"));
        let commit = GroupCommit::start_with(directory.path(), "this boot".into(), ends);
        assert!(!commit.expect("a thread").barrier().await);
    }
}
