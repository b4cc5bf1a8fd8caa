//! `loadgen storm`: every client reconnects at once, as after the restart of a gateway, and asks for what has waited.

use std::{
    process::ExitCode,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use clap::Args;
use futures_util::{StreamExt as _, TryStreamExt as _, future::try_join_all, stream};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use testkit::{client::socket::Socket, lock, output::Output};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    accounts::{self, AccountKind},
    checker::{Report, Sent, To, check},
    deployment, environment, format,
    progress::Progress,
    schedule::{Pace, Times},
    target::Target,
    traffic::{Author, Scenario, Sender, Traffic},
};

/// How many sockets are opened at once before the storm.
const AT_ONCE: usize = 64;
/// Connections over which the messages go that wait for those who were cut off.
const SENDERS: usize = 32;
/// The clients' own pause before they try again (ws.md §7).
const AGAIN: Duration = Duration::from_secs(1);
/// How long a gateway takes, generously, to know that a socket has ended.
const NOTICE: Duration = Duration::from_secs(1);
/// How long what is doubled may take to come.
const GRACE: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    pub(super) target: Target,
    /// How many are cut off and come back
    #[arg(long, value_name = "N", default_value_t = 1000)]
    sockets: usize,
    /// Messages that wait for each of them
    #[arg(long, value_name = "N", default_value_t = 1)]
    waiting: usize,
    /// Size of each message's text
    #[arg(long, value_name = "N", default_value_t = 100)]
    message_bytes: usize,
    /// How long it may take until everybody is back and has everything
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = super::duration)]
    settle: Duration,
    /// Who they are; guests cost no password hashes
    #[arg(long, value_enum, default_value = "guests")]
    accounts: AccountKind,
}

/// Clients that reconnect.
struct Storm {
    traffic: Arc<Traffic>,
    waiting: usize,
    begun: Instant,
    stop: CancellationToken,
    welcomed: Mutex<Histogram<u64>>,
    complete: Mutex<Histogram<u64>>,
    back: AtomicU64,
    again: AtomicU64,
}

