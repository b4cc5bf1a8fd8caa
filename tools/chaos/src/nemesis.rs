//! The nemesis: chooses faults, injects them into the stack while clients use it, and waits until it has recovered.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::Context as _;
use clap::ValueEnum;
use rustix::process::Signal;
use testkit::chaos_proxy::Mode;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout},
};

use super::{
    client::SharedState,
    history::Record,
    rng::Rng,
    stack::{Part, RestorableStore, Stack},
};

/// How long the stack may take until messages flow again. Read models may have to be built anew.
const PATIENCE: Duration = Duration::from_mins(15);

/// How long a part is away at most, unless asked otherwise.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(16);

/// So many seconds a clock is wrong. Two clocks may differ by a minute (rest.md §36: when a message was sent, as the client
/// was told by one gateway, may lie that far ahead of another's time).
const WRONG: [i64; 7] = [-28, -10, -2, 0, 2, 10, 28];

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub(super) enum FaultKind {
    KillNats,
    FreezeNats,
    /// The log's disk is full for some seconds
    FullDisk,
    KillPostgres,
    FreezePostgres,
    /// `PostgreSQL` comes back as it was at an earlier time
    RestorePostgres,
    KillRedis,
    FreezeRedis,
    /// Redis loses everything
    EmptyRedis,
    /// Redis comes back as it was at an earlier time
    RestoreRedis,
    KillGateway,
    FreezeGateway,
    KillProjector,
    FreezeProjector,
    /// No connection between a gateway and nats-server
    CutGateway,
    /// The connection between a gateway and nats-server carries nothing and does not end
    BlackholeGateway,
    /// The same, when the end or the beginning of a session is on its way to the log
    CutAtAppend,
    BlackholeAtAppend,
    CutProjector,
    BlackholeProjector,
    /// The clock of a part jumps
    JumpClock,
}

/// A fault that was chosen.
struct Fault {
    kind: FaultKind,
    /// Which of several.
    number: usize,
    pause: Duration,
    /// Another choice, where a kind has two ways.
    other: bool,
    /// How wrong a clock is from then on.
    seconds: i64,
}

/// Chooses faults and injects them.
pub(super) struct Nemesis {
    pub(super) stack: Arc<Stack>,
    pub(super) shared: Arc<SharedState>,
    rng: Rng,
    /// How long a part is away at most, now and then.
    longest_pause: Duration,
    kinds: Vec<FaultKind>,
    injected: usize,
}

impl Nemesis {
    /// Of these kinds, or of all that can be had here.
    pub(super) fn new(
        stack: Arc<Stack>,
        shared: Arc<SharedState>,
        rng: Rng,
        longest_pause: Duration,
        only: &[FaultKind],
    ) -> Self {
        let all = if only.is_empty() { FaultKind::value_variants() } else { only };
        let (has_disk, has_clocks) = (stack.disk.is_some(), !stack.with_clocks().is_empty());
        if !has_clocks {
            eprintln!("chaos: clocks that jump are LEFT OUT: there is no libfaketime");
        }
        let kinds = all.iter().copied().filter(|kind| match kind {
            FaultKind::FullDisk => has_disk,
            FaultKind::JumpClock => has_clocks,
            _ => true,
        });
        Self { stack, shared, rng, longest_pause, kinds: kinds.collect(), injected: 0 }
    }

    /// Injects a fault, or two at once, and waits until the stack has recovered. Returns how many faults that was.
    pub(super) async fn inject_next(&mut self) -> anyhow::Result<u64> {
        sleep(self.rng.millis(300, 2500)).await;
        // Each kind once before any comes again, then by chance.
        let kind = match self.kinds.get(self.injected) {
            Some(kind) => Some(*kind),
            None => self.choose(|_| true),
        };
        let kind = kind.context("no kind of fault can be had here")?;
        self.injected += 1;
        let first = self.fault(kind);
        let mut second = None;
        if self.injected > self.kinds.len() && self.rng.chance(200) {
            let second_kind = self.choose(|other| other.part() != kind.part());
            second = second_kind.map(|kind| self.fault(kind));
        }
        let later = self.rng.millis(0, 1500);
        let (first, second) = tokio::join!(self.inject(first), async {
            sleep(later).await;
            match second {
                Some(second) => self.inject(second).await.map(|()| 1),
                None => Ok(0),
            }
        });
        first?;
        let count = 1 + second?;
        self.recover(&format!("{kind:?}")).await;
        Ok(count)
    }

