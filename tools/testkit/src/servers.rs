//! The servers that a private stack has: how each is called, and data that PostgreSQL can start with.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};

use crate::{process::ends_with_parent, programs::Programs};

/// The configuration of nats-server, as `./run` uses it.
pub const NATS_CONF: &str = include_str!("../../../nats.conf");

/// The accounts of [`NATS_CONF`]: the variable that holds a password, and the password in stacks that nobody else reaches.
pub const NATS_PASSWORDS: [(&str, &str); 6] = [
    ("HONGYAN_NATS_GATEWAY_PASSWORD", "gatewaypw"),
    ("HONGYAN_NATS_PROJECTOR_PASSWORD", "projectorpw"),
    ("HONGYAN_NATS_OPS_PASSWORD", "opspw"),
    ("HONGYAN_NATS_ANALYTICS_OPS_PASSWORD", "analyticsopspw"),
    ("HONGYAN_NATS_ANALYST_PASSWORD", "analystpw"),
    ("HONGYAN_NATS_SYS_PASSWORD", "syspw"),
];

/// Their passwords, for a PostgreSQL that only this machine reaches.
const ROLES: &str = "create role hongyan_owner login password 'owner'\n\
                     create role hongyan_gateway login password 'gateway'\n\
                     create database hongyan owner hongyan_owner\n";

/// A program, and how to call it.
#[derive(Debug, Clone)]
pub struct CommandSpec {
    /// Its file.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// What it is told besides, as environment variables.
    pub environment: Vec<(String, String)>,
    /// The account to run as, when we are root.
    pub account: Option<String>,
}

impl CommandSpec {
    /// A program with these arguments, as our own account.
    pub fn new<'a>(program: &Path, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            program: program.to_owned(),
            arguments: arguments.into_iter().map(str::to_owned).collect(),
            environment: Vec::new(),
            account: None,
        }
    }

    /// A command that the kernel ends when the thread that starts it dies, so that nothing survives us; without settings
    /// of whoever started us, but for what is logged.
    pub fn command(&self) -> Command {
        let mut command = ends_with_parent(&self.program, self.account.as_deref());
        for (key, _) in env::vars_os().filter(|(key, _)| {
            let key = key.to_string_lossy();
            let is_setting = key.starts_with("HONGYAN__") || key.starts_with("HONGYAN_NATS_");
            is_setting && !key.starts_with("HONGYAN__TELEMETRY__")
        }) {
            command.env_remove(key);
        }
        command.args(&self.arguments).current_dir("/").stdin(Stdio::null());
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        command
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// nats-server with a configuration file, which stores its streams in `store`.
pub fn nats(programs: &Programs, configuration: &Path, store: &Path, port: u16) -> CommandSpec {
    let (port, configuration, store) = (port.to_string(), text(configuration), text(store));
    let arguments = ["-c", &configuration, "-a", "127.0.0.1", "-p", &port, "-sd", &store];
    let mut spec = CommandSpec::new(&programs.nats, arguments);
    let passwords = NATS_PASSWORDS.iter();
    spec.environment =
        passwords.map(|(key, word)| ((*key).to_owned(), (*word).to_owned())).collect();
    spec
}

/// Redis, which keeps its data in a folder that is there.
pub fn redis(programs: &Programs, data: &Path, port: u16) -> CommandSpec {
    let (port, data) = (port.to_string(), text(data));
    let arguments = ["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "yes"];
    CommandSpec::new(&programs.redis, arguments.into_iter().chain(["--dir", &data]))
}

/// PostgreSQL on data that [`postgres_data`] made, with settings of its own. Nobody relies on its disk.
pub fn postgres(programs: &Programs, data: &Path, port: u16, own: &[&str]) -> CommandSpec {
    let (port, data) = (port.to_string(), text(data));
    let all = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"];
    let settings = all.iter().chain(&["full_page_writes=off"]).chain(own);
    let settings = settings.flat_map(|setting| ["-c", setting]);
    let arguments = ["-D", &data, "-p", &port].into_iter().chain(settings);
    let account = programs.account.clone();
    CommandSpec { account, ..CommandSpec::new(&programs.postgres.join("postgres"), arguments) }
}

/// Makes a data folder with the roles and the database of the service: a copy of a template, which is made once.
///
/// # Errors
/// What PostgreSQL's own programs say.
pub fn postgres_data(programs: &Programs, data: &Path) -> anyhow::Result<()> {
    let template = match &programs.template {
        Some(template) => template.clone(),
        None => own_template(programs)?,
    };
    copy_data(&template, data)?;
    hand_over(programs, data)?;
    run(Command::new("chmod").arg("0700").arg(data))
}

/// Copies a data folder with its owners and permissions.
///
/// # Errors
/// What `cp` says.
pub fn copy_data(from: &Path, to: &Path) -> anyhow::Result<()> {
    run(Command::new("cp").args(["-a", "--reflink=auto"]).arg(from).arg(to))
}

/// A template of our own, shared by all processes of this account.
fn own_template(programs: &Programs) -> anyhow::Result<PathBuf> {
    let uid = rustix::process::geteuid().as_raw();
    let home = env::temp_dir().join(format!("hongyan-test-template-{uid}"));
    fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
    let lock = File::create(home.join("lock"))?;
    lock.lock()?;
    let finished = home.join("data");
    if !finished.join("PG_VERSION").exists() {
        let draft = home.join("draft");
        _ = fs::remove_dir_all(&draft);
        make_template(programs, &draft)?;
        fs::rename(&draft, &finished)?;
    }
    Ok(finished)
}

fn make_template(programs: &Programs, folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    hand_over(programs, folder)?;
    let place = text(folder);
    let called = |program: &str, arguments: &[&str]| {
        let arguments = arguments.iter().copied().chain(["-D", &place]);
        let spec = CommandSpec::new(&programs.postgres.join(program), arguments);
        CommandSpec { account: programs.account.clone(), ..spec }.command()
    };
    let locale = ["--encoding=UTF8", "--lc-collate=C", "--lc-ctype=C.UTF-8"];
    let rest = ["--username=postgres", "--auth=trust", "--no-sync", "--wal-segsize=1"];
    run(&mut called("initdb", &[&locale[..], &rest].concat()))?;
    let access = "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
    fs::write(folder.join("pg_hba.conf"), access)?;
    let statements = folder.join("roles.sql");
    fs::write(&statements, ROLES)?;
    let mut single = called("postgres", &["--single", "-c", "fsync=off"]);
    run(single.arg("postgres").stdin(File::open(&statements)?))
}

/// Gives a folder to the account that PostgreSQL runs as.
fn hand_over(programs: &Programs, folder: &Path) -> anyhow::Result<()> {
    match &programs.account {
        Some(account) => run(Command::new("chown").arg("-R").arg(account).arg(folder)),
        None => Ok(()),
    }
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {complaint}");
    Ok(())
}
