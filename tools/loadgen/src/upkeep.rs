//! `loadgen upkeep`: every read model is rebuilt, compared and switched, by a `hongyan` with the operator's settings, while
//! people write and read. Nobody may notice: no call fails, no answer is empty or mixed, none takes longer than a second.

use std::{
    process::{ExitCode, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use clap::Args;
use serde_json::{Value, json};
use testkit::{
    client::http::{Connection, Origin},
    output::Output,
    programs,
};
use tokio::{
    process::Command,
    time::{Instant, interval},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    accounts::{self, Account, AccountKind, call},
    format,
    run::{self, Load, RunResult},
    schedule::Pace,
    target::Target,
    traffic::Scenario,
};

/// Those who read, each with a friend and a group. Each reads a few times a second, as one person may.
const READERS: usize = 40;

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    pub(super) target: Target,
    #[command(flatten)]
    load: Load,
    /// Messages a second
    #[arg(long, value_name = "N", default_value_t = 500.0)]
    rate: f64,
    /// Reads a second
    #[arg(long, value_name = "N", default_value_t = 200.0)]
    reads: f64,
    /// So many users, each of whom writes to the next
    #[arg(long, value_name = "N", default_value_t = 64)]
    senders: usize,
    /// An answer that takes longer is a failure
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = super::duration)]
    longest: Duration,
}

/// What reads have shown.
#[derive(Default)]
struct Reads {
    count: u64,
    slowest: Duration,
    /// What was wrong with those that went wrong.
    wrong: Vec<String>,
}

pub(super) async fn run(options: &Options, output: Output) -> anyhow::Result<ExitCode> {
    let senders = options.senders.max(2);
    let server = options.target.find().await?;
    let wanted = (senders + READERS, AccountKind::Registered);
    let (mut users, _) = accounts::ready(&options.target, &server.origins, wanted, output).await?;
    let readers = users.split_off(senders);
    let reader = Reader::prepare(server.origin(0), readers).await?;
    let scenario = || Scenario::ring(users.clone(), 1, senders);
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let reading = tasks.spawn(reader.run(options.reads, stop.clone()));
    let maintaining = tasks.spawn(maintain());
    let mut rounds = Vec::new();
    while rounds.is_empty() || !maintaining.is_finished() {
        let pace = Pace::PerSecond(options.rate);
        rounds.push(run::run(server.clone(), scenario(), &options.load, pace, output).await?);
    }
    let commands = maintaining.await??;
    stop.cancel();
    Ok(print(&rounds, &reading.await?, &commands, options.longest, output))
}

/// Rebuilds, compares and switches every read model, there and back.
async fn maintain() -> anyhow::Result<Vec<String>> {
    let mut done = Vec::new();
    let rebuilt = projections(&mut done, &["rebuild", "--all"]).await?;
    projections(&mut done, &["verify"]).await?;
    let rebuilt = rebuilt.as_array().context("a list")?;
    // A projector fills the analysts' stream, which there is once.
    for model in rebuilt.iter().filter(|model| model["events"].is_u64()) {
        let name = model["name"].as_str().context("a name")?;
        for generation in [&model["before"], &model["generation"]] {
            projections(&mut done, &["switch", name, &generation.to_string()]).await?;
        }
    }
    projections(&mut done, &["verify"]).await?;
    Ok(done)
}

async fn projections(done: &mut Vec<String>, arguments: &[&str]) -> anyhow::Result<Value> {
    let mut command = Command::new(programs::hongyan()?);
    command.arg("projections").args(arguments).arg("--json");
    let output = command.stderr(Stdio::inherit()).output().await?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "hongyan projections {}: {said}", arguments.join(" "));
    done.push(arguments.join(" "));
    serde_json::from_str(&said).context("hongyan projections prints no JSON")
}

/// Those who read, and what each read must answer as long as nobody changes anything.
struct Reader {
    origin: Arc<Origin>,
    people: Vec<Account>,
    /// By person: path and answer.
    wanted: Vec<Vec<(String, Value)>>,
}

