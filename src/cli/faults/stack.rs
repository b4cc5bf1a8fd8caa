//! A private stack of real servers in a folder of its own: all that a deployment has, to be broken.

mod disk;
mod part;
mod programs;

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
use sqlx::{Connection as _, Executor as _};
use tokio::{io::AsyncWriteExt as _, process::Command, sync::Mutex};
use tokio_util::task::TaskTracker;

pub(super) use self::part::Part;
use self::{
    disk::Disk,
    part::{Recipe, Sign},
    programs::Programs,
};
use super::super::{
    load::http::{Connection, Origin},
    rig::{
        line::{Line, Mode},
        ports::Port,
    },
};
use crate::clock;

/// As `./run` and the tests use it.
const NATS_CONF: &str = include_str!("../../../nats.conf");

/// The passwords of a stack that nobody else can reach.
const USERS: [(&str, &str); 6] = [
    ("GATEWAY", "gatewaypw"),
    ("PROJECTOR", "projectorpw"),
    ("OPS", "opspw"),
    ("ANALYTICS_OPS", "analyticsopspw"),
    ("ANALYST", "analystpw"),
    ("SYS", "syspw"),
];

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
    pub(super) lines: Vec<Line>,
    /// Where clients find the gateways.
    pub(super) origins: Vec<Arc<Origin>>,
    /// Where the projectors tell how far they are.
    admins: Vec<Arc<Origin>>,
    /// Copies of PostgreSQL's data, the oldest first.
    copies: Mutex<Vec<PathBuf>>,
    /// What the log is written to, if its size can be changed.
    pub(super) disk: Option<Disk>,
    postgres_folder: PathBuf,
    redis_folder: PathBuf,
    programs: Programs,
    settings: Vec<(String, String)>,
    nats_port: u16,
    redis_port: u16,
    folder: PathBuf,
    _ports: Vec<Port>,
}

impl Stack {
    /// Starts everything in `folder`; with a disk for the log that can be full, if that is wanted.
    pub(super) async fn start(
        folder: &Path,
        durability: &str,
        fills_disk: bool,
        tasks: &TaskTracker,
    ) -> anyhow::Result<Self> {
        let programs = Programs::find()?;
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
        let postgres = postgres(&programs, postgres_port, folder, &postgres_folder).await?;
        tokio::try_join!(nats.start(), redis.start())?;
        let settings = settings(folder, redis_port, postgres_port, &log_folder, durability);
        let faketime = programs.faketime.as_deref();
        let mut lines = Vec::new();
        for _ in 0..GATEWAYS + PROJECTORS {
            lines.push(Line::to(nats_port, tasks).await?);
        }
        let (mut gateways, mut projectors) = (Vec::new(), Vec::new());
        let (mut origins, mut admins) = (Vec::new(), Vec::new());
        for (number, line) in lines.iter().enumerate() {
            let mut own = settings.clone();
            let mut set = |key: &str, value: String| own.push((format!("HONGYAN__{key}"), value));
            set("NATS__URL", format!("nats://127.0.0.1:{}", line.port()));
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
            let recipe = Recipe {
                program: programs.hongyan.clone(),
                arguments: ["serve", "--role", role].map(str::to_owned).into(),
                environment: own,
                account: None,
            };
            let question =
                "GET /health/ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
            let sign = Sign::Answers(question.to_owned(), "HTTP/1.1 200");
            let part = Part::new(&name, recipe, admin, sign, folder).with_clock(faketime);
            if role == "gateway" { &mut gateways } else { &mut projectors }.push(part);
        }
        let stack = Self {
            nats: Mutex::new(nats),
            redis: Mutex::new(redis),
            postgres: Mutex::new(postgres),
            gateways: gateways.into_iter().map(Mutex::new).collect(),
            projectors: projectors.into_iter().map(Mutex::new).collect(),
            lines,
            origins,
            admins,
            copies: Mutex::default(),
            disk,
            postgres_folder,
            redis_folder,
            programs,
            settings,
            nats_port,
            redis_port,
            folder: folder.to_owned(),
            _ports: ports,
        };
        stack.command(&["migrate"]).await?;
        let services = stack.projectors.iter().chain(&stack.gateways);
        try_join_all(services.map(async |part| part.lock().await.start().await)).await?;
        Ok(stack)
    }

