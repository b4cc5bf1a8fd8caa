//! Appends: compare-and-append on one subject, and what became of an attempt that had no answer (ADR 0019).

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::{Instant, sleep, timeout_at};
use tracing::{Instrument as _, error_span, warn};

use super::{
    envelope,
    event_log::EventLog,
    log_error::{LogError, unavailable},
    new_event::{Appended, Expect, NewEvent},
    publish::{ANSWER, PublishError},
    unbuffered_client::RequestError,
};
use crate::events::{Position, Unsealed};

/// How long what may not be sent again is looked for, once an attempt had no answer.
const LOOK_FOR_WITHDRAWN: Duration = Duration::from_secs(1);

impl EventLog {
    /// Appends a fact and answers when it is as durable as `log.durability` promises.
    ///
    /// # Errors
    /// See [`LogError`].
    pub async fn append(&self, new: &mut NewEvent, expect: Expect) -> Result<Appended, LogError> {
        let appended = self.append_if(new, expect, || true, ()).await?;
        Ok(appended.expect("it may be sent").0)
    }

    /// The same, but not what may not be sent any more once there is a connection: `None` then, unless the log has it by
    /// an earlier attempt. `held` is dropped once the fact has its position, however long the log takes to keep it; with it
    /// comes whether it might be sent until then. After `None`, too, the same value may be appended again: as long as it
    /// has `maybe_after`, an attempt may yet come to be stored.
    ///
    /// # Errors
    /// See [`LogError`].
    pub async fn append_if<H>(
        &self,
        new: &mut NewEvent,
        expect: Expect,
        may_send: impl Fn() -> bool,
        held: H,
    ) -> Result<Option<(Appended, bool)>, LogError> {
        if let Some(why) = self.sync_failure() {
            return Err(LogError::Unavailable(why.to_owned()));
        }
        let _under_way = self.nats.appends.begin();
        let Some(appended) = self.append_unsynced_if(new, expect, &may_send).await? else {
            return Ok(None);
        };
        let appended = Some((appended, may_send()));
        drop(held);
        let Some(commit) = &self.settings.commit else { return Ok(appended) };
        let begun = Instant::now();
        if !commit.barrier().await {
            return Err(LogError::Unavailable("the log could not be synced to disk".into()));
        }
        self.settings.metrics.barrier_duration.observe(begun.elapsed().as_secs_f64());
        Ok(appended)
    }

    /// Appends a fact that nobody is promised: the end of a connection, a delivery. After an error the same value may
    /// be appended again, however much later.
    ///
    /// # Errors
    /// See [`LogError`].
    pub async fn append_unsynced(
        &self,
        new: &mut NewEvent,
        expect: Expect,
    ) -> Result<Appended, LogError> {
        let appended = self.append_unsynced_if(new, expect, || true).await?;
        Ok(appended.expect("it may be sent"))
    }

    async fn append_unsynced_if(
        &self,
        new: &mut NewEvent,
        expect: Expect,
        may_send: impl Fn() -> bool,
    ) -> Result<Option<Appended>, LogError> {
        let subject = new.event.subject().to_string();
        let span = error_span!("append", subject, event.id = %new.id);
        let _timer = self.settings.metrics.append_timer();
        self.try_append(new, &subject, expect, may_send).instrument(span).await
    }

    async fn try_append(
        &self,
        new: &mut NewEvent,
        subject: &str,
        expect: Expect,
        may_send: impl Fn() -> bool,
    ) -> Result<Option<Appended>, LogError> {
        let body = new.event.encode();
        let settings = &self.settings;
        let day = settings.expires.then(|| new.at.day());
        let (subject_of, actor, id) = (new.event.subject(), new.actor, new.id);
        let unsealed = Unsealed { subject: subject_of, actor, id, day, body: &body };
        let body = self.keys.seal(&unsealed).await?;
        let headers = envelope::headers(new, &body, expect, &settings.source, settings.fact_ttl);
        let mut deadline = Instant::now() + settings.timeout;
        let before = Position(settings.seen.load(Ordering::Relaxed));
        let (mut pause, mut is_withdrawn) = (Duration::from_millis(20), false);
        loop {
            // The server forgets identities after two minutes, so a repeat looks for the first attempt before.
            let attempt = match self.stored(new, deadline).await {
                Ok(Some(position)) => return Ok(Some(Appended { position, duplicate: true })),
                Ok(None) => {
                    let answer = (Instant::now() + ANSWER).min(deadline);
                    let appends = &self.nats.appends;
                    appends.publish_if(subject, &headers, &body, answer, &may_send).await
                }
                Err(_) if is_withdrawn && Instant::now() + pause >= deadline => return Ok(None),
                Err(error) if Instant::now() + pause >= deadline => return Err(error),
                Err(_) => {
                    sleep(pause).await;
                    continue;
                }
            };
            let error = match attempt {
                Ok((position, duplicate)) => {
                    self.has_seen(position);
                    return Ok(Some(Appended { position, duplicate }));
                }
                Err(error) => error,
            };
            match error {
                // Another append is in process, and may come to nothing: a conflict only for who has nothing under way.
                PublishError::Contended if new.maybe_after.is_none() => {
                    return Err(LogError::Conflict);
                }
                // The expectation is checked before the identity (ADR 0001), so a repeat of our own append
                // looks like a conflict with it.
                PublishError::Conflict => {
                    let own = self.stored(new, deadline).await?;
                    return own
                        .map(|position| Some(Appended { position, duplicate: true }))
                        .ok_or(LogError::Conflict);
                }
                PublishError::Request(RequestError::TooLarge) => return Err(LogError::TooLarge),
                PublishError::Request(RequestError::Withdrawn) => {
                    // An earlier attempt may still come to be stored. Others wait for us as long as we wait for that.
                    if new.maybe_after.is_none() || Instant::now() + pause >= deadline {
                        return Ok(None);
                    }
                    deadline = deadline.min(Instant::now() + LOOK_FOR_WITHDRAWN);
                    is_withdrawn = true;
                }
                PublishError::Request(RequestError::Unanswered) => {
                    new.maybe_after.get_or_insert(before);
                }
                PublishError::Request(RequestError::NotSent | RequestError::NoResponders)
                | PublishError::Contended
                | PublishError::Refused(..) => {}
            }
            if Instant::now() + pause >= deadline {
                return Err(unavailable(error));
            }
            warn!(%error, "an append failed, trying again under the same id");
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(500));
        }
    }

    /// Where an attempt that was not answered has stored the fact, if there was one and it has.
    async fn stored(
        &self,
        new: &NewEvent,
        deadline: Instant,
    ) -> Result<Option<Position>, LogError> {
        let Some(after) = new.maybe_after else { return Ok(None) };
        let look = async {
            let first = self.raw_next(new.event.subject(), Position(after.0 + 1)).await?;
            self.find(new.event.subject(), new.id, first, Position(u64::MAX)).await
        };
        timeout_at(deadline, look).await.unwrap_or_else(|_| Err(unavailable("it does not answer")))
    }
}
