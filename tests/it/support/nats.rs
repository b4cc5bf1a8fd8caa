//! A private nats-server with the repository's `nats.conf`.

use std::path::{Path, PathBuf};

use testkit::{ports::Port, programs::Programs, servers};

use super::process::{Process, until};

/// The event log's server.
#[derive(Debug)]
pub struct Nats {
    process: Process,
    port: Port,
    folder: PathBuf,
}

impl Nats {
    /// Starts one in `folder`.
    pub async fn start(folder: &Path) -> Self {
        loop {
            let port = Port::take().expect("a free port");
            let mut nats =
                Self { process: spawn(folder, port.number()), port, folder: folder.to_owned() };
            if nats.ready().await {
                return nats;
            }
        }
    }

    /// `nats://127.0.0.1:…`
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port.number())
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Where it stores its streams.
    pub fn store_dir(&self) -> PathBuf {
        self.folder.clone()
    }

    /// Connects as one of the users of `nats.conf`.
    pub async fn connect(&self, user: &str, password: &str) -> async_nats::Client {
        self.try_connect(user, password).await.expect("nats-server lets its users in")
    }

    /// The same, if the server agrees.
    pub async fn try_connect(
        &self,
        user: &str,
        password: &str,
    ) -> Result<async_nats::Client, async_nats::ConnectError> {
        let options = async_nats::ConnectOptions::with_user_and_password(
            user.to_owned(),
            password.to_owned(),
        );
        options.custom_inbox_prefix(format!("_INBOX_{user}")).connect(self.url()).await
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

    /// Whether it answers; `false` when it ended instead.
    async fn ready(&mut self) -> bool {
        let address = ("127.0.0.1", self.port.number());
        until("nats-server greets", async || {
            if !self.process.is_alive() {
                let tail = self.process.log_tail();
                assert!(tail.contains("address already in use"), "nats-server ended:\n{tail}");
                return Some(false);
            }
            let mut stream = tokio::net::TcpStream::connect(address).await.ok()?;
            let mut greeting = [0; 5];
            tokio::io::AsyncReadExt::read_exact(&mut stream, &mut greeting).await.ok()?;
            (greeting == *b"INFO ").then_some(true)
        })
        .await
    }
}

fn spawn(folder: &Path, port: u16) -> Process {
    let configuration = Path::new(env!("CARGO_MANIFEST_DIR")).join("nats.conf");
    let mut command = servers::nats(&programs(), &configuration, folder, port).command();
    Process::spawn("nats-server", &mut command, &folder.with_extension("log"))
}

/// The programs of the servers.
pub fn programs() -> Programs {
    Programs::find().expect("`scripts/setup --test` brings the servers")
}
