//! What is done to the stack while people use it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::Context as _;
use clap::ValueEnum;
use rustix::process::Signal;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout},
};

use super::{
    client::World,
    history::Record,
    rng::Dice,
    stack::{Part, Stack},
};
use testkit::proxy::Mode;

/// How long the stack may take until messages flow again. Read models may have to be built anew.
const PATIENCE: Duration = Duration::from_mins(15);

/// How long a part is away at most, unless asked otherwise.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(16);

/// So many seconds a clock is wrong. Two clocks may differ by a minute (rest.md §36: when a message was sent, as the client
/// was told by one gateway, may lie that far ahead of another's time).
const WRONG: [i64; 7] = [-28, -10, -2, 0, 2, 10, 28];

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub(super) enum Kind {
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
    KillGateway,
    FreezeGateway,
    KillProjector,
    FreezeProjector,
    /// No connection between a gateway and nats-server
    CutGateway,
    /// The connection between a gateway and nats-server carries nothing and says nothing
    SilenceGateway,
    /// The same, when the end or the beginning of a session is on its way to the log
    CutAtAppend,
    SilenceAtAppend,
    CutProjector,
    SilenceProjector,
    /// The clock of a part jumps
    JumpClock,
}

/// A fault that was chosen.
struct Blow {
    kind: Kind,
    /// Which of several.
    number: usize,
    pause: Duration,
    /// Another choice, where a kind has two ways.
    other: bool,
    /// How wrong a clock is from then on.
    seconds: i64,
}

/// Chooses faults and commits them.
pub(super) struct Trouble {
    pub(super) stack: Arc<Stack>,
    pub(super) world: Arc<World>,
    dice: Dice,
    /// How long a part is away at most, now and then.
    longest_pause: Duration,
    kinds: Vec<Kind>,
    committed: usize,
}

impl Trouble {
    /// Of these kinds, or of all that can be had here.
    pub(super) fn new(
        stack: Arc<Stack>,
        world: Arc<World>,
        dice: Dice,
        longest_pause: Duration,
        only: &[Kind],
    ) -> Self {
        let all = if only.is_empty() { Kind::value_variants() } else { only };
        let (has_disk, has_clocks) = (stack.disk.is_some(), !stack.with_clocks().is_empty());
        if !has_clocks {
            eprintln!("faults: clocks that jump are LEFT OUT: there is no libfaketime");
        }
        let kinds = all.iter().copied().filter(|kind| match kind {
            Kind::FullDisk => has_disk,
            Kind::JumpClock => has_clocks,
            _ => true,
        });
        Self { stack, world, dice, longest_pause, kinds: kinds.collect(), committed: 0 }
    }

    /// Breaks something, or two things at once, and waits until all is well. Answers with how many faults that was.
    pub(super) async fn strike(&mut self) -> anyhow::Result<u64> {
        sleep(self.dice.millis(300, 2500)).await;
        // Each kind once before any comes again, then by chance.
        let kind = match self.kinds.get(self.committed) {
            Some(kind) => Some(*kind),
            None => self.choose(|_| true),
        };
        let kind = kind.context("no kind of fault can be had here")?;
        self.committed += 1;
        let first = self.blow(kind);
        let mut second = None;
        if self.committed > self.kinds.len() && self.dice.chance(200) {
            let second_kind = self.choose(|other| other.part() != kind.part());
            second = second_kind.map(|kind| self.blow(kind));
        }
        let later = self.dice.millis(0, 1500);
        let (first, second) = tokio::join!(self.commit(first), async {
            sleep(later).await;
            match second {
                Some(second) => self.commit(second).await.map(|()| 1),
                None => Ok(0),
            }
        });
        first?;
        let count = 1 + second?;
        self.recover(&format!("{kind:?}")).await;
        Ok(count)
    }

    /// One of these kinds; seldom one that has read models built anew, which takes minutes with a large log.
    fn choose(&mut self, is_one: impl Fn(Kind) -> bool) -> Option<Kind> {
        let kinds: Vec<Kind> = self.kinds.iter().copied().filter(|kind| is_one(*kind)).collect();
        let kind = self.dice.pick(&kinds).copied();
        let is_slow = matches!(kind, Some(Kind::EmptyRedis | Kind::RestorePostgres));
        if is_slow && self.dice.chance(750) { self.dice.pick(&kinds).copied() } else { kind }
    }

    fn blow(&mut self, kind: Kind) -> Blow {
        // Now and then longer than the lease by which others know that somebody lives.
        let long = self.dice.chance(200);
        let longest = usize::try_from(self.longest_pause.as_millis()).unwrap_or(usize::MAX);
        let pause = if long { (9_000.min(longest), longest) } else { (200, 4_000) };
        Blow {
            kind,
            number: self.dice.roll(64),
            pause: self.dice.millis(pause.0, pause.1),
            other: self.dice.chance(500),
            seconds: self.dice.pick(&WRONG).copied().unwrap_or_default(),
        }
    }

