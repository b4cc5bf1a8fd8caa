//! Complaints, for those who made them and for operators. In PostgreSQL.

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{
    After, Projection, ProjectionParts, StoreError,
    engine::postgres::{PostgresStore, PostgresTx, Tables, number},
};
use crate::{
    commands::complaint::{Complaint, Filed},
    events::{
        Accused, ChatKind, ComplaintEvent, ComplaintId, ComplaintKey, Event, Position, Recorded,
        Statement, Timestamp, UserId,
    },
};

const TABLES: Tables =
    Tables { ddl: include_str!("complaints.sql"), indexes: "", keys: &[("complaints", "id")] };

/// The read model.
pub struct Complaints;

impl Projection for Complaints {
    type Store = PostgresStore;
    type Effect = ();
    const NAME: &'static str = "complaint_box";
    const SUBJECTS: &'static [&'static str] = &["evt.complaint.>"];

    fn open(parts: &ProjectionParts) -> (Self, PostgresStore) {
        (Self, PostgresStore::new(parts.pool.clone(), &TABLES))
    }

    async fn apply(
        &self,
        tx: &mut PostgresTx,
        batch: &[Recorded<Event>],
    ) -> Result<Vec<()>, StoreError> {
        for recorded in batch {
            if let &Event::Complaint(key, ref event) = &recorded.event {
                apply(tx, key, event, recorded.position).await?;
            }
        }
        Ok(Vec::new())
    }
}

async fn apply(
    tx: &mut PgConnection,
    key: ComplaintKey,
    event: &ComplaintEvent,
    position: Position,
) -> Result<(), StoreError> {
    let version = number(position);
    match event {
        ComplaintEvent::Filed { by, target, statement, at, .. } => {
            sqlx::query!(
                "insert into complaints (id, key, complainant, target_type, target_id, target_name,
                     reason, content, images, chat, created_at, updated_at, version)
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $12)",
                ComplaintId::made_at(position).0,
                key.0,
                by.0,
                target.kind.as_str(),
                target.id,
                target.name,
                statement.reason,
                statement.content,
                statement.images,
                statement.chat,
                at.date_time(),
                version
            )
            .execute(tx)
            .await?;
        }
        ComplaintEvent::Revised { statement, at } => {
            sqlx::query!(
                "update complaints set reason = $2, content = $3, images = $4, chat = $5,
                     updated_at = $6, version = $7
                 where key = $1",
                key.0,
                statement.reason,
                statement.content,
                statement.images,
                statement.chat,
                at.date_time(),
                version
            )
            .execute(tx)
            .await?;
        }
        ComplaintEvent::Withdrawn { at } => {
            sqlx::query!(
                "update complaints set withdrawn = true, content = '', images = '', chat = '',
                     updated_at = $2, version = $3
                 where key = $1",
                key.0,
                at.date_time(),
                version
            )
            .execute(tx)
            .await?;
        }
        ComplaintEvent::Closed { status, note, at } => {
            sqlx::query!(
                "update complaints set status = $2, note = $3, updated_at = $4, version = $5
                 where key = $1",
                key.0,
                status,
                note,
                at.date_time(),
                version
            )
            .execute(tx)
            .await?;
        }
    }
    Ok(())
}

struct Row {
    id: i64,
    key: Uuid,
    complainant: i64,
    target_type: String,
    target_id: i64,
    target_name: String,
    reason: String,
    content: String,
    images: String,
    chat: String,
    status: i16,
    note: String,
    withdrawn: bool,
    created_at: time::OffsetDateTime,
    updated_at: time::OffsetDateTime,
    version: i64,
}

impl Row {
    fn into_filed(self) -> Filed {
        Filed {
            id: ComplaintId(self.id),
            by: UserId(self.complainant),
            target: Accused {
                kind: ChatKind::parse(&self.target_type),
                id: self.target_id,
                name: self.target_name,
            },
            statement: Statement {
                reason: self.reason,
                content: self.content,
                images: self.images,
                chat: self.chat,
            },
            status: self.status,
            created_at: Timestamp::of(self.created_at),
            updated_at: Timestamp::of(self.updated_at),
        }
    }
}

/// A complaint as the rules see it, with the version that it is.
///
/// # Errors
/// The database cannot be reached.
pub async fn load(pool: &PgPool, key: ComplaintKey) -> sqlx::Result<(Complaint, Position)> {
    let row = sqlx::query_as!(
        Row,
        "select id, key, complainant, target_type, target_id, target_name, reason, content, images, chat,
             status, note, withdrawn, created_at, updated_at, version
         from complaints where key = $1",
        key.0
    )
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else { return Ok((Complaint::Unfiled, Position(0))) };
    let version = Position(row.version.unsigned_abs());
    if row.withdrawn {
        return Ok((Complaint::Withdrawn, version));
    }
    Ok((Complaint::Filed(Box::new(row.into_filed())), version))
}

/// What `complainant` has filed and not withdrawn, newest first.
///
/// # Errors
/// The database cannot be reached.
pub async fn complaints_of(pool: &PgPool, complainant: UserId) -> sqlx::Result<Vec<Filed>> {
    let rows = sqlx::query_as!(
        Row,
        "select id, key, complainant, target_type, target_id, target_name, reason, content, images, chat,
             status, note, withdrawn, created_at, updated_at, version
         from complaints where complainant = $1 and not withdrawn order by id desc",
        complainant.0
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(Row::into_filed).collect())
}

/// How many that are.
///
/// # Errors
/// The database cannot be reached.
pub async fn count_of(pool: &PgPool, complainant: UserId) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from complaints where complainant = $1 and not withdrawn"#,
        complainant.0
    )
    .fetch_one(pool)
    .await
}

/// A complaint as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detail {
    /// How the log names it.
    pub key: ComplaintKey,
    /// The complaint; of one that was withdrawn without what it told.
    pub filed: Filed,
    /// What the operator said who closed it.
    pub note: String,
    /// Has its author taken it back?
    pub withdrawn: bool,
}

/// A complaint by the number that clients know, also one that was withdrawn.
///
/// # Errors
/// The database cannot be reached.
pub async fn detail(pool: &PgPool, id: ComplaintId) -> sqlx::Result<Option<Detail>> {
    let row = sqlx::query_as!(
        Row,
        "select id, key, complainant, target_type, target_id, target_name, reason, content, images, chat,
             status, note, withdrawn, created_at, updated_at, version
         from complaints where id = $1",
        id.0
    );
    let row = row.fetch_optional(pool).await?;
    Ok(row.map(|mut row| Detail {
        key: ComplaintKey(row.key),
        note: std::mem::take(&mut row.note),
        withdrawn: row.withdrawn,
        filed: row.into_filed(),
    }))
}

/// What was filed by anybody and not withdrawn, newest first; on demand what waits alone.
///
/// # Errors
/// The database cannot be reached.
pub async fn listed(
    pool: &PgPool,
    waiting_only: bool,
    After { id, limit }: After,
) -> sqlx::Result<Vec<Filed>> {
    let rows = sqlx::query_as!(
        Row,
        "select id, key, complainant, target_type, target_id, target_name, reason, content, images, chat,
             status, note, withdrawn, created_at, updated_at, version
         from complaints
         where not withdrawn and (status = 0 or not $1) and ($2::bigint is null or id < $2)
         order by id desc limit $3",
        waiting_only,
        id,
        limit
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(Row::into_filed).collect())
}
