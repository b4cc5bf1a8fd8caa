//! PostgreSQL of a test: a database in the server of the run, or a server of its own, made by copying a template.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};
use testkit::{ports::Port, servers};

use super::{
    nats::programs,
    process::{Process, until},
};

/// The store of the SQL read models: a database of one test.
#[derive(Debug)]
pub struct Postgres {
    port: u16,
    database: String,
    /// What this test alone has; without it the server is shared by all tests of the run.
    own: Option<Own>,
}

#[derive(Debug)]
struct Own {
    process: Process,
    port: Port,
    folder: PathBuf,
}

impl Postgres {
    /// An empty database in the server that the run shares, if there is one (`scripts/test-postgres`), else in one of
    /// its own.
    pub async fn start(folder: &Path) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let Ok(port) = std::env::var("HONGYAN_TEST_POSTGRES_PORT") else {
            return Self::apart(folder).await;
        };
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let database = format!("hongyan_{}_{count}", std::process::id());
        let postgres = Self { port: port.parse().expect("a port"), database, own: None };
        postgres.create_database().await;
        postgres
    }

    /// An empty database `hongyan` in a server in `folder` that may be killed.
    pub async fn apart(folder: &Path) -> Self {
        servers::postgres_data(&programs(), folder).expect("PostgreSQL's data can be made");
        loop {
            let port = Port::take().expect("a free port");
            let own =
                Own { process: spawn(folder, port.number()), folder: folder.to_owned(), port };
            let port = own.port.number();
            let mut postgres = Self { port, database: "hongyan".to_owned(), own: Some(own) };
            if postgres.ready().await {
                postgres.create_database().await;
                return postgres;
            }
        }
    }

    /// The URL of the read models' owner.
    pub fn owner_url(&self) -> String {
        self.url("hongyan_owner:owner", &self.database)
    }

    /// The URL of the gateway, which reads only.
    pub fn reader_url(&self) -> String {
        self.url("hongyan_gateway:gateway", &self.database)
    }

    /// Runs statements as the superuser.
    pub async fn execute(&self, sql: impl Into<String>) {
        let mut connection = self.superuser(&self.database).await.expect("PostgreSQL answers");
        connection.execute(AssertSqlSafe(sql.into())).await.expect("the statements are right");
    }

    /// The number that a query yields.
    pub async fn number(&self, sql: impl Into<String>) -> i64 {
        let mut connection = self.superuser(&self.database).await.expect("PostgreSQL answers");
        connection.fetch_one(AssertSqlSafe(sql.into())).await.expect("there is a row").get(0)
    }

    /// The process, to be killed or frozen.
    pub fn process(&mut self) -> &mut Process {
        &mut self.own().process
    }

    fn own(&mut self) -> &mut Own {
        self.own.as_mut().expect("PostgreSQL is shared by the run: App::apart has its own")
    }

    /// Starts it again after a kill: same port, same data.
    pub async fn start_again(&mut self) {
        let port = self.port;
        loop {
            let own = self.own();
            own.process = spawn(&own.folder, port);
            if self.ready().await {
                return;
            }
        }
    }

    /// Drops every read model and forgets its checkpoint. What no log can tell again stays: the sequences in `ids`.
    pub async fn drop_read_models(&self) {
        let mut connection = self.superuser(&self.database).await.expect("PostgreSQL answers");
        let schemas = "select nspname::text from pg_namespace where nspname not like 'pg\\_%'
                       and nspname not in ('information_schema', 'public', 'hongyan', 'ids', 'live')";
        for row in connection.fetch_all(schemas).await.expect("the catalogue can be read") {
            let statement = format!("drop schema \"{}\" cascade", row.get::<String, _>(0));
            connection.execute(AssertSqlSafe(statement)).await.expect("a schema can be dropped");
        }
        let forget = "delete from hongyan.generations";
        connection.execute(forget).await.expect("the bookkeeping can be emptied");
    }

    /// Loses everything, the sequences too: an empty database, as after a disk failure without a backup.
    pub async fn lose_everything(&self) {
        let mut connection = self.superuser("postgres").await.expect("PostgreSQL answers");
        let statement = format!("drop database {} with (force)", self.database);
        connection.execute(AssertSqlSafe(statement)).await.expect("a database can be dropped");
        self.create_database().await;
    }

    async fn create_database(&self) {
        let mut connection = self.superuser("postgres").await.expect("PostgreSQL answers");
        let there = sqlx::query("select 1 from pg_database where datname = $1");
        let there = there.bind(&self.database).fetch_optional(&mut connection).await;
        if there.expect("the catalogue can be read").is_none() {
            let statement = format!("create database {} owner hongyan_owner", self.database);
            connection.execute(AssertSqlSafe(statement)).await.expect("a database can be made");
        }
    }

    async fn superuser(&self, database: &str) -> sqlx::Result<PgConnection> {
        PgConnection::connect(&self.url("postgres", database)).await
    }

    fn url(&self, account: &str, database: &str) -> String {
        format!("postgres://{account}@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    async fn ready(&mut self) -> bool {
        until("PostgreSQL answers", async || {
            let process = self.process();
            if !process.is_alive() {
                let tail = process.log_tail();
                // After a kill the last backends may still be on their way out.
                let passing =
                    ["Address already in use", "shared memory", "lock file", "is running"];
                assert!(
                    passing.iter().any(|reason| tail.contains(reason)),
                    "PostgreSQL ended:\n{tail}"
                );
                return Some(false);
            }
            self.superuser("postgres").await.is_ok().then_some(true)
        })
        .await
    }
}

/// A shared server has room for the databases of those tests that run.
impl Drop for Postgres {
    fn drop(&mut self) {
        if self.own.is_some() {
            return;
        }
        let url = self.url("postgres", "postgres");
        let statement = format!("drop database if exists {} with (force)", self.database);
        let drop = async move {
            let mut connection = PgConnection::connect(&url).await?;
            connection.execute(AssertSqlSafe(statement)).await
        };
        // The test's own runtime may be what drops this.
        let dropping = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(drop)
        });
        if let Ok(Err(error)) = dropping.join() {
            eprintln!("a database of the tests stays: {error}");
        }
    }
}

fn spawn(folder: &Path, port: u16) -> Process {
    let own = ["max_connections=60", "shared_buffers=32MB", "autovacuum=off"];
    let mut command = servers::postgres(&programs(), folder, port, &own).command();
    Process::spawn("PostgreSQL", &mut command, &folder.with_extension("log"))
}
