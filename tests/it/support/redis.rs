//! A private Redis.

use std::path::{Path, PathBuf};

use testkit::{ports::Port, servers};

use super::{
    nats::programs,
    process::{Process, until},
};

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

    /// A connection for looking inside. On a busy machine a fork takes longer than the library's half a second.
    pub async fn connect(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.url()).expect("the address is well-formed");
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
        client.get_multiplexed_async_connection_with_config(&config).await.expect("Redis answers")
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
    let mut command = servers::redis(&programs(), folder, port).command();
    Process::spawn("Redis", &mut command, &folder.with_extension("log"))
}
