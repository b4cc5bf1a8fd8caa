//! The projector's part of a process: a runner for each read model, and what goes with them.

use std::{num::NonZeroU32, sync::Arc};

use super::{open_analytics, open_log, process::Process};
use crate::{
    adapters::{
        nats::{
            analysts_consumers, checkpoints::Checkpoints, event_log::EventLog, push::Pushes,
            shared_log::SharedLogSubscription,
        },
        postgres,
        redis::Redis,
    },
    executor::{Executor, reaper::Reaper},
    for_each_projection,
    projections::{
        ProjectionParts,
        engine::{
            blue_green::BlueGreen, context::RunnerContext, supervisor,
            verify_schedule::VerifySchedule,
        },
    },
    telemetry::ProjectionHealth,
};

impl Process {
    pub(super) async fn start_projector(
        &self,
    ) -> anyhow::Result<(EventLog, Checkpoints, SharedLogSubscription)> {
        let config = &self.config;
        let nats = self.nats(&config.nats.projector_user, &config.nats.projector_password).await?;
        let open = async || {
            open_log(nats.clone(), config, self.node, None, Arc::clone(&self.metrics)).await
        };
        let log = self.until_ready(open).await?;
        let (checkpoints, listen) = Checkpoints::start(nats.client.clone(), None).await?;
        self.keep(listen);
        let redis = Redis::open(&config.redis.url)?;
        let pool = postgres::writers(&config.postgres.url, config.postgres.max_connections)?;
        let executor = Executor::new(
            log.clone(),
            checkpoints.clone(),
            (pool.clone(), redis.clone()),
            self.executor_settings(),
            Arc::clone(&self.metrics),
        );
        let parts = ProjectionParts {
            pool,
            redis,
            pushes: Pushes::new(nats.client.clone(), self.sockets_here.clone()),
            chat_log_length: config.projections.chat_log_length,
            analytics: self.until_ready(async || open_analytics(config).await).await?,
        };
        if let Some(analytics) = &parts.analytics {
            self.keep(analysts_consumers::serve(analytics.stream.clone()));
        }
        let shared_log = self.shared_log(&log, &["evt.>"]);
        let runners = RunnerContext {
            log: log.clone(),
            shared_log: shared_log.clone(),
            checkpoints: checkpoints.clone(),
            node: self.node,
            batch: config.projections.batch,
            health: self.health.clone(),
            metrics: Arc::clone(&self.metrics),
            stop: self.stop.clone(),
        };
        let upkeep = &config.projections;
        let schedule = VerifySchedule::new(
            upkeep.verify_every_s,
            &upkeep.verify_at,
            NonZeroU32::new(upkeep.verify_max_rate),
            parts.pool.clone(),
        );
        for_each_projection!(|P| {
            if P::is_wanted(&parts) {
                let (projection, store) = P::open(&parts);
                self.tasks.spawn(supervisor::run(projection, store, runners.clone()));
            }
            if P::IS_BUILT_BESIDE {
                // What a comparison builds is not how far the read model is.
                let apart =
                    RunnerContext { health: ProjectionHealth::default(), ..runners.clone() };
                let model = BlueGreen::<P>::new(&parts, apart);
                self.keep(schedule.clone().run(model));
            }
        });
        let reaper = Reaper::new(executor, self.health.clone());
        self.keep(reaper.run(nats.reconnects.clone()));
        let (pushes, mut reconnects) = (parts.pushes, nats.reconnects);
        self.keep(async move {
            // What was pushed into a connection that broke has reached nobody.
            while reconnects.changed().await.is_ok() {
                pushes.refetch_all().await;
            }
        });
        Ok((log, checkpoints, shared_log))
    }
}