    /// Runs an operator's command to its end and returns what it prints.
    pub(super) async fn command(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut environment = self.settings.clone();
        let nats = format!("nats://127.0.0.1:{}", self.nats_port);
        environment.push(("HONGYAN__NATS__URL".to_owned(), nats));
        let recipe = Recipe {
            program: self.programs.hongyan.clone(),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            environment,
            account: None,
        };
        let mut command = Command::from(recipe.command());
        let output = command.stderr(Stdio::piped()).output().await?;
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
        fs::remove_dir_all(&self.redis_folder)?;
        fs::create_dir_all(&self.redis_folder)?;
        redis.start().await
    }

    /// Stops PostgreSQL, copies its data and starts it again.
    pub(super) async fn copy_postgres(&self) -> anyhow::Result<()> {
        let mut postgres = self.postgres.lock().await;
        postgres.stop(Signal::INT).await?;
        let mut copies = self.copies.lock().await;
        // The first one is kept: the older a state, the more has to be found out.
        if copies.len() > 2 {
            fs::remove_dir_all(copies.remove(1))?;
        }
        let copy = self.folder.join(format!("postgres-{}", clock::random_id().simple()));
        duplicate(&self.postgres_folder, &copy).await?;
        copies.push(copy);
        postgres.start().await
    }

    /// Has PostgreSQL come back as it was at a copy, chosen by number; `false` if there is none.
    pub(super) async fn restore_postgres(&self, number: usize) -> anyhow::Result<bool> {
        let mut postgres = self.postgres.lock().await;
        let copies = self.copies.lock().await;
        let Some(copy) = copies.get(number % copies.len().max(1)) else { return Ok(false) };
        postgres.kill();
        fs::remove_dir_all(&self.postgres_folder)?;
        duplicate(copy, &self.postgres_folder).await?;
        postgres.start().await?;
        Ok(true)
    }

    /// All services answer that they are ready.
    pub(super) async fn is_ready(&self) -> bool {
        let parts = self.gateways.iter().chain(&self.projectors);
        let ready = join_all(parts.map(async |part| part.lock().await.answers().await)).await;
        ready.into_iter().all(|ready| ready)
    }

