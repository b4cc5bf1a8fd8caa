//! A private PostgreSQL, made by copying a template.

use std::path::{Path, PathBuf};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};
use testkit::{ports::Port, servers};

use super::{
    nats::programs,
    process::{Process, until},
};

/// The store of the SQL read models.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    port: Port,
    folder: PathBuf,
}

impl Postgres {
    /// Starts one in `folder`, with an empty database `hongyan`.
    pub async fn start(folder: &Path) -> Self {
        servers::postgres_data(&programs(), folder).expect("PostgreSQL's data can be made");
        loop {
            let port = Port::take().expect("a free port");
            let mut postgres =
                Self { process: spawn(folder, port.number()), port, folder: folder.to_owned() };
            if postgres.ready().await {
                postgres.create_database().await;
                return postgres;
            }
        }
    }

    /// The URL of the read models' owner.
    pub fn owner_url(&self) -> String {
        self.url("hongyan_owner:owner", "hongyan")
    }

    /// The URL of the gateway, which reads only.
    pub fn reader_url(&self) -> String {
        self.url("hongyan_gateway:gateway", "hongyan")
    }

    /// Runs statements as the superuser.
    pub async fn execute(&self, sql: impl Into<String>) {
        let mut connection = self.superuser("hongyan").await.expect("PostgreSQL answers");
        connection.execute(AssertSqlSafe(sql.into())).await.expect("the statements are right");
    }

    /// The number that a query yields.
    pub async fn number(&self, sql: impl Into<String>) -> i64 {
        let mut connection = self.superuser("hongyan").await.expect("PostgreSQL answers");
        connection.fetch_one(AssertSqlSafe(sql.into())).await.expect("there is a row").get(0)
    }

    /// The process, to be killed or frozen.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Starts it again after a kill: same port, same data.
    pub async fn start_again(&mut self) {
        loop {
            self.process = spawn(&self.folder, self.port.number());
            if self.ready().await {
                return;
            }
        }
    }

    /// Drops every read model and forgets its checkpoint. What no log can tell again stays: the sequences in `ids`.
    pub async fn drop_read_models(&self) {
        let mut connection = self.superuser("hongyan").await.expect("PostgreSQL answers");
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
        let statement = "drop database hongyan with (force)";
        connection.execute(statement).await.expect("a database can be dropped");
        self.create_database().await;
    }

    async fn create_database(&self) {
        let mut connection = self.superuser("postgres").await.expect("PostgreSQL answers");
        let there =
            connection.fetch_optional("select 1 from pg_database where datname = 'hongyan'").await;
        if there.expect("the catalogue can be read").is_none() {
            let statement = "create database hongyan owner hongyan_owner";
            connection.execute(statement).await.expect("a database can be made");
        }
    }

    async fn superuser(&self, database: &str) -> sqlx::Result<PgConnection> {
        PgConnection::connect(&self.url("postgres", database)).await
    }

    fn url(&self, account: &str, database: &str) -> String {
        format!("postgres://{account}@127.0.0.1:{}/{database}?sslmode=disable", self.port.number())
    }

    async fn ready(&mut self) -> bool {
        until("PostgreSQL answers", async || {
            if !self.process.is_alive() {
                let tail = self.process.log_tail();
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

fn spawn(folder: &Path, port: u16) -> Process {
    let own = ["max_connections=60", "shared_buffers=32MB", "autovacuum=off"];
    let mut command = servers::postgres(&programs(), folder, port, &own).command();
    Process::spawn("PostgreSQL", &mut command, &folder.with_extension("log"))
}
