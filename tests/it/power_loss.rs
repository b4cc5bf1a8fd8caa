//! The power of the log's machine fails (ADR 0002, `log.durability`). `./test power-loss` runs these;
//! `docs/power-loss.md` says how, and with which result.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;

use crate::support::traffic::Numbered;
use crate::support::{Cache, Machine, Traffic, User, text_of, until};

/// How many write at once.
const SENDERS: usize = 8;
/// How long a text is, so that JetStream, which begins a new file after 8 MiB, does so now and then.
const LENGTH_BYTES: usize = 2000;

/// How wrong the machine's clock is when it comes back, as one whose battery is empty.
const WRONG_S: [i64; 5] = [-3600, -100, 0, 100, 3600];

/// What `synced` promises: after any power failure, whatever the disk's cache did, all that was acknowledged is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs QEMU and minutes: ./test power-loss"]
async fn what_synced_acknowledged_survives_power_failures() {
    let mut trial = Trial::begin("synced").await;
    for round in 1..=asked("HONGYAN_POWER_LOSS_ROUNDS").unwrap_or(6) {
        let lost = trial.round(round).await;
        assert!(lost.is_empty(), "{} acknowledged messages were lost: {lost:?}", lost.len());
    }
    trial.traffic.end().await;
    trial.machine.verify().await;
}

/// The same must show what `acked` does not promise, or it shows nothing. The read models, which were not lost, are
/// then ahead of the log: they say so and follow it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs QEMU and minutes: ./test power-loss"]
async fn what_acked_acknowledged_is_lost_by_a_power_failure() {
    let mut trial = Trial::begin("acked").await;
    let mut lost = BTreeSet::new();
    for round in 1..=5 {
        lost = trial.round(round).await;
        if !lost.is_empty() {
            break;
        }
    }
    assert!(!lost.is_empty(), "nothing was lost in 5 rounds: this test would not notice a loss");
    assert!(trial.machine.said().contains("is ahead of the log: acknowledged events may be gone"));
    trial.traffic.stop_writing().await;
    trial.machine.verify().await;
}

/// A machine whose power fails again and again while messages flow.
struct Trial {
    machine: Machine,
    durability: &'static str,
    traffic: Traffic,
    chance: Chance,
    /// How many were acknowledged before the last failure.
    before: usize,
}

impl Trial {
    /// Accounts are made and log in with `synced`, and the power fails after each: they are there in any case.
    async fn begin(durability: &'static str) -> Self {
        let chance = Chance::from_seed(durability);
        let mut machine = Machine::new().await;
        machine.switch_on("synced", 0).await;
        machine.cli(&["migrate"]).await.ok();
        machine.ready().await;
        let mut people = vec![machine.register("reader").await];
        people[0].let_strangers_send(2).await;
        for number in 0..SENDERS {
            people.push(machine.register(&format!("sender_{number}")).await);
        }
        start_again(&mut machine, "synced").await;
        // By password: the vault, too, was on the disk.
        let people = join_all(people.iter().map(User::login)).await;
        start_again(&mut machine, durability).await;
        let senders: Vec<&User> = people[1..].iter().collect();
        let traffic = Traffic::of_length(LENGTH_BYTES, &senders, &people[0]).await;
        Self { machine, durability, traffic, chance, before: 0 }
    }

    /// Cuts the power after some more acknowledgements, and starts again. Returns what the log should hold and does not.
    async fn round(&mut self, round: usize) -> BTreeSet<Numbered> {
        let cache = [Cache::Kept, Cache::Lost, Cache::Mixed][round % 3];
        let enough = self.traffic.acknowledged().len() + 50 + self.chance.below(350);
        until("messages are acknowledged", async || {
            (self.traffic.acknowledged().len() >= enough).then_some(())
        })
        .await;
        self.machine.cut_power();
        let acknowledged = self.traffic.acknowledged();
        let (loose, gone) = self.machine.settle_disk(cache, |below| self.chance.below(below));
        let clock_s = WRONG_S[self.chance.below(WRONG_S.len())];
        self.machine.switch_on(self.durability, clock_s).await;
        let logged = self.logged(&acknowledged).await;
        self.machine.ready().await;
        let lost: BTreeSet<_> = acknowledged.difference(&logged).copied().collect();
        println!(
            "{}, power failure {round}: acknowledged {:>5}, since the last one {:>4}; unflushed writes {loose:>2}, \
             of them lost {gone:>2}; the clock then {clock_s:>5} s wrong; acknowledged messages lost: {}",
            self.durability,
            acknowledged.len(),
            acknowledged.len() - self.before,
            lost.len(),
        );
        self.before = acknowledged.len();
        lost
    }

    /// The messages in the log. None is there twice, and each sender's are in order, but for those that they gave up
    /// waiting for: these may have been taken in after their next.
    async fn logged(&self, acknowledged: &BTreeSet<Numbered>) -> BTreeSet<Numbered> {
        let count = self.machine.cli(&["events", "stats", "--json"]).await.json()["events"].clone();
        let all = ["events", "tail", "--from", "1", "--json", "--count", &count.to_string()];
        let mut logged = BTreeSet::new();
        let mut last = BTreeMap::new();
        for line in self.machine.cli(&all).await.ok().lines() {
            let event: serde_json::Value = serde_json::from_str(line).expect("a line is an event");
            if event["type"] != "message.sent.v1" {
                continue;
            }
            let from = event["data"]["from"]["id"].as_u64().expect("a sender");
            let number: u64 = text_of(&event["data"]).parse().expect("a number");
            let (message, at) = ((from, number), &event["position"]);
            assert!(logged.insert(message), "{message:?} is there twice, again at {at}");
            if acknowledged.contains(&message) {
                let before = last.insert(from, number);
                assert!(before < Some(number), "{message:?} at {at} comes after {before:?}");
            }
        }
        logged
    }
}

/// The power fails while nobody writes, and comes back.
async fn start_again(machine: &mut Machine, durability: &str) {
    machine.cut_power();
    machine.settle_disk(Cache::Lost, |_| 0);
    machine.switch_on(durability, 0).await;
    machine.ready().await;
}

/// Numbers that a seed decides (`SplitMix64`).
struct Chance(u64);

impl Chance {
    /// The seed that was asked for, or a new one, which is told.
    fn from_seed(durability: &str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
        let seed = asked("HONGYAN_POWER_LOSS_SEED").unwrap_or(u64::from(now.subsec_nanos()));
        println!("{durability}: HONGYAN_POWER_LOSS_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).expect("it is below another")
    }
}

fn asked<N: std::str::FromStr>(variable: &str) -> Option<N> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}
