//! The process starts what its role needs, and stops it in order.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::Context as _;
use secrecy::SecretString;
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use super::{ProcessRole, check_log, open_durable_log};
use crate::{
    adapters::{
        body_memory::BodyMemory,
        media::Media,
        nats::{
            checkpoints::{Checkpoints, Heartbeat, OwnGateway},
            connect::{self, Nats},
            credential_store::CredentialStore,
            event_log::EventLog,
            hand_over::HandOverChannel,
            liveness::Liveness,
            push::{self, LocalConnections, Pushes},
            secret_checks::{self, Secret},
            shared_log::SharedLogSubscription,
            subscriptions::Servers,
        },
        passwords::Passwords,
        postgres,
        rate_limit::RateLimit,
        redis::{Redis, memory::RedisMemory},
        throttle::Throttle,
        tokens::Tokens,
    },
    api::{
        self,
        admin_access::AdminAccess,
        live_feed::LiveFeed,
        readiness::{Admin, OpenedLog},
    },
    config::Config,
    events::{NodeId, Position},
    executor::{Executor, ExecutorSettings, accounts::Accounts, aggregates},
    projections::{self, engine::redis::RedisStore},
    state::{App, Parts},
    telemetry::{FileSystems, Metrics, ProjectionHealth, RecentErrors, StartWaits},
    ws::{self, sockets::Sockets},
};

/// What all parts of a process share.
pub(super) struct Process {
    pub(super) config: Arc<Config>,
    pub(super) node: NodeId,
    pub(super) metrics: Arc<Metrics>,
    pub(super) health: ProjectionHealth,
    /// What the start waits for.
    pub(super) waits: StartWaits,
    pub(super) recent_errors: RecentErrors,
    pub(super) tasks: TaskTracker,
    /// Connections with requests; a socket that was upgraded is not one any more.
    pub(super) requests: TaskTracker,
    /// Ends the listening; requests that are under way are finished.
    pub(super) accept: CancellationToken,
    /// Ends everything else.
    pub(super) stop: CancellationToken,
    /// If it is a gateway.
    pub(super) sockets_here: LocalConnections,
}

impl Process {
    /// Runs something for as long as the process runs.
    pub(super) fn keep(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// Tries until nats is there and does what is asked. What waiting does not mend ends it. Each reason is told once.
    pub(super) async fn until_ready<T>(
        &self,
        mut attempt: impl AsyncFnMut() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        const PART: &str = "nats";
        let mut pause = Duration::from_millis(100);
        loop {
            match attempt().await {
                Err(error) if connect::is_transient(&error) => {
                    let why = format!("{error:#}");
                    if self.waits.note(PART, &why) {
                        warn!(why, "the start waits for {PART}");
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(2));
                }
                result => {
                    if self.waits.over(PART) {
                        info!("the start waits for {PART} no more");
                    }
                    return result;
                }
            }
        }
    }

    /// A connection to a server whose stream keeps what we promise.
    pub(super) async fn nats(&self, user: &str, password: &SecretString) -> anyhow::Result<Nats> {
        self.until_ready(async || {
            let nats = connect::connect(&self.config.nats.url, user, password).await?;
            check_log(&nats, &self.config).await?;
            Ok(nats)
        })
        .await
    }

    /// The end of the log, for whoever follows it.
    pub(super) fn shared_log(
        &self,
        log: &EventLog,
        subjects: &'static [&'static str],
    ) -> SharedLogSubscription {
        let shared_log = SharedLogSubscription::new(log.clone(), subjects);
        self.keep(shared_log.clone().run());
        shared_log
    }

    /// With the projector's view of the log's end, if it is in this process.
    pub(super) async fn start_gateway(
        &self,
        listener: TcpListener,
        shared_log: Option<SharedLogSubscription>,
    ) -> anyhow::Result<Sockets> {
        let config = &self.config;
        config.check_gateway()?;
        let nats = self.nats(&config.nats.gateway_user, &config.nats.gateway_password).await?;
        let open = async || {
            open_durable_log(nats.clone(), config, self.node, Arc::clone(&self.metrics)).await
        };
        let log = self.until_ready(open).await?;
        let shared_log = shared_log.unwrap_or_else(|| self.shared_log(&log, aggregates::SUBJECTS));
        let app = Box::pin(self.app(&nats, log)).await?;
        let hand_overs = HandOverChannel::new(nats.client.clone());
        let (sockets, report_disconnects) = Sockets::start(app.clone(), hand_overs);
        self.tasks.spawn(report_disconnects);
        self.start_gateway_tasks(&sockets, shared_log).await;
        self.keep(api::serve::serve(
            listener,
            api::router(app, sockets.clone()),
            api::serve::ConnectionLimits {
                head: Duration::from_millis(config.limits.handshake_timeout_ms),
                peer_ms: config.limits.peer_timeout_ms,
            },
            self.requests.clone(),
            self.accept.clone(),
        ));
        Ok(sockets)
    }

