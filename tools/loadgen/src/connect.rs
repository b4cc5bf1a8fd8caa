//! `loadgen connect`: what a socket costs on which nothing happens.

use std::{
    process::ExitCode,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::ensure;
use clap::Args;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use testkit::{client::socket::Socket, lock, output::Output};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    accounts::{self, Account, AccountKind},
    deployment, environment, format,
    processes::{self, Sample, spent},
    progress::Progress,
    target::{Server, Target},
};

/// How long memory and queues may take to come to rest.
const REST: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    pub(super) target: Target,
    /// How many, each of another user
    #[arg(long, value_name = "N", default_value_t = 1000)]
    sockets: usize,
    /// How many are opened in a second
    #[arg(long, value_name = "N", default_value_t = 500.0)]
    rate: f64,
    /// How long they are held
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = super::duration)]
    hold: Duration,
    /// The gateway's process; found by its port if left out
    #[arg(long)]
    pid: Option<u32>,
    /// Who they are; guests cost no password hashes
    #[arg(long, value_enum, default_value = "guests")]
    accounts: AccountKind,
}

/// Sockets that are opened one after the other and then only held.
struct Ramp {
    server: Server,
    users: Vec<Account>,
    rate: f64,
    tasks: TaskTracker,
    stop: CancellationToken,
    opened: AtomicUsize,
    failed: Mutex<Vec<String>>,
    dropped: AtomicUsize,
    times: Mutex<Histogram<u64>>,
}

/// What the gateway and all servers used at some moment.
struct Snapshot {
    at: Instant,
    gateway: Option<(Duration, u64)>,
    servers: Sample,
    own: Duration,
}

