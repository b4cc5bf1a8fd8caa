//! The binary under test: as a server, and as a command line.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use testkit::{ports::Port, servers::NATS_PASSWORDS};

use super::process::{Process, ends_with_parent, patience, until};
use super::servers::Servers;

/// Settings of a service, as environment variables.
pub type Settings = Vec<(String, String)>;

/// One running `hongyan serve`.
#[derive(Debug)]
pub struct Service {
    process: Process,
    role: &'static str,
    settings: Settings,
    log: PathBuf,
    listen: Port,
    admin: Port,
}

impl Service {
    /// Starts one and waits until it is ready. `role` is `all`, `gateway` or `projector`.
    pub async fn start(name: &str, role: &'static str, settings: Settings, folder: &Path) -> Self {
        let log = folder.join(format!("{name}.log"));
        loop {
            let (listen, admin) =
                (Port::take().expect("a free port"), Port::take().expect("a free port"));
            let process = spawn(role, &settings, &log, &listen, &admin);
            let mut service =
                Self { process, role, settings: settings.clone(), log: log.clone(), listen, admin };
            if service.ready().await {
                return service;
            }
        }
    }

    /// `http://127.0.0.1:…` for clients.
    pub fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.listen.number())
    }

    /// The most memory that it has had since its start.
    pub fn most_memory_mib(&self) -> u64 {
        self.process.most_memory_mib()
    }

    /// `http://127.0.0.1:…` for operators.
    pub fn admin_origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.admin.number())
    }

    /// The process, to be killed or frozen.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Starts it again after its end, on the same ports, and waits until it is ready.
    pub async fn start_again(&mut self) {
        self.process = spawn(self.role, &self.settings, &self.log, &self.listen, &self.admin);
        assert!(self.ready().await, "the ports were taken meanwhile:\n{}", self.process.log_tail());
    }

    /// Starts it again after its end with settings of its own, and waits for nothing.
    pub fn start_again_alone(&mut self, own: &[(&str, &str)]) {
        let mut settings = self.settings.clone();
        settings
            .extend(own.iter().map(|(key, value)| (format!("HONGYAN__{key}"), (*value).into())));
        self.process = spawn(self.role, &settings, &self.log, &self.listen, &self.admin);
    }

    /// Starts it again after its end, and waits until its start has come to its end and a gateway serves, ready or not.
    pub async fn start_again_and_answer(&mut self) {
        self.process = spawn(self.role, &self.settings, &self.log, &self.listen, &self.admin);
        let (client, url) = (super::api::client(), format!("{}/health/ready", self.admin_origin()));
        let started = async || {
            let health: Value = client.get(&url).send().await.ok()?.json().await.ok()?;
            let serves = self.role == "projector" || health["parts"]["gateway"] == true;
            (health["started"] == true && serves).then_some(())
        };
        until("the service has started", started).await;
    }

    /// Waits until it says that it is ready; `false` when somebody else holds its ports.
    pub async fn ready(&mut self) -> bool {
        let client = super::api::client();
        let url = format!("{}/health/ready", self.admin_origin());
        until("the service is ready", async || {
            if !self.process.is_alive() {
                let tail = self.process.log_tail();
                assert!(
                    tail.to_lowercase().contains("address already in use"),
                    "the service ended:\n{tail}"
                );
                return Some(false);
            }
            let reply = client.get(&url).send().await.ok()?;
            reply.status().is_success().then_some(true)
        })
        .await
    }
}