    pub(super) fn executor_settings(&self) -> ExecutorSettings {
        let (replicated, wait) = (self.config.log.is_replicated(), self.config.wait());
        ExecutorSettings { node: self.node, replicated, wait }
    }

    async fn app(&self, nats: &Nats, log: EventLog) -> anyhow::Result<App> {
        let config = &self.config;
        let liveness = Arc::new(Liveness::default());
        let gateway = OwnGateway::new(self.node, Arc::clone(&liveness), Arc::clone(&self.metrics));
        let (checkpoints, listen) = Checkpoints::start(nats.client.clone(), Some(gateway)).await?;
        self.keep(listen);
        let redis = Redis::open(&config.redis.url)?;
        let pool = postgres::readers(config.reader_url(), config.postgres.max_connections)?;
        let executor = Executor::new(
            log.clone(),
            checkpoints,
            (pool, redis.clone()),
            self.executor_settings(),
            Arc::clone(&self.metrics),
        )
        .serving(liveness);
        let auth = &config.auth;
        let passwords = Passwords::new(
            auth.password_pepper.clone(),
            (auth.argon2_memory_kib, auth.argon2_passes),
            auth.argon2_parallel,
            Duration::from_millis(auth.password_wait_ms),
        )?;
        let redis_memory = RedisMemory::default();
        self.keep(redis_memory.clone().run(redis.clone(), Arc::clone(&self.metrics)));
        let open = async || {
            let (keys, replicated) = (log.keys.clone(), config.log.is_replicated());
            let credentials = CredentialStore::open(nats, keys, replicated).await;
            let credentials =
                credentials.context("cannot open VAULT; has `hongyan migrate` run?")?;
            secret_checks::check(&credentials, Secret::Token, &auth.token_secret).await?;
            secret_checks::check(&credentials, Secret::Pepper, &auth.password_pepper).await?;
            Ok(credentials)
        };
        let credentials = self.until_ready(open).await?;
        let limits = &config.limits;
        Ok(App::from(Parts {
            config: Arc::clone(config),
            accounts: Accounts {
                executor: executor.clone(),
                credentials,
                passwords,
                default_avatar: format!("{}/chat/user.jpg", config.server.asset_base),
            },
            executor,
            requests: self.requests.clone(),
            tokens: Tokens::new(&auth.token_secret),
            redis_memory,
            bodies: BodyMemory::new(limits.bodies_bytes, self.metrics.bodies_held.clone()),
            throttle: Throttle::new(
                redis.clone(),
                limits.requests_per_user,
                limits.requests_per_address,
                Arc::clone(&self.metrics),
            ),
            rate_limit: RateLimit::new(
                redis,
                (limits.login_failures, limits.login_failures_per_address),
                Duration::from_secs(limits.login_window_s),
                Arc::clone(&self.metrics),
            ),
            pushes: Pushes::new(nats.client.clone(), self.sockets_here.clone()),
            media: Media::open(config).await?,
            patient_downloads: Arc::new(tokio::sync::Semaphore::new(limits.patient_downloads)),
            metrics: Arc::clone(&self.metrics),
        }))
    }

    async fn start_gateway_tasks(&self, sockets: &Sockets, shared_log: SharedLogSubscription) {
        let (executor, registry) = (sockets.app.executor.clone(), sockets.registry.clone());
        self.keep(async move {
            let begin = |position| registry.on_missed_events(position);
            executor.sync_caches(&shared_log, |recorded| registry.on_event(recorded), begin).await;
        });
        self.keep(sockets.delivery_acks.clone().run());
        self.keep(sockets.app.throttle.clone().run());
        let (answering, node) = (sockets.clone(), self.node);
        self.keep(async move {
            let served = answering.hand_overs.serve(node, |request| {
                let sockets = answering.clone();
                async move {
                    // Until this node has seen the new socket, it does not know the old one as such.
                    if !sockets.app.executor.wait_for_local(request.since).await {
                        return None;
                    }
                    sockets.registry.hand_over(request.user).await.ok()
                }
            });
            if let Err(error) = served.await {
                warn!(%error, "cannot answer other gateways");
            }
        });
        self.receive_pushes(sockets).await;
    }

