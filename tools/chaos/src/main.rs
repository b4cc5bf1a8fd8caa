//! Chaos: breaks every part of a private stack while people use it, and checks what they were promised.

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
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use testkit::{
    client::{
        account::{self, Account},
        http::{Connection, Origin},
    },
    output::Output,
};

use self::{
    checker::{Rule, Verdict},
    client::{Counts, Person, World},
    faulty_proxy::{Liar, Lie},
    history::{History, Record},
    nemesis::{Kind, LONGEST_PAUSE, Trouble},
    rng::Dice,
    stack::Stack,
};

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// After so long without a frame nothing is on its way.
const SILENCE: Duration = Duration::from_secs(4);
/// A push that nobody noticed to be lost is found by the next watermarks, 3 s later (ADR 0022).
const WATERMARKS: Duration = Duration::from_secs(7);
/// After so long everybody must know who is online.
const PRESENCE: Duration = Duration::from_secs(15);

/// Breaks every part of a private stack while people use it, and checks what they were promised.
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
    only: Vec<Kind>,
    /// How many seconds a part is away at most, now and then; more than 16 also after a kill
    #[arg(long, value_name = "S", default_value_t = LONGEST_PAUSE.as_secs())]
    longest_pause: u64,
    /// People
    #[arg(long, value_name = "N", default_value_t = 52)]
    people: u32,
    /// Groups: one of everybody, which is a large one with more than 50, and others of a third of the people each
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
    /// Judge the history of an earlier run, and do nothing else
    #[arg(long, value_name = "FILE", conflicts_with_all = ["minutes", "history"])]
    check: Option<PathBuf>,
    /// Put somebody between clients and gateways who breaks a promise: the run must then fail
    #[arg(long, value_name = "LIE", value_enum)]
    lie: Option<Lie>,
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
    let verdict = if let Some(file) = &options.check {
        checker::judge(&history::read(file)?)
    } else {
        let enough = CancellationToken::new();
        let mut run = pin!(broken(&options, &enough));
        loop {
            tokio::select! {
                verdict = &mut run => break verdict?,
                () = stop_signal() => {
                    // What was started ends with it.
                    anyhow::ensure!(!enough.is_cancelled(), "interrupted");
                    eprintln!("faults: enough; what is left is the judgement");
                    enough.cancel();
                }
            }
        }
    };
    report::print(&options, &verdict, output);
    Ok(if verdict.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Makes a stack, breaks it, and judges.
async fn broken(options: &Options, enough: &CancellationToken) -> anyhow::Result<Verdict> {
    let mut folder = tempfile::Builder::new().prefix("hongyan-faults-").tempdir()?;
    // PostgreSQL may run as another account and must get in.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
    if options.keep {
        folder.disable_cleanup(true);
        eprintln!("faults: the stack is in {}", folder.path().display());
    }
    let tasks = TaskTracker::new();
    let Options { only, lie, durability, .. } = options;
    let fills_disk = lie.is_none() && (only.is_empty() || only.contains(&Kind::FullDisk));
    let stack = Stack::start(folder.path(), durability, fills_disk, &tasks).await;
    let stack = Arc::new(stack.context("the stack does not start")?);
    let result = judged(options, enough, &stack, &tasks, folder.path()).await;
    stack.end().await;
    result
}

async fn judged(
    options: &Options,
    enough: &CancellationToken,
    stack: &Arc<Stack>,
    tasks: &TaskTracker,
    folder: &Path,
) -> anyhow::Result<Verdict> {
    let place = folder.join("history.jsonl");
    let (world, people) = populate(options, stack, tasks, place).await?;
    eprintln!("faults: {} people in {} groups", people.len(), world.groups.len());
    let stop = CancellationToken::new();
    let lives = people.into_iter().map(|person| {
        let life = person.live(Arc::clone(&world), stop.clone());
        tasks.spawn(life)
    });
    let lives: Vec<_> = lives.collect();
    let mut trouble = Trouble::new(
        Arc::clone(stack),
        Arc::clone(&world),
        Dice::new(options.seed, u64::MAX),
        Duration::from_secs(options.longest_pause),
        &options.only,
    );
    let (end, mut faults) = (Instant::now() + Duration::from_secs_f64(options.minutes * 60.0), 0);
    let done = |faults| {
        let all = Instant::now() >= end
            && faults >= options.faults
            && world.counts.acknowledged.load(Ordering::Relaxed) >= options.sends;
        all || enough.is_cancelled()
    };
    while !done(faults) {
        if options.lie.is_some() {
            sleep(Duration::from_millis(100)).await; // one evil at a time
            continue;
        }
        faults += trouble.strike().await?;
    }
    stop.cancel();
    let people: Result<Vec<Person>, _> = join_all(lives).await.into_iter().collect();
    let lies = options.lie.is_some();
    finish(stack, &world, people.context("a person's task failed")?, lies).await?;
    let verdict = checker::judge(&world.history.read()?);
    if let Some(place) = &options.history {
        std::fs::copy(world.history.path(), place)?;
    } else if !verdict.is_good() {
        let kept =
            std::env::temp_dir().join(format!("hongyan-faults-{}.jsonl", std::process::id()));
        std::fs::copy(world.history.path(), &kept)?;
        eprintln!("faults: the history is kept in {}", kept.display());
    }
    Ok(verdict)
}

/// People with accounts, and groups that they are in, before anything breaks.
async fn populate(
    options: &Options,
    stack: &Stack,
    tasks: &TaskTracker,
    history: PathBuf,
) -> anyhow::Result<(Arc<World>, Vec<Person>)> {
    let (count, groups) = (options.people, options.groups);
    ensure!(count >= 4 && groups < count, "at least 4 people, and fewer groups than people");
    let accounts = (0..count).map(async |number| {
        let origin = &stack.origins[number as usize % stack.origins.len()];
        let mut http = Connection::to(origin);
        let mut account = Account::invent(account::Kind::Registered);
        account.prepare(&mut http, "").await?;
        anyhow::Ok(account)
    });
    let accounts = try_join_all(accounts).await?;
    let mut world = World {
        history: History::begin(history)?,
        origins: clients_see(options, stack, tasks).await?,
        ids: accounts.iter().map(|account| account.id).collect(),
        groups: Vec::new(),
        tasks: tasks.clone(),
        is_direct: options.lie.is_none(),
        pace: Duration::from_secs_f64(f64::from(count) / options.rate.max(1.0)),
        counts: Counts::default(),
    };
    for (user, account) in (0..).zip(&accounts) {
        world.history.note(&Record::User { user, id: account.id });
    }
    let never = CancellationToken::new();
    let mut people: Vec<Person> = (0..)
        .zip(accounts)
        .map(|(number, account)| {
            let http = world.origins.iter().map(|origin| Connection::to(origin).patient(PATIENCE));
            let dice = Dice::new(options.seed, u64::from(number));
            Person::new(number, account, dice, http.collect())
        })
        .collect();
    for group in 0..groups {
        let (owner, friend) = (group as usize, group + 1);
        people[owner].befriend(&world, friend, &never).await;
        let begin = world.history.now();
        let id = people[owner].make_group(world.ids[friend as usize]).await?;
        world.groups.push(id);
        let end = world.history.now();
        for user in [group, friend] {
            let (joins, fate) = (true, history::Fate::Done);
            world.history.note(&Record::Member { user, group, joins, begin, end, fate });
            people[user as usize].groups.push((group, true));
        }
        let others = (0..count).filter(|user| group == 0 || user % 3 == group % 3);
        for user in others.filter(|user| ![group, friend].contains(user)) {
            let person = &mut people[user as usize];
            person.change_membership(&world, group, true, &never).await;
            person.groups.push((group, true));
        }
    }
    let world = Arc::new(world);
    join_all(people.iter_mut().map(|person| person.be_online(&world))).await;
    Ok((world, people))
}

/// The gateways, or those who stand before them.
async fn clients_see(
    options: &Options,
    stack: &Stack,
    tasks: &TaskTracker,
) -> anyhow::Result<Vec<Arc<Origin>>> {
    match options.lie {
        None => Ok(stack.origins.clone()),
        Some(lie) => {
            try_join_all(stack.origins.iter().map(|origin| Liar::before(origin, lie, tasks))).await
        }
    }
}

/// Nothing breaks any more: everything that is due has to arrive, and all must know who is online.
async fn finish(
    stack: &Stack,
    world: &Arc<World>,
    mut people: Vec<Person>,
    lies: bool,
) -> anyhow::Result<()> {
    eprintln!("faults: {:>7.1} s  all is whole again", seconds(world));
    join_all(people.iter_mut().map(|person| person.be_online(world))).await;
    quiet(stack, world).await;
    if !lies && is_missing(world)? {
        eprintln!("faults: something has not come yet, waiting for watermarks");
        sleep(WATERMARKS).await;
        quiet(stack, world).await;
    }
    if lies {
        return Ok(()); // found out by now, or never
    }
    world.history.note(&Record::Quiet { at: world.history.now() });
    if is_missing(world)? {
        eprintln!("faults: something has not come, everybody comes again");
        join_all(people.iter_mut().map(async |person| {
            person.close_all_but(0).await;
            person.be_online(world).await;
        }))
        .await;
        quiet(stack, world).await;
    }
    let (staying, leaving) = people.split_at_mut(world.ids.len() / 2);
    join_all(staying.iter_mut().map(|person| person.close_all_but(1))).await;
    join_all(leaving.iter_mut().map(|person| person.close_all_but(0))).await;
    sleep(PRESENCE).await;
    for some in (0..).zip(&world.ids).collect::<Vec<_>>().chunks(4) {
        try_join_all(some.iter().map(|(user, id)| look(stack, world, *user, **id))).await?;
    }
    join_all(people.iter_mut().map(|person| person.close_all_but(0))).await;
    quiet(stack, world).await;
    let verified = stack.command(&["projections", "verify", "--json"]).await;
    let clean = verified.is_ok();
    let said = verified.unwrap_or_else(|error| format!("{error:#}"));
    world.history.note(&Record::Verified { clean, said });
    Ok(())
}

/// Notes whether an operator sees a user online, in the session and in the read model.
async fn look(stack: &Stack, world: &World, user: u32, id: i64) -> anyhow::Result<()> {
    let shown = stack.command(&["users", "show", &id.to_string(), "--json"]).await?;
    let shown: serde_json::Value = serde_json::from_str(&shown)?;
    let session = shown["online"].as_bool().context("`users show` says nothing of online")?;
    for online in [session, shown["sockets"].as_u64() > Some(0)] {
        world.history.note(&Record::Presence { user, at: world.history.now(), online });
    }
    Ok(())
}

fn seconds(world: &World) -> f64 {
    Duration::from_micros(world.history.now()).as_secs_f64()
}

fn is_missing(world: &World) -> anyhow::Result<bool> {
    let verdict = checker::judge(&world.history.read()?);
    let missing = |rule| verdict.violations.contains_key(rule);
    Ok([Rule::Lost, Rule::Revoked].iter().any(missing))
}

/// Waits until the read models have all that the log has, and nothing comes any more.
async fn quiet(stack: &Stack, world: &World) {
    let arrived = || world.counts.arrived.load(Ordering::Relaxed);
    let (mut seen, mut since, begun) = (arrived(), Instant::now(), Instant::now());
    while since.elapsed() < SILENCE || !stack.has_caught_up().await {
        if begun.elapsed() > Duration::from_mins(10) {
            let what = "the read models do not catch up, or frames never end".to_owned();
            return world.history.note(&Record::Stuck { at: world.history.now(), what });
        }
        sleep(Duration::from_millis(100)).await;
        if arrived() != seen {
            (seen, since) = (arrived(), Instant::now());
        }
    }
}