/// What every process of the binary needs to know.
pub fn settings(servers: &Servers, own: &[(&str, &str)]) -> Settings {
    let mut settings: Settings = Vec::new();
    let mut set = |key: &str, value: String| settings.push((format!("HONGYAN__{key}"), value));
    set("NATS__URL", servers.nats.url());
    for (user, index) in [("GATEWAY", 0), ("PROJECTOR", 1), ("OPS", 2), ("ANALYTICS", 3)] {
        set(&format!("NATS__{user}_PASSWORD"), NATS_PASSWORDS[index].1.to_owned());
    }
    set("POSTGRES__URL", servers.postgres.owner_url());
    set("POSTGRES__READER_URL", servers.postgres.reader_url());
    set("POSTGRES__MAX_CONNECTIONS", "5".to_owned());
    set("REDIS__URL", servers.redis.url());
    set("LOG__STORE_DIR", servers.nats.store_dir().display().to_string());
    set("LOG__DURABILITY", "acked".to_owned());
    set("AUTH__TOKEN_SECRET", "a secret of the tests, of no use elsewhere".to_owned());
    set("AUTH__PASSWORD_PEPPER", "a pepper of the tests".to_owned());
    set("ANALYTICS__PSEUDONYM_SECRET", "a secret of the tests, of no use elsewhere".to_owned());
    set("AUTH__ARGON2_MEMORY_KIB", "64".to_owned());
    set("AUTH__ARGON2_PASSES", "1".to_owned());
    set("MEDIA__ROOT", servers.uploads().display().to_string());
    set("PROJECTIONS__VERIFY_EVERY_S", "0".to_owned()); // or a test does more in some hours than in others
    // On a busy machine; what is promised within these times has tests with times of their own.
    set("PROJECTIONS__WAIT_MS", "10000".to_owned());
    set("AUTH__PASSWORD_WAIT_MS", "60000".to_owned());
    set("LOG__APPEND_TIMEOUT_MS", "60000".to_owned());
    set("SERVER__SHUTDOWN_GRACE_S", "60".to_owned());
    for (key, value) in own {
        set(key, (*value).to_owned());
    }
    settings
}

/// What a command of the binary left behind.
#[derive(Debug)]
pub struct Ran {
    /// Whether it ended with 0.
    pub success: bool,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Ran {
    /// What it printed, if it ended well.
    #[track_caller]
    pub fn ok(self) -> String {
        assert!(self.success, "the command failed:\n{}\n{}", self.stdout, self.stderr);
        self.stdout
    }

    /// The JSON that it printed, if it ended well.
    #[track_caller]
    pub fn json(self) -> Value {
        let text = self.ok();
        serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{error} in what was printed: {text}"))
    }
}

/// Runs the binary with `arguments` and `input` to its end.
pub async fn cli(settings: &Settings, arguments: &[&str], input: &str) -> Ran {
    run_to_end(hongyan(settings), arguments, input).await
}

/// Begins to run the binary with `arguments`.
pub fn cli_process(settings: &Settings, arguments: &[&str], log: &Path) -> Process {
    Process::spawn("a command", hongyan(settings).args(arguments), log)
}

/// Runs a program of `tools/` to its end, told of the servers as the binary is.
pub async fn tool(name: &str, settings: &Settings, arguments: &[&str]) -> Ran {
    let program = Path::new(env!("CARGO_BIN_EXE_hongyan")).with_file_name(name);
    assert!(program.is_file(), "{} is not built: cargo build --workspace", program.display());
    run_to_end(with_settings(&program, settings), arguments, "").await
}

async fn run_to_end(mut command: Command, arguments: &[&str], input: &str) -> Ran {
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let input = input.to_owned();
    let finished = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn()?;
        let written = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
        drop(written); // a command that reads nothing may be over
        child.wait_with_output()
    });
    let output = tokio::time::timeout(5 * patience(), finished).await; // some do a lot
    let output = output.unwrap_or_else(|_| panic!("`{}` does not end", arguments.join(" ")));
    let output = output.expect("waiting does not panic").expect("the binary starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran {
        success: output.status.success(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

fn spawn(role: &str, settings: &Settings, log: &Path, listen: &Port, admin: &Port) -> Process {
    let mut command = hongyan(settings);
    command.args(["serve", "--role", role]);
    command.env("HONGYAN__SERVER__LISTEN", format!("127.0.0.1:{}", listen.number()));
    command.env("HONGYAN__SERVER__ADMIN_LISTEN", format!("127.0.0.1:{}", admin.number()));
    Process::spawn(&format!("hongyan ({role})"), &mut command, log)
}

fn hongyan(settings: &Settings) -> Command {
    with_settings(Path::new(env!("CARGO_BIN_EXE_hongyan")), settings)
}

fn with_settings(program: &Path, settings: &Settings) -> Command {
    let mut command = ends_with_parent(program);
    for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("HONGYAN__")) {
        command.env_remove(key);
    }
    command.envs(settings.iter().map(|(key, value)| (key, value)));
    command
}