    /// Hands pushes to the sockets that they are for; returns once there is a connection.
    async fn receive_pushes(&self, sockets: &Sockets) {
        let (pushes, registry) =
            (ws::push_handler::PushHandler::new(sockets.clone()), sockets.registry.clone());
        self.keep(async move { registry.spread_refetches().await });
        // What the process keeps to its end must not keep the registry: whoever reports its disconnects ends with it.
        let (local, registry) = (pushes.clone(), Arc::downgrade(&sockets.registry));
        let has = move |user, at| registry.upgrade().is_some_and(|registry| registry.has(user, at));
        let mut here = self.sockets_here.are(self.node, has);
        self.keep(async move {
            while let Some(push) = here.recv().await {
                local.dispatch(push).await;
            }
        });
        let nats = &self.config.nats;
        let servers = Servers {
            urls: nats.url.clone(),
            user: nats.gateway_user.clone(),
            password: nats.gateway_password.clone(),
        };
        let subscriptions = sockets.subscriptions.clone();
        self.keep(async move {
            let _calls = push::subscribe_calls(&subscriptions);
            subscriptions.run(servers, |incoming| pushes.receive(incoming)).await;
        });
        while sockets.subscriptions.confirm().await.is_err() {} // it has waited
    }

    /// Operators are answered from the beginning, also while the start waits; `opened` is looked at from then on.
    pub(super) fn start_admin(
        &self,
        listener: TcpListener,
        opened: Arc<OnceLock<OpenedLog>>,
        role: ProcessRole,
    ) -> anyhow::Result<()> {
        let config = &self.config;
        let url =
            if role == ProcessRole::Projector { &config.postgres.url } else { config.reader_url() };
        let admin = Admin {
            opened,
            waits: self.waits.clone(),
            pool: postgres::readers(url, 1)?,
            redis: Redis::open(&config.redis.url)?,
            projections: self.health.clone(),
            subjects: if role == ProcessRole::Gateway { &[] } else { &projections::ALL },
            metrics: Arc::clone(&self.metrics),
            recent_errors: self.recent_errors.clone(),
            live: LiveFeed::new(self.tasks.clone(), self.accept.clone()),
            generations_in_redis: RedisStore::new(Redis::open(&config.redis.url)?),
            node: self.node,
            file_systems: FileSystems::new([
                ("log.store_dir", config.log.store_dir.clone()),
                ("media.root", config.media.root.clone()),
            ]),
            durability: config.log.durability.to_string(),
            clients_at: config.server.clients_at(),
        };
        self.keep(api::serve::serve(
            listener,
            api::admin::router(admin, AdminAccess::new(&config.server)),
            api::serve::ConnectionLimits { head: Duration::from_secs(10), peer_ms: 0 },
            self.requests.clone(),
            self.accept.clone(),
        ));
        Ok(())
    }

    /// Ends sockets without a close frame, tells the log what they had, then ends everything.
    pub(super) async fn shut_down(self, gateway: Option<Sockets>) {
        let grace = Duration::from_secs(self.config.server.shutdown_grace_s);
        self.accept.cancel();
        self.requests.close();
        let served = timeout(grace, self.requests.wait());
        if let Some(sockets) = gateway {
            let (served, told) = tokio::join!(served, timeout(grace, sockets.registry.shut_down()));
            if served.is_err() || told.is_err() {
                warn!("requests or sockets did not end in time");
            }
            let heartbeat = Heartbeat::last(Position(0), self.node);
            let checkpoints = &sockets.app.executor.checkpoints;
            checkpoints.publish(&Checkpoints::gateway(self.node), heartbeat).await;
            checkpoints.flush().await;
        }
        self.stop.cancel();
        self.tasks.close();
        if timeout(grace, self.tasks.wait()).await.is_err() {
            warn!("some tasks did not end in time");
        }
    }
}
