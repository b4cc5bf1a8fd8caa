//! What processes of this machine use: CPU and memory, from /proc.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::Duration,
};

/// What the servers of a deployment are called.
const NAMES: &[&str] = &["hongyan", "nats-server", "redis-server", "valkey-server", "postgres"];

/// Which processes are the deployment's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Servers {
    /// These and their children.
    Pids(BTreeSet<u32>),
    /// Those that are called like our servers.
    Named,
    /// They are on another machine.
    Elsewhere,
}

/// What the processes of one name use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) processes: usize,
    /// Since each began, with that of children that have ended.
    pub(super) cpu: Duration,
    /// Resident now, in bytes; what processes share counts in each.
    pub(super) memory: u64,
}

/// By name.
pub(super) type Sample = BTreeMap<String, Usage>;

impl Servers {
    /// What they have used so far. Empty where there is no /proc, or none of them.
    pub(super) fn sample(&self) -> Sample {
        let all = all();
        let mut sample = Sample::new();
        for process in all.values().filter(|process| self.has(process, &all)) {
            let usage = sample.entry(process.name.clone()).or_default();
            usage.processes += 1;
            usage.cpu += process.cpu();
            usage.memory += process.memory();
        }
        sample
    }

    fn has(&self, process: &Stat, all: &BTreeMap<u32, Stat>) -> bool {
        let pids = match self {
            Self::Pids(pids) => pids,
            Self::Named => {
                return process.pid != std::process::id() && NAMES.contains(&process.name.as_str());
            }
            Self::Elsewhere => return false,
        };
        let mut ancestor = Some(process);
        while let Some(found) = ancestor {
            if pids.contains(&found.pid) {
                return true;
            }
            ancestor = all.get(&found.parent);
        }
        false
    }
}

/// What was used between two samples.
pub(super) fn spent(before: &Sample, after: &Sample) -> Sample {
    let of = |(name, later): (&String, &Usage)| {
        let earlier = before.get(name).copied().unwrap_or_default();
        (name.clone(), Usage { cpu: later.cpu.saturating_sub(earlier.cpu), ..*later })
    };
    after.iter().map(of).collect()
}

/// The CPU time of this process.
pub(super) fn own_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or_default();
    Duration::from_secs(time.tv_sec.unsigned_abs()) + Duration::from_nanos(nanos)
}

/// CPU time and resident memory, in bytes, of one process.
pub(super) fn of(pid: u32) -> Option<(Duration, u64)> {
    let stat = Stat::read(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
    Some((stat.cpu(), stat.memory()))
}

/// Every process of this machine.
pub(super) fn all() -> BTreeMap<u32, Stat> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let stats = entries.filter_map(|entry| {
        entry.file_name().to_str()?.parse::<u32>().ok()?;
        Stat::read(&fs::read_to_string(entry.path().join("stat")).ok()?)
    });
    stats.map(|stat| (stat.pid, stat)).collect()
}

/// `nats-server-2.1` is a nats-server.
fn known(program: &str) -> &str {
    let is = |name: &&&str| {
        program.strip_prefix(**name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    NAMES.iter().find(is).copied().unwrap_or(program)
}

/// A line of /proc/<pid>/stat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) pid: u32,
    /// What a server is called, or at most fifteen characters of what the program is called.
    pub(super) name: String,
    parent: u32,
    ticks: u64,
    pages: u64,
}

impl Stat {
    /// The program's name is in parentheses and may hold any character, parentheses too.
    fn read(line: &str) -> Option<Self> {
        let (pid, rest) = line.split_once(" (")?;
        let (name, rest) = rest.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Self {
            pid: pid.parse().ok()?,
            name: known(name).to_owned(),
            parent: fields.get(1)?.parse().ok()?,
            ticks: (11..=14).map(number).sum::<Option<u64>>()?, // its own, and that of ended children
            pages: number(21)?,
        })
    }

    /// Resident, in bytes.
    fn memory(&self) -> u64 {
        self.pages * rustix::param::page_size() as u64
    }

    fn cpu(&self) -> Duration {
        Duration::from_millis(self.ticks * 1000 / rustix::param::clock_ticks_per_second())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_stat_is_read_whatever_the_process_is_called() {
        let line =
            "42 (a) (b c) S 7 42 42 0 -1 4194304 100 0 0 0 11 22 33 44 20 0 3 0 99 1000 555 1";
        let stat = Stat::read(line).expect("it is one");
        assert_eq!((stat.pid, stat.name.as_str(), stat.parent), (42, "a) (b c", 7));
        assert_eq!((stat.ticks, stat.pages), (110, 555));
        assert_eq!(Stat::read("42 (a) S 7"), None);
    }

    #[test]
    fn a_server_is_known_whatever_its_version() {
        let names = ["nats-server-2.1", "postgres", "postgres_export", "hongyan"].map(known);
        assert_eq!(names, ["nats-server", "postgres", "postgres_export", "hongyan"]);
    }

    #[test]
    fn children_of_a_server_belong_to_it() {
        let stat = |pid, parent| Stat { pid, name: "x".into(), parent, ticks: 0, pages: 0 };
        let all = [stat(1, 0), stat(10, 1), stat(11, 10), stat(12, 11), stat(20, 1)];
        let all: BTreeMap<u32, Stat> = all.into_iter().map(|stat| (stat.pid, stat)).collect();
        let servers = Servers::Pids([10].into());
        let found: Vec<u32> =
            all.values().filter(|stat| servers.has(stat, &all)).map(|stat| stat.pid).collect();
        assert_eq!(found, [10, 11, 12]);
    }

    #[test]
    fn what_was_used_before_is_not_counted() {
        let usage = |cpu| Usage { processes: 2, cpu: Duration::from_secs(cpu), memory: 9 };
        let before = Sample::from([("a".to_owned(), usage(5))]);
        let after = Sample::from([("a".to_owned(), usage(7)), ("b".to_owned(), usage(1))]);
        let spent = spent(&before, &after);
        assert_eq!((spent["a"], spent["b"]), (usage(2), usage(1)));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_there() {
        let own = std::process::id();
        let (_, memory) = of(own).expect("it is there");
        assert!(memory > 100_000, "{memory}");
        let before = own_cpu();
        while own_cpu() == before {
            std::hint::spin_loop();
        }
    }
}
