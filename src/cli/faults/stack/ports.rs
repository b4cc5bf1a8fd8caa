//! Ports of 127.0.0.1 for servers that come back to them.

use std::{
    fs::{self, File},
    net::TcpListener,
    ops::Range,
    path::Path,
};

use anyhow::Context as _;

/// Below the ephemeral range of Linux, so that no outgoing connection sits on a port while its server is restarted.
const RANGE: Range<u16> = 12_000..32_000;
/// Runs side by side agree by locks on files here, which the kernel lets go of when a process dies.
const LOCKS: &str = "/tmp/hongyan-test-ports";

/// A port that is ours as long as the value lives.
#[derive(Debug)]
pub(in crate::cli::faults) struct Port {
    pub(in crate::cli::faults) number: u16,
    _lock: File,
}

impl Port {
    pub(in crate::cli::faults) fn take() -> anyhow::Result<Self> {
        fs::create_dir_all(LOCKS).with_context(|| format!("cannot make {LOCKS}"))?;
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
}
