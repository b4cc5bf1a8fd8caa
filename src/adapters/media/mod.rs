//! Files that users upload: what they are, where they are kept, and pictures of videos.

#[cfg_attr(not(feature = "s3"), path = "no_bucket.rs")]
mod bucket;
mod content;
mod folder;
mod kind;
mod location;
mod path;
mod poster;
mod room;

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, anyhow};
pub use bucket::Bucket;
pub use folder::{Folder, IncomingFile, Staged};
pub use kind::{Claim, Family, FileKind, HEAD_BYTES};
pub use path::StoredPath;
pub use poster::{PosterError, Posters, Still};
pub use room::FreeSpace;

use crate::{config::Config, events::UploadPlace};

/// The stores of this process, and what makes pictures of what is in them.
#[derive(Clone)]
pub struct Media {
    /// The folder that the gateways share.
    pub folder: Folder,
    /// The object store, if there is one.
    pub bucket: Option<Bucket>,
    /// Runs ffmpeg.
    pub posters: Arc<Posters>,
    /// Whether more may come.
    pub room: FreeSpace,
}

impl Media {
    /// Opens the stores and removes what a crash left half written.
    ///
    /// # Errors
    /// The folder cannot be written to, or the object store's settings are wrong.
    pub async fn open(config: &Config) -> anyhow::Result<Self> {
        let (config, limits, log) = (&config.media, &config.limits, &config.log.store_dir);
        let folder = Folder::open(&config.root).await.with_context(|| {
            format!("cannot keep uploads in media.root = {}", config.root.display())
        })?;
        // The log's disk may be another one, and may be elsewhere.
        let filled =
            [&config.root, log].into_iter().filter(|it| !it.as_os_str().is_empty()).cloned();
        Ok(Self {
            folder,
            bucket: Bucket::open(&config.object_store)?,
            posters: Arc::new(Posters::new(config)),
            room: FreeSpace::new(filled, limits.min_free_bytes),
        })
    }

    /// Copies a file of ours out of its store; false if it is not there.
    ///
    /// # Errors
    /// A store cannot be reached, or is not configured any more; or the target cannot be written.
    pub async fn copy(
        &self,
        place: UploadPlace,
        path: &StoredPath,
        target: &Path,
    ) -> anyhow::Result<bool> {
        let staged; // is there as long as it is copied
        let found = match (place, &self.bucket) {
            (UploadPlace::Folder, _) => self.folder.find(path).await.map(|(found, _)| found),
            (UploadPlace::ObjectStore, Some(bucket)) => {
                staged = bucket.fetch(path, self.folder.receive(u64::MAX).await?).await?;
                staged.as_ref().map(|staged| staged.path().to_owned())
            }
            (UploadPlace::ObjectStore, None) => return Err(no_bucket_for(path)),
        };
        let Some(found) = found else { return Ok(false) };
        tokio::fs::copy(found, target).await?;
        Ok(true)
    }

    /// Deletes a file of ours, here and in the object store; false if it is known not to have been there.
    ///
    /// # Errors
    /// A store cannot be reached, or is not configured any more.
    pub async fn remove(&self, place: UploadPlace, path: &StoredPath) -> anyhow::Result<bool> {
        match (place, &self.bucket) {
            (UploadPlace::Folder, _) => Ok(self.folder.remove(path).await?),
            (UploadPlace::ObjectStore, Some(bucket)) => {
                bucket.remove(path).await?;
                Ok(true)
            }
            (UploadPlace::ObjectStore, None) => Err(no_bucket_for(path)),
        }
    }
}

fn no_bucket_for(path: &StoredPath) -> anyhow::Error {
    anyhow!("{} is in an object store, and media.object_store.bucket is not set", path.as_str())
}

/// Why a store did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum StoreFailure {
    /// The file system.
    #[error("the upload folder: {0}")]
    Folder(#[from] std::io::Error),
    /// The object store.
    #[error("the object store: {0}")]
    Bucket(#[from] bucket::BucketError),
    /// The file is larger than it may be.
    #[error("the file is too large")]
    TooLarge,
}
