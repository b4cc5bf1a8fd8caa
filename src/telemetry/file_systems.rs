//! File systems that the log and the uploads fill: how large they are, and how much of them is free.

use std::{path::PathBuf, sync::Arc};

use rustix::fs::statvfs;
use tokio::task::spawn_blocking;

/// Folders whose file systems are looked at, by the settings that name them.
#[derive(Debug, Clone)]
pub struct FileSystems(Arc<[(&'static str, PathBuf)]>);

/// What a file system says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSystem {
    /// The setting that names a folder on it.
    pub setting: &'static str,
    /// Its size in bytes.
    pub size: u64,
    /// Of these, what others than root may still fill.
    pub free: u64,
}

impl FileSystems {
    /// Those of `folders`; an empty path is none.
    pub fn new(folders: impl IntoIterator<Item = (&'static str, PathBuf)>) -> Self {
        let named = folders.into_iter().filter(|(_, folder)| !folder.as_os_str().is_empty());
        Self(named.collect())
    }

    /// How they are now; one that this machine does not have is left out.
    pub async fn look(&self) -> Vec<FileSystem> {
        let folders = Arc::clone(&self.0);
        let look = move || {
            let looked = folders.iter().filter_map(|(setting, folder)| {
                let found = statvfs(folder).ok()?;
                let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
                let (size, free) = (bytes(found.f_blocks), bytes(found.f_bavail));
                Some(FileSystem { setting, size, free })
            });
            looked.collect()
        };
        spawn_blocking(look).await.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let systems = FileSystems::new([
            ("media.root", folder.path().to_owned()),
            ("elsewhere", folder.path().join("nowhere")),
            ("log.store_dir", PathBuf::new()),
        ]);
        let looked = systems.look().await;
        assert_eq!(looked.len(), 1, "{looked:?}");
        assert_eq!(looked[0].setting, "media.root");
        assert!(looked[0].free <= looked[0].size, "{looked:?}");
    }
}
