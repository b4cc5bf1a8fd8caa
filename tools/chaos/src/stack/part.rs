//! A part of the stack, one child process: how it starts, when it answers, and what is done to it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Child,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use testkit::{process::signal_tree, servers::CommandSpec};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

/// How long a part may take to answer. A read model that is built anew is not waited for here.
const PATIENCE: Duration = Duration::from_mins(3);

/// After so long a program has noticed that its clock was set.
const CLOCK_IS_SEEN: Duration = Duration::from_secs(1);

/// How a part says that it is there.
#[derive(Debug, Clone, Copy)]
pub(super) enum ReadyCheck {
    /// Speaks first when somebody connects.
    Greets,
    /// Answers these bytes with those.
    Answers(&'static [u8], &'static [u8]),
}

/// One process of the stack.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) name: String,
    spec: CommandSpec,
    port: u16,
    ready_check: ReadyCheck,
    log: PathBuf,
    /// How wrong its clock is.
    clock: Option<PathBuf>,
    child: Option<Child>,
}

impl Part {
    pub(super) fn new(
        name: &str,
        spec: CommandSpec,
        port: u16,
        ready_check: ReadyCheck,
        folder: &Path,
    ) -> Self {
        let log = folder.join(format!("{name}.log"));
        Self { name: name.to_owned(), spec, port, ready_check, log, clock: None, child: None }
    }

    /// With a clock of its own, if there is a library that tells a program another time.
    pub(super) fn with_clock(mut self, library: Option<&Path>) -> Self {
        let Some(library) = library else { return self };
        let clock = self.log.with_extension("clock");
        let environment = [
            ("LD_PRELOAD", library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", clock.display().to_string()),
            ("FAKETIME_CACHE_DURATION", CLOCK_IS_SEEN.as_secs().to_string()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("NO_FAKE_STAT", "1".to_owned()),
        ];
        let environment = environment.map(|(key, value)| (key.to_owned(), value));
        self.spec.environment.extend(environment);
        self.clock = Some(clock);
        self
    }

    /// From the next moment on its clock is wrong by so many seconds, and stays so.
    pub(crate) async fn set_clock(&self, seconds: i64) -> anyhow::Result<()> {
        let clock = self.clock.as_ref().context("its clock cannot be set here")?;
        let new = clock.with_extension("new");
        fs::write(&new, format!("{seconds:+}\n"))?;
        fs::rename(new, clock)?;
        sleep(CLOCK_IS_SEEN).await;
        Ok(())
    }

    /// Starts it and waits until it answers.
    pub(crate) async fn start(&mut self) -> anyhow::Result<()> {
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
        let mut command = self.spec.command();
        command.stdout(log.try_clone()?).stderr(log);
        let program = self.spec.program.display();
        let child = command.spawn().with_context(|| format!("cannot start {program}"))?;
        self.child = Some(child);
        Ok(())
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Whether it is there and at work.
    pub(crate) async fn answers(&self) -> bool {
        let asked = async {
            match self.ready_check {
                ReadyCheck::Greets => replies(self.port, b"", b"INFO").await,
                ReadyCheck::Answers(question, answer) => replies(self.port, question, answer).await,
            }
        };
        matches!(timeout(Duration::from_secs(2), asked).await, Ok(Some(())))
    }

    /// Kills it and its children at once, as the kernel's out-of-memory killer would.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        if let Some(mut child) = self.child.take() {
            _ = child.wait();
            if self.clock.is_some() {
                // What libfaketime removes at the end of a program that is not killed.
                for name in ["sem.faketime_sem", "faketime_shm"] {
                    _ = fs::remove_file(format!("/dev/shm/{name}_{}", child.id()));
                }
            }
        }
    }

    /// Freezes it and its children.
    pub(crate) fn freeze(&mut self) {
        self.signal(Signal::STOP);
    }

    /// Lets it and its children go on.
    pub(crate) fn resume(&mut self) {
        self.signal(Signal::CONT);
    }

    fn signal(&mut self, signal: Signal) {
        if let Some(child) = &mut self.child {
            signal_tree(child, signal);
        }
    }

    /// Asks it to end, and waits.
    pub(crate) async fn stop(&mut self, signal: Signal) -> anyhow::Result<()> {
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
    pub(crate) fn log_tail(&self) -> String {
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

async fn replies(port: u16, question: &[u8], answer: &[u8]) -> Option<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    stream.write_all(question).await.ok()?;
    let mut reply = vec![0; answer.len()];
    stream.read_exact(&mut reply).await.ok()?;
    (reply == answer).then_some(())
}
