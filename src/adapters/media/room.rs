//! Free space: a file system that uploads fill must not keep the log from growing.

use std::{path::PathBuf, sync::Arc};

use rustix::fs::statvfs;
use tokio::task::spawn_blocking;
use tracing::{debug, error};

/// The folders whose file systems uploads may fill, and what must stay free there.
#[derive(Debug, Clone)]
pub struct FreeSpace {
    folders: Arc<[PathBuf]>,
    least: u64,
}

impl FreeSpace {
    /// `least` bytes must stay free around each of `folders`; 0: nobody looks.
    pub fn new(folders: impl IntoIterator<Item = PathBuf>, least: u64) -> Self {
        Self { folders: folders.into_iter().collect(), least }
    }

    /// Is there room? What cannot be told counts as room: writing will tell.
    pub async fn is_left(&self) -> bool {
        if self.least == 0 {
            return true;
        }
        let room = self.clone();
        let is_left = spawn_blocking(move || {
            room.folders.iter().all(|folder| match statvfs(folder) {
                Ok(free) => free.f_bavail.saturating_mul(free.f_frsize) >= room.least,
                Err(error) => {
                    debug!(%error, "cannot tell how much is free around {}", folder.display());
                    true
                }
            })
        });
        let is_left = is_left.await.unwrap_or(true);
        if !is_left {
            error!(
                "uploads are refused: less than limits.min_free_bytes is free around media.root or log.store_dir"
            );
        }
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn room_is_what_the_file_system_has_for_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let room = |least| FreeSpace::new([folder.path().to_owned()], least);
        assert!(room(1).is_left().await);
        assert!(!room(u64::MAX).is_left().await);
        assert!(room(0).is_left().await);
        let nowhere = FreeSpace::new([folder.path().join("nowhere")], u64::MAX);
        assert!(nowhere.is_left().await);
    }
}
