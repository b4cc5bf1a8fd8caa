//! Sessions: which token and which connection is current for each account. In Redis.

use std::{collections::BTreeMap, sync::LazyLock};

use super::{
    Projection, ProjectionParts, StoreError,
    engine::redis::{LiveQuery, RedisStore, RedisTx, VERSION, command},
};
use crate::{
    adapters::redis::{Redis, RedisFailure, keys::RedisKey},
    commands::{decider::Decider as _, session::Session},
    events::{Event, Position, Recorded, UserId},
};

/// The read model.
pub struct Sessions;

/// A session and the position of its last event, as kept.
type Row = (Session, Position);
type Fields = (Option<String>, Option<u64>);

const FIELDS: &[&str] = &["session", VERSION];

impl Projection for Sessions {
    type Store = RedisStore;
    type Effect = ();
    const NAME: &'static str = "sessions";
    const SUBJECTS: &'static [&'static str] = &["evt.session.>"];

    fn open(parts: &ProjectionParts) -> (Self, RedisStore) {
        (Self, RedisStore::new(parts.redis.clone()))
    }

    async fn apply(
        &self,
        tx: &mut RedisTx,
        batch: &[Recorded<Event>],
    ) -> Result<Vec<()>, StoreError> {
        let mut rows: BTreeMap<UserId, Row> = BTreeMap::new();
        for recorded in batch {
            if let Event::Session(user, _) = &recorded.event {
                rows.entry(*user).or_default();
            }
        }
        let keys: Vec<String> = rows.keys().map(|user| tx.key(RedisKey::Session(*user))).collect();
        let stored: Vec<Fields> =
            tx.read(keys.into_iter().map(|key| command("HMGET", &key, FIELDS))).await?;
        for (row, fields) in rows.values_mut().zip(stored) {
            *row = read(fields);
        }
        for recorded in batch {
            if let Event::Session(user, event) = &recorded.event {
                let row = rows.entry(*user).or_default();
                row.0.evolve(recorded.position, event);
                row.1 = recorded.position;
            }
        }
        for (user, (session, version)) in rows {
            let text = serde_json::to_string(&session).expect("a session is plain data");
            let key = tx.key(RedisKey::Session(user));
            tx.run(&command("HSET", &key, ("session", text, VERSION, version.0)));
        }
        Ok(Vec::new())
    }
}

static LOAD: LazyLock<LiveQuery> = LazyLock::new(|| {
    LiveQuery::new("sessions", "return redis.call('HMGET', KEYS[3], ARGV[2], ARGV[3])")
});

/// A session as the rules see it, with the version that it is.
///
/// # Errors
/// Redis cannot be reached, or has no sessions yet.
pub async fn load(redis: &Redis, user: UserId) -> Result<(Session, Position), RedisFailure> {
    Ok(read(LOAD.run(redis, &[RedisKey::Session(user)], FIELDS).await?))
}

fn read((session, version): Fields) -> Row {
    let session = session.and_then(|text| serde_json::from_str(&text).ok());
    (session.unwrap_or_default(), Position(version.unwrap_or(0)))
}
