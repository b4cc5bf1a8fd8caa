//! One child process: how it starts, when it answers, and what is done to it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::cli::rig::{mortal, signal_family};

/// How long a part may take to answer. A read model that is built anew is not waited for here.
const PATIENCE: Duration = Duration::from_mins(3);

/// A program, and how to call it.
#[derive(Debug, Clone)]
pub(super) struct Recipe {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    /// The account to run as, when we are root.
    pub(super) account: Option<String>,
}

impl Recipe {
    /// A command that the kernel ends when the thread that starts it dies, so that nothing survives us.
    pub(super) fn command(&self) -> Command {
        let mut command = mortal(&self.program, self.account.as_deref());
        for (key, _) in std::env::vars_os().filter(|(key, _)| {
            let key = key.to_string_lossy();
            key.starts_with("HONGYAN__") || key.starts_with("HONGYAN_NATS_")
        }) {
            command.env_remove(key);
        }
        command.args(&self.arguments).current_dir("/").stdin(Stdio::null());
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        command
    }
}

/// How a part says that it is there.
#[derive(Debug, Clone)]
pub(super) enum Sign {
    /// Speaks first when somebody connects.
    Greets,
    /// Answers these bytes with those.
    Answers(String, &'static str),
    /// Lets somebody log in.
    Sql(String),
}

/// One process of the stack.
#[derive(Debug)]
pub(in crate::cli::faults) struct Part {
    pub(in crate::cli::faults) name: String,
    recipe: Recipe,
    port: u16,
    sign: Sign,
    log: PathBuf,
    child: Option<Child>,
}

impl Part {
    pub(super) fn new(name: &str, recipe: Recipe, port: u16, sign: Sign, folder: &Path) -> Self {
        let log = folder.join(format!("{name}.log"));
        Self { name: name.to_owned(), recipe, port, sign, log, child: None }
    }

    /// Starts it and waits until it answers.
    pub(in crate::cli::faults) async fn start(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.spawn()?;
            while self.is_alive() {
                if self.answers().await {
                    return Ok(());
                }
                if Instant::now() > deadline {
                    bail!("{} does not answer; its log ends:\n{}", self.name, self.log_tail());
                }
                sleep(Duration::from_millis(20)).await;
            }
            // What a killed process leaves behind may need a moment to go.
            if Instant::now() > deadline {
                bail!("{} does not start; its log ends:\n{}", self.name, self.log_tail());
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    fn spawn(&mut self) -> anyhow::Result<()> {
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.with_context(|| format!("cannot write {}", self.log.display()))?;
        let mut command = self.recipe.command();
        command.stdout(log.try_clone()?).stderr(log);
        let program = self.recipe.program.display();
        let child = command.spawn().with_context(|| format!("cannot start {program}"))?;
        self.child = Some(child);
        Ok(())
    }

    pub(in crate::cli::faults) fn is_alive(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Whether it is there and at work.
    pub(in crate::cli::faults) async fn answers(&self) -> bool {
        let asked = async {
            match &self.sign {
                Sign::Greets => said(self.port, "", "INFO").await,
                Sign::Answers(question, answer) => said(self.port, question, answer).await,
                Sign::Sql(url) => {
                    use sqlx::Connection as _;
                    sqlx::PgConnection::connect(url).await.ok().map(drop)
                }
            }
        };
        matches!(timeout(Duration::from_secs(2), asked).await, Ok(Some(())))
    }

    /// Kills it and its children at once, as the kernel's out-of-memory killer would.
    pub(in crate::cli::faults) fn kill(&mut self) {
        self.signal(Signal::KILL);
        if let Some(mut child) = self.child.take() {
            _ = child.wait();
        }
    }

    /// Freezes it and its children.
    pub(in crate::cli::faults) fn freeze(&mut self) {
        self.signal(Signal::STOP);
    }

    /// Lets it and its children go on.
    pub(in crate::cli::faults) fn thaw(&mut self) {
        self.signal(Signal::CONT);
    }

    fn signal(&mut self, signal: Signal) {
        if let Some(child) = &mut self.child {
            signal_family(child, signal);
        }
    }

    /// Asks it to end, and waits.
    pub(in crate::cli::faults) async fn stop(&mut self, signal: Signal) -> anyhow::Result<()> {
        if let Some(child) = &self.child {
            kill_process(Pid::from_child(child), signal)?;
        }
        let deadline = Instant::now() + PATIENCE;
        while self.is_alive() {
            if Instant::now() > deadline {
                bail!("{} does not end", self.name);
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// The end of its log.
    pub(in crate::cli::faults) fn log_tail(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log[log.len().saturating_sub(8000)..]).into_owned();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn said(port: u16, question: &str, answer: &str) -> Option<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    stream.write_all(question.as_bytes()).await.ok()?;
    let mut heard = vec![0; answer.len()];
    stream.read_exact(&mut heard).await.ok()?;
    (heard == answer.as_bytes()).then_some(())
}
