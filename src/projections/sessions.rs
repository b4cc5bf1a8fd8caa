//! Which token and which socket is current for each account. In Redis.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Projection, StoreError,
    in_redis::{InRedis, NONE, RedisTx, command, reading},
};
use crate::{
    adapters::redis::{Redis, RedisFailure},
    commands::{decider::Decider as _, session::Session},
    events::{Event, Position, Recorded, Subject, UserId},
};

/// The read model.
pub struct Sessions;

/// A session as kept.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Row {
    session: Session,
    version: Position,
}

impl Projection for Sessions {
    type Store = InRedis;
    type Effect = ();
    const NAME: &'static str = "sessions";
    const SUBJECTS: &'static [&'static str] = &["evt.session.>"];

    async fn apply(
        &self,
        tx: &mut RedisTx,
        batch: &[Recorded<Event>],
    ) -> Result<Vec<()>, StoreError> {
        let mut rows: BTreeMap<UserId, Row> = BTreeMap::new();
        for recorded in batch {
            if let Subject::Session(user) = recorded.subject {
                rows.entry(user).or_default();
            }
        }
        let keys: Vec<String> = rows.keys().map(|user| key(tx, *user)).collect();
        let stored: Vec<Option<String>> =
            tx.read(keys.into_iter().map(|key| command("GET", &key, NONE))).await?;
        for (row, text) in rows.values_mut().zip(stored) {
            *row = text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        }
        for recorded in batch {
            if let (Event::Session(event), Subject::Session(user)) =
                (&recorded.event, recorded.subject)
            {
                let row = rows.entry(user).or_default();
                row.session.evolve(event);
                row.version = recorded.position;
            }
        }
        for (user, row) in rows {
            let text = serde_json::to_string(&row).expect("a session is plain data");
            let key = key(tx, user);
            tx.run(&command("SET", &key, text));
        }
        Ok(Vec::new())
    }
}

fn key(tx: &RedisTx, user: UserId) -> String {
    tx.key(format_args!("chat_user_{user}"))
}

/// A session as the rules see it, with the version that it is.
///
/// # Errors
/// Redis cannot be reached, or has no sessions yet.
pub async fn load(redis: &Redis, user: UserId) -> Result<(Session, Position), RedisFailure> {
    let body = "return redis.call('GET', p .. 'chat_user_' .. ARGV[1])";
    let stored: Option<String> =
        reading("sessions", body).arg(user.0).invoke_async(&mut redis.shared()).await?;
    let row: Row = stored.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    Ok((row.session, row.version))
}
