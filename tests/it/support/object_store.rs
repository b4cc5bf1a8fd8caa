//! An S3 server: `s3s-fs`, which checks signatures and keeps objects in a folder.

use std::path::{Path, PathBuf};

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The bucket that it has.
pub const BUCKET: &str = "chat-files";

/// A running server. It ends with the value.
#[derive(Debug)]
pub struct ObjectStore {
    /// `http://127.0.0.1:…`
    pub endpoint: String,
    folder: PathBuf,
    task: JoinHandle<()>,
}

impl ObjectStore {
    /// Starts one that keeps its objects in `folder`.
    pub async fn start(folder: &Path) -> Self {
        std::fs::create_dir_all(folder.join(BUCKET)).expect("the folder is ours");
        let files = s3s_fs::FileSystem::new(folder).expect("the folder is there");
        let mut service = S3ServiceBuilder::new(files);
        service.set_auth(SimpleAuth::from_single("the-key", "the secret"));
        let service = service.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let server = Builder::new(TokioExecutor::new());
                    _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { endpoint, folder: folder.to_owned(), task }
    }

    /// What a service needs to know of it.
    pub fn settings<'a>(&'a self, secret: &'a str) -> Vec<(&'a str, &'a str)> {
        vec![
            ("MEDIA__OBJECT_STORE__BUCKET", BUCKET),
            ("MEDIA__OBJECT_STORE__ENDPOINT", &self.endpoint),
            ("MEDIA__OBJECT_STORE__ACCESS_KEY_ID", "the-key"),
            ("MEDIA__OBJECT_STORE__SECRET_ACCESS_KEY", secret),
            ("MEDIA__OBJECT_STORE__VIRTUAL_HOST", "false"),
            ("MEDIA__OBJECT_STORE__PUBLIC_URL", "https://files.example"),
        ]
    }

    /// An object, as it is there.
    pub fn object(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.folder.join(BUCKET).join(path)).expect("an object")
    }

    /// Puts an object there, not by the service.
    pub fn put(&self, path: &str, content: &[u8]) {
        let file = self.folder.join(BUCKET).join(path);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("the folder is ours");
        std::fs::write(file, content).expect("written");
    }
}

impl Drop for ObjectStore {
    fn drop(&mut self) {
        self.task.abort();
    }
}
