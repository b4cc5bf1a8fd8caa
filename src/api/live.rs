//! Live samples of a process for the operators' page: one a second as a server-sent event.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response, Sse, sse::Event},
};
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use tokio::time::Instant;

use super::{
    live_feed::{AsyncTake, MOST_WATCHERS},
    readiness::{Admin, OpenedLog, Readiness, ask, lag},
};
use crate::{
    clock,
    events::{NodeId, Position, Timestamp},
    projections::{
        self,
        engine::progress::{self, GenerationPosition},
    },
    telemetry::recent_errors::LogLine,
};

/// What a process and those that it hears are like at one moment.
#[derive(Serialize)]
struct Sample {
    at: Timestamp,
    /// This process.
    node: NodeId,
    readiness: Readiness,
    /// The log's last position.
    last: Option<Position>,
    /// Events per second since the sample before.
    events_per_second: Option<f64>,
    lags: BTreeMap<&'static str, Lag>,
    /// Of every read model; nothing while a store is away.
    generations: Option<BTreeMap<&'static str, Vec<GenerationPosition>>>,
    /// Open WebSockets by gateway; one of an older version does not say.
    gateways: BTreeMap<String, Option<i64>>,
    /// The newest last.
    errors: Vec<LogLine>,
    #[serde(skip)]
    taken: Instant,
}

/// How far behind a projection is.
#[derive(Serialize)]
struct Lag {
    events: u64,
    /// How old the last applied event is; known where it is applied.
    seconds: Option<f64>,
}

impl AsyncTake<Sample> for Admin {
    #[expect(clippy::cast_precision_loss, reason = "no second has so many events")]
    async fn take(&self, before: Option<Sample>) -> Sample {
        let redis = &self.generations_in_redis;
        let (readiness, generations) =
            tokio::join!(self.readiness(), ask(progress::all_generations(&self.pool, redis)));
        let (last, taken) = (readiness.end, Instant::now());
        let since = before.and_then(|before| Some((before.last?, before.taken)));
        let rate = |(was, when): (Position, Instant)| {
            Some(last?.0.saturating_sub(was.0) as f64 / (taken - when).as_secs_f64())
        };
        Sample {
            at: clock::now(),
            node: self.node,
            last,
            events_per_second: since.and_then(rate),
            lags: self.lags(&readiness, last).await,
            generations: generations.ok(),
            gateways: self
                .opened
                .get()
                .map(|opened| opened.checkpoints.gateways())
                .unwrap_or_default(),
            errors: self.recent_errors.all(),
            readiness,
            taken,
        }
    }
}

impl Admin {
    /// Of the projections that run here as they say, of others as far as their heartbeats tell.
    async fn lags(
        &self,
        readiness: &Readiness,
        last: Option<Position>,
    ) -> BTreeMap<&'static str, Lag> {
        let here = self.projections.all();
        let mut lags = BTreeMap::new();
        for (name, subjects) in projections::ALL.iter() {
            let own = here.get(name).filter(|state| !matches!(state.state, "" | "standby"));
            if let Some(state) = own {
                let seconds = Some(state.lag_seconds(clock::now()));
                lags.insert(*name, Lag { events: state.lag, seconds });
                continue;
            }
            let (Some(OpenedLog { log, .. }), Some(last), Some(state)) =
                (self.opened.get(), last, readiness.projections.get(name))
            else {
                continue;
            };
            if state.state == "silent" {
                continue;
            }
            if let Ok(events) = lag(log, subjects, Position(state.position), last).await {
                lags.insert(*name, Lag { events, seconds: None });
            }
        }
        lags
    }
}

/// A sample a second, for as long as the caller listens and the process runs.
pub(super) async fn live(State(admin): State<Admin>) -> Response {
    let Some(samples) = admin.live.watch(admin.clone()) else {
        let why = format!("{MOST_WATCHERS} watch this process already\n");
        return (StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    };
    let events = stream::unfold(samples, async |mut samples| {
        samples.changed().await.ok()?;
        let newest = Arc::clone(&samples.borrow_and_update());
        Some((Ok::<_, Infallible>(Event::default().data(newest)), samples))
    });
    Sse::new(events.take_until(admin.live.stopped())).into_response()
}
