//! `App`: opens connections, starts tasks, stops them in order.

mod process;

use std::{
    ops::Deref,
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::Context as _;
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::info;

use self::process::Process;
use crate::{
    adapters::{
        body_memory::BodyMemory,
        media::Media,
        nats::{
            connect::Nats,
            event_log::{EventLog, LogError, Promises},
            gateways::Nodes,
            group_commit::GroupCommit,
            provision,
            push::{Pushes, SocketsHere},
            subscriptions::Interest,
        },
        rate_limit::RateLimit,
        redis::memory::RedisMemory,
        throttle::Throttle,
        tokens::{Claims, Tokens},
    },
    api::admin::Opened,
    clock,
    commands::session::Session,
    config::{Config, Durability},
    events::NodeId,
    executor::{Executor, accounts::Accounts, running_commands::cut_off},
    projections::engine::{postgres::InPostgres, redis::InRedis},
    telemetry::{Metrics, ProjectionHealth, StartWaits},
    ws::{
        delivery_acks::Deliveries, group_subscriptions::Lanes, opening_order::OpeningTurns,
        registry::Hub,
    },
};

/// What a gateway's handlers and sockets work with. Handlers and layers clone it several times for each request, so
/// a clone is one count and not one for each part.
#[derive(Clone)]
pub struct App(Arc<Parts>);

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl App {
    /// What a token says, if it is its account's current one (data.md §4).
    ///
    /// # Errors
    /// The log cannot be reached, or this gateway may not serve.
    pub async fn current(&self, claims: Claims) -> Result<Option<Claims>, LogError> {
        if !self.executor.is_live() {
            return Err(cut_off());
        }
        let session = self.executor.state::<Session>(claims.id).await?;
        Ok(session.state.is_current(claims.jti).then_some(claims))
    }
}

/// The parts of a gateway.
pub struct Parts {
    /// The settings.
    pub config: Arc<Config>,
    /// Executes commands.
    pub executor: Executor,
    /// Requests that are finished whether their clients wait or not.
    pub requests: TaskTracker,
    /// Makes and opens accounts.
    pub accounts: Accounts,
    /// Makes and reads tokens.
    pub tokens: Tokens,
    /// Counts what attackers like.
    pub rate_limit: RateLimit,
    /// Holds their bodies.
    pub bodies: BodyMemory,
    /// Whether their messages find room.
    pub redis_memory: RedisMemory,
    /// Counts all requests.
    pub throttle: Throttle,
    /// Pushes.
    pub pushes: Pushes,
    /// Those that concern this node.
    pub interest: Interest,
    /// The other gateways.
    pub nodes: Nodes,
    /// The sockets of this node.
    pub hub: Arc<Hub>,
    /// In which order those of one user open.
    pub opening_turns: OpeningTurns,
    /// So many of them read their queues at once.
    pub refetches: Semaphore,
    /// What they hear of large groups.
    pub lanes: Lanes,
    /// What they have received.
    pub deliveries: Deliveries,
    /// What users upload.
    pub media: Media,
    /// So many of those who read it may pause.
    pub patient_downloads: Arc<Semaphore>,
    /// What is counted.
    pub metrics: Metrics,
}

/// Which parts a process plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Both.
    All,
    /// REST and WebSocket.
    Gateway,
    /// Read models.
    Projector,
}

/// What the projections' constructors need.
pub struct ProjectionParts {
    /// Their store in PostgreSQL.
    pub postgres: InPostgres,
    /// Their store in Redis.
    pub redis: InRedis,
    /// Where pushes go.
    pub pushes: Pushes,
    /// Messages per chat in `chat_log`.
    pub chat_log_length: usize,
}

/// Serves until the process is told to stop.
///
/// # Errors
/// A part is misconfigured, or the address is taken.
pub async fn serve(config: Config, role: Role) -> anyhow::Result<()> {
    let config = Arc::new(config);
    let process = Process {
        config: Arc::clone(&config),
        node: NodeId(clock::random_id()),
        metrics: Metrics::default(),
        health: ProjectionHealth::default(),
        waits: StartWaits::default(),
        tasks: TaskTracker::new(),
        requests: TaskTracker::new(),
        accept: CancellationToken::new(),
        stop: CancellationToken::new(),
        sockets_here: SocketsHere::default(),
    };
    config.check_admin()?;
    // Taken ports are told before anything else happens.
    let admin = listen(config.server.admin_listen).await?;
    let clients = match role {
        Role::Projector => None,
        Role::All | Role::Gateway => Some(listen(config.server.listen).await?),
    };
    let opened = Arc::new(OnceLock::new());
    process.start_admin(admin, Arc::clone(&opened), role)?;
    let (mut seen, mut tail) = (None, None);
    if role != Role::Gateway {
        let (log, checkpoints, its_tail) = process.start_projector().await?;
        (seen, tail) = (Some((log, checkpoints)), Some(its_tail));
    }
    let gateway = match clients {
        None => None,
        Some(listener) => {
            let app = Box::pin(process.start_gateway(listener, tail)).await?;
            // This log knows whether it can be promised that what it holds stays.
            let Executor { log, checkpoints, .. } = &app.executor;
            seen = Some((log.clone(), checkpoints.clone()));
            Some(app)
        }
    };
    let (log, checkpoints) = seen.expect("every role opens the log");
    _ = opened.set(Opened { log, checkpoints });
    info!(node = %process.node, "hongyan {} is up as {role:?}", env!("CARGO_PKG_VERSION"));
    stop_signal().await;
    info!("stopping");
    Box::pin(process.shut_down(gateway)).await;
    Ok(())
}

async fn listen(address: std::net::SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; set HONGYAN__SERVER__LISTEN and HONGYAN__SERVER__ADMIN_LISTEN to free ones")
    })
}

/// The log, with this configuration's promises.
///
/// # Errors
/// The server cannot be reached.
pub async fn open_log(
    nats: Nats,
    config: &Config,
    node: NodeId,
    commit: Option<GroupCommit>,
) -> anyhow::Result<EventLog> {
    let promises = Promises {
        replicated: config.log.is_replicated(),
        timeout: Duration::from_millis(config.log.append_timeout_ms),
        fact_ttl: Duration::from_secs(config.log.fact_ttl_s),
    };
    Ok(EventLog::open(nats, node, commit, &promises).await?)
}

/// The log for whoever answers that something was done: with what keeps `log.durability = synced`.
///
/// # Errors
/// The server cannot be reached, or is not beside us.
pub async fn open_durable_log(
    nats: Nats,
    config: &Config,
    node: NodeId,
) -> anyhow::Result<EventLog> {
    let mut commit = None;
    if config.log.durability == Durability::Synced {
        let directory = &config.log.store_dir;
        provision::check_store(&nats, directory).await?;
        let opened = GroupCommit::start(directory);
        let cannot = || format!("cannot open log.store_dir = {}", directory.display());
        commit = Some(opened.with_context(cannot)?);
    }
    open_log(nats, config, node, commit).await
}

/// Returns when the process is told to end.
pub async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be watched");
    let mut interrupt = signal(SignalKind::interrupt()).expect("signals can be watched");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Runs something beside a command of the command line, which ends with the process.
pub fn background(task: impl Future<Output = ()> + Send + 'static) {
    TaskTracker::new().spawn(task);
}