    /// One of these kinds; seldom one that has read models built anew, which takes minutes with a large log.
    fn choose(&mut self, is_one: impl Fn(FaultKind) -> bool) -> Option<FaultKind> {
        let kinds: Vec<FaultKind> =
            self.kinds.iter().copied().filter(|kind| is_one(*kind)).collect();
        let kind = self.rng.choose(&kinds).copied();
        let is_slow = matches!(
            kind,
            Some(FaultKind::EmptyRedis | FaultKind::RestoreRedis | FaultKind::RestorePostgres)
        );
        if is_slow && self.rng.chance(750) { self.rng.choose(&kinds).copied() } else { kind }
    }

    fn fault(&mut self, kind: FaultKind) -> Fault {
        // Now and then longer than the liveness time-out.
        let long = self.rng.chance(200);
        let longest = usize::try_from(self.longest_pause.as_millis()).unwrap_or(usize::MAX);
        let pause = if long { (9_000.min(longest), longest) } else { (200, 4_000) };
        Fault {
            kind,
            number: self.rng.below(64),
            pause: self.rng.millis(pause.0, pause.1),
            other: self.rng.chance(500),
            seconds: self.rng.choose(&WRONG).copied().unwrap_or_default(),
        }
    }

    async fn inject(&self, fault: Fault) -> anyhow::Result<()> {
        let Fault { kind, number, .. } = fault;
        let stack = &self.stack;
        let (gateway, projector) = (number % stack.gateways.len(), number % stack.projectors.len());
        let part = match kind.part() {
            "gateway" => format!("gateway-{gateway}"),
            "projector" => format!("projector-{projector}"),
            "clock" => format!("the clock of {}", self.clock(number).lock().await.name),
            part => part.to_owned(),
        };
        let is_long = self.longest_pause > LONGEST_PAUSE;
        let away = fault.pause.min(Duration::from_secs(if is_long { u64::MAX } else { 4 }));
        let begin = self.shared.history.now();
        eprintln!(
            "chaos: {:>7.1} s  {kind:?} of {part}; {} sends acknowledged so far",
            seconds(begin),
            self.acknowledged()
        );
        match kind {
            FaultKind::KillNats => kill(&stack.nats, fault.other, away).await?,
            FaultKind::KillPostgres => kill(&stack.postgres, fault.other, away).await?,
            FaultKind::KillRedis => kill(&stack.redis, fault.other, away).await?,
            FaultKind::KillGateway => kill(&stack.gateways[gateway], fault.other, away).await?,
            FaultKind::KillProjector => {
                kill(&stack.projectors[projector], fault.other, away).await?;
            }
            FaultKind::FreezeNats => freeze(&stack.nats, fault.pause).await,
            FaultKind::FreezePostgres => freeze(&stack.postgres, fault.pause).await,
            FaultKind::FreezeRedis => freeze(&stack.redis, fault.pause).await,
            FaultKind::FreezeGateway => freeze(&stack.gateways[gateway], fault.pause).await,
            FaultKind::FreezeProjector => freeze(&stack.projectors[projector], fault.pause).await,
            FaultKind::EmptyRedis => stack.empty_redis(fault.other).await?,
            FaultKind::RestorePostgres => {
                stack.restore(RestorableStore::Postgres, number, fault.other).await?;
            }
            FaultKind::RestoreRedis => {
                stack.restore(RestorableStore::Redis, number, fault.other).await?;
            }
            FaultKind::CutGateway => self.interrupt(gateway, Mode::Cut, fault.pause).await,
            FaultKind::BlackholeGateway => {
                self.interrupt(gateway, Mode::Blackhole, fault.pause).await;
            }
            FaultKind::CutAtAppend => {
                self.interrupt_at_append(gateway, Mode::Cut, fault.pause).await;
            }
            FaultKind::BlackholeAtAppend => {
                self.interrupt_at_append(gateway, Mode::Blackhole, fault.pause).await;
            }
            FaultKind::CutProjector => {
                self.interrupt(stack.gateways.len() + projector, Mode::Cut, fault.pause).await;
            }
            FaultKind::BlackholeProjector => {
                self.interrupt(stack.gateways.len() + projector, Mode::Blackhole, fault.pause)
                    .await;
            }
            FaultKind::FullDisk => self.fill_disk(away).await?,
            FaultKind::JumpClock => {
                self.clock(number).lock().await.set_clock(fault.seconds).await?;
            }
        }
        let (end, kind) = (self.shared.history.now(), kind.name());
        self.shared.history.record(&Record::Fault { kind, part, begin, end });
        Ok(())
    }

