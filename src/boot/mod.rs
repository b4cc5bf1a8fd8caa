//! The start and the end of a process: what its role needs is opened, run, and stopped in order.

mod analytics;
mod process;
mod projector;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::info;

pub use self::analytics::open_analytics;
use self::process::Process;
use crate::{
    adapters::nats::{
        connect::Nats,
        event_log::{EventLog, Promises},
        group_commit::GroupCommit,
        provision,
        push::LocalConnections,
    },
    api::readiness::OpenedLog,
    clock,
    config::{Config, Durability},
    events::NodeId,
    executor::Executor,
    telemetry::{Metrics, ProjectionHealth, RecentErrors, StartWaits},
};

/// Which parts a process plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ProcessRole {
    /// Both.
    All,
    /// REST and WebSocket.
    Gateway,
    /// Read models.
    Projector,
}

/// Serves until the process is told to stop.
///
/// # Errors
/// A part is misconfigured, or the address is taken.
pub async fn serve(
    config: Config,
    role: ProcessRole,
    recent_errors: RecentErrors,
) -> anyhow::Result<()> {
    let config = Arc::new(config);
    let process = Process {
        config: Arc::clone(&config),
        node: NodeId(clock::random_id()),
        metrics: Arc::default(),
        health: ProjectionHealth::default(),
        waits: StartWaits::default(),
        recent_errors,
        tasks: TaskTracker::new(),
        requests: TaskTracker::new(),
        accept: CancellationToken::new(),
        stop: CancellationToken::new(),
        sockets_here: LocalConnections::default(),
    };
    config.check_admin()?;
    // Taken ports are told before anything else happens.
    let admin = listen(config.server.admin_listen).await?;
    let clients = match role {
        ProcessRole::Projector => None,
        ProcessRole::All | ProcessRole::Gateway => Some(listen(config.server.listen).await?),
    };
    let opened = Arc::new(OnceLock::new());
    process.start_admin(admin, Arc::clone(&opened), role)?;
    let (mut seen, mut shared_log) = (None, None);
    if role != ProcessRole::Gateway {
        let (log, checkpoints, its_shared_log) = process.start_projector().await?;
        (seen, shared_log) = (Some((log, checkpoints)), Some(its_shared_log));
    }
    let gateway = match clients {
        None => None,
        Some(listener) => {
            let sockets = Box::pin(process.start_gateway(listener, shared_log)).await?;
            // This log knows whether it can be promised that what it holds stays.
            let Executor { log, checkpoints, .. } = &sockets.app.executor;
            seen = Some((log.clone(), checkpoints.clone()));
            Some(sockets)
        }
    };
    let (log, checkpoints) = seen.expect("every role opens the log");
    _ = opened.set(OpenedLog { log, checkpoints });
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
    metrics: Arc<Metrics>,
) -> anyhow::Result<EventLog> {
    let promises = Promises {
        replicated: config.log.is_replicated(),
        timeout: Duration::from_millis(config.log.append_timeout_ms),
        fact_ttl: Duration::from_secs(config.log.fact_ttl_s),
        expires: config.retention.messages_days > 0,
    };
    Ok(EventLog::open(nats, node, commit, &promises, metrics).await?)
}

/// The log for whoever answers that something was done: with what keeps `log.durability = synced`.
///
/// # Errors
/// The server cannot be reached, or is not beside us.
pub async fn open_durable_log(
    nats: Nats,
    config: &Config,
    node: NodeId,
    metrics: Arc<Metrics>,
) -> anyhow::Result<EventLog> {
    let mut commit = None;
    if config.log.durability == Durability::Synced {
        let directory = &config.log.store_dir;
        provision::check_store(&nats, directory).await?;
        let opened = GroupCommit::start(directory);
        let cannot = || format!("cannot open log.store_dir = {}", directory.display());
        commit = Some(opened.with_context(cannot)?);
    }
    open_log(nats, config, node, commit, metrics).await
}

/// Refuses a server or a stream that would not keep what we promise.
async fn check_log(nats: &Nats, config: &Config) -> anyhow::Result<()> {
    let drift = provision::drift(nats, config.log.replicas).await?;
    if let Some(first) = drift.first() {
        bail!(
            "the stream EVENTS is not as it must be: {} is {} instead of {} ({}); \
             `hongyan check-config` shows all differences",
            first.setting,
            first.found,
            first.wanted,
            first.why
        );
    }
    Ok(())
}

/// Returns when the process is told to end.
async fn stop_signal() {
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
