//! The schedule of comparisons: now and then each read model is built anew beside the live one and compared with it.

use std::{convert::Infallible, future::pending, num::NonZeroU32, sync::Arc, time::Duration};

use sqlx::PgPool;
use tokio::{sync::Semaphore, time::interval};
use tracing::{error, info, warn};

use super::{
    blue_green::{BlueGreen, Comparison},
    generation::BuildPurpose,
    stop_reason::StopReason,
};
use crate::{
    adapters::{nats::replay::Replay, postgres::log_in},
    events::Timestamp,
    projections::Projection,
};

/// How often it is looked whether one is due, at least.
const LOOK: Duration = Duration::from_mins(1);

/// After this time a comparison counts as interrupted, and whoever looks next goes on with it.
const GIVEN_UP_AFTER_S: i64 = 3 * 60 * 60;

/// When read models are compared, by all projectors together: PostgreSQL knows when each was last.
#[derive(Clone)]
pub struct VerifySchedule {
    pool: PgPool,
    every_s: u32,
    hours: Arc<[u8]>,
    max_rate: Option<NonZeroU32>,
    /// One at a time.
    turn: Arc<Semaphore>,
}

impl VerifySchedule {
    /// Every so many seconds, 0 for never, begun in these hours (UTC), or at any time if there are none; reading so many
    /// events a second at most.
    pub fn new(every_s: u32, hours: &[u8], max_rate: Option<NonZeroU32>, pool: PgPool) -> Self {
        Self { pool, every_s, hours: hours.into(), max_rate, turn: Arc::new(Semaphore::new(1)) }
    }

    /// Compares a read model whenever that is due, for ever.
    pub async fn run<P: Projection>(self, model: BlueGreen<P>) {
        if self.every_s == 0 {
            return;
        }
        let mut due = interval(LOOK.min(Duration::from_secs(self.every_s.into())));
        loop {
            due.tick().await;
            if let Err(error) = self.look(&model).await {
                let name = P::NAME;
                warn!(projection.name = name, %error, "cannot compare `{name}` with the log yet");
            }
        }
    }

    async fn look<P: Projection>(&self, model: &BlueGreen<P>) -> Result<(), StopReason> {
        let name = P::NAME;
        log_in(&self.pool).await?;
        if let Some((at, equal)) = self.last(name).await? {
            model.context().metrics.verified(name, at, equal);
        }
        let _turn = self.turn.acquire().await.expect("it is never closed"); // in the order of asking
        if !self.is_hour(crate::clock::now()) || !self.claim(name).await? {
            return Ok(());
        }
        let Comparison { position, rows, differing, .. } = self.compare(model).await?;
        let equal = differing == 0;
        if equal {
            info!(
                projection.name = name,
                rows, "read model `{name}` is what the log says at {position}"
            );
        } else {
            error!(
                projection.name = name,
                differing,
                "read model `{name}` is not what the log says at {position}: \
                 `hongyan projections verify {name}` shows rows, `hongyan projections rebuild {name}` mends it"
            );
        }
        let now = crate::clock::now();
        self.note(name, now, equal).await?;
        model.context().metrics.verified(name, now, equal);
        Ok(())
    }

    async fn compare<P: Projection>(&self, model: &BlueGreen<P>) -> Result<Comparison, StopReason> {
        let end = model.context().log.end().await?.last;
        let mut replay = Replay::new(model.context().log.clone(), end);
        let build = model.begin(BuildPurpose::ScheduledVerify, &mut replay).await?;
        let replaying = async {
            _ = replay.run(self.max_rate).await; // what it cannot read is read again
            pending::<Infallible>().await
        };
        tokio::select! {
            found = model.verify(build, |_| ()) => found,
            never = replaying => match never {},
        }
    }

    fn is_hour(&self, now: Timestamp) -> bool {
        self.hours.is_empty() || self.hours.contains(&now.date_time().hour())
    }

    /// Is one due, and is it ours? At most one projector is told so.
    async fn claim(&self, name: &str) -> sqlx::Result<bool> {
        let seconds = |seconds: i64| Timestamp(crate::clock::now().0 - 1000 * seconds).date_time();
        let claimed = sqlx::query_scalar!(
            "insert into hongyan.verifications (projection, begun_at) values ($1, $2)
             on conflict (projection) do update set begun_at = excluded.begun_at
             where verifications.begun_at <= $3
                 or coalesce(verifications.ended_at, '-infinity') < verifications.begun_at
                     and verifications.begun_at <= $4
             returning projection",
            name,
            crate::clock::now().date_time(),
            seconds(self.every_s.into()),
            seconds(GIVEN_UP_AFTER_S),
        );
        Ok(claimed.fetch_optional(&self.pool).await?.is_some())
    }

    async fn note(&self, name: &str, at: Timestamp, equal: bool) -> sqlx::Result<()> {
        sqlx::query!(
            "update hongyan.verifications set ended_at = $2, equal = $3 where projection = $1",
            name,
            at.date_time(),
            equal
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// When the last one ended, and what it found.
    async fn last(&self, name: &str) -> sqlx::Result<Option<(Timestamp, bool)>> {
        let last = sqlx::query!(
            r#"select ended_at as "at!", equal as "equal!" from hongyan.verifications
               where projection = $1 and ended_at is not null and equal is not null"#,
            name
        );
        let last = last.fetch_optional(&self.pool).await?;
        Ok(last.map(|last| (Timestamp::of(last.at), last.equal)))
    }
}
