//! Process metrics, by the names that Prometheus' client libraries give them: memory, open files, CPU time.

use std::fs;

use prometheus_client::{
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::{Registry, Unit},
};
use rustix::{
    process::{Resource, getrlimit},
    time::{ClockId, clock_gettime},
};

use crate::events::Timestamp;

/// How this process is now. What the system does not say is left out.
#[expect(clippy::cast_precision_loss, reason = "no process runs for so long")]
pub(super) fn registry(started: Timestamp) -> Registry {
    let mut registry = Registry::with_prefix("process");
    let seconds = ConstGauge::new(started.0 as f64 / 1e3);
    registry.register_with_unit("start_time", "when the process began", Unit::Seconds, seconds);
    let used = clock_gettime(ClockId::ProcessCPUTime);
    let used = ConstCounter::new(used.tv_sec as f64 + used.tv_nsec as f64 / 1e9);
    registry.register_with_unit("cpu", "CPU time used", Unit::Seconds, used);
    if let Some(bytes) = resident_bytes() {
        let help = "memory that is resident";
        registry.register_with_unit("resident_memory", help, Unit::Bytes, ConstGauge::new(bytes));
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // One of them is the folder itself.
        let open = ConstGauge::new(open.count().saturating_sub(1) as u64);
        registry.register("open_fds", "open files and sockets", open);
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        registry.register("max_fds", "files and sockets that may be open", ConstGauge::new(most));
    }
    registry
}

fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(kib * 1024)
}