impl Reader {
    /// Two by two they become friends with a group, and everything is read once.
    async fn prepare(origin: &Arc<Origin>, people: Vec<Account>) -> anyhow::Result<Self> {
        let mut server = Connection::to(origin);
        for pair in people.chunks_exact(2) {
            let (one, other) = (&pair[0], &pair[1]);
            let before = read(&mut server, one, "/api/chat/goodfriendlist/1").await?;
            if before["count"] != 0 {
                continue; // accounts of an earlier run
            }
            let friend = json!({"friend_id": other.id});
            call(&mut server, one, "/api/chat/autoAddFriendAndAgree", friend).await?;
            let book = read(&mut server, one, "/api/chat/goodfriendlist/1").await?;
            let row = &book["rows"]["newList"][0]["list"][0]["id"];
            call(&mut server, one, "/api/chat/group/create", json!({"userIds": [row]})).await?;
        }
        let mut wanted = Vec::new();
        for person in &people {
            let groups = read(&mut server, person, "/api/chat/grouplist/1").await?;
            let group = groups[0]["id"].as_i64().context("a group is in the list")?;
            let mut own = Vec::new();
            for path in [
                "/api/chat/goodfriendlist/1".to_owned(),
                "/api/chat/grouplist/1".to_owned(),
                format!("/api/chat/groupinfo/{group}"),
            ] {
                let answer = read(&mut server, person, &path).await?;
                own.push((path, answer));
            }
            wanted.push(own);
        }
        Ok(Self { origin: Arc::clone(origin), people, wanted })
    }

    /// Reads at a rate until the end, each read by another person.
    async fn run(self, rate: f64, stop: CancellationToken) -> Reads {
        let tasks = TaskTracker::new();
        let mut due = interval(Duration::from_secs_f64(1.0 / rate.max(0.1)));
        let this = Arc::new(self);
        let mut under_way = Vec::new();
        let mut number = 0;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = due.tick() => {}
            }
            let this = Arc::clone(&this);
            under_way.push(tasks.spawn(async move { this.one(number).await }));
            number += 1;
        }
        let mut reads = Reads::default();
        for read in under_way {
            reads.count += 1;
            match read.await {
                Ok(Ok(took)) => reads.slowest = reads.slowest.max(took),
                Ok(Err(error)) => reads.wrong.push(format!("{error:#}")),
                Err(error) => reads.wrong.push(error.to_string()),
            }
        }
        reads
    }

    async fn one(&self, number: usize) -> anyhow::Result<Duration> {
        let person = number % self.people.len();
        let (path, wanted) = &self.wanted[person][number / self.people.len() % 3];
        let begun = Instant::now();
        let answer = read(&mut Connection::to(&self.origin), &self.people[person], path).await?;
        ensure!(answer == *wanted, "{path} answered {answer} instead of {wanted}");
        Ok(begun.elapsed())
    }
}

async fn read(server: &mut Connection, person: &Account, path: &str) -> anyhow::Result<Value> {
    let answer = server.get(Some(path), Some(&person.header())).await?;
    answer.data().with_context(|| path.to_owned())
}

fn print(
    rounds: &[RunResult],
    reads: &Reads,
    commands: &[String],
    longest: Duration,
    output: Output,
) -> ExitCode {
    let slowest = rounds.iter().map(|round| round.traffic.clock().answers.max()).max();
    let slowest = Duration::from_micros(slowest.unwrap_or(0)).max(reads.slowest);
    let bad: Vec<Value> = rounds
        .iter()
        .filter(|round| !round.report.is_good())
        .map(|round| json!(round.report))
        .collect();
    let acknowledged: u64 = rounds.iter().map(|round| round.snapshots[3].acknowledged).sum();
    let is_good = bad.is_empty() && reads.wrong.is_empty() && slowest <= longest;
    let slowest_ms = format::rounded(slowest.as_secs_f64() * 1e3, 1);
    let shown = json!({
        "good": is_good, "commands": commands,
        "acknowledged": acknowledged, "bad_rounds": bad,
        "reads": reads.count, "wrong_reads": reads.wrong.len(), "first_wrong": reads.wrong.first(),
        "slowest_ms": slowest_ms,
    });
    output.print(&shown, || {
        let first_wrong = reads.wrong.first().map(|why| format!(": {why}")).unwrap_or_default();
        let lines = [
            ("commands", format!("{} of `hongyan projections`", commands.len())),
            ("messages", format!("{acknowledged} acknowledged; bad rounds: {bad:?}")),
            ("reads", format!("{}, {} wrong{first_wrong}", reads.count, reads.wrong.len())),
            ("slowest call", format!("{slowest_ms} ms")),
        ];
        format::table("upkeep: every read model rebuilt, compared and switched under load", &lines)
    });
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