    fn clock(&self, number: usize) -> &Mutex<Part> {
        let clocks = self.stack.with_clocks();
        clocks[number % clocks.len()]
    }

    async fn interrupt(&self, number: usize, mode: Mode, pause: Duration) {
        self.stack.proxies[number].set(mode);
        sleep(pause).await;
        self.stack.proxies[number].set(Mode::Open);
    }

    async fn interrupt_at_append(&self, number: usize, mode: Mode, pause: Duration) {
        let proxy = &self.stack.proxies[number];
        let fired = proxy.set_at("HPUB evt.session.", mode);
        _ = timeout(pause, fired).await; // perhaps no session begins or ends
        self.interrupt(number, mode, pause).await;
    }

    /// nats-server may have given up its storage; then an operator starts it again.
    async fn fill_disk(&self, pause: Duration) -> anyhow::Result<()> {
        let disk = self.stack.disk.as_ref().context("there is no disk to fill")?;
        disk.fill().await?;
        sleep(pause).await;
        disk.free().await?;
        let before = self.acknowledged();
        for _ in 0..50 {
            sleep(Duration::from_millis(100)).await;
            if self.acknowledged() > before {
                return Ok(());
            }
        }
        eprintln!("chaos: nats-server does not write again by itself, starting it again");
        let mut nats = self.stack.nats.lock().await;
        nats.stop(Signal::TERM).await?;
        nats.start().await
    }

    fn acknowledged(&self) -> u64 {
        self.shared.counts.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until all parts are ready and messages flow again, from beginning to end.
    async fn recover(&self, after: &str) {
        let begun = Instant::now();
        let arrived = || self.shared.counts.arrived.load(Ordering::Relaxed);
        let before = (self.acknowledged(), arrived());
        loop {
            let flows = self.acknowledged() > before.0 + 20 && arrived() > before.1 + 20;
            if flows && self.stack.is_ready().await {
                return;
            }
            if begun.elapsed() > PATIENCE {
                let what = format!(
                    "{} s after {after}: acknowledged since {}, arrived since {}, all parts ready: {}",
                    PATIENCE.as_secs(),
                    self.acknowledged() - before.0,
                    arrived() - before.1,
                    self.stack.is_ready().await
                );
                self.shared.history.record(&Record::Stuck { at: self.shared.history.now(), what });
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

impl FaultKind {
    /// What it is done to.
    fn part(self) -> &'static str {
        match self {
            Self::KillNats | Self::FreezeNats | Self::FullDisk => "nats-server",
            Self::KillPostgres | Self::FreezePostgres | Self::RestorePostgres => "postgres",
            Self::KillRedis | Self::FreezeRedis | Self::EmptyRedis | Self::RestoreRedis => "redis",
            Self::KillGateway
            | Self::FreezeGateway
            | Self::CutGateway
            | Self::BlackholeGateway
            | Self::CutAtAppend
            | Self::BlackholeAtAppend => "gateway",
            Self::KillProjector
            | Self::FreezeProjector
            | Self::CutProjector
            | Self::BlackholeProjector => "projector",
            Self::JumpClock => "clock",
        }
    }

    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}

/// It comes back at once, or after a while.
async fn kill(part: &Mutex<Part>, at_once: bool, pause: Duration) -> anyhow::Result<()> {
    let mut part = part.lock().await;
    part.kill();
    if !at_once {
        sleep(pause).await;
    }
    part.start().await
}

async fn freeze(part: &Mutex<Part>, pause: Duration) {
    let mut part = part.lock().await;
    part.freeze();
    sleep(pause).await;
    part.resume();
}
