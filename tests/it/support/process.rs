//! One child process: its log, its signals, and its end with the test.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use testkit::process::signal_tree;

/// How long anything may take before a test fails instead of hanging: a minute, or as many seconds as
/// `HONGYAN_TEST_PATIENCE` says. Never the subject of an assertion.
pub fn patience() -> Duration {
    let asked = std::env::var("HONGYAN_TEST_PATIENCE").ok();
    Duration::from_secs(asked.map_or(60, |asked| asked.parse().expect("a number of seconds")))
}

/// A running child. Dropping it kills it; if the test is failing, or `HONGYAN_TEST_LOGS` is set, the end of its log is
/// printed first.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with its output appended to `log`.
    pub fn spawn(name: &str, command: &mut Command, log: &Path) -> Self {
        let out =
            File::options().create(true).append(true).open(log).expect("the log can be opened");
        let err = out.try_clone().expect("the log's handle can be copied");
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn();
        let child =
            child.unwrap_or_else(|error| panic!("{name} does not start: {command:?}: {error}"));
        Self { name: name.to_owned(), child, log: log.to_owned() }
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The most memory that it has had so far.
    pub fn most_memory_mib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).expect("Linux tells it");
        kib.parse::<u64>().expect("a number") / 1024
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked").is_none()
    }

    /// Kills it and its children at once, as the kernel's out-of-memory killer would.
    pub fn kill9(&mut self) {
        signal_tree(&mut self.child, Signal::KILL);
        self.child.wait().expect("a killed child ends");
    }

    /// Sends SIGTERM and waits for the end.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + patience();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be asked") {
                let tail = self.log_tail();
                assert!(
                    !tail.contains("did not end in time"),
                    "a part went on for too long:\n{tail}"
                );
                return status;
            }
            assert!(Instant::now() < deadline, "{} ignores SIGTERM", self.name);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Freezes it and its children.
    pub fn stop_signal(&mut self) {
        signal_tree(&mut self.child, Signal::STOP);
    }

    /// Lets it and its children go on.
    pub fn cont_signal(&mut self) {
        signal_tree(&mut self.child, Signal::CONT);
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    fn signal(&mut self, signal: Signal) {
        if self.is_alive() {
            kill_process(Pid::from_child(&self.child), signal)
                .expect("a child of ours can be signalled");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() || std::env::var_os("HONGYAN_TEST_LOGS").is_some() {
            eprintln!("──── end of the log of {} ────\n{}", self.name, self.log_tail());
        }
        signal_tree(&mut self.child, Signal::KILL);
        let _ = self.child.wait();
    }
}

/// A command for `program` that ends with the test. Call `spawn` on the test's own thread only.
pub fn ends_with_parent(program: impl AsRef<Path>) -> Command {
    testkit::process::ends_with_parent(program.as_ref(), None)
}

/// Runs a command to its end and insists that it succeeds.
pub fn run(command: &mut Command) -> String {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, text(&output.stderr));
    text(&output.stdout)
}

/// Asks `done` again and again until it is content. Bounded by [`patience`]; the pauses are only there to save work.
pub async fn until<T>(what: &str, mut done: impl AsyncFnMut() -> Option<T>) -> T {
    until_moving(what, async |_| done().await).await
}

/// How far something is that is waited for.
pub struct Progress {
    position: u64,
    since: Instant,
}

impl Progress {
    /// It is here.
    pub fn at(&mut self, position: u64) {
        if position != self.position {
            *self = Self { position, since: Instant::now() };
        }
    }
}

/// The same; [`patience`] begins anew with each progress.
pub async fn until_moving<T>(
    what: &str,
    mut done: impl AsyncFnMut(&mut Progress) -> Option<T>,
) -> T {
    let mut progress = Progress { position: 0, since: Instant::now() };
    loop {
        if let Some(value) = done(&mut progress).await {
            return value;
        }
        assert!(progress.since.elapsed() < patience(), "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
