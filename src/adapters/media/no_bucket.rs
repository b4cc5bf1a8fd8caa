//! The object store of a program that was built without the feature `s3`: there is none, and settings that name one
//! stop the start.

#![expect(clippy::unused_async, reason = "as of the bucket that there is with the feature")]

use super::{
    StoreFailure,
    folder::{IncomingFile, Staged},
    path::StoredPath,
};
use crate::config;

/// What it would answer.
pub type BucketError = std::convert::Infallible;

/// A bucket of an object store, which this program cannot have.
#[derive(Debug, Clone)]
pub enum Bucket {}

impl Bucket {
    /// `None`, unless the configuration names a bucket.
    ///
    /// # Errors
    /// It does.
    pub fn open(config: &config::ObjectStore) -> anyhow::Result<Option<Self>> {
        anyhow::ensure!(
            config.bucket.is_empty(),
            "media.object_store.bucket is set, and this program was built without object stores; \
             build it with the feature `s3` (HONGYAN_PROFILE=release ./run does)"
        );
        Ok(None)
    }

    /// What clients read an object by.
    pub fn url(&self, _: &StoredPath) -> String {
        match *self {}
    }

    /// The object that an address of ours means.
    pub fn path_of(&self, _: &str) -> Option<StoredPath> {
        match *self {}
    }

    /// Stores a file.
    pub async fn put(&self, _: &StoredPath, _: &Staged) -> Result<(), StoreFailure> {
        match *self {}
    }

    /// Deletes an object.
    pub(super) async fn remove(&self, _: &StoredPath) -> Result<(), StoreFailure> {
        match *self {}
    }

    /// Fetches an object.
    pub async fn fetch(
        &self,
        _: &StoredPath,
        _: IncomingFile,
    ) -> Result<Option<Staged>, StoreFailure> {
        match *self {}
    }
}
