//! The stack of a run: real servers in a folder of its own: all that a deployment has, to be broken.

mod disk;
mod part;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
};

use anyhow::{Context as _, ensure};
use futures_util::future::{join_all, try_join_all};
use rustix::process::Signal;
use serde_json::Value;
use testkit::{
    chaos_proxy::{ChaosProxy, Mode},
    client::http::{Connection, Origin},
    ports::Port,
    programs::{self, Programs},
    servers::{self, CommandSpec},
};
use tokio::{io::AsyncWriteExt as _, process::Command, sync::Mutex, task::spawn_blocking};
use tokio_util::task::TaskTracker;

pub(super) use self::part::Part;
use self::{disk::Disk, part::ReadyCheck};

/// Asks PostgreSQL for a session of its superuser: length, version 3.0 of the protocol, parameters.
const POSTGRES_STARTUP: &[u8] = b"\0\0\0\x29\0\x03\0\0user\0postgres\0database\0postgres\0\0";
/// `AuthenticationOk`.
const POSTGRES_WELCOME: &[u8] = b"R\0\0\0\x08\0\0\0\0";
const ARE_YOU_READY: &[u8] =
    b"GET /health/ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

const GATEWAYS: usize = 2;
const PROJECTORS: usize = 2;

/// A running stack.
pub(super) struct Stack {
    pub(super) nats: Mutex<Part>,
    pub(super) redis: Mutex<Part>,
    pub(super) postgres: Mutex<Part>,
    pub(super) gateways: Vec<Mutex<Part>>,
    pub(super) projectors: Vec<Mutex<Part>>,
    /// Between nats-server and each gateway, then each projector.
    pub(super) proxies: Vec<ChaosProxy>,
    /// Where clients find the gateways.
    pub(super) origins: Vec<Arc<Origin>>,
    /// Where the projectors answer how far they are.
    admins: Vec<Arc<Origin>>,
    /// What the log is written to, if its size can be changed.
    pub(super) disk: Option<Disk>,
    postgres_data: Data,
    redis_data: Data,
    hongyan: PathBuf,
    has_clocks: bool,
    settings: Vec<(String, String)>,
    nats_port: u16,
    redis_port: u16,
    _ports: Vec<Port>,
}

/// The data of a store that can come back as it was.
struct Data {
    folder: PathBuf,
    /// Copies, the oldest first.
    copies: Mutex<Vec<PathBuf>>,
}

/// A store that can come back as it was.
#[derive(Debug, Clone, Copy)]
pub(super) enum RestorableStore {
    Postgres,
    Redis,
}

impl Data {
    fn of(folder: PathBuf) -> Self {
        Self { folder, copies: Mutex::default() }
    }
}

impl Stack {
    /// Starts everything in `folder`; with a disk for the log that can be full, if that is wanted.
    pub(super) async fn start(
        folder: &Path,
        durability: &str,
        fills_disk: bool,
        tasks: &TaskTracker,
    ) -> anyhow::Result<Self> {
        let (programs, hongyan) = (Programs::find()?, programs::hongyan()?);
        let mut ports = Vec::new();
        for _ in 0..3 + 2 * GATEWAYS + PROJECTORS {
            ports.push(Port::take()?);
        }
        let mut numbers = ports.iter().map(Port::number);
        let mut port = || numbers.next().expect("as many as were taken");
        let (nats_port, redis_port, postgres_port) = (port(), port(), port());
        let log_folder = folder.join("log");
        fs::create_dir_all(&log_folder)?;
        let disk = if fills_disk { Disk::mount(&log_folder).await } else { None };
        let mut nats = nats(&programs, nats_port, folder, &log_folder)?;
        let redis_folder = folder.join("redis");
        let mut redis = redis(&programs, redis_port, folder, &redis_folder)?;
        let postgres_folder = folder.join("postgres");
        let mut postgres = postgres(&programs, postgres_port, folder, &postgres_folder)?;
        tokio::try_join!(nats.start(), redis.start(), postgres.start())?;
        let settings = settings(folder, redis_port, postgres_port, &log_folder, durability);
        let faketime = programs::faketime();
        let mut proxies = Vec::new();
        for _ in 0..GATEWAYS + PROJECTORS {
            proxies.push(ChaosProxy::to(nats_port, tasks).await?);
        }
        let (mut gateways, mut projectors) = (Vec::new(), Vec::new());
        let (mut origins, mut admins) = (Vec::new(), Vec::new());
        for (number, proxy) in proxies.iter().enumerate() {
            let mut own = settings.clone();
            let mut set = |key: &str, value: String| own.push((format!("HONGYAN__{key}"), value));
            set("NATS__URL", format!("nats://127.0.0.1:{}", proxy.port()));
            let (role, name) = if number < GATEWAYS {
                let listen = port();
                set("SERVER__LISTEN", format!("127.0.0.1:{listen}"));
                origins.push(Origin::resolve(&format!("http://127.0.0.1:{listen}")).await?);
                ("gateway", format!("gateway-{number}"))
            } else {
                ("projector", format!("projector-{}", number - GATEWAYS))
            };
            let admin = port();
            if role == "projector" {
                admins.push(Origin::resolve(&format!("http://127.0.0.1:{admin}/positions")).await?);
            }
            set("SERVER__ADMIN_LISTEN", format!("127.0.0.1:{admin}"));
            let mut spec = CommandSpec::new(&hongyan, ["serve", "--role", role]);
            spec.environment = own;
            let ready_check = ReadyCheck::Answers(ARE_YOU_READY, b"HTTP/1.1 200");
            let part =
                Part::new(&name, spec, admin, ready_check, folder).with_clock(faketime.as_deref());
            if role == "gateway" { &mut gateways } else { &mut projectors }.push(part);
        }
        let stack = Self {
            nats: Mutex::new(nats),
            redis: Mutex::new(redis),
            postgres: Mutex::new(postgres),
            gateways: gateways.into_iter().map(Mutex::new).collect(),
            projectors: projectors.into_iter().map(Mutex::new).collect(),
            proxies,
            origins,
            admins,
            disk,
            postgres_data: Data::of(postgres_folder),
            redis_data: Data::of(redis_folder),
            hongyan,
            has_clocks: faketime.is_some(),
            settings,
            nats_port,
            redis_port,
            _ports: ports,
        };
        stack.command(&["migrate"]).await?;
        let services = stack.projectors.iter().chain(&stack.gateways);
        try_join_all(services.map(async |part| part.lock().await.start().await)).await?;
        Ok(stack)
    }

