//! Read models in PostgreSQL: a schema per generation, and views in `live` that the switch redefines.

mod copied_rows;
mod ddl;

use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, PgPool, Postgres, Row as _, Transaction, postgres::PgRow};
use tokio::time::sleep;
use uuid::Uuid;

use super::generation::{
    BuildPurpose, CheckpointAdvance, Digest, Digests, FenceToken, Generation, ListedGeneration,
    RowContents, Store,
};
use crate::{
    adapters::postgres::log_in,
    events::Position,
    projections::{Checkpoint, StoreError},
};

pub use copied_rows::CopiedRows;

/// A batch on its way into PostgreSQL, with its checkpoint.
pub type PostgresTx = Transaction<'static, Postgres>;

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
    /// Those that create what only readers need. A build does that at its end: it costs a fraction then.
    pub indexes: &'static str,
    /// Their names, and the columns that name a row.
    pub keys: &'static [(&'static str, &'static str)],
}

impl Tables {
    fn digest(&self) -> String {
        let definition = Sha256::new().chain_update(self.ddl).chain_update(self.indexes);
        hex::encode(&definition.finalize()[..8])
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

    async fn transaction(&self) -> sqlx::Result<PostgresTx> {
        log_in(&self.pool).await?;
        self.pool.begin().await
    }

    /// What `select` finds, and the checkpoint that was committed with it: one statement sees one snapshot.
    async fn as_of(
        &self,
        generation: &Generation,
        columns: &str,
        select: &str,
    ) -> Result<(Position, Vec<PgRow>), StoreError> {
        let statement = format!(
            "select position, {columns} from hongyan.generations \
             left join ({select}) as found on true where projection = $1 and generation = $2"
        );
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(generation.name)
            .bind(generation.number)
            .fetch_all(&self.pool)
            .await?;
        let first = rows.first().ok_or(StoreError::Fenced)?;
        Ok((Position(first.get::<i64, _>(0).unsigned_abs()), rows))
    }
}

impl Store for PostgresStore {
    type Tx = PostgresTx;
    /// A table and the columns that name a row of it.
    type Part = (&'static str, &'static str);

    async fn live(&self, name: &'static str, log_created: i64) -> Result<Generation, StoreError> {
        let mut tx = self.transaction().await?;
        if let Some(found) = self.find_live(&mut tx, name).await? {
            return Ok(found);
        }
        tx.commit().await?;
        self.create(name, log_created, None).await
    }

    async fn add(
        &self,
        name: &'static str,
        log_created: i64,
        purpose: BuildPurpose,
    ) -> Result<Generation, StoreError> {
        self.create(name, log_created, Some(purpose)).await
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
        let mut tx = self.transaction().await?;
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

    async fn complete(&self, generation: &Generation) -> Result<(), StoreError> {
        let statements =
            format!("set local search_path to {}; {}", schema(generation), self.tables.indexes);
        let mut tx = self.transaction().await?;
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// Gives way to readers, and tries again for about a second: one that holds one view and wants another would deadlock
    /// with it, and be the one that PostgreSQL ends.
    async fn switch(&self, held: FenceToken, to: &Generation) -> Result<(), StoreError> {
        for _ in 0..ddl::SWITCH_ATTEMPTS {
            match self.try_switch(held, to).await {
                Err(error) if ddl::is_lock_timeout(&error) => sleep(ddl::LOCK_TIMEOUT).await,
                done => return done?.then_some(()).ok_or(StoreError::Fenced),
            }
        }
        Err(StoreError::Transient("a transaction that has read the views goes on".into()))
    }

    async fn drop(&self, generation: &Generation) -> Result<(), StoreError> {
        let mut tx = self.begin_ddl().await?;
        let found = sqlx::query!(
            "delete from hongyan.generations
             where projection = $1 and generation = $2 and not active",
            generation.name,
            generation.number
        );
        if found.execute(&mut *tx).await?.rows_affected() == 0 {
            return Ok(()); // gone, or made live meanwhile
        }
        let schema = schema(generation);
        sqlx::raw_sql(AssertSqlSafe(format!("drop schema if exists {schema} cascade")))
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    async fn parts(&self, _: &[Generation]) -> Result<Vec<Self::Part>, StoreError> {
        Ok(self.tables.keys.to_vec())
    }

    async fn digests(
        &self,
        generation: &Generation,
        (table, key): &Self::Part,
    ) -> Result<(Position, Digests), StoreError> {
        let schema = schema(generation);
        let select = format!(
            "select {range} as range, count(*) as rows, bit_xor(hashtextextended(row::text, 0)) as sum \
             from {schema}.{table} as row group by 1",
            range = range_of(key),
        );
        let (position, rows) = self.as_of(generation, "range, rows, sum", &select).await?;
        let ranges = rows.iter().filter_map(|row| {
            let (rows, sum) = (row.get::<Option<i64>, _>(2)?, row.get::<Option<i64>, _>(3)?);
            Some((row.get(1), Digest { rows: rows.unsigned_abs(), sum: sum.cast_unsigned() }))
        });
        Ok((position, ranges.collect()))
    }

    async fn rows(
        &self,
        generation: &Generation,
        (table, key): &Self::Part,
        range: i32,
    ) -> Result<(Position, RowContents), StoreError> {
        let schema = schema(generation);
        let select = format!(
            "select ({key})::text as name, row_to_json(row)::text as content \
             from {schema}.{table} as row where {range_of} = {range}",
            range_of = range_of(key),
        );
        let (position, rows) = self.as_of(generation, "name, content", &select).await?;
        let rows = rows.iter().filter_map(|row| {
            let (name, content) = (row.get::<Option<String>, _>(1)?, row.get(2));
            Some((((*table).to_owned(), name), content))
        });
        Ok((position, rows.collect()))
    }

    async fn generations(&self, name: &'static str) -> Result<Vec<ListedGeneration>, StoreError> {
        let rows = sqlx::query!(
            "select generation, active, position, shape, log_created, built_for from hongyan.generations
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
                log_created: row.log_created,
                built_for: row.built_for.as_deref().and_then(BuildPurpose::of),
            })
            .collect())
    }
}

/// Which of 256 ranges a row is in, by the columns that name it.
fn range_of(key: &str) -> String {
    format!("(hashtextextended(({key})::text, 0) & 255)::int")
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