pub(super) async fn run(options: &Options, output: Output) -> anyhow::Result<ExitCode> {
    let count = options.sockets.max(2);
    ensure!(options.rate > 0.0, "--rate is a number of sockets in a second, above 0");
    let mut server = options.target.find().await?;
    let address = server.origin(0).address;
    let pid = options.pid.or_else(|| {
        address.ip().is_loopback().then(|| deployment::listener(address.port())).flatten()
    });
    let obstacles = environment::obstacles(count / server.origins.len(), address.ip(), pid);
    ensure!(obstacles.is_empty(), "{}", obstacles.join("\n"));
    environment::raise_files(count as u64 + 200)?;
    let (users, origins) =
        accounts::ready(&options.target, &server.origins, (count, options.accounts), output)
            .await?;
    server.find_processes();
    let ramp = Arc::new(Ramp {
        server,
        users,
        rate: options.rate,
        tasks: TaskTracker::new(),
        stop: CancellationToken::new(),
        opened: AtomicUsize::new(0),
        failed: Mutex::default(),
        dropped: AtomicUsize::new(0),
        times: Mutex::new(format::histogram()),
    });
    // The first sockets bring what is there only once: threads' stacks, pools, pages of the program.
    let base = (count / 20).clamp(1, 200);
    let mut progress = Progress::of("sockets", "sockets", count as u64, output);
    ramp.open(0..base, &mut progress).await;
    sleep(REST).await;
    let first = ramp.snapshot(pid).await;
    ramp.open(base..count, &mut progress).await;
    drop(progress);
    sleep(REST).await;
    let opened = ramp.snapshot(pid).await;
    sleep(options.hold).await;
    let held = ramp.snapshot(pid).await;
    let mut shown = ramp.shown(&first, &opened, &held, count - base);
    ramp.stop.cancel();
    ramp.tasks.close();
    ramp.tasks.wait().await;
    shown["accounts"] = json!(origins);
    if pid.is_none() {
        shown["note"] = json!(
            "no process of this machine listens there: give --pid, or run beside the gateway"
        );
    } else if origins.made > 0 {
        shown["note"] = json!(
            "accounts were made by the same process just before, and left it free memory to put sockets into: for a \
             clean number keep them with --users-file, start the server anew, and measure again"
        );
    }
    let good = shown["failed"] == 0 && shown["dropped"] == 0;
    output.print(&shown, || as_text(&shown, options.rate));
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Ramp {
    /// Opens these, and returns when all are open or have failed.
    async fn open(self: &Arc<Self>, sockets: std::ops::Range<usize>, progress: &mut Progress) {
        let begun = Instant::now();
        let until = sockets.end;
        for (index, number) in sockets.enumerate() {
            #[expect(clippy::cast_precision_loss, reason = "far from 2^52 sockets")]
            let scheduled_at = begun + Duration::from_secs_f64(index as f64 / self.rate);
            self.tasks.spawn(Arc::clone(self).hold(number, scheduled_at));
            if index % 100 == 99 {
                progress.set(self.opened.load(Ordering::Relaxed) as u64);
                sleep_until(scheduled_at).await; // not all tasks at once
            }
        }
        while self.opened.load(Ordering::Relaxed) + self.failures() < until {
            progress.set(self.opened.load(Ordering::Relaxed) as u64);
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn failures(&self) -> usize {
        lock(&self.failed).len()
    }

    async fn hold(self: Arc<Self>, number: usize, scheduled_at: Instant) {
        sleep_until(scheduled_at).await;
        let origin = self.server.origin(number);
        let from = environment::source(number / self.server.origins.len(), origin.address.ip());
        let mut socket = match Socket::open(origin, &self.users[number].token, from).await {
            Ok(socket) => socket,
            Err(error) => {
                return lock(&self.failed).push(format!("{error:#}"));
            }
        };
        format::record(&mut lock(&self.times), scheduled_at.elapsed());
        self.opened.fetch_add(1, Ordering::Relaxed);
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = async { while socket.next().await.is_some() {} } => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    async fn snapshot(&self, pid: Option<u32>) -> Snapshot {
        let processes = self.server.processes.clone();
        let sampled = tokio::task::spawn_blocking(move || processes.sample()).await;
        Snapshot {
            at: Instant::now(),
            gateway: pid.and_then(processes::of),
            servers: sampled.unwrap_or_default(),
            own: processes::own_cpu(),
        }
    }

    fn shown(&self, first: &Snapshot, opened: &Snapshot, held: &Snapshot, between: usize) -> Value {
        let open = self.opened.load(Ordering::Relaxed);
        let time = held.at - opened.at;
        let memory = match (first.gateway, opened.gateway, held.gateway) {
            (Some((_, first)), Some((_, opened)), Some((_, held))) => json!({
                "before_bytes": first,
                "after_bytes": opened,
                "after_hold_bytes": held,
                "sockets_between": between,
                "per_socket_kib": kib(opened.saturating_sub(first), between),
                "per_socket_kib_after_hold": kib(held.saturating_sub(first), between),
            }),
            _ => Value::Null,
        };
        let growth = |before: &Sample, after: &Sample| -> serde_json::Map<String, Value> {
            let of = |(name, usage): (&String, &processes::Usage)| {
                let before = before.get(name).map_or(0, |usage| usage.memory);
                (name.clone(), json!(kib(usage.memory.saturating_sub(before), between)))
            };
            after.iter().map(of).collect()
        };
        let (by_name, cpu) = format::cpu(&spent(&opened.servers, &held.servers));
        let failed = lock(&self.failed);
        json!({
            "title": format!("connect: {open} idle sockets"),
            "setting": self.server.describe(),
            "opened": open,
            "failed": failed.len(),
            "first_failure": failed.first(),
            "dropped": self.dropped.load(Ordering::Relaxed),
            "open_ms": format::quantiles(&lock(&self.times)),
            "gateway_memory": memory,
            "memory_growth_per_socket_kib": growth(&first.servers, &opened.servers),
            "idle_s": format::rounded(time.as_secs_f64(), 3),
            "idle_server_cpu": {
                "by_name": by_name,
                "microseconds_per_socket_and_s": micros_each(cpu, time, open),
            },
            "opening_generator_cpu_s": (opened.own.saturating_sub(first.own)).as_secs_f64(),
            "idle_generator_cpu_s": (held.own.saturating_sub(opened.own)).as_secs_f64(),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "far from 2^52")]
fn kib(bytes: u64, sockets: usize) -> f64 {
    format::rounded(bytes as f64 / 1024.0 / sockets.max(1) as f64, 2)
}

#[expect(clippy::cast_precision_loss, reason = "far from 2^52")]
fn micros_each(cpu: Duration, time: Duration, sockets: usize) -> f64 {
    format::rounded(cpu.as_secs_f64() * 1e6 / time.as_secs_f64() / sockets.max(1) as f64, 2)
}

fn as_text(shown: &Value, rate: f64) -> String {
    let mut lines = format::about(&shown["setting"]);
    let opened = format!(
        "{} at {rate}/s, {} failed, {} dropped while held",
        shown["opened"], shown["failed"], shown["dropped"]
    );
    lines.push(("opened", opened));
    lines.push(("until welcomed", format::quantiles_text(&shown["open_ms"])));
    let memory = &shown["gateway_memory"];
    let text = if memory.is_null() {
        "unknown".to_owned()
    } else {
        format!(
            "{} KiB per socket ({} after being held), from {} to {} bytes over {} sockets",
            memory["per_socket_kib"],
            memory["per_socket_kib_after_hold"],
            memory["before_bytes"],
            memory["after_bytes"],
            memory["sockets_between"]
        )
    };
    lines.push(("gateway memory", text));
    let growth = shown["memory_growth_per_socket_kib"].as_object().into_iter().flatten();
    let growth = growth.map(|(name, kib)| format!("{name} {kib}")).collect::<Vec<_>>();
    lines.push(("  all, KiB each", growth.join(", ")));
    let cpu = &shown["idle_server_cpu"]["microseconds_per_socket_and_s"];
    lines.push((
        "idle server CPU",
        format!("{cpu} µs per socket and second, over {} s", shown["idle_s"]),
    ));
    let own = format!(
        "{} s while opening, {} s while held",
        shown["opening_generator_cpu_s"], shown["idle_generator_cpu_s"]
    );
    lines.push(("generator CPU", own));
    for key in ["first_failure", "note"] {
        if let Some(text) = shown[key].as_str() {
            lines.push(("note", text.to_owned()));
        }
    }
    format::table(shown["title"].as_str().unwrap_or_default(), &lines)
}
