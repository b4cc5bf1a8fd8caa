//! Statements that define: a schema for each generation, and the views in `live` over one of them.

use std::time::Duration;

use sqlx::{AssertSqlSafe, error::DatabaseError};

use super::{PostgresStore, PostgresTx, number, schema};
use crate::{
    adapters::postgres::LIVE,
    projections::{
        StoreError,
        engine::generation::{BuildPurpose, FenceToken, Generation},
    },
};

/// How long a switch waits for a view, and readers behind it: far below the second (`deadlock_timeout`) after which
/// PostgreSQL looks for deadlocks.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_millis(50);

/// How often a switch is tried, as long again after each attempt, while readers hold the views.
pub(super) const SWITCH_ATTEMPTS: u32 = 10;

impl PostgresStore {
    pub(super) async fn create(
        &self,
        name: &'static str,
        log_created: i64,
        purpose: Option<BuildPurpose>,
    ) -> Result<Generation, StoreError> {
        let mut tx = self.begin_ddl().await?;
        if purpose.is_none()
            && let Some(found) = self.find_live(&mut tx, name).await?
        {
            return Ok(found);
        }
        let number = sqlx::query_scalar!(
            r#"with known as (
                   select coalesce(max(generation), 0) as newest
                   from hongyan.generations where projection = $1
               )
               insert into hongyan.generation_numbers as numbers (projection, last)
               select $1, newest + 1 from known
               on conflict (projection) do update set last = greatest(numbers.last + 1, excluded.last)
               returning last as "number!""#,
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
             set local search_path to {schema}; {} {}",
            self.tables.ddl,
            if purpose.is_none() { self.tables.indexes } else { "" },
        );
        sqlx::raw_sql(AssertSqlSafe(ddl)).execute(&mut *tx).await?;
        sqlx::query!(
            "insert into hongyan.generations (projection, generation, shape, log_created, built_for)
             values ($1, $2, $3, $4, $5)",
            name,
            number,
            self.tables.digest(),
            log_created,
            purpose.map(BuildPurpose::name)
        )
        .execute(&mut *tx)
        .await?;
        if purpose.is_none() {
            self.make_live(&mut tx, &generation).await?;
        }
        tx.commit().await?;
        Ok(generation)
    }

    /// One at a time creates or switches: runners and projectors start together, and share the schema `live`.
    pub(super) async fn begin_ddl(&self) -> sqlx::Result<PostgresTx> {
        let mut tx = self.transaction().await?;
        sqlx::query!("select pg_advisory_xact_lock(hashtext('hongyan.generations'))")
            .execute(&mut *tx)
            .await?;
        Ok(tx)
    }

    pub(super) async fn find_live(
        &self,
        tx: &mut PostgresTx,
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

    /// False if the live generation is not held any more.
    pub(super) async fn try_switch(&self, held: FenceToken, to: &Generation) -> sqlx::Result<bool> {
        let mut tx = self.begin_ddl().await?;
        // Whoever commits to it comes after this, and is fenced by its claim.
        let found = sqlx::query_scalar!(
            "select generation from hongyan.generations
             where projection = $1 and generation = $2 and active and owner = $3 and position = $4
             for update",
            to.name,
            held.generation(),
            held.owner(),
            number(held.position())
        );
        if found.fetch_optional(&mut *tx).await?.is_none() {
            return Ok(false);
        }
        sqlx::raw_sql(AssertSqlSafe(format!(
            "set local lock_timeout = {}",
            LOCK_TIMEOUT.as_millis()
        )))
        .execute(&mut *tx)
        .await?;
        self.make_live(&mut tx, to).await?;
        tx.commit().await?;
        Ok(true)
    }

    async fn make_live(&self, tx: &mut PostgresTx, to: &Generation) -> sqlx::Result<()> {
        sqlx::query!(
            "update hongyan.generations set active = false where projection = $1",
            to.name
        )
        .execute(&mut **tx)
        .await?;
        sqlx::query!(
            "update hongyan.generations set active = true, built_for = null
             where projection = $1 and generation = $2",
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

/// Could a lock not be had in time?
pub(super) fn is_lock_timeout(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(DatabaseError::code).as_deref() == Some("55P03")
}
