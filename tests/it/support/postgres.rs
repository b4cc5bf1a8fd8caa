//! A private PostgreSQL, made by copying a template.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use hongyan::cli::rig::ports::Port;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use super::process::{Process, mortal_as, run, until};

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
        copy_template(folder);
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
    let mut command = mortal_as(&account(), binaries().join("postgres"));
    command.arg("-D").arg(folder).args(["-p", &port.to_string()]);
    for setting in [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "fsync=off",
        "full_page_writes=off",
        "max_connections=60",
        "shared_buffers=32MB",
        "autovacuum=off",
    ] {
        command.args(["-c", setting]);
    }
    Process::spawn("PostgreSQL", &mut command, &folder.with_extension("log"))
}

/// The account that PostgreSQL runs as, since it refuses root.
fn account() -> String {
    std::env::var("HONGYAN_TEST_PG_USER").unwrap_or_else(|_| "postgres".to_owned())
}

fn binaries() -> PathBuf {
    let named = std::env::var_os("HONGYAN_TEST_POSTGRES_BIN").map(PathBuf::from);
    named
        .or_else(newest_debian)
        .or_else(in_path)
        .expect("PostgreSQL: none in HONGYAN_TEST_POSTGRES_BIN or installed")
}

fn newest_debian() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let newest =
        versions.filter_map(|folder| folder.file_name().to_str()?.parse::<u32>().ok()).max()?;
    Some(format!("/usr/lib/postgresql/{newest}/bin").into())
}

fn in_path() -> Option<PathBuf> {
    super::process::find_in_path("postgres")
        .and_then(|file| Some(file.canonicalize().ok()?.parent()?.to_owned()))
}

fn copy_template(folder: &Path) {
    let template =
        std::env::var_os("HONGYAN_TEST_PG_TEMPLATE").map_or_else(own_template, PathBuf::from);
    run(Command::new("cp").args(["-a", "--reflink=auto"]).arg(template).arg(folder));
    hand_over(folder);
    run(Command::new("chmod").arg("0700").arg(folder));
}

/// Gives a folder to the account that PostgreSQL runs as.
fn hand_over(folder: &Path) {
    if rustix::process::geteuid().is_root() {
        run(Command::new("chown").arg("-R").arg(account()).arg(folder));
    }
}

/// A template of our own, made once and shared by all test processes of this account.
fn own_template() -> PathBuf {
    let uid = rustix::process::geteuid().as_raw();
    let home = std::env::temp_dir().join(format!("hongyan-test-template-{uid}"));
    fs::create_dir_all(&home).expect("the template's home can be made");
    let lock = File::create(home.join("lock")).expect("the template's lock can be made");
    lock.lock().expect("the template's lock can be taken");
    let finished = home.join("data");
    if !finished.join("PG_VERSION").exists() {
        let draft = home.join("draft");
        let _ = fs::remove_dir_all(&draft);
        make_template(&draft);
        fs::rename(&draft, &finished).expect("the template can be put in place");
    }
    finished
}

fn make_template(folder: &Path) {
    fs::create_dir_all(folder).expect("the template can be made");
    hand_over(folder);
    let mut initdb = mortal_as(&account(), binaries().join("initdb"));
    initdb.args([
        "--username=postgres",
        "--encoding=UTF8",
        "--lc-collate=C",
        "--lc-ctype=C.UTF-8",
        "--auth=trust",
        "--no-sync",
    ]);
    run(initdb.args(["--wal-segsize=1", "-D"]).arg(folder).current_dir("/"));
    let access = "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
    fs::write(folder.join("pg_hba.conf"), access).expect("the access rules can be written");
    let roles = folder.join("roles.sql");
    let statements = "create role hongyan_owner login password 'owner';\n\
                      create role hongyan_gateway login password 'gateway';\n\
                      create database hongyan owner hongyan_owner;\n";
    fs::write(&roles, statements).expect("the roles can be written");
    let mut single = mortal_as(&account(), binaries().join("postgres"));
    single.args(["--single", "-c", "fsync=off", "-D"]).arg(folder).arg("postgres").current_dir("/");
    single.stdin(File::open(&roles).expect("the roles can be read"));
    let output = single.output().expect("PostgreSQL starts alone");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