    async fn commit(&self, blow: Blow) -> anyhow::Result<()> {
        let Blow { kind, number, .. } = blow;
        let stack = &self.stack;
        let (gateway, projector) = (number % stack.gateways.len(), number % stack.projectors.len());
        let part = match kind.part() {
            "gateway" => format!("gateway-{gateway}"),
            "projector" => format!("projector-{projector}"),
            "clock" => format!("the clock of {}", self.clock(number).lock().await.name),
            part => part.to_owned(),
        };
        let is_long = self.longest_pause > LONGEST_PAUSE;
        let away = blow.pause.min(Duration::from_secs(if is_long { u64::MAX } else { 4 }));
        let begin = self.world.history.now();
        eprintln!(
            "faults: {:>7.1} s  {kind:?} of {part}; {} sends acknowledged so far",
            seconds(begin),
            self.acknowledged()
        );
        match kind {
            Kind::KillNats => kill(&stack.nats, blow.other, away).await?,
            Kind::KillPostgres => kill(&stack.postgres, blow.other, away).await?,
            Kind::KillRedis => kill(&stack.redis, blow.other, away).await?,
            Kind::KillGateway => kill(&stack.gateways[gateway], blow.other, away).await?,
            Kind::KillProjector => {
                kill(&stack.projectors[projector], blow.other, away).await?;
            }
            Kind::FreezeNats => freeze(&stack.nats, blow.pause).await,
            Kind::FreezePostgres => freeze(&stack.postgres, blow.pause).await,
            Kind::FreezeRedis => freeze(&stack.redis, blow.pause).await,
            Kind::FreezeGateway => freeze(&stack.gateways[gateway], blow.pause).await,
            Kind::FreezeProjector => freeze(&stack.projectors[projector], blow.pause).await,
            Kind::EmptyRedis => stack.empty_redis(blow.other).await?,
            Kind::RestorePostgres => {
                // The first time there is nothing to come back to.
                if !stack.restore_postgres(number).await? || blow.other {
                    stack.copy_postgres().await?;
                }
            }
            Kind::CutGateway => self.line(gateway, Mode::Cut, blow.pause).await,
            Kind::SilenceGateway => self.line(gateway, Mode::Dead, blow.pause).await,
            Kind::CutAtAppend => self.line_at_append(gateway, Mode::Cut, blow.pause).await,
            Kind::SilenceAtAppend => self.line_at_append(gateway, Mode::Dead, blow.pause).await,
            Kind::CutProjector => {
                self.line(stack.gateways.len() + projector, Mode::Cut, blow.pause).await;
            }
            Kind::SilenceProjector => {
                self.line(stack.gateways.len() + projector, Mode::Dead, blow.pause).await;
            }
            Kind::FullDisk => self.fill_disk(away).await?,
            Kind::JumpClock => self.clock(number).lock().await.set_clock(blow.seconds).await?,
        }
        let (end, kind) = (self.world.history.now(), kind.name());
        self.world.history.note(&Record::Fault { kind, part, begin, end });
        Ok(())
    }

    fn clock(&self, number: usize) -> &Mutex<Part> {
        let clocks = self.stack.with_clocks();
        clocks[number % clocks.len()]
    }

    async fn line(&self, number: usize, mode: Mode, pause: Duration) {
        self.stack.lines[number].set(mode);
        sleep(pause).await;
        self.stack.lines[number].set(Mode::Open);
    }

    async fn line_at_append(&self, number: usize, mode: Mode, pause: Duration) {
        let line = &self.stack.lines[number];
        let sprung = line.set_at("HPUB evt.session.", mode);
        _ = timeout(pause, sprung).await; // nobody may come or go
        self.line(number, mode, pause).await;
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
        eprintln!("faults: nats-server does not write again by itself, starting it again");
        let mut nats = self.stack.nats.lock().await;
        nats.stop(Signal::TERM).await?;
        nats.start().await
    }

    fn acknowledged(&self) -> u64 {
        self.world.counts.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until all parts are ready and messages flow again, from beginning to end.
    async fn recover(&self, after: &str) {
        let begun = Instant::now();
        let arrived = || self.world.counts.arrived.load(Ordering::Relaxed);
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
                self.world.history.note(&Record::Stuck { at: self.world.history.now(), what });
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Kind {
    /// What it is done to.
    fn part(self) -> &'static str {
        match self {
            Self::KillNats | Self::FreezeNats | Self::FullDisk => "nats-server",
            Self::KillPostgres | Self::FreezePostgres | Self::RestorePostgres => "postgres",
            Self::KillRedis | Self::FreezeRedis | Self::EmptyRedis => "redis",
            Self::KillGateway
            | Self::FreezeGateway
            | Self::CutGateway
            | Self::SilenceGateway
            | Self::CutAtAppend
            | Self::SilenceAtAppend => "gateway",
            Self::KillProjector
            | Self::FreezeProjector
            | Self::CutProjector
            | Self::SilenceProjector => "projector",
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
    part.thaw();
}
