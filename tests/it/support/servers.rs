//! The real servers of one test.

use std::os::unix::fs::PermissionsExt;

use super::nats::Nats;
use super::postgres::Postgres;
use super::redis::Redis;

/// nats-server and Redis of its own, a database in a PostgreSQL that the run may share; all end with the value.
#[derive(Debug)]
pub struct Servers {
    /// The event log.
    pub nats: Nats,
    /// The SQL read models.
    pub postgres: Postgres,
    /// The Redis read models.
    pub redis: Redis,
    folder: tempfile::TempDir, // last: removed after the processes have ended
}

impl Servers {
    /// Starts what is not shared by the run: PostgreSQL may not be killed.
    pub async fn start() -> Self {
        Self::open(false).await
    }

    /// Starts all three; any of them may be killed.
    pub async fn apart() -> Self {
        Self::open(true).await
    }

    async fn open(is_apart: bool) -> Self {
        let folder =
            tempfile::Builder::new().prefix("hongyan-it-").tempdir().expect("a temporary folder");
        // PostgreSQL may run as another account and must get in.
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).expect("the folder is ours");
        let path = folder.path();
        let (nats, postgres, redis) =
            (path.join("nats"), path.join("postgres"), path.join("redis"));
        let postgres = async {
            if is_apart {
                Postgres::apart(&postgres).await
            } else {
                Postgres::start(&postgres).await
            }
        };
        let (nats, postgres, redis) =
            tokio::join!(Nats::start(&nats), postgres, Redis::start(&redis));
        Self { nats, postgres, redis, folder }
    }

    /// The folder of this test's data and logs.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// The folder that its gateways keep uploads in.
    pub fn uploads(&self) -> std::path::PathBuf {
        self.folder().join("uploads")
    }
}
