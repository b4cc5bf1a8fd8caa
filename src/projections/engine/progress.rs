//! Progress of rebuilds: how far every generation of every read model is, in both stores.

use std::collections::BTreeMap;

use sqlx::PgPool;

use super::{generation::Store as _, redis::RedisStore};
use crate::projections::{self, StoreError};

/// How far one generation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct GenerationPosition {
    /// 1, 2, 3 …
    pub generation: i32,
    /// Do readers see it?
    pub live: bool,
    /// The last event that counts.
    pub position: u64,
}

/// All of them, the oldest first, as a reader of the stores may see them.
///
/// # Errors
/// A store does not answer.
pub async fn all_generations(
    pool: &PgPool,
    redis: &RedisStore,
) -> Result<BTreeMap<&'static str, Vec<GenerationPosition>>, StoreError> {
    let rows = sqlx::query!(
        r#"select projection as "projection!", generation as "generation!", active as "active!",
                  position as "position!"
           from hongyan.generation_positions order by projection, generation"#
    )
    .fetch_all(pool)
    .await?;
    let mut all = BTreeMap::new();
    for (name, _) in projections::ALL.iter() {
        let in_postgres = rows.iter().filter(|row| row.projection == *name);
        let mut listed: Vec<_> = in_postgres
            .map(|row| GenerationPosition {
                generation: row.generation,
                live: row.active,
                position: row.position.unsigned_abs(),
            })
            .collect();
        if listed.is_empty() {
            let in_redis = redis.generations(name).await?.into_iter();
            listed.extend(in_redis.map(|found| GenerationPosition {
                generation: found.generation,
                live: found.live,
                position: found.position,
            }));
        }
        all.insert(*name, listed);
    }
    Ok(all)
}
