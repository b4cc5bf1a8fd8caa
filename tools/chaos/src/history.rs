//! The history of a run, a line of JSON for each thing that a client did or saw: all that the checker knows.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, BufWriter, Write as _},
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use testkit::lock;

/// Microseconds since the run began.
pub(super) type Time = u64;

/// The outcome of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// 200: it is so.
    Done,
    /// 4xx: it is not so.
    Refused,
    /// 5xx, or no answer: it may be so, and may become so later.
    Unknown,
}

/// Whom a message is to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum To {
    User(u32),
    Group(u32),
}

/// What a frame says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Content {
    /// The message with this number.
    Message(u64),
    /// The message with this id of the server's was taken back.
    Revoked(String),
    /// The user with this id of the server's is a friend now.
    Friends(i64),
}

/// How a socket ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum End {
    /// The client closed it, and read what came until the server's answer.
    Closed,
    /// Without a close frame.
    Dropped,
    /// The client's host vanished: the server is told nothing.
    Vanished,
    /// With a close frame that the client had not asked for: it would log out.
    LoggedOut,
}

/// One thing that a client did or saw, or that was done to the stack. Users, groups and gateways are numbered from 0;
/// calls have rising numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Record {
    /// A user, and the id that the server knows.
    User { user: u32, id: i64 },
    /// A call to send, made after the answer to the one before; and what the server calls the message.
    Send {
        by: u32,
        to: To,
        n: u64,
        begin: Time,
        end: Time,
        outcome: Outcome,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
    },
    /// A call to take back the message `of`, whose id the server calls `id`.
    Revoke { by: u32, of: u64, id: String, n: u64, begin: Time, end: Time, outcome: Outcome },
    /// Calls to become friends, until one was answered.
    Befriend { by: u32, with: u32, begin: Time, end: Time, outcome: Outcome },
    /// Calls to join or to leave a group, until one was answered.
    Member { user: u32, group: u32, joins: bool, begin: Time, end: Time, outcome: Outcome },
    /// Calls to log in again, or out, until one was answered: the token before has ended.
    Session { user: u32, logs_in: bool, begin: Time, end: Time, outcome: Outcome },
    /// A call with a token that had ended before, as its client had been told.
    Stale { user: u32, at: Time, accepted: bool },
    /// A socket was opened at a gateway.
    Open { socket: u32, user: u32, gateway: u32, begin: Time, end: Time },
    /// What waits was asked for while this was the user's socket.
    Drain { socket: u32, begin: Time, end: Time, outcome: Outcome },
    /// It is over.
    Ended { socket: u32, at: Time, how: End },
    /// It brought something.
    Frame { socket: u32, at: Time, what: Content },
    /// Something was refused that no client had to expect: it would believe it.
    Refusal { user: u32, at: Time, call: String, said: String },
    /// Something was broken from `begin` until it answered again.
    Fault { kind: String, part: String, begin: Time, end: Time },
    /// After a fault, or at the end, something did not come back.
    Stuck { at: Time, what: String },
    /// All is whole, nobody sends, nothing comes any more: what was due has had its time.
    Quiet { at: Time },
    /// Whether an operator sees a user online.
    Presence { user: u32, at: Time, online: bool },
    /// What `projections verify` said.
    Verified { clean: bool, said: String },
    /// What `explain` said of a message at the end: whom it was for, by the server's ids, and why they do not have it.
    Explained { id: String, recipients: Vec<(i64, Option<String>)> },
    /// `explain` had no answer.
    Unexplained { id: String, said: String },
}

/// A history that is being written.
pub(super) struct History {
    begun: Instant,
    path: PathBuf,
    file: Mutex<BufWriter<File>>,
    calls: AtomicU64,
    sockets: AtomicU64,
}

impl History {
    pub(super) fn begin(path: PathBuf) -> anyhow::Result<Self> {
        let file =
            File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self {
            begun: Instant::now(),
            path,
            file: Mutex::new(BufWriter::with_capacity(1 << 20, file)),
            calls: AtomicU64::new(0),
            sockets: AtomicU64::new(0),
        })
    }

    pub(super) fn now(&self) -> Time {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The number of the next call.
    pub(super) fn call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed)
    }

    /// The number of the next socket.
    pub(super) fn socket(&self) -> u32 {
        u32::try_from(self.sockets.fetch_add(1, Ordering::Relaxed)).unwrap_or(u32::MAX)
    }

    /// # Panics
    /// The disk is full: a history with a hole would show violations that are none.
    pub(super) fn record(&self, record: &Record) {
        let mut line = serde_json::to_vec(record).expect("plain data");
        line.push(b'\n');
        lock(&self.file).write_all(&line).expect("the history can be written");
    }

    /// All that was noted so far.
    pub(super) fn read(&self) -> anyhow::Result<Vec<Record>> {
        lock(&self.file).flush()?;
        read(&self.path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// A history of an earlier run.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<Record>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines = BufReader::with_capacity(1 << 20, file).lines().enumerate();
    lines
        .map(|(number, line)| {
            serde_json::from_str(&line?)
                .with_context(|| format!("line {} of {}", number + 1, path.display()))
        })
        .collect()
}