    /// The read models have all that the log has: each is somebody's, whose word counts.
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
        parts.filter(|_| self.programs.faketime.is_some()).collect()
    }

    /// Ends everything, in order.
    pub(super) async fn end(&self) {
        for line in &self.lines {
            line.set(Mode::Cut);
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
    let conf = folder.join("nats.conf");
    fs::write(&conf, NATS_CONF)?;
    let text = |path: &Path| path.display().to_string();
    let recipe = Recipe {
        program: programs.nats.clone(),
        arguments: vec![
            "-c".to_owned(),
            text(&conf),
            "-a".to_owned(),
            "127.0.0.1".to_owned(),
            "-p".to_owned(),
            port.to_string(),
            "-sd".to_owned(),
            text(store),
        ],
        environment: USERS
            .iter()
            .map(|(user, word)| (format!("HONGYAN_NATS_{user}_PASSWORD"), (*word).to_owned()))
            .collect(),
        account: None,
    };
    Ok(Part::new("nats-server", recipe, port, Sign::Greets, folder))
}

fn redis(programs: &Programs, port: u16, folder: &Path, data: &Path) -> anyhow::Result<Part> {
    fs::create_dir_all(data)?;
    let arguments =
        format!("--bind 127.0.0.1 --port {port} --save  --appendonly yes --dir {}", data.display());
    let recipe = Recipe {
        program: programs.redis.clone(),
        arguments: arguments.split(' ').map(str::to_owned).collect(),
        environment: Vec::new(),
        account: None,
    };
    let sign = Sign::Answers("PING\r\n".to_owned(), "+PONG");
    Ok(Part::new("redis", recipe, port, sign, folder))
}

async fn postgres(
    programs: &Programs,
    port: u16,
    folder: &Path,
    data: &Path,
) -> anyhow::Result<Part> {
    match &programs.template {
        Some(template) => duplicate(template, data).await?,
        None => make_postgres(programs, data).await?,
    }
    let arguments = format!(
        "-D {} -p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off \
         -c full_page_writes=off -c max_connections=100 -c shared_buffers=64MB",
        data.display()
    );
    let recipe = Recipe {
        program: programs.postgres.join("postgres"),
        arguments: arguments.split(' ').map(str::to_owned).collect(),
        environment: Vec::new(),
        account: programs.account.clone(),
    };
    let url = format!("postgres://postgres@127.0.0.1:{port}/postgres?sslmode=disable");
    let mut postgres = Part::new("postgres", recipe, port, Sign::Sql(url.clone()), folder);
    postgres.start().await?;
    let mut connection = sqlx::PgConnection::connect(&url).await?;
    let known = "select 1 from pg_database where datname = 'hongyan'";
    if connection.fetch_optional(known).await?.is_none() {
        connection.execute("create database hongyan owner hongyan_owner").await?;
    }
    Ok(postgres)
}

/// A data folder with the roles that the service logs in as.
async fn make_postgres(programs: &Programs, data: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(data)?;
    if let Some(account) = &programs.account {
        run("chown", &[account, &data.display().to_string()]).await?;
    }
    let initdb = format!(
        "--username=postgres --encoding=UTF8 --lc-collate=C --lc-ctype=C.UTF-8 --auth=trust --no-sync -D {}",
        data.display()
    );
    let mut recipe = Recipe {
        program: programs.postgres.join("initdb"),
        arguments: initdb.split(' ').map(str::to_owned).collect(),
        environment: Vec::new(),
        account: programs.account.clone(),
    };
    let made = Command::from(recipe.command()).stderr(Stdio::piped()).output().await?;
    ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
    recipe.program = programs.postgres.join("postgres");
    let single = format!("--single -c fsync=off -D {} postgres", data.display());
    recipe.arguments = single.split(' ').map(str::to_owned).collect();
    let mut child = Command::from(recipe.command())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let roles = b"create role hongyan_owner login password 'owner'\n\
                  create role hongyan_gateway login password 'gateway'\n";
    child.stdin.take().context("a pipe was asked for")?.write_all(roles).await?;
    ensure!(child.wait().await?.success(), "PostgreSQL does not make its roles");
    Ok(())
}

/// Copies a data folder with its owners and permissions.
async fn duplicate(from: &Path, to: &Path) -> anyhow::Result<()> {
    let (from, to) = (from.display().to_string(), to.display().to_string());
    run("cp", &["-a", "--reflink=auto", &from, &to]).await
}

async fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().await;
    let output = output.with_context(|| format!("cannot run {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {}: {said}", arguments.join(" "));
    Ok(())
}

/// What every process of the service is told.
fn settings(
    folder: &Path,
    redis: u16,
    postgres: u16,
    store: &Path,
    durability: &str,
) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    let mut set = |key: &str, value: String| settings.push((format!("HONGYAN__{key}"), value));
    for (user, key) in [
        ("GATEWAY", "GATEWAY"),
        ("PROJECTOR", "PROJECTOR"),
        ("OPS", "OPS"),
        ("ANALYTICS_OPS", "ANALYTICS"),
    ] {
        let word = USERS.iter().find(|(name, _)| *name == user).map_or("", |(_, word)| word);
        set(&format!("NATS__{key}_PASSWORD"), word.to_owned());
    }
    let sql = |who: &str| format!("postgres://{who}@127.0.0.1:{postgres}/hongyan?sslmode=disable");
    set("POSTGRES__URL", sql("hongyan_owner:owner"));
    set("POSTGRES__READER_URL", sql("hongyan_gateway:gateway"));
    set("REDIS__URL", format!("redis://127.0.0.1:{redis}/0"));
    set("LOG__STORE_DIR", store.display().to_string());
    set("LOG__DURABILITY", durability.to_owned());
    set("AUTH__TOKEN_SECRET", "a secret of a stack that nobody else can reach".to_owned());
    set("AUTH__PASSWORD_PEPPER", "a pepper of the same stack".to_owned());
    set("AUTH__ARGON2_MEMORY_KIB", "64".to_owned());
    set("AUTH__ARGON2_PASSES", "1".to_owned());
    set("LIMITS__REQUESTS_PER_USER", "0".to_owned());
    set("LIMITS__REQUESTS_PER_ADDRESS", "0".to_owned());
    set("MEDIA__ROOT", folder.join("uploads").display().to_string());
    settings
}
