//! A private Redis.

use hongyan::cli::rig::ports::Port;
use std::path::{Path, PathBuf};

use super::process::{Process, mortal, until};

/// The store of sessions, presence, queues and chat logs.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    port: Port,
    folder: PathBuf,
}

impl Redis {
    /// Starts one in `folder`.
    pub async fn start(folder: &Path) -> Self {
        loop {
            let port = Port::take().expect("a free port");
            let mut redis =
                Self { process: spawn(folder, port.number()), port, folder: folder.to_owned() };
            if redis.ready().await {
                return redis;
            }
        }
    }

    /// `redis://127.0.0.1:…/0`
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port.number())
    }

    /// A connection for looking inside.
    pub async fn connect(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.url()).expect("the address is well-formed");
        client.get_multiplexed_async_connection().await.expect("Redis answers")
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

    /// Kills it and starts it empty, as a cache whose disk was lost.
    pub async fn wipe(&mut self) {
        self.process.kill9();
        std::fs::remove_dir_all(&self.folder).expect("the data can be removed");
        std::fs::create_dir_all(&self.folder).expect("the folder can be made");
        self.start_again().await;
    }

    async fn ready(&mut self) -> bool {
        let client = redis::Client::open(self.url()).expect("the address is well-formed");
        until("Redis answers", async || {
            if !self.process.is_alive() {
                let tail = self.process.log_tail();
                assert!(tail.contains("Address already in use"), "Redis ended:\n{tail}");
                return Some(false);
            }
            let mut connection = client.get_multiplexed_async_connection().await.ok()?;
            let pong: Result<String, _> = redis::cmd("PING").query_async(&mut connection).await;
            pong.is_ok().then_some(true)
        })
        .await
    }
}

fn spawn(folder: &Path, port: u16) -> Process {
    std::fs::create_dir_all(folder).expect("the folder can be made");
    let named = std::env::var_os("HONGYAN_TEST_REDIS_SERVER").map(PathBuf::from);
    let mut command = mortal(named.unwrap_or_else(|| PathBuf::from("redis-server")));
    command.args([
        "--bind",
        "127.0.0.1",
        "--port",
        &port.to_string(),
        "--save",
        "",
        "--appendonly",
        "yes",
        "--dir",
    ]);
    command.arg(folder);
    Process::spawn("Redis", &mut command, &folder.with_extension("log"))
}
