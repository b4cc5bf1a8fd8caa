//! The disk of the log: a file system of its own, which can be made full.

use std::path::{Path, PathBuf};

use super::run;

/// More than a long run writes; only what is written takes memory.
const SIZE: u64 = 6 << 30;

/// A tmpfs.
#[derive(Debug)]
pub(crate) struct Disk(PathBuf);

impl Disk {
    /// `None`, and a line about it, if we may not mount anything here.
    pub(super) async fn mount(at: &Path) -> Option<Self> {
        let disk = Self(at.to_owned());
        let size = format!("size={SIZE},mode=0700");
        match run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", &disk.path()]).await {
            Ok(()) => Some(disk),
            Err(error) => {
                eprintln!("chaos: a full disk is LEFT OUT: {error:#}");
                None
            }
        }
    }

    /// Leaves hardly any room: what is written next finds none.
    pub(crate) async fn fill(&self) -> anyhow::Result<()> {
        const ROOM: u64 = 32 * 1024;
        let mut tries = 0;
        loop {
            let state = rustix::fs::statvfs(&self.0)?;
            let used = (state.f_blocks - state.f_bfree) * state.f_frsize;
            match self.resize(used + ROOM).await {
                Err(_) if tries < 50 => tries += 1, // more was written meanwhile
                result => return result,
            }
        }
    }

    /// Leaves room again.
    pub(crate) async fn free(&self) -> anyhow::Result<()> {
        self.resize(SIZE).await
    }

    async fn resize(&self, size: u64) -> anyhow::Result<()> {
        run("mount", &["-o", &format!("remount,size={size}"), &self.path()]).await
    }

    pub(super) async fn unmount(&self) {
        _ = run("umount", &["-l", &self.path()]).await;
    }

    fn path(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        _ = std::process::Command::new("umount").args(["-l", &self.path()]).output();
    }
}
