//! Read models in PostgreSQL: a schema per generation, and views in `live` that the switch redefines.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, PgPool, Postgres, Row as _, Transaction};
use uuid::Uuid;

use super::generation::{CheckpointAdvance, Digest, Generation, ListedGeneration, Store};
use crate::{
    adapters::postgres::LIVE,
    events::Position,
    projections::{Checkpoint, StoreError},
};

/// PostgreSQL as the store of one read model.
#[derive(Clone)]
pub struct PostgresStore {
    pool: PgPool,
    tables: &'static Tables,
}

/// The tables of a read model. Another definition is another shape: it is built anew at the next start.
#[derive(Debug)]
pub struct Tables {
    /// The statements that create them in an empty schema.
    pub ddl: &'static str,
    /// Their names, and the columns that name a row.
    pub keys: &'static [(&'static str, &'static str)],
}

impl Tables {
    fn digest(&self) -> String {
        hex::encode(&Sha256::digest(self.ddl)[..8])
    }
}

fn schema(generation: &Generation) -> String {
    format!("{}_g{}", generation.name, generation.number)
}

impl PostgresStore {
    /// Over a pool whose role owns the read models.
    pub fn new(pool: PgPool, tables: &'static Tables) -> Self {
        Self { pool, tables }
    }

    async fn create(
        &self,
        name: &'static str,
        log_created: i64,
        live: bool,
    ) -> Result<Generation, StoreError> {
        let mut tx = self.pool.begin().await?;
        // One creator at a time: runners and projectors start together, and share the schema `live`.
        sqlx::query!("select pg_advisory_xact_lock(hashtext('hongyan.generations'))")
            .execute(&mut *tx)
            .await?;
        if live && let Some(found) = self.find_live(&mut tx, name).await? {
            return Ok(found);
        }
        let number = sqlx::query_scalar!(
            r#"select coalesce(max(generation), 0) + 1 as "number!"
               from hongyan.generations where projection = $1"#,
            name
        )
        .fetch_one(&mut *tx)
        .await?;
        let generation = Generation { name, number, log_created, outdated: false };
        let schema = schema(&generation);
        // A database that was restored to an older state may still hold a schema that the
        // bookkeeping has forgotten.
        let ddl = format!(
            "drop schema if exists {schema} cascade; create schema {schema}; \
             set local search_path to {schema}; {}",
            self.tables.ddl
        );
        sqlx::raw_sql(AssertSqlSafe(ddl)).execute(&mut *tx).await?;
        sqlx::query!(
            "insert into hongyan.generations (projection, generation, shape, log_created)
             values ($1, $2, $3, $4)",
            name,
            number,
            self.tables.digest(),
            log_created
        )
        .execute(&mut *tx)
        .await?;
        if live {
            self.make_live(&mut tx, &generation).await?;
        }
        tx.commit().await?;
        Ok(generation)
    }

    async fn find_live(
        &self,
        tx: &mut Transaction<'_, Postgres>,
        name: &'static str,
    ) -> Result<Option<Generation>, StoreError> {
        let row = sqlx::query!(
            "select generation, log_created, shape from hongyan.generations
             where projection = $1 and active",
            name
        )
        .fetch_optional(&mut **tx)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let generation = Generation {
            name,
            number: row.generation,
            log_created: row.log_created,
            outdated: row.shape != self.tables.digest(),
        };
        let schema = schema(&generation);
        let there =
            sqlx::query_scalar!(r#"select to_regnamespace($1) is not null as "there!""#, schema)
                .fetch_one(&mut **tx)
                .await?;
        if !there {
            // Somebody dropped the tables: forget the generation, a new one is built.
            sqlx::query!(
                "delete from hongyan.generations where projection = $1 and generation = $2",
                name,
                generation.number
            )
            .execute(&mut **tx)
            .await?;
            return Ok(None);
        }
        Ok(Some(generation))
    }

    async fn make_live(
        &self,
        tx: &mut Transaction<'_, Postgres>,
        to: &Generation,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "update hongyan.generations set active = false where projection = $1",
            to.name
        )
        .execute(&mut **tx)
        .await?;
        sqlx::query!(
            "update hongyan.generations set active = true where projection = $1 and generation = $2",
            to.name,
            to.number
        )
        .execute(&mut **tx)
        .await?;
        let schema = schema(to);
        for (table, _) in self.tables.keys {
            let view = format!(
                "create schema if not exists {LIVE}; \
                 drop view if exists {LIVE}.{table}; \
                 create view {LIVE}.{table} as select * from {schema}.{table}; \
                 grant usage on schema {LIVE} to public; \
                 grant select on {LIVE}.{table} to public"
            );
            sqlx::raw_sql(AssertSqlSafe(view)).execute(&mut **tx).await?;
        }
        Ok(())
    }
}

impl Store for PostgresStore {
    type Tx = Transaction<'static, Postgres>;

