//! Where the servers' programs are: as `./run` and `./test` say, else as `scripts/setup` left them, else on the PATH.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};

use crate::process::find_in_path;

/// The programs of the servers, and how PostgreSQL is run.
#[derive(Debug, Clone)]
pub struct Programs {
    /// nats-server.
    pub nats: PathBuf,
    /// Redis or Valkey.
    pub redis: PathBuf,
    /// The folder of initdb and postgres.
    pub postgres: PathBuf,
    /// The account that PostgreSQL runs as, since it refuses root; `None`: ourselves.
    pub account: Option<String>,
    /// A data folder to copy, so that none has to be made.
    pub template: Option<PathBuf>,
}

impl Programs {
    /// Finds them all.
    ///
    /// # Errors
    /// One is not installed, or PostgreSQL cannot be run as an account of its own.
    pub fn find() -> anyhow::Result<Self> {
        let root = rustix::process::geteuid().is_root();
        let account = env::var("HONGYAN_TEST_PG_USER").ok().filter(|account| !account.is_empty());
        let account = account.or_else(|| root.then(|| "postgres".to_owned())).filter(|_| root);
        ensure!(
            account.is_none() || find_in_path("setpriv").is_some(),
            "PostgreSQL does not run as root and there is no setpriv to become another: run this as another account"
        );
        Ok(Self {
            nats: named(&["HONGYAN_TEST_NATS_SERVER", "NATS_SERVER_BIN"])
                .or_else(newest_of_ours)
                .or_else(|| find_in_path("nats-server"))
                .context(
                    "there is no nats-server: set NATS_SERVER_BIN; `scripts/setup` brings one",
                )?,
            redis: named(&["HONGYAN_TEST_REDIS_SERVER"])
                .or_else(|| find_in_path("redis-server"))
                .or_else(|| find_in_path("valkey-server"))
                .context("there is no redis-server on the PATH: `scripts/setup` brings one")?,
            postgres: named(&["HONGYAN_TEST_POSTGRES_BIN", "HONGYAN_POSTGRES_BIN"])
                .or_else(newest_postgres)
                .or_else(|| Some(find_in_path("initdb")?.canonicalize().ok()?.parent()?.to_owned()))
                .context(
                    "there is no PostgreSQL: name the folder of initdb in HONGYAN_POSTGRES_BIN",
                )?,
            account,
            template: named(&["HONGYAN_TEST_PG_TEMPLATE"]),
        })
    }
}

/// The service's program: `HONGYAN_BIN`, or the one that was built into the same folder as this program.
///
/// # Errors
/// There is none.
pub fn hongyan() -> anyhow::Result<PathBuf> {
    let built = || env::current_exe().ok().map(|own| own.with_file_name("hongyan"));
    named(&["HONGYAN_BIN"])
        .or_else(|| built().filter(|file| file.is_file()))
        .context("there is no hongyan beside this program: build it, or name it in HONGYAN_BIN")
}

fn named(variables: &[&str]) -> Option<PathBuf> {
    variables.iter().find_map(env::var_os).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// What `scripts/setup` brought: its name ends with its version.
fn newest_of_ours() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.hongyan/bin");
    let files = fs::read_dir(folder).ok()?.flatten().map(|file| file.path());
    let is_ours = |file: &PathBuf| {
        file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("nats-server"))
    };
    files.filter(is_ours).max()
}

/// `libfaketime`, which tells a program another time than it is; nats-server does not listen to it.
pub fn faketime() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten().map(|folder| folder.path());
    let folders = folders.chain([PathBuf::from("/usr/lib64")]);
    let mut libraries = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    libraries.find(|library| library.exists())
}

fn newest_postgres() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let version = |folder: fs::DirEntry| folder.file_name().to_str()?.parse::<u32>().ok();
    let newest = versions.filter_map(version).max()?;
    Some(Path::new("/usr/lib/postgresql").join(newest.to_string()).join("bin"))
}
