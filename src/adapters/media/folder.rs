//! The folder that the gateways share: files come in beside it and appear in it whole.
//!
//! The order is: write to `.incoming`, sync the file, give it its name, sync the folders, append the event,
//! answer. So what was announced is there, even after a power loss. A crash leaves a file in `.incoming`, which the
//! next start removes, or, in the moment between name and event, one that nobody was told of.

use std::{
    fs::{self, Permissions},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use tempfile::TempPath;
use tokio::{fs::File, io::AsyncWriteExt as _, sync::Semaphore, task::spawn_blocking};
use tracing::info;

use super::{StoreFailure, kind::HEAD_BYTES, location, path::StoredPath};
use crate::events::Timestamp;

/// Where files are while they come in; no address leads here.
const INCOMING: &str = ".incoming";

/// What has not been written to for so long belongs to no upload any more: one that pauses is ended far earlier.
const ABANDONED: Duration = Duration::from_hours(1);

/// The folder.
#[derive(Debug, Clone)]
pub struct Folder {
    root: Arc<Path>,
    /// Pictures are read whole, so one after the other.
    pictures: Arc<Semaphore>,
}

/// A file that is coming in. Dropping it removes what there is.
#[derive(Debug)]
pub struct IncomingFile {
    file: File,
    path: TempPath,
    most: u64,
    bytes: u64,
    head: Vec<u8>,
    hash: Sha256,
}

/// A file that is here and safe, but has no name yet. Dropping it removes it.
#[derive(Debug)]
pub struct Staged {
    path: TempPath,
    /// Its length.
    pub bytes: u64,
    /// How it begins: at most [`HEAD_BYTES`].
    pub head: Vec<u8>,
    /// SHA-256 of its content, in hexadecimal digits.
    pub sha256: String,
}

impl Folder {
    /// Opens the folder, makes it if it is not there, and removes what crashes left.
    ///
    /// # Errors
    /// It cannot be written to.
    pub async fn open(root: &Path) -> io::Result<Self> {
        let (root, now) = (root.to_owned(), crate::clock::now());
        blocking(move || {
            fs::create_dir_all(root.join(INCOMING))?;
            let root = root.canonicalize()?;
            sweep(&root.join(INCOMING), now)?;
            tempfile::tempfile_in(root.join(INCOMING))?; // better now than at the first upload
            Ok(Self { root: root.into(), pictures: Arc::new(Semaphore::new(1)) })
        })
        .await
    }

    /// Begins a file of at most `most` bytes.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub async fn receive(&self, most: u64) -> io::Result<IncomingFile> {
        let incoming = self.root.join(INCOMING);
        let named = blocking(move || {
            let readable = Permissions::from_mode(0o644); // to whatever else serves the folder
            tempfile::Builder::new().permissions(readable).tempfile_in(incoming)
        })
        .await?;
        let (file, path) = named.into_parts();
        let (hash, head) = (Sha256::new(), Vec::new());
        Ok(IncomingFile { file: File::from_std(file), path, most, bytes: 0, head, hash })
    }

    /// Takes the position out of a picture that has come whole, if it has one.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub async fn without_location(&self, mut incoming: IncomingFile) -> io::Result<IncomingFile> {
        // Whoever waits for it may go away, the work does not.
        let turn = Arc::clone(&self.pictures).acquire_owned().await;
        incoming.file.flush().await?;
        let path = incoming.path.to_path_buf();
        let erased = blocking(move || {
            let _turn = turn;
            let mut picture = fs::read(&path)?;
            if !location::erase(&mut picture) {
                return Ok(None);
            }
            fs::File::options().write(true).open(&path)?.write_all(&picture)?;
            Ok(Some(Sha256::new_with_prefix(&picture)))
        });
        if let Some(hash) = erased.await? {
            incoming.hash = hash;
        }
        Ok(incoming)
    }

    /// Gives a file its name: the first of `names` that is free.
    ///
    /// # Errors
    /// The folder cannot be written to, or no name is free.
    pub async fn publish(
        &self,
        staged: Staged,
        mut name: impl FnMut() -> StoredPath + Send + 'static,
    ) -> io::Result<StoredPath> {
        let root = Arc::clone(&self.root);
        blocking(move || {
            let mut temporary = staged.path;
            for _ in 0..10 {
                let path = name();
                let target = root.join(path.as_str());
                let folder = target.parent().unwrap_or(&root);
                fs::create_dir_all(folder)?;
                match temporary.persist_noclobber(&target) {
                    Ok(()) => {
                        // The name, and the folders that may be new with it.
                        for folder in folder.ancestors().take_while(|it| it.starts_with(&root)) {
                            fs::File::open(folder)?.sync_all()?;
                        }
                        return Ok(path);
                    }
                    Err(taken) if taken.error.kind() == io::ErrorKind::AlreadyExists => {
                        temporary = taken.path;
                    }
                    Err(other) => return Err(other.error),
                }
            }
            Err(io::ErrorKind::AlreadyExists.into())
        })
        .await
    }

    /// Where a file is on this machine and how many bytes it has, if it is there. Links are not followed: nothing of ours
    /// is one.
    pub async fn find(&self, path: &StoredPath) -> Option<(PathBuf, u64)> {
        let path = self.root.join(path.as_str());
        let found = tokio::fs::symlink_metadata(&path).await.ok()?;
        found.is_file().then_some((path, found.len()))
    }

    /// Deletes a file; false if there is none.
    pub(super) async fn remove(&self, path: &StoredPath) -> io::Result<bool> {
        match tokio::fs::remove_file(self.root.join(path.as_str())).await {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl IncomingFile {
    /// Takes in what has come.
    ///
    /// # Errors
    /// It is more than the file may have, or the disk is full.
    pub async fn write(&mut self, data: &[u8]) -> Result<(), StoreFailure> {
        self.bytes += data.len() as u64;
        if self.bytes > self.most {
            return Err(StoreFailure::TooLarge);
        }
        let wanted = HEAD_BYTES.saturating_sub(self.head.len());
        self.head.extend_from_slice(&data[..data.len().min(wanted)]);
        self.hash.update(data);
        Ok(self.file.write_all(data).await?)
    }

    /// How it begins, as far as it is here.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// All is here: returns once it would survive a power loss.
    ///
    /// # Errors
    /// The disk is full or broken.
    pub async fn finish(mut self) -> io::Result<Staged> {
        self.file.flush().await?;
        self.file.sync_all().await?;
        let sha256 = hex::encode(self.hash.finalize());
        Ok(Staged { path: self.path, bytes: self.bytes, head: self.head, sha256 })
    }
}

impl Staged {
    /// Where it is for now.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn sweep(incoming: &Path, now: Timestamp) -> io::Result<()> {
    for entry in fs::read_dir(incoming)? {
        let entry = entry?;
        // Another gateway may be at work here, so a file may go away meanwhile.
        let Ok(metadata) = entry.metadata() else { continue };
        let written = metadata.modified().map(|at| Timestamp::of(at.into()))?;
        let idle = u64::try_from(now.0 - written.0).unwrap_or(0);
        if Duration::from_millis(idle) > ABANDONED && fs::remove_file(entry.path()).is_ok() {
            info!("removed an upload that a crash had left half done");
        }
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work).await.unwrap_or_else(|panicked| Err(io::Error::other(panicked)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> StoredPath {
        StoredPath::parse(name).expect("a path of ours")
    }

    async fn staged(folder: &Folder, content: &[u8]) -> Staged {
        let mut incoming = folder.receive(100).await.expect("a file");
        incoming.write(content).await.expect("there is room");
        incoming.finish().await.expect("synced")
    }

    fn left(root: &Path) -> usize {
        fs::read_dir(root.join(INCOMING)).expect("the folder").count()
    }

    #[tokio::test]
    async fn a_file_appears_whole_and_never_over_another() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = Folder::open(root.path()).await.expect("it opens");
        let first = staged(&folder, b"one").await;
        assert_eq!(first.sha256, hex::encode(Sha256::digest(b"one")));
        let mut names = ["a/b/1.txt"].map(path).into_iter();
        folder.publish(first, move || names.next().expect("one is enough")).await.expect("free");
        let mut names = ["a/b/1.txt", "a/b/2.txt"].map(path).into_iter();
        let second = staged(&folder, b"two").await;
        let name = folder.publish(second, move || names.next().expect("two")).await.expect("free");
        assert_eq!(name.as_str(), "a/b/2.txt");
        let read = |name: &str| fs::read_to_string(root.path().join(name)).expect("a file");
        assert_eq!([read("a/b/1.txt"), read("a/b/2.txt")], ["one", "two"]);
        let third = staged(&folder, b"three").await;
        assert!(folder.publish(third, || path("a/b/1.txt")).await.is_err());
        assert_eq!(left(root.path()), 0, "nothing stays behind");
    }

    #[tokio::test]
    async fn what_is_too_large_or_given_up_leaves_nothing() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = Folder::open(root.path()).await.expect("it opens");
        let mut incoming = folder.receive(3).await.expect("a file");
        incoming.write(b"abc").await.expect("as many as it may have");
        assert!(matches!(incoming.write(b"d").await, Err(StoreFailure::TooLarge)));
        drop(incoming);
        drop(staged(&folder, b"x").await);
        assert_eq!(left(root.path()), 0);
    }

    #[tokio::test]
    async fn a_start_removes_what_crashes_left_and_spares_what_is_coming() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = Folder::open(root.path()).await.expect("it opens");
        let coming = folder.receive(3).await.expect("a file");
        let orphan = root.path().join(INCOMING).join("orphan");
        fs::write(&orphan, b"half").expect("written");
        let old = std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        fs::File::options()
            .write(true)
            .open(&orphan)
            .and_then(|file| file.set_modified(old))
            .expect("aged");
        Folder::open(root.path()).await.expect("it opens again");
        assert!(!orphan.exists());
        assert_eq!(left(root.path()), 1);
        drop(coming);
    }
}