    async fn live(&self, name: &'static str, log_created: i64) -> Result<Generation, StoreError> {
        let mut tx = self.pool.begin().await?;
        if let Some(found) = self.find_live(&mut tx, name).await? {
            return Ok(found);
        }
        tx.commit().await?;
        self.create(name, log_created, true).await
    }

    async fn add(&self, name: &'static str, log_created: i64) -> Result<Generation, StoreError> {
        self.create(name, log_created, false).await
    }

    async fn claim(&self, generation: &Generation, owner: Uuid) -> Result<Checkpoint, StoreError> {
        let row = sqlx::query!(
            "update hongyan.generations set owner = $3
             where projection = $1 and generation = $2
             returning position, event_id",
            generation.name,
            generation.number,
            owner
        )
        .fetch_optional(&self.pool)
        .await?
        .ok_or(StoreError::Fenced)?;
        Ok(Checkpoint {
            position: Position(u64::try_from(row.position).unwrap_or(0)),
            event: row.event_id,
        })
    }

    async fn begin(
        &self,
        generation: &Generation,
        _: CheckpointAdvance,
    ) -> Result<Self::Tx, StoreError> {
        let mut tx = self.pool.begin().await?;
        let path = format!("set local search_path to {}, ids", schema(generation));
        sqlx::raw_sql(AssertSqlSafe(path)).execute(&mut *tx).await?;
        Ok(tx)
    }

    async fn commit(
        &self,
        mut tx: Self::Tx,
        generation: &Generation,
        moved: CheckpointAdvance,
    ) -> Result<(), StoreError> {
        let done = sqlx::query!(
            "update hongyan.generations set position = $5, event_id = $6
             where projection = $1 and generation = $2 and owner = $3 and position = $4",
            generation.name,
            generation.number,
            moved.owner,
            number(moved.from.position),
            number(moved.to.position),
            moved.to.event
        )
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Fenced);
        }
        Ok(tx.commit().await?)
    }

    async fn switch(&self, to: &Generation) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        self.make_live(&mut tx, to).await?;
        Ok(tx.commit().await?)
    }

    async fn drop(&self, generation: &Generation) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        let schema = schema(generation);
        sqlx::raw_sql(AssertSqlSafe(format!("drop schema if exists {schema} cascade")))
            .execute(&mut *tx)
            .await?;
        sqlx::query!(
            "delete from hongyan.generations
             where projection = $1 and generation = $2 and not active",
            generation.name,
            generation.number
        )
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    async fn digests(
        &self,
        generation: &Generation,
    ) -> Result<BTreeMap<String, Digest>, StoreError> {
        let schema = schema(generation);
        let mut digests = BTreeMap::new();
        for (table, _) in self.tables.keys {
            let statement = format!(
                "select count(*), coalesce(bit_xor(hashtextextended(row::text, 0)), 0) \
                 from {schema}.{table} as row"
            );
            let row = sqlx::query(AssertSqlSafe(statement)).fetch_one(&self.pool).await?;
            let digest = Digest {
                rows: row.get::<i64, _>(0).unsigned_abs(),
                sum: row.get::<i64, _>(1).cast_unsigned(),
            };
            digests.insert((*table).to_owned(), digest);
        }
        Ok(digests)
    }

    async fn rows(
        &self,
        generation: &Generation,
        table: &str,
    ) -> Result<BTreeMap<String, String>, StoreError> {
        let Some((table, key)) = self.tables.keys.iter().find(|(name, _)| *name == table) else {
            return Ok(BTreeMap::new());
        };
        let schema = schema(generation);
        let statement =
            format!("select ({key})::text, row_to_json(row)::text from {schema}.{table} as row");
        let rows = sqlx::query(AssertSqlSafe(statement)).fetch_all(&self.pool).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    async fn generations(&self, name: &'static str) -> Result<Vec<ListedGeneration>, StoreError> {
        let rows = sqlx::query!(
            "select generation, active, position, shape from hongyan.generations
             where projection = $1 order by generation",
            name
        )
        .fetch_all(&self.pool)
        .await?;
        let wanted = self.tables.digest();
        Ok(rows
            .into_iter()
            .map(|row| ListedGeneration {
                generation: row.generation,
                live: row.active,
                position: row.position.unsigned_abs(),
                outdated: row.shape != wanted,
            })
            .collect())
    }
}

/// One column of rows that a statement takes as arrays.
pub fn column<R, T>(rows: &[R], value: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

/// A position as the database keeps it.
pub fn number(position: Position) -> i64 {
    i64::try_from(position.0).unwrap_or(i64::MAX)
}

/// Has a live read model applied all events up to `seen`, as its database is now?
///
/// # Errors
/// The database cannot be reached.
pub async fn has_seen(pool: &PgPool, read_model: &str, seen: Position) -> sqlx::Result<bool> {
    let statement = "select count(*) > 0 from hongyan.positions \
                     where projection = $1 and position >= $2";
    sqlx::query_scalar(statement).bind(read_model).bind(number(seen)).fetch_one(pool).await
}
