//! Chaos: breaks every part of a private stack while clients use it, and checks what they were promised.

mod checker;
mod client;
mod faulty_proxy;
mod history;
mod nemesis;
mod report;
mod rng;
mod stack;

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    pin::pin,
    process::ExitCode,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use clap::Parser;
use futures_util::future::{join_all, try_join_all};
use testkit::{
    client::{
        account::{self, Account},
        http::{Connection, Origin},
    },
    output::Output,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    checker::{Report, Rule},
    client::{Client, Counts, SharedState},
    faulty_proxy::{Corruption, FaultyProxy},
    history::{History, Record},
    nemesis::{FaultKind, LONGEST_PAUSE, Nemesis},
    rng::Rng,
    stack::Stack,
};

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// After so long without a frame nothing is on its way.
const SILENCE: Duration = Duration::from_secs(4);
/// From one look at what arrives to the next.
const PAUSE: Duration = Duration::from_millis(100);
/// A push that nobody noticed to be lost is found by the next watermarks, 3 s later (ADR 0022).
const WATERMARKS: Duration = Duration::from_secs(7);
/// After so long everybody must know who is online.
const PRESENCE: Duration = Duration::from_secs(15);

/// Breaks every part of a private stack while clients use it, and checks what they were promised.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Options {
    /// How long to break things
    #[arg(long, value_name = "N", default_value_t = 2.0)]
    minutes: f64,
    /// Go on until so many faults were committed
    #[arg(long, value_name = "N", default_value_t = 0)]
    faults: u64,
    /// Go on until so many messages were acknowledged
    #[arg(long, value_name = "N", default_value_t = 0)]
    sends: u64,
    /// The same seed makes the same choices, though not at the same moments
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Only faults of these kinds
    #[arg(long, value_name = "KIND,…", value_delimiter = ',', value_enum)]
    only: Vec<FaultKind>,
    /// How many seconds a part is away at most, now and then; more than 16 also after a kill
    #[arg(long, value_name = "S", default_value_t = LONGEST_PAUSE.as_secs())]
    longest_pause: u64,
    /// People
    #[arg(long, value_name = "N", default_value_t = 52)]
    clients: u32,
    /// Groups: one of everybody, which is a large one with more than 50, and others of a third of the clients each
    #[arg(long, value_name = "N", default_value_t = 5)]
    groups: u32,
    /// Calls a second, of all together, if the stack keeps up
    #[arg(long, value_name = "N", default_value_t = 1000.0)]
    rate: f64,
    /// `log.durability` of the stack
    #[arg(long, value_name = "synced|acked", default_value = "synced")]
    durability: String,
    /// Keep the history here, even if all is well; a history with a violation is always kept
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Check the history of an earlier run, and do nothing else
    #[arg(long, value_name = "FILE", conflicts_with_all = ["minutes", "history"])]
    check: Option<PathBuf>,
    /// Put a proxy between clients and gateways that breaks a promise: the run must then fail
    #[arg(long, value_name = "CORRUPTION", value_enum)]
    corrupt: Option<Corruption>,
    /// Leave the stack's folder behind, with the logs of all parts
    #[arg(long)]
    keep: bool,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let output = Output::new(options.json);
    match Box::pin(run(options, output)).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("chaos: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn stop_signal() {
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be watched");
    let mut interrupt = signal(SignalKind::interrupt()).expect("signals can be watched");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

async fn run(options: Options, output: Output) -> anyhow::Result<ExitCode> {
    let report = if let Some(file) = &options.check {
        checker::check(&history::read(file)?)
    } else {
        let enough = CancellationToken::new();
        let mut run = pin!(run_and_check(&options, &enough));
        loop {
            tokio::select! {
                report = &mut run => break report?,
                () = stop_signal() => {
                    // What was started ends with it.
                    anyhow::ensure!(!enough.is_cancelled(), "interrupted");
                    eprintln!("chaos: enough; what is left is the check");
                    enough.cancel();
                }
            }
        }
    };
    report::print(&options, &report, output);
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Makes a stack, breaks it, and checks the history.
async fn run_and_check(options: &Options, enough: &CancellationToken) -> anyhow::Result<Report> {
    let mut folder = tempfile::Builder::new().prefix("hongyan-faults-").tempdir()?;
    // PostgreSQL may run as another account and must get in.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
    if options.keep {
        folder.disable_cleanup(true);
        eprintln!("chaos: the stack is in {}", folder.path().display());
    }
    let tasks = TaskTracker::new();
    let Options { only, corrupt, durability, .. } = options;
    let fills_disk = corrupt.is_none() && (only.is_empty() || only.contains(&FaultKind::FullDisk));
    let stack = Stack::start(folder.path(), durability, fills_disk, &tasks).await;
    let stack = Arc::new(stack.context("the stack does not start")?);
    let result = run_on(options, enough, &stack, &tasks, folder.path()).await;
    stack.end().await;
    result
}

async fn run_on(
    options: &Options,
    enough: &CancellationToken,
    stack: &Arc<Stack>,
    tasks: &TaskTracker,
    folder: &Path,
) -> anyhow::Result<Report> {
    let place = folder.join("history.jsonl");
    let (shared, clients) = populate(options, stack, tasks, place).await?;
    eprintln!("chaos: {} clients in {} groups", clients.len(), shared.groups.len());
    let stop = CancellationToken::new();
    let runs = clients.into_iter().map(|client| {
        let running = client.run(Arc::clone(&shared), stop.clone());
        tasks.spawn(running)
    });
    let runs: Vec<_> = runs.collect();
    let mut nemesis = Nemesis::new(
        Arc::clone(stack),
        Arc::clone(&shared),
        Rng::new(options.seed, u64::MAX),
        Duration::from_secs(options.longest_pause),
        &options.only,
    );
    let (end, mut faults) = (Instant::now() + Duration::from_secs_f64(options.minutes * 60.0), 0);
    let done = |faults| {
        let all = Instant::now() >= end
            && faults >= options.faults
            && shared.counts.acknowledged.load(Ordering::Relaxed) >= options.sends;
        all || enough.is_cancelled()
    };
    while !done(faults) {
        if options.corrupt.is_some() {
            sleep(Duration::from_millis(100)).await; // one evil at a time
            continue;
        }
        faults += nemesis.inject_next().await?;
    }
    stop.cancel();
    let clients: Result<Vec<Client>, _> = join_all(runs).await.into_iter().collect();
    let corrupted = options.corrupt.is_some();
    settle(stack, &shared, clients.context("a client's task failed")?, corrupted).await?;
    let report = checker::check(&shared.history.read()?);
    if let Some(place) = &options.history {
        std::fs::copy(shared.history.path(), place)?;
    } else if !report.is_good() {
        let kept =
            std::env::temp_dir().join(format!("hongyan-faults-{}.jsonl", std::process::id()));
        std::fs::copy(shared.history.path(), &kept)?;
        eprintln!("chaos: the history is kept in {}", kept.display());
    }
    Ok(report)
}

/// Clients with accounts, and groups that they are in, before anything breaks.
async fn populate(
    options: &Options,
    stack: &Stack,
    tasks: &TaskTracker,
    history: PathBuf,
) -> anyhow::Result<(Arc<SharedState>, Vec<Client>)> {
    let (count, groups) = (options.clients, options.groups);
    ensure!(count >= 4 && groups < count, "at least 4 clients, and fewer groups than clients");
    let accounts = (0..count).map(async |number| {
        let origin = &stack.origins[number as usize % stack.origins.len()];
        let mut http = Connection::to(origin);
        let mut account = Account::generate(account::AccountKind::Registered);
        account.prepare(&mut http, "").await?;
        anyhow::Ok(account)
    });
    let accounts = try_join_all(accounts).await?;
    let mut shared = SharedState {
        history: History::begin(history)?,
        origins: clients_see(options, stack, tasks).await?,
        ids: accounts.iter().map(|account| account.id).collect(),
        groups: Vec::new(),
        tasks: tasks.clone(),
        is_direct: options.corrupt.is_none(),
        pace: Duration::from_secs_f64(f64::from(count) / options.rate.max(1.0)),
        counts: Counts::default(),
    };
    for (user, account) in (0..).zip(&accounts) {
        shared.history.record(&Record::User { user, id: account.id });
    }
    let never = CancellationToken::new();
    let mut clients: Vec<Client> = (0..)
        .zip(accounts)
        .map(|(number, account)| {
            let http =
                shared.origins.iter().map(|origin| Connection::to(origin).with_timeout(PATIENCE));
            let rng = Rng::new(options.seed, u64::from(number));
            Client::new(number, account, rng, http.collect())
        })
        .collect();
    for group in 0..groups {
        let (owner, friend) = (group as usize, group + 1);
        clients[owner].befriend(&shared, friend, &never).await;
        let begin = shared.history.now();
        let id = clients[owner].make_group(shared.ids[friend as usize]).await?;
        shared.groups.push(id);
        let end = shared.history.now();
        for user in [group, friend] {
            let (joins, outcome) = (true, history::Outcome::Done);
            shared.history.record(&Record::Member { user, group, joins, begin, end, outcome });
            clients[user as usize].groups.push((group, true));
        }
        let others = (0..count).filter(|user| group == 0 || user % 3 == group % 3);
        for user in others.filter(|user| ![group, friend].contains(user)) {
            let client = &mut clients[user as usize];
            client.change_membership(&shared, group, true, &never).await;
            client.groups.push((group, true));
        }
    }
    let shared = Arc::new(shared);
    join_all(clients.iter_mut().map(|client| client.ensure_online(&shared))).await;
    Ok((shared, clients))
}

/// The gateways, or those who stand before them.
async fn clients_see(
    options: &Options,
    stack: &Stack,
    tasks: &TaskTracker,
) -> anyhow::Result<Vec<Arc<Origin>>> {
    match options.corrupt {
        None => Ok(stack.origins.clone()),
        Some(corruption) => {
            try_join_all(
                stack.origins.iter().map(|origin| FaultyProxy::before(origin, corruption, tasks)),
            )
            .await
        }
    }
}

/// Nothing breaks any more: everything that is due has to arrive, and all must know who is online.
async fn settle(
    stack: &Stack,
    shared: &Arc<SharedState>,
    mut clients: Vec<Client>,
    corrupted: bool,
) -> anyhow::Result<()> {
    eprintln!("chaos: {:>7.1} s  all is whole again", seconds(shared));
    join_all(clients.iter_mut().map(|client| client.ensure_online(shared))).await;
    wait_until_quiet(stack, shared).await;
    if !corrupted && is_missing(shared)? {
        eprintln!("chaos: something has not come yet, waiting for watermarks");
        sleep(WATERMARKS).await;
        wait_until_quiet(stack, shared).await;
    }
    if corrupted {
        return Ok(()); // found out by now, or never
    }
    shared.history.record(&Record::Quiet { at: shared.history.now() });
    if is_missing(shared)? {
        eprintln!("chaos: something has not come, all clients reconnect");
        join_all(clients.iter_mut().map(async |client| {
            client.close_all_but(0).await;
            client.ensure_online(shared).await;
        }))
        .await;
        wait_until_quiet(stack, shared).await;
    }
    let (staying, leaving) = clients.split_at_mut(shared.ids.len() / 2);
    join_all(staying.iter_mut().map(|client| client.close_all_but(1))).await;
    join_all(leaving.iter_mut().map(|client| client.close_all_but(0))).await;
    sleep(PRESENCE).await;
    for some in (0..).zip(&shared.ids).collect::<Vec<_>>().chunks(4) {
        try_join_all(some.iter().map(|(user, id)| record_presence(stack, shared, *user, **id)))
            .await?;
    }
    join_all(clients.iter_mut().map(|client| client.close_all_but(0))).await;
    wait_until_quiet(stack, shared).await;
    let verified = stack.command(&["projections", "verify", "--json"]).await;
    let clean = verified.is_ok();
    let said = verified.unwrap_or_else(|error| format!("{error:#}"));
    shared.history.record(&Record::Verified { clean, said });
    explain(stack, shared).await
}

/// Records what an operator is told of every message that was accepted.
async fn explain(stack: &Stack, shared: &SharedState) -> anyhow::Result<()> {
    let accepted = shared.history.read()?.into_iter().filter_map(|record| match record {
        Record::Send { id, outcome: history::Outcome::Done, .. } => id,
        _ => None,
    });
    let ids: Vec<String> = accepted.collect();
    let begun = Instant::now();
    let said = stack.command_told(&["explain", "--batch", "--limit", "1000"], ids.join("\n")).await;
    let said = said?;
    let answers: Vec<&str> = said.lines().collect();
    ensure!(answers.len() == ids.len(), "{} answers to {} questions", answers.len(), ids.len());
    let seconds = begun.elapsed().as_secs_f64();
    eprintln!("chaos: {} messages were explained in {seconds:.1} s", ids.len());
    for (id, answer) in ids.into_iter().zip(answers) {
        let answer: serde_json::Value = serde_json::from_str(answer)?;
        let recipient = |one: &serde_json::Value| {
            Some((one["user"].as_i64()?, one["reason"].as_str().map(str::to_owned)))
        };
        let record = match answer["recipients"].as_array() {
            Some(all) => {
                Record::Explained { id, recipients: all.iter().filter_map(recipient).collect() }
            }
            None => Record::Unexplained { id, said: answer.to_string() },
        };
        shared.history.record(&record);
    }
    Ok(())
}

/// Records whether an operator sees a user online, in the session and in the read model.
async fn record_presence(
    stack: &Stack,
    shared: &SharedState,
    user: u32,
    id: i64,
) -> anyhow::Result<()> {
    let shown = stack.command(&["users", "show", &id.to_string(), "--json"]).await?;
    let shown: serde_json::Value = serde_json::from_str(&shown)?;
    let session = shown["online"].as_bool().context("`users show` says nothing of online")?;
    for online in [session, shown["sockets"].as_u64() > Some(0)] {
        shared.history.record(&Record::Presence { user, at: shared.history.now(), online });
    }
    Ok(())
}

fn seconds(shared: &SharedState) -> f64 {
    Duration::from_micros(shared.history.now()).as_secs_f64()
}

fn is_missing(shared: &SharedState) -> anyhow::Result<bool> {
    let report = checker::check(&shared.history.read()?);
    let missing = |rule| report.violations.contains_key(rule);
    Ok([Rule::Lost, Rule::Revoked].iter().any(missing))
}

/// Waits until the read models have all that the log has, and nothing comes any more.
async fn wait_until_quiet(stack: &Stack, shared: &SharedState) {
    let arrived = || shared.counts.arrived.load(Ordering::Relaxed);
    let (mut seen, mut since, begun) = (arrived(), 0, Instant::now());
    // Counted, not timed: a machine that stands still for as long is not quiet.
    while PAUSE * since < SILENCE || !stack.has_caught_up().await {
        if begun.elapsed() > Duration::from_mins(10) {
            let what = "the read models do not catch up, or frames never end".to_owned();
            return shared.history.record(&Record::Stuck { at: shared.history.now(), what });
        }
        sleep(PAUSE).await;
        since += 1;
        if arrived() != seen {
            (seen, since) = (arrived(), 0);
        }
    }
}
