//! Id allocation: users and groups, whose subjects need an id before the first event, get theirs from sequences in
//! PostgreSQL (ADR 0014).
//!
//! Nothing is asked beforehand and nothing waited for. The log refuses an id that it has used, since a new account or
//! group expects to be the first event on its subject; so a database that was lost, or restored to an older state, costs
//! attempts and no more. Read models raise the sequences above the ids that they meet, which ends that.

use sqlx::PgPool;

/// Where ids of a kind come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sequence {
    /// Of users.
    Users,
    /// Of groups.
    Groups,
}

/// An id could not be allocated.
#[derive(Debug, thiserror::Error)]
#[error("cannot allocate an id: {0}")]
pub struct IdAllocationError(#[from] sqlx::Error);

/// At most 2^20 ids are skipped at once, which takes the database a moment.
const MOST_DOUBLINGS: u32 = 20;

impl Sequence {
    fn name(self) -> &'static str {
        match self {
            Self::Users => "ids.users",
            Self::Groups => "ids.groups",
        }
    }

    /// Allocates an id, after `refused` ones in a row that were in use: each refusal skips twice as far, so a sequence
    /// that begins anew behind a hundred thousand users is beyond them after 17 attempts.
    ///
    /// The id is not given again, whatever becomes of the database's process: that it was given is on the disk, also
    /// where `synchronous_commit` is off. A sequence writes what it gives to the write-ahead log 32 ids ahead, so most
    /// calls would write nothing, and then a commit waits for no disk either, not even for what another transaction
    /// wrote for the same 32 ids and has not flushed yet. Therefore each call writes a message of its own.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn allocate(self, pool: &PgPool, refused: u32) -> Result<i64, IdAllocationError> {
        let allocated = sqlx::query!(
            r#"select max(nextval($1::text::regclass)) as "id!",
                   set_config('synchronous_commit', 'on', true) as durable,
                   pg_logical_emit_message(true, 'hongyan', 'id')::text as written
               from generate_series(1, $2)"#,
            self.name(),
            1 << refused.min(MOST_DOUBLINGS)
        );
        // To the end of the answer, which is behind the commit; a row alone may be sent before it.
        let rows = allocated.fetch_all(pool).await?;
        Ok(rows.first().expect("an aggregate has a row").id)
    }
}
