//! Free ports of 127.0.0.1 that nobody else of ours takes, for servers that come back to them.

use std::{
    fs::{self, File},
    net::TcpListener,
    ops::Range,
    path::Path,
};

use anyhow::Context as _;

/// Below the ephemeral range of Linux, so that no outgoing connection sits on a port while its server is restarted.
const RANGE: Range<u16> = 12_000..32_000;
/// Processes side by side agree by locks on files here (not in TMPDIR, which may be their own), which the kernel lets go
/// of when a process dies; "bind port 0" would leave a gap in which another takes the port.
const LOCKS: &str = "/tmp/hongyan-test-ports";

/// A port that is ours as long as the value lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// Takes a port that nobody uses.
    ///
    /// # Errors
    /// There is none.
    pub fn take() -> anyhow::Result<Self> {
        fs::create_dir_all(LOCKS).with_context(|| format!("cannot make {LOCKS}"))?;
        // Each process begins elsewhere, so that few locks are tried in vain.
        let first = std::process::id() as usize * 16 % RANGE.len();
        for number in RANGE.cycle().skip(first).take(RANGE.len()) {
            let Ok(lock) = File::create(Path::new(LOCKS).join(number.to_string())) else {
                continue; // another account's
            };
            if lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Ok(Self { number, _lock: lock });
            }
        }
        anyhow::bail!("no free port between {} and {}", RANGE.start, RANGE.end)
    }

    /// The number.
    pub fn number(&self) -> u16 {
        self.number
    }
}
