//! Every message, numbered without gaps in its chat. In PostgreSQL.

use std::collections::{HashMap, HashSet};

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{
    Projection, StoreError,
    in_postgres::{InPostgres, number},
};
use crate::{
    commands::chat::{Accepted, Message},
    events::{ChatEvent, Event, MessageId, Pair, Recorded, Revocation, Sent, Timestamp, UserId},
};

/// Its tables.
pub const DDL: &str = include_str!("message_history.sql");

/// The read model.
pub struct MessageHistory;

impl Projection for MessageHistory {
    type Store = InPostgres;
    type Effect = ();
    const NAME: &'static str = "message_history";
    const SUBJECTS: &'static [&'static str] = &["evt.chat.>"];

    async fn apply(
        &self,
        tx: &mut <InPostgres as super::generation::Store>::Tx,
        batch: &[Recorded<Event>],
    ) -> Result<Vec<()>, StoreError> {
        let mut sent = Vec::new();
        let mut revoked = Vec::new();
        for recorded in batch {
            match &recorded.event {
                Event::Chat(ChatEvent::Sent(message)) => sent.push((recorded, message.as_ref())),
                Event::Chat(ChatEvent::Revoked(revocation)) => revoked.push(revocation),
                _ => {}
            }
        }
        insert(tx, sent).await?;
        revoke(tx, &revoked).await?;
        Ok(Vec::new())
    }
}

async fn insert(
    tx: &mut PgConnection,
    mut sent: Vec<(&Recorded<Event>, &Sent)>,
) -> Result<(), StoreError> {
    if sent.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = sent.iter().map(|(recorded, _)| recorded.id).collect();
    let known = sqlx::query_scalar!("select event_id from messages where event_id = any($1)", &ids)
        .fetch_all(&mut *tx)
        .await?;
    let mut known: HashSet<Uuid> = known.into_iter().collect();
    sent.retain(|(recorded, _)| known.insert(recorded.id));
    let mut last = last_numbers(tx, &sent).await?;

    let mut rows = Rows::default();
    for (recorded, message) in sent {
        let pair = Pair::of(message.from.id, message.to.id);
        let number = last.entry(pair).or_default();
        *number += 1;
        rows.push(recorded, message, pair, *number);
    }
    rows.insert(tx).await?;
    store_last_numbers(tx, &last).await
}

#[derive(Default)]
struct Rows {
    id: Vec<Uuid>,
    event: Vec<Uuid>,
    position: Vec<i64>,
    lo: Vec<i64>,
    hi: Vec<i64>,
    number: Vec<i64>,
    sender: Vec<i64>,
    recipient: Vec<i64>,
    sender_name: Vec<String>,
    kind: Vec<String>,
    data: Vec<String>,
    options: Vec<Option<String>>,
    sent_at: Vec<time::OffsetDateTime>,
}

impl Rows {
    fn push(&mut self, recorded: &Recorded<Event>, message: &Sent, pair: Pair, at: i64) {
        self.id.push(message.id.0);
        self.event.push(recorded.id);
        self.position.push(number(recorded.position));
        self.lo.push(pair.lo().0);
        self.hi.push(pair.hi().0);
        self.number.push(at);
        self.sender.push(message.from.id.0);
        self.recipient.push(message.to.id.0);
        self.sender_name.push(storable(&message.from.name));
        self.kind.push(storable(&message.kind));
        self.data.push(storable(&message.data));
        self.options.push(message.options.as_ref().map(|raw| storable(raw.get())));
        self.sent_at.push(message.sent_at.date_time());
    }

    async fn insert(self, tx: &mut PgConnection) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into messages (id, event_id, position, lo, hi, number, sender, recipient,
                 sender_name, kind, data, options, sent_at)
             select * from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[],
                 $6::bigint[], $7::bigint[], $8::bigint[], $9::text[], $10::text[], $11::text[],
                 $12::text[], $13::timestamptz[])",
            &self.id,
            &self.event,
            &self.position,
            &self.lo,
            &self.hi,
            &self.number,
            &self.sender,
            &self.recipient,
            &self.sender_name,
            &self.kind,
            &self.data,
            &self.options as &[Option<String>],
            &self.sent_at
        )
        .execute(tx)
        .await?;
        Ok(())
    }
}

/// PostgreSQL's text cannot hold NUL, which JSON text and names may; clients never see this copy.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

async fn last_numbers(
    tx: &mut PgConnection,
    sent: &[(&Recorded<Event>, &Sent)],
) -> Result<HashMap<Pair, i64>, StoreError> {
    let pairs: HashSet<Pair> =
        sent.iter().map(|(_, message)| Pair::of(message.from.id, message.to.id)).collect();
    let (lo, hi): (Vec<i64>, Vec<i64>) =
        pairs.iter().map(|pair| (pair.lo().0, pair.hi().0)).unzip();
    let rows = sqlx::query!(
        "select lo, hi, last_number from chats
         where (lo, hi) in (select * from unnest($1::bigint[], $2::bigint[]))",
        &lo,
        &hi
    )
    .fetch_all(tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (Pair::of(UserId(row.lo), UserId(row.hi)), row.last_number))
        .collect())
}

async fn store_last_numbers(
    tx: &mut PgConnection,
    last: &HashMap<Pair, i64>,
) -> Result<(), StoreError> {
    let lo: Vec<i64> = last.keys().map(|pair| pair.lo().0).collect();
    let hi: Vec<i64> = last.keys().map(|pair| pair.hi().0).collect();
    let numbers: Vec<i64> = last.values().copied().collect();
    sqlx::query!(
        "insert into chats (lo, hi, last_number)
         select * from unnest($1::bigint[], $2::bigint[], $3::bigint[])
         on conflict (lo, hi) do update set last_number = excluded.last_number",
        &lo,
        &hi,
        &numbers
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn revoke(tx: &mut PgConnection, revoked: &[&Revocation]) -> Result<(), StoreError> {
    if revoked.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = revoked.iter().map(|revocation| revocation.message.0).collect();
    let texts: Vec<String> = revoked
        .iter()
        .map(|revocation| serde_json::to_string(revocation).unwrap_or_default())
        .collect();
    sqlx::query!(
        "update messages set data = null, options = null, revocation = revoked.told
         from unnest($1::uuid[], $2::text[]) as revoked (id, told)
         where messages.id = revoked.id and messages.revocation is null",
        &ids,
        &texts
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A message as the rules see it.
///
/// # Errors
/// The database cannot be reached.
pub async fn load(pool: &PgPool, id: MessageId) -> sqlx::Result<Message> {
    let row = sqlx::query!(
        "select sender, recipient, sent_at, revocation from messages where id = $1",
        id.0
    )
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else {
        return Ok(Message::Unsent);
    };
    let accepted = Accepted {
        author: UserId(row.sender),
        to: UserId(row.recipient),
        sent_at: Timestamp::of(row.sent_at),
    };
    let revocation = row.revocation.and_then(|text| serde_json::from_str(&text).ok());
    Ok(match revocation {
        Some(revocation) => Message::Revoked(accepted, revocation),
        None => Message::Sent(accepted),
    })
}
