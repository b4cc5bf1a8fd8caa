//! Quick replies: what people have answered beforehand. In PostgreSQL.

use std::collections::BTreeMap;

use sqlx::{PgConnection, PgPool};

use super::{
    Projection, ProjectionParts, StoreError,
    engine::postgres::{PostgresStore, PostgresTx, Tables, number},
};
use crate::{
    commands::quick_replies::{QuickReply, QuickReplyList},
    events::{
        ChatKind, Event, Position, QuickReplyEvent, QuickReplyId, Recorded, Timestamp, UserId,
    },
};

const TABLES: Tables = Tables {
    ddl: include_str!("quick_replies.sql"),
    indexes: "",
    keys: &[("questions", "owner || '.' || id"), ("question_books", "owner")],
};

/// The read model.
pub struct QuickReplies;

impl Projection for QuickReplies {
    type Store = PostgresStore;
    type Effect = ();
    const NAME: &'static str = "question_book";
    const SUBJECTS: &'static [&'static str] = &["evt.questions.>"];

    fn open(parts: &ProjectionParts) -> (Self, PostgresStore) {
        (Self, PostgresStore::new(parts.pool.clone(), &TABLES))
    }

    async fn apply(
        &self,
        tx: &mut PostgresTx,
        batch: &[Recorded<Event>],
    ) -> Result<Vec<()>, StoreError> {
        for recorded in batch {
            if let &Event::QuickReplies(owner, ref event) = &recorded.event {
                apply(tx, owner, event, number(recorded.position)).await?;
            }
        }
        Ok(Vec::new())
    }
}

async fn apply(
    tx: &mut PgConnection,
    owner: UserId,
    event: &QuickReplyEvent,
    version: i64,
) -> Result<(), StoreError> {
    let mut added = QuickReplyId(0);
    match event {
        QuickReplyEvent::Added { id, kind, ask, answer, at } => {
            added = *id;
            sqlx::query!(
                "insert into questions (owner, id, kind, ask, answer, created_at, updated_at)
                 values ($1, $2, $3, $4, $5, $6, $6)",
                owner.0,
                id.0,
                kind.as_str(),
                ask,
                answer,
                at.date_time()
            )
            .execute(&mut *tx)
            .await?;
        }
        QuickReplyEvent::Changed { id, ask, answer, at } => {
            sqlx::query!(
                "update questions set ask = $3, answer = $4, updated_at = $5
                 where owner = $1 and id = $2",
                owner.0,
                id.0,
                ask,
                answer,
                at.date_time()
            )
            .execute(&mut *tx)
            .await?;
        }
        QuickReplyEvent::Removed { id } => {
            sqlx::query!("delete from questions where owner = $1 and id = $2", owner.0, id.0)
                .execute(&mut *tx)
                .await?;
        }
    }
    sqlx::query!(
        "insert into question_books (owner, last_id, version) values ($1, $2, $3)
         on conflict (owner) do update set version = excluded.version,
             last_id = greatest(question_books.last_id, excluded.last_id)",
        owner.0,
        added.0,
        version
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A user's questions as the rules see them, with the version that it is.
///
/// # Errors
/// The database cannot be reached.
pub async fn load(pool: &PgPool, owner: UserId) -> sqlx::Result<(QuickReplyList, Position)> {
    // One snapshot: the version must be that of the rows.
    let mut tx = pool.begin_with("begin isolation level repeatable read read only").await?;
    let book =
        sqlx::query!("select last_id, version from question_books where owner = $1", owner.0)
            .fetch_optional(&mut *tx)
            .await?;
    let rows = sqlx::query_as!(
        Row,
        "select id, kind, ask, answer, created_at, updated_at from questions where owner = $1",
        owner.0
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    let Some(book) = book else { return Ok((QuickReplyList::default(), Position(0))) };
    let list: BTreeMap<_, _> = rows.into_iter().map(Row::into_question).collect();
    let questions = QuickReplyList::from_rows(QuickReplyId(book.last_id), list);
    Ok((questions, Position(book.version.unsigned_abs())))
}

struct Row {
    id: i64,
    kind: String,
    ask: String,
    answer: String,
    created_at: time::OffsetDateTime,
    updated_at: time::OffsetDateTime,
}

impl Row {
    fn into_question(self) -> (QuickReplyId, QuickReply) {
        let question = QuickReply {
            kind: ChatKind::parse(&self.kind),
            ask: self.ask,
            answer: self.answer,
            created_at: Timestamp::of(self.created_at),
            updated_at: Timestamp::of(self.updated_at),
        };
        (QuickReplyId(self.id), question)
    }
}

/// One list of `owner`'s, the oldest question first.
///
/// # Errors
/// The database cannot be reached.
pub async fn list(
    pool: &PgPool,
    owner: UserId,
    kind: ChatKind,
) -> sqlx::Result<Vec<(QuickReplyId, QuickReply)>> {
    let rows = sqlx::query_as!(
        Row,
        "select id, kind, ask, answer, created_at, updated_at from questions
         where owner = $1 and kind = $2 order by id",
        owner.0,
        kind.as_str()
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(Row::into_question).collect())
}

/// One of `owner`'s questions.
///
/// # Errors
/// The database cannot be reached.
pub async fn question(
    pool: &PgPool,
    owner: UserId,
    id: QuickReplyId,
) -> sqlx::Result<Option<QuickReply>> {
    let row = sqlx::query_as!(
        Row,
        "select id, kind, ask, answer, created_at, updated_at from questions
         where owner = $1 and id = $2",
        owner.0,
        id.0
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|row| row.into_question().1))
}
