//! One run from the first socket to the report.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Args;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use testkit::{client::socket::Socket, output::Output};
use tokio::time::{sleep, sleep_until, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    checker::{Arrived, Report, Sent, check},
    environment,
    processes::{self, Sample},
    progress::TrafficProgress,
    schedule::{Pace, Times},
    target::Server,
    traffic::{Scenario, Traffic},
};

/// How many sockets are opened, or queues read, at once.
const AT_ONCE: usize = 32;
/// How long what is doubled may take to come.
const GRACE: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Args)]
pub(super) struct Load {
    /// How long is measured
    #[arg(long, value_name = "N", default_value_t = 10)]
    seconds: u64,
    /// What is sent before that, and not measured
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = super::duration)]
    warm_up: Duration,
    /// How long what was acknowledged may take to arrive when all is sent
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = super::duration)]
    settle: Duration,
    /// Size of each message's text
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(super) message_bytes: usize,
    /// Do not look into the queues of those who were offline
    #[arg(long)]
    leave_queues: bool,
}

impl Load {
    pub(super) fn times(&self) -> Times {
        Times { warm_up: self.warm_up, measured: Duration::from_secs(self.seconds.max(1)) }
    }
}

/// What was used and done at some moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Snapshot {
    pub(super) at: Duration,
    pub(super) servers: Sample,
    pub(super) own: Duration,
    pub(super) acknowledged: u64,
    pub(super) due: u64,
    pub(super) arrived: u64,
}

/// What a run has shown.
pub(super) struct RunResult {
    pub(super) traffic: Arc<Traffic>,
    pub(super) report: Report,
    /// The first call; the beginning and the end of what is measured; when all had arrived.
    pub(super) snapshots: [Snapshot; 4],
    /// `None`: there was nobody to ask.
    pub(super) caught_up: Option<bool>,
}

/// Makes the load and checks what became of it.
pub(super) async fn run(
    mut server: Server,
    scenario: Scenario,
    load: &Load,
    pace: Pace,
    output: Output,
) -> anyhow::Result<RunResult> {
    let times = load.times();
    environment::raise_files((scenario.online + scenario.connections.len() + AT_ONCE) as u64 + 64)?;
    let id = testkit::clock::random_id().as_fields().0;
    let online = scenario.online;
    let open = |user: usize| {
        let origin = server.origin(user);
        let from = environment::source(user / server.origins.len(), origin.address.ip());
        Socket::open(origin, &scenario.users[user].token, from)
    };
    let sockets: Vec<Socket> = stream::iter(0..online)
        .map(open)
        .buffered(AT_ONCE)
        .try_collect()
        .await
        .context("a socket cannot be opened")?;

    server.find_processes();
    let traffic = Traffic::begin((id, server, scenario), (pace, times), load.message_bytes);
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    for (user, socket) in sockets.into_iter().enumerate() {
        tasks.spawn(Arc::clone(&traffic).listen(user, socket, stop.clone()));
    }
    tasks.spawn(TrafficProgress::new(&traffic, output).run(stop.clone()));
    let senders: Vec<_> = (0..traffic.scenario.connections.len())
        .map(|connection| tasks.spawn(Arc::clone(&traffic).send(connection)))
        .collect();
    let first = snapshot(&traffic).await;
    sleep_until(traffic.schedule.at(times.warm_up)).await;
    let from = snapshot(&traffic).await;
    sleep_until(traffic.schedule.at(times.end())).await;
    let to = snapshot(&traffic).await;

    let mut sent: Vec<Sent> = traffic.scenario.authors.iter().map(|_| Sent::default()).collect();
    for sender in senders {
        for (author, all) in sender.await.context("a sender failed")? {
            sent[author] = all;
        }
    }
    record_not_begun(&traffic);
    _ = timeout(load.settle, all_arrived(&traffic)).await;
    let caught_up = traffic.server.caught_up(load.settle).await;
    let last = snapshot(&traffic).await;
    sleep(GRACE).await;
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    if !load.leave_queues {
        read_queues(&traffic, &sent, load.settle).await?;
    }
    let looked_at = if load.leave_queues { online } else { traffic.scenario.users.len() };
    let arrived: Vec<Option<Arrived>> = (0..traffic.scenario.users.len())
        .map(|user| (user < looked_at).then(|| traffic.take_arrived(user)))
        .collect();
    let report = check(&sent, &arrived, |author, to| traffic.scenario.readers(author, to));
    Ok(RunResult { traffic, report, snapshots: [first, from, to, last], caught_up })
}

async fn snapshot(traffic: &Arc<Traffic>) -> Snapshot {
    let (processes, counts) = (traffic.server.processes.clone(), &traffic.counts);
    let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let snapshot = Snapshot {
        at: traffic.schedule.now(),
        servers: Sample::new(),
        own: processes::own_cpu(),
        acknowledged: read(&counts.acknowledged),
        due: read(&counts.due),
        arrived: read(&counts.arrived),
    };
    // Off this thread: /proc may have thousands of entries.
    let servers = tokio::task::spawn_blocking(move || processes.sample()).await;
    Snapshot { servers: servers.unwrap_or_default(), ..snapshot }
}

/// Calls that were scheduled and that nobody was free to make have waited at least until the end.
fn record_not_begun(traffic: &Traffic) {
    let mut clock = traffic.clock();
    for scheduled_at in traffic.schedule.not_begun().filter(|at| traffic.times.measures(*at)) {
        let waited = traffic.times.end().saturating_sub(scheduled_at);
        super::format::record(&mut clock.begins, waited);
        super::format::record(&mut clock.answers, waited);
    }
}

/// Waits until as much has arrived as must arrive at those who are online.
async fn all_arrived(traffic: &Traffic) {
    let counts = &traffic.counts;
    let (mut before, mut quiet) = (0, Instant::now());
    loop {
        let arrived = counts.arrived.load(Ordering::Relaxed);
        if arrived != before {
            (before, quiet) = (arrived, Instant::now());
        }
        // What nobody answered for may arrive, too, and would be mistaken for what is still missing.
        let uncertain = counts.unknown.load(Ordering::Relaxed) > 0;
        let settled = !uncertain || quiet.elapsed() > Duration::from_secs(2);
        if arrived >= counts.due.load(Ordering::Relaxed) && settled {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Lets those who were offline come, one after the other, and ask for what has waited.
async fn read_queues(traffic: &Traffic, sent: &[Sent], patience: Duration) -> anyhow::Result<()> {
    let scenario = &traffic.scenario;
    let mut waiting = vec![0_u64; scenario.users.len()];
    for (author, sent) in sent.iter().enumerate() {
        for (to, outcome) in &sent.calls {
            if *outcome == super::checker::Outcome::Acknowledged {
                for user in scenario.readers(author, *to) {
                    waiting[user] += 1;
                }
            }
        }
    }
    let waiting = &waiting;
    stream::iter(scenario.online..scenario.users.len())
        .map(Ok)
        .try_for_each_concurrent(AT_ONCE, |user| async move {
            let mut socket = traffic.open(user).await?;
            traffic.drain(user).await?;
            let mut left = waiting[user];
            let mut limit = if left == 0 { GRACE } else { patience };
            while let Ok(Some(frame)) = timeout(limit, socket.next()).await {
                left = left.saturating_sub(u64::from(traffic.on_frame(user, &frame)));
                if left == 0 {
                    limit = GRACE;
                }
            }
            anyhow::Ok(())
        })
        .await
        .context("a queue cannot be read")
}
