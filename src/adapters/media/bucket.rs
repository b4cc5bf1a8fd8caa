//! The object store: S3, which Aliyun OSS speaks too.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::TryStreamExt as _;
use object_store::{
    Attribute, Attributes, BackoffConfig, ObjectStore, ObjectStoreExt as _, RetryConfig,
    aws::AmazonS3Builder, buffered::BufWriter, path::Path,
};
use secrecy::ExposeSecret as _;
use tokio::{fs::File, io::AsyncWriteExt as _, sync::Semaphore};

use super::{
    StoreFailure,
    folder::{IncomingFile, Staged},
    path::StoredPath,
};
use crate::config;

/// What it answers when it does not do what it was asked for.
pub type BucketError = object_store::Error;

/// S3 takes no smaller part but the last. A transfer holds about two of them in memory.
const PART_BYTES: usize = 5 * 1024 * 1024;

/// Transfers at once, so that memory is bounded.
const TRANSFERS: usize = 4;

/// Somebody waits for the answer.
const PATIENCE: RetryConfig = RetryConfig {
    backoff: BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(2),
        base: 2.0,
    },
    max_retries: 3,
    retry_timeout: Duration::from_secs(10),
};

/// A bucket of an object store.
#[derive(Clone)]
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    public_url: Arc<str>,
    transfers: Arc<Semaphore>,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("public_url", &self.public_url).finish_non_exhaustive()
    }
}

impl Bucket {
    /// The bucket of the configuration; `None` if it names none. Nothing is asked of the store yet.
    ///
    /// # Errors
    /// The settings are wrong.
    pub fn open(config: &config::ObjectStore) -> anyhow::Result<Option<Self>> {
        if config.bucket.is_empty() {
            return Ok(None);
        }
        // The client's own choice would be a second TLS provider. Another's earlier choice is as good.
        _ = rustls::crypto::ring::default_provider().install_default();
        let endpoint = endpoint(config);
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&config.bucket)
            .with_allow_http(endpoint.starts_with("http://"))
            .with_endpoint(endpoint)
            .with_region(&config.region)
            .with_virtual_hosted_style_request(config.virtual_host)
            .with_retry(PATIENCE);
        if config.access_key_id.is_empty() {
            builder = builder.with_skip_signature(true);
        } else {
            builder = builder
                .with_access_key_id(&config.access_key_id)
                .with_secret_access_key(config.secret_access_key.expose_secret());
        }
        Ok(Some(Self {
            store: Arc::new(builder.build()?),
            public_url: config.public_url.trim_end_matches('/').into(),
            transfers: Arc::new(Semaphore::new(TRANSFERS)),
        }))
    }

    /// What clients read an object by.
    pub fn url(&self, path: &StoredPath) -> String {
        format!("{}/{path}", self.public_url)
    }

    /// The object that an address of ours means.
    pub fn path_of(&self, url: &str) -> Option<StoredPath> {
        StoredPath::parse(url.strip_prefix(&*self.public_url)?.strip_prefix('/')?)
    }

    /// Stores a file. It is there as a whole or not at all.
    ///
    /// # Errors
    /// The store cannot be reached, or refuses.
    pub async fn put(&self, path: &StoredPath, staged: &Staged) -> Result<(), StoreFailure> {
        let _turn = self.transfers.acquire().await;
        let kind = path.kind();
        let mut attributes = Attributes::from_iter([(Attribute::ContentType, kind.media_type)]);
        if !kind.is_shown() {
            attributes.insert(Attribute::ContentDisposition, "attachment".into());
        }
        let mut file = File::open(staged.path()).await?;
        let mut writer = BufWriter::with_capacity(
            Arc::clone(&self.store),
            Path::from(path.as_str()),
            PART_BYTES,
        )
        .with_max_concurrency(1)
        .with_attributes(attributes);
        let written = match tokio::io::copy(&mut file, &mut writer).await {
            Ok(_) => writer.shutdown().await,
            Err(error) => {
                _ = writer.abort().await; // parts that nobody completes would be paid for
                Err(error)
            }
        };
        Ok(written?)
    }

    /// Fetches an object into `incoming`; `None` if there is none.
    ///
    /// # Errors
    /// The store cannot be reached, or the object is too large.
    pub async fn fetch(
        &self,
        path: &StoredPath,
        mut incoming: IncomingFile,
    ) -> Result<Option<Staged>, StoreFailure> {
        let _turn = self.transfers.acquire().await;
        let found = match self.store.get(&Path::from(path.as_str())).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut content = found.into_stream();
        while let Some(data) = content.try_next().await? {
            incoming.write(&data).await?;
        }
        Ok(Some(incoming.finish().await?))
    }

    /// Deletes an object, if it is there.
    pub(super) async fn remove(&self, path: &StoredPath) -> Result<(), StoreFailure> {
        match self.store.delete(&Path::from(path.as_str())).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Where requests go: the library wants the host as it is called, with the bucket if that is part of it.
fn endpoint(config: &config::ObjectStore) -> String {
    let endpoint = config.endpoint.trim_end_matches('/');
    if config.virtual_host {
        endpoint.replacen("://", &format!("://{}.", config.bucket), 1)
    } else {
        endpoint.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(virtual_host: bool) -> config::ObjectStore {
        config::ObjectStore {
            bucket: "chat".into(),
            endpoint: "https://oss-cn-hangzhou.aliyuncs.com/".into(),
            region: "oss-cn-hangzhou".into(),
            access_key_id: "key".into(),
            secret_access_key: "secret".into(),
            virtual_host,
            public_url: "https://files.example/".into(),
        }
    }

    #[test]
    fn the_bucket_is_part_of_the_host_or_of_the_path() {
        assert_eq!(endpoint(&settings(true)), "https://chat.oss-cn-hangzhou.aliyuncs.com");
        assert_eq!(endpoint(&settings(false)), "https://oss-cn-hangzhou.aliyuncs.com");
    }

    #[test]
    fn only_addresses_of_the_bucket_mean_an_object() {
        let bucket =
            Bucket::open(&settings(true)).expect("the settings are good").expect("a bucket");
        let path = bucket.path_of("https://files.example/images/1.png").expect("an object");
        assert_eq!(bucket.url(&path), "https://files.example/images/1.png");
        for other in [
            "https://files.example",
            "https://files.example.evil/a.png",
            "http://files.example/a.png",
            "https://files.example/../a.png",
            "https://files.example//a.png",
            "/images/1.png",
        ] {
            assert_eq!(bucket.path_of(other), None, "{other}");
        }
    }
}
