//! Free TCP ports that no other test process takes.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;

/// Below the ephemeral range of Linux, so that no outgoing connection sits on a port while its server is restarted.
const RANGE: std::ops::Range<u16> = 12_000..32_000;

/// A port of 127.0.0.1 that this test process owns as long as the value lives.
///
/// Test processes agree by locks on files, which the kernel lets go of when a process dies; "bind port 0" would leave
/// a gap in which another test takes the port.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// Takes a port that nobody uses.
    pub fn take() -> Self {
        let folder = Path::new("/tmp/hongyan-test-ports"); // not TMPDIR: runs side by side must agree too
        fs::create_dir_all(folder).expect("the folder of port locks can be made");
        // Each process begins elsewhere, so that few locks are tried in vain.
        let first = std::process::id() as usize * 16 % RANGE.len();
        for number in RANGE.cycle().skip(first).take(RANGE.len()) {
            let Ok(lock) = File::create(folder.join(number.to_string())) else {
                continue; // another account's
            };
            if lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Self { number, _lock: lock };
            }
        }
        panic!("no free port between {} and {}", RANGE.start, RANGE.end);
    }

    /// The number.
    pub fn number(&self) -> u16 {
        self.number
    }
}