    /// Runs an operator's command to its end and returns what it prints.
    pub(super) async fn command(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.command_told(arguments, String::new()).await
    }

    /// The same with something on its standard input.
    pub(super) async fn command_told(
        &self,
        arguments: &[&str],
        input: String,
    ) -> anyhow::Result<String> {
        let mut environment = self.settings.clone();
        let nats = format!("nats://127.0.0.1:{}", self.nats_port);
        environment.push(("HONGYAN__NATS__URL".to_owned(), nats));
        let mut spec = CommandSpec::new(&self.hongyan, arguments.iter().copied());
        spec.environment = environment;
        let mut command = Command::from(spec.command());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let mut stdin = child.stdin.take().context("it has a standard input")?;
        let telling = async move {
            // Who ends early reads no more.
            _ = stdin.write_all(input.as_bytes()).await;
        };
        let (output, ()) = tokio::join!(child.wait_with_output(), telling);
        let output = output?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        let (said, complained) = (text(&output.stdout), text(&output.stderr));
        ensure!(output.status.success(), "{}: {said} {complained}", arguments.join(" "));
        Ok(said)
    }

    /// Redis loses everything, and goes on or comes back.
    pub(super) async fn empty_redis(&self, at_once: bool) -> anyhow::Result<()> {
        let mut redis = self.redis.lock().await;
        if at_once {
            let address = ("127.0.0.1", self.redis_port);
            let mut stream = tokio::net::TcpStream::connect(address).await?;
            stream.write_all(b"FLUSHALL\r\n").await?;
            let mut answer = [0; 3];
            tokio::io::AsyncReadExt::read_exact(&mut stream, &mut answer).await?;
            ensure!(&answer == b"+OK", "Redis does not let itself be emptied");
            return Ok(());
        }
        redis.kill();
        fs::remove_dir_all(&self.redis_data.folder)?;
        fs::create_dir_all(&self.redis_data.folder)?;
        redis.start().await
    }

    /// Has a store come back as it was at one of its copies, and copies it, the first time and now and then.
    pub(super) async fn restore(
        &self,
        store: RestorableStore,
        number: usize,
        copies_it: bool,
    ) -> anyhow::Result<()> {
        let (part, data, stop) = match store {
            RestorableStore::Postgres => (&self.postgres, &self.postgres_data, Signal::INT),
            RestorableStore::Redis => (&self.redis, &self.redis_data, Signal::TERM),
        };
        let mut part = part.lock().await;
        let mut copies = data.copies.lock().await;
        if let Some(copy) = copies.get(number % copies.len().max(1)) {
            part.kill();
            fs::remove_dir_all(&data.folder)?;
            duplicate(copy, &data.folder).await?;
            part.start().await?;
            if !copies_it {
                return Ok(());
            }
        }
        part.stop(stop).await?;
        // The first one is kept: the older a state, the more has to be found out.
        if copies.len() > 2 {
            fs::remove_dir_all(copies.remove(1))?;
        }
        let copy = data.folder.with_extension(testkit::clock::random_id().simple().to_string());
        duplicate(&data.folder, &copy).await?;
        copies.push(copy);
        part.start().await
    }

    /// All services answer that they are ready.
    pub(super) async fn is_ready(&self) -> bool {
        let parts = self.gateways.iter().chain(&self.projectors);
        let ready = join_all(parts.map(async |part| part.lock().await.answers().await)).await;
        ready.into_iter().all(|ready| ready)
    }