pub(super) async fn run(options: &Options, output: Output) -> anyhow::Result<ExitCode> {
    let count = options.sockets.max(2);
    let mut server = options.target.find().await?;
    let address = server.origin(0).address;
    let pid = deployment::listener(address.port()).filter(|_| address.ip().is_loopback());
    let obstacles = environment::obstacles(2 * count / server.origins.len(), address.ip(), pid);
    ensure!(obstacles.is_empty(), "{}", obstacles.join("\n"));
    environment::raise_files(2 * count as u64 + 200)?;
    let wanted = (count, options.accounts);
    let (users, origins) =
        accounts::ready(&options.target, &server.origins, wanted, output).await?;
    server.find_processes();
    let scenario = Scenario {
        users,
        groups: Vec::new(),
        authors: (0..count)
            .map(|user| Author { user, to: vec![To::User((user + 1) % count)] })
            .collect(),
        connections: (0..SENDERS)
            .map(|connection| (connection..count).step_by(SENDERS).collect())
            .collect(),
        online: count,
    };
    let times = Times { warm_up: Duration::ZERO, measured: Duration::MAX };
    let id = testkit::clock::random_id().as_fields().0;
    let traffic =
        Traffic::begin((id, server, scenario), (Pace::Free, times), options.message_bytes);

    let sockets: Vec<Socket> = stream::iter(0..count)
        .map(|user| traffic.open(user))
        .buffered(AT_ONCE)
        .try_collect()
        .await
        .context("a socket cannot be opened")?;
    drop(sockets); // without a word, as a gateway does that restarts
    // What is written to a socket of which the gateway does not know yet that it ended counts as delivered (ws.md §7).
    sleep(NOTICE + Duration::from_micros(500) * u32::try_from(count).unwrap_or(u32::MAX)).await;
    let sent = send(&traffic, options.waiting).await;

    let before = traffic.server.processes.sample();
    let storm = Arc::new(Storm {
        traffic: Arc::clone(&traffic),
        waiting: options.waiting,
        begun: Instant::now(),
        stop: CancellationToken::new(),
        welcomed: Mutex::new(format::histogram()),
        complete: Mutex::new(format::histogram()),
        back: AtomicU64::new(0),
        again: AtomicU64::new(0),
    });
    let tasks = TaskTracker::new();
    for user in 0..count {
        tasks.spawn(Arc::clone(&storm).reconnect(user));
    }
    let mut progress = Progress::of("back", "users", count as u64, output);
    let all_back = async {
        while storm.back.load(Ordering::Relaxed) < count as u64 {
            sleep(Duration::from_millis(10)).await;
            progress.set(storm.back.load(Ordering::Relaxed));
        }
        storm.begun.elapsed()
    };
    let took = timeout(options.settle, all_back).await.ok();
    drop(progress);
    let after = traffic.server.processes.sample();
    sleep(GRACE).await;
    storm.stop.cancel();
    tasks.close();
    tasks.wait().await;

    let arrived: Vec<_> = (0..count).map(|user| Some(traffic.take_arrived(user))).collect();
    let report = check(&sent, &arrived, |author, to| traffic.scenario.readers(author, to));
    let good = took.is_some() && (report.is_good() || options.waiting == 0);
    let (by_name, cpu) = format::cpu(&super::processes::spent(&before, &after));
    let shown = json!({
        "title": format!("storm: {count} sockets come back at once, {} messages wait for each", options.waiting),
        "setting": traffic.server.describe(),
        "accounts": origins,
        "message_bytes": options.message_bytes,
        "good": good,
        "all_back_s": took.map(|took| format::rounded(took.as_secs_f64(), 3)),
        "back": storm.back.load(Ordering::Relaxed),
        "tried_again": storm.again.load(Ordering::Relaxed),
        "welcomed_ms": format::quantiles(&lock(&storm.welcomed)),
        "complete_ms": format::quantiles(&lock(&storm.complete)),
        "server_cpu": {"by_name": by_name, "per_1000_users": format::per_1000(cpu, count as u64)},
        "messages": report,
        "failures": traffic.failures(),
    });
    output.print(&shown, || as_text(&shown, &report));
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Gives everybody what waits.
async fn send(traffic: &Arc<Traffic>, each: usize) -> Vec<Sent> {
    let connections =
        traffic.scenario.connections.iter().enumerate().map(|(connection, authors)| async move {
            let mut server = traffic.connection(connection);
            let mut sent = Vec::new();
            for author in authors {
                let mut sender = Sender::new(&traffic.scenario, *author);
                for _ in 0..each {
                    sender.send(&mut server, traffic.schedule.now(), traffic).await;
                }
                sent.push(sender.finish());
            }
            Ok::<_, std::convert::Infallible>(sent)
        });
    let Ok(connections) = try_join_all(connections).await;
    let mut sent: Vec<(usize, Sent)> = connections.into_iter().flatten().collect();
    sent.sort_by_key(|(author, _)| *author);
    sent.into_iter().map(|(_, sent)| sent).collect()
}

impl Storm {
    async fn reconnect(self: Arc<Self>, user: usize) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = self.reconnect_until_done(user) => {}
        }
    }

    /// As a client: opens a socket, asks for the queue, listens; tries again a second later when anything fails.
    async fn reconnect_until_done(&self, user: usize) {
        let mut left = self.waiting;
        loop {
            if let Ok(mut socket) = self.traffic.open(user).await {
                format::record(&mut lock(&self.welcomed), self.begun.elapsed());
                if self.traffic.drain(user).await.is_ok() {
                    loop {
                        if left == 0 {
                            format::record(&mut lock(&self.complete), self.begun.elapsed());
                            self.back.fetch_add(1, Ordering::Relaxed);
                            left = usize::MAX;
                        }
                        let Some(frame) = socket.next().await else { break };
                        left -= usize::from(self.traffic.on_frame(user, &frame));
                    }
                }
            }
            self.again.fetch_add(1, Ordering::Relaxed);
            sleep(AGAIN).await;
        }
    }
}

fn as_text(shown: &Value, report: &Report) -> String {
    let mut lines = format::about(&shown["setting"]);
    let back = match shown["all_back_s"].as_f64() {
        Some(seconds) => format!("all after {seconds} s"),
        None => format!("{} only when the waiting ended", shown["back"]),
    };
    lines.push(("back", format!("{back}; {} attempts failed", shown["tried_again"])));
    lines.push(("until welcomed", format::quantiles_text(&shown["welcomed_ms"])));
    lines.push(("until complete", format::quantiles_text(&shown["complete_ms"])));
    lines.push((
        "server CPU",
        format!("{} s per 1,000 users", shown["server_cpu"]["per_1000_users"]),
    ));
    lines.push(("arrived", format::report_text(report)));
    for (text, count) in shown["failures"].as_object().into_iter().flatten() {
        lines.push(("note", format!("{count} calls failed: {text}")));
    }
    format::table(shown["title"].as_str().unwrap_or_default(), &lines)
}
