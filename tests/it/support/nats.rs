//! A private nats-server with the repository's `nats.conf`.

use hongyan::cli::rig::ports::Port;
use std::path::{Path, PathBuf};

use super::process::{Process, find_in_path, mortal, until};

/// The accounts of `nats.conf`: the variable that holds a password, and the password in tests.
pub const PASSWORDS: [(&str, &str); 6] = [
    ("HONGYAN_NATS_GATEWAY_PASSWORD", "gatewaypw"),
    ("HONGYAN_NATS_PROJECTOR_PASSWORD", "projectorpw"),
    ("HONGYAN_NATS_OPS_PASSWORD", "opspw"),
    ("HONGYAN_NATS_ANALYTICS_OPS_PASSWORD", "analyticsopspw"),
    ("HONGYAN_NATS_ANALYST_PASSWORD", "analystpw"),
    ("HONGYAN_NATS_SYS_PASSWORD", "syspw"),
];

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
    let mut command = mortal(binary());
    command.arg("-c").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("nats.conf"));
    command.args(["-a", "127.0.0.1", "-p", &port.to_string(), "-sd"]).arg(folder).envs(PASSWORDS);
    Process::spawn("nats-server", &mut command, &folder.with_extension("log"))
}

/// The program.
pub fn binary() -> PathBuf {
    let named =
        ["HONGYAN_TEST_NATS_SERVER", "NATS_SERVER_BIN"].into_iter().find_map(std::env::var_os);
    named
        .map(PathBuf::from)
        .or_else(newest_of_ours)
        .or_else(|| find_in_path("nats-server"))
        .expect("nats-server: none in HONGYAN_TEST_NATS_SERVER, .hongyan/bin or PATH; `scripts/setup` brings one")
}

/// What `scripts/setup` brought: its name ends with its version.
fn newest_of_ours() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".hongyan/bin");
    let files = std::fs::read_dir(folder).ok()?.flatten().map(|file| file.path());
    let name = |file: &PathBuf| {
        file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("nats-server"))
    };
    files.filter(name).max()
}