    /// The read models have all that the log has: each is run by one projector, whose position counts.
    pub(super) async fn has_caught_up(&self) -> bool {
        let mut lags: BTreeMap<String, u64> = BTreeMap::new();
        for admin in &self.admins {
            let Ok(answer) = Connection::to(admin).get(None, None).await else { continue };
            let positions: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            for (name, one) in positions["projections"].as_object().into_iter().flatten() {
                let lag = lags.entry(name.clone()).or_insert(u64::MAX);
                *lag = one["lag"].as_u64().unwrap_or(u64::MAX).min(*lag);
            }
        }
        !lags.is_empty() && lags.values().all(|lag| *lag == 0)
    }

    /// All parts whose clock can be set.
    pub(super) fn with_clocks(&self) -> Vec<&Mutex<Part>> {
        let parts = self.gateways.iter().chain(&self.projectors);
        parts.filter(|_| self.has_clocks).collect()
    }

    /// Ends everything, in order.
    pub(super) async fn end(&self) {
        for proxy in &self.proxies {
            proxy.set(Mode::Cut);
        }
        let servers = [&self.nats, &self.redis, &self.postgres];
        for part in self.gateways.iter().chain(&self.projectors).chain(servers) {
            part.lock().await.kill();
        }
        if let Some(disk) = &self.disk {
            disk.unmount().await;
        }
    }
}

fn nats(programs: &Programs, port: u16, folder: &Path, store: &Path) -> anyhow::Result<Part> {
    let configuration = folder.join("nats.conf");
    fs::write(&configuration, servers::NATS_CONF)?;
    let spec = servers::nats(programs, &configuration, store, port);
    Ok(Part::new("nats-server", spec, port, ReadyCheck::Greets, folder))
}

fn redis(programs: &Programs, port: u16, folder: &Path, data: &Path) -> anyhow::Result<Part> {
    fs::create_dir_all(data)?;
    let spec = servers::redis(programs, data, port);
    Ok(Part::new("redis", spec, port, ReadyCheck::Answers(b"PING\r\n", b"+PONG"), folder))
}

fn postgres(programs: &Programs, port: u16, folder: &Path, data: &Path) -> anyhow::Result<Part> {
    servers::postgres_data(programs, data)?;
    let own = ["max_connections=100", "shared_buffers=64MB"];
    let spec = servers::postgres(programs, data, port, &own);
    let ready_check = ReadyCheck::Answers(POSTGRES_STARTUP, POSTGRES_WELCOME);
    Ok(Part::new("postgres", spec, port, ready_check, folder))
}

/// Not on the thread of whoever waits: a child ends with the thread that has started it, so those have to stay.
async fn duplicate(from: &Path, to: &Path) -> anyhow::Result<()> {
    let (from, to) = (from.to_owned(), to.to_owned());
    spawn_blocking(move || servers::copy_data(&from, &to)).await?
}

async fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().await;
    let output = output.with_context(|| format!("cannot run {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {}: {said}", arguments.join(" "));
    Ok(())
}

/// The settings of every process of the service.
fn settings(
    folder: &Path,
    redis: u16,
    postgres: u16,
    store: &Path,
    durability: &str,
) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    let mut set = |key: &str, value: String| settings.push((format!("HONGYAN__{key}"), value));
    let users = ["GATEWAY", "PROJECTOR", "OPS", "ANALYTICS"];
    for (user, (_, password)) in users.iter().zip(servers::NATS_PASSWORDS) {
        set(&format!("NATS__{user}_PASSWORD"), password.to_owned());
    }
    let sql = |who: &str| format!("postgres://{who}@127.0.0.1:{postgres}/hongyan?sslmode=disable");
    set("POSTGRES__URL", sql("hongyan_owner:owner"));
    set("POSTGRES__READER_URL", sql("hongyan_gateway:gateway"));
    set("REDIS__URL", format!("redis://127.0.0.1:{redis}/0"));
    set("LOG__STORE_DIR", store.display().to_string());
    set("LOG__DURABILITY", durability.to_owned());
    set("AUTH__TOKEN_SECRET", "a secret of a stack that nobody else can reach".to_owned());
    set("AUTH__PASSWORD_PEPPER", "a pepper of the same stack".to_owned());
    set("ANALYTICS__PSEUDONYM_SECRET", "a secret of a stack that nobody else can reach".to_owned());
    set("AUTH__ARGON2_MEMORY_KIB", "64".to_owned());
    set("AUTH__ARGON2_PASSES", "1".to_owned());
    set("LIMITS__REQUESTS_PER_USER", "0".to_owned());
    set("LIMITS__REQUESTS_PER_ADDRESS", "0".to_owned());
    set("PROJECTIONS__VERIFY_EVERY_S", "0".to_owned()); // or a seed does more in some hours than in others
    set("MEDIA__ROOT", folder.join("uploads").display().to_string());
    settings
}
