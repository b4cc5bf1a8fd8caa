//! Every message, numbered without gaps in its chat, and what is shown of every event that queues and timelines may
//! hold: they forget it beyond their quota, and it is fetched from here (ADR 0016). In PostgreSQL.

mod groups;
mod notices;
mod numbers;
mod objects;

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use self::{
    groups::Groups,
    notices::{Audience, HistoryNotice},
};
use super::{
    Projection, ProjectionParts, StoreError,
    engine::postgres::{CopiedRows, PostgresStore, PostgresTx, Tables, number},
};
use crate::{
    commands::message::{Accepted, Message, Target},
    events::{
        ChatEvent, Event, GroupChatEvent, GroupId, MessageId, Pair, Recorded, Revocation, Sent,
        Timestamp, UserId, UserSummary,
    },
    protocol::{
        message_object::{MessageObject, revoked_text_in_group},
        user_notices,
    },
};

pub use numbers::{Numbered, last_until};
pub use objects::{HistoryEntry, count_by, for_user, in_group, place};

const TABLES: Tables = Tables {
    ddl: include_str!("schema.sql"),
    indexes: include_str!("indexes.sql"),
    keys: &[
        ("messages", "id"),
        ("chats", "lo || '.' || hi"),
        ("group_chats", "group_id"),
        ("notices", "position || '.' || recipient"),
        ("shown_groups", "position"),
        ("folded_groups", "group_id"),
        ("folded_members", "group_id || '.' || user_id"),
    ],
};

/// The read model.
pub struct MessageHistory;

impl Projection for MessageHistory {
    type Store = PostgresStore;
    type Effect = ();
    const NAME: &'static str = "message_history";
    const SUBJECTS: &'static [&'static str] =
        &["evt.chat.>", "evt.friendship.>", "evt.group.>", "evt.groupchat.>"];

    fn open(parts: &ProjectionParts) -> (Self, PostgresStore) {
        (Self, PostgresStore::new(parts.pool.clone(), &TABLES))
    }
    const MIN_BATCH_INTERVAL: Duration = Duration::from_millis(250); // no message waits for it

    async fn apply(
        &self,
        tx: &mut PostgresTx,
        batch: &[Recorded<Event>],
    ) -> Result<Vec<()>, StoreError> {
        let mut groups = Groups::load(tx, batch).await?;
        let (mut rows, mut revoked, mut notices) = (Vec::new(), Vec::new(), Vec::new());
        for recorded in batch {
            let at = recorded.position;
            match &recorded.event {
                Event::Chat(_, ChatEvent::Sent(sent)) => {
                    let chat = Chat::Pair(Pair::of(sent.from.id, sent.to.id));
                    let object = MessageObject::chat(sent).json();
                    let row = Row::of(recorded, sent, chat, (object, None));
                    rows.push(Row { recipient: Some(sent.to.id), ..row });
                }
                Event::GroupChat(_, GroupChatEvent::Sent(sent)) => {
                    let object = MessageObject::without_group(sent).json();
                    let shown = (object, groups.shown(sent.to.id, at));
                    rows.push(Row::of(recorded, sent, Chat::Group(sent.to.id), shown));
                }
                Event::GroupChat(_, GroupChatEvent::Revoked(revocation)) => {
                    revoked.push(told(revocation));
                    let text = revoked_text_in_group(revocation);
                    let object = MessageObject::revoked_in_group(revocation, &text).json();
                    notices.push(HistoryNotice {
                        at,
                        audience: Audience::All(revocation.to.id),
                        object,
                    });
                }
                Event::Group(id, event) => {
                    notices.extend(HistoryNotice::in_group(&mut groups, *id, event, at));
                }
                event => {
                    if let Event::Chat(_, ChatEvent::Revoked(revocation)) = event {
                        revoked.push(told(revocation));
                    }
                    notices.extend(user_notices::of(recorded).into_iter().map(|(user, object)| {
                        HistoryNotice { at, audience: Audience::User(user), object }
                    }));
                }
            }
        }
        groups.store(tx).await?;
        insert(tx, rows).await?;
        notices::insert(tx, notices).await?;
        revoke(tx, revoked).await?;
        Ok(Vec::new())
    }
}

/// Where messages are numbered: between two people, or in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Chat {
    /// Between two people.
    Pair(Pair),
    /// In a group.
    Group(GroupId),
}

impl Chat {
    fn lo(self) -> Option<i64> {
        if let Self::Pair(pair) = self { Some(pair.lo().0) } else { None }
    }

    fn hi(self) -> Option<i64> {
        if let Self::Pair(pair) = self { Some(pair.hi().0) } else { None }
    }

    fn group(self) -> Option<i64> {
        if let Self::Group(group) = self { Some(group.0) } else { None }
    }
}

/// A message to be stored.
struct Row<'a> {
    recorded: &'a Recorded<Event>,
    chat: Chat,
    id: MessageId,
    sender: &'a UserSummary,
    recipient: Option<UserId>,
    object: String,
    /// The group in it.
    shown: Option<i64>,
    sent_at: Timestamp,
}

impl<'a> Row<'a> {
    fn of<To>(
        recorded: &'a Recorded<Event>,
        sent: &'a Sent<To>,
        chat: Chat,
        (object, shown): (String, Option<i64>),
    ) -> Self {
        let Sent { id, from: sender, sent_at, .. } = sent;
        let (id, sent_at) = (*id, *sent_at);
        Self { recorded, chat, id, sender, recipient: None, object, shown, sent_at }
    }
}

async fn insert(tx: &mut PgConnection, mut rows: Vec<Row<'_>>) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = rows.iter().map(|row| row.recorded.id).collect();
    let known = sqlx::query_scalar!("select event_id from messages where event_id = any($1)", &ids)
        .fetch_all(&mut *tx)
        .await?;
    let mut known: HashSet<Uuid> = known.into_iter().collect();
    rows.retain(|row| known.insert(row.recorded.id));
    let mut last = last_numbers(tx, &rows).await?;

    let mut new = CopiedRows::new(
        "messages (id, event_id, position, lo, hi, group_id, number, sender, recipient, object, shown, sent_at)",
    );
    for row in rows {
        let at = last.entry(row.chat).or_default();
        *at += 1;
        new.begin()
            .add(row.id.0)?
            .add(row.recorded.id)?
            .add(number(row.recorded.position))?
            .add(row.chat.lo())?
            .add(row.chat.hi())?
            .add(row.chat.group())?
            .add(*at)?
            .add(row.sender.id.0)?
            .add(row.recipient.map(|user| user.0))?
            .add(row.object)?
            .add(row.shown)?
            .add(row.sent_at.date_time())?;
    }
    new.copy(tx).await?;
    store_last_numbers(tx, &last).await
}

async fn last_numbers(
    tx: &mut PgConnection,
    rows: &[Row<'_>],
) -> Result<HashMap<Chat, i64>, StoreError> {
    let chats: HashSet<Chat> = rows.iter().map(|row| row.chat).collect();
    let pairs = chats.iter().filter_map(|chat| Some((chat.lo()?, chat.hi()?)));
    let (lo, hi): (Vec<i64>, Vec<i64>) = pairs.unzip();
    let groups: Vec<i64> = chats.iter().filter_map(|chat| chat.group()).collect();
    let mut last = HashMap::new();
    if !lo.is_empty() {
        let rows = sqlx::query!(
            "select lo, hi, last_number from chats
             where (lo, hi) in (select * from unnest($1::bigint[], $2::bigint[]))",
            &lo,
            &hi
        );
        for row in rows.fetch_all(&mut *tx).await? {
            last.insert(Chat::Pair(Pair::of(UserId(row.lo), UserId(row.hi))), row.last_number);
        }
    }
    if !groups.is_empty() {
        let rows = sqlx::query!(
            "select group_id, last_number from group_chats where group_id = any($1)",
            &groups
        );
        for row in rows.fetch_all(tx).await? {
            last.insert(Chat::Group(GroupId(row.group_id)), row.last_number);
        }
    }
    Ok(last)
}

async fn store_last_numbers(
    tx: &mut PgConnection,
    last: &HashMap<Chat, i64>,
) -> Result<(), StoreError> {
    let (mut lo, mut hi, mut pair_numbers) = (Vec::new(), Vec::new(), Vec::new());
    let (mut groups, mut group_numbers) = (Vec::new(), Vec::new());
    for (chat, number) in last {
        match chat {
            Chat::Pair(pair) => {
                lo.push(pair.lo().0);
                hi.push(pair.hi().0);
                pair_numbers.push(*number);
            }
            Chat::Group(group) => {
                groups.push(group.0);
                group_numbers.push(*number);
            }
        }
    }
    if !lo.is_empty() {
        sqlx::query!(
            "insert into chats (lo, hi, last_number)
             select * from unnest($1::bigint[], $2::bigint[], $3::bigint[])
             on conflict (lo, hi) do update set last_number = excluded.last_number",
            &lo,
            &hi,
            &pair_numbers
        )
        .execute(&mut *tx)
        .await?;
    }
    if !groups.is_empty() {
        sqlx::query!(
            "insert into group_chats (group_id, last_number)
             select * from unnest($1::bigint[], $2::bigint[])
             on conflict (group_id) do update set last_number = excluded.last_number",
            &groups,
            &group_numbers
        )
        .execute(tx)
        .await?;
    }
    Ok(())
}

/// A message that was taken back, and what its recipients were told.
fn told<To: Serialize>(revocation: &Revocation<To>) -> (Uuid, String) {
    (revocation.message.0, serde_json::to_string(revocation).unwrap_or_default())
}

/// Marks what was taken back. Its object stays as it was: who has not fetched it yet is shown the message and then that
/// it was taken back (`ws.md` §7.3).
async fn revoke(tx: &mut PgConnection, revoked: Vec<(Uuid, String)>) -> Result<(), StoreError> {
    if revoked.is_empty() {
        return Ok(());
    }
    let mut told: HashMap<Uuid, String> = HashMap::new();
    for (id, revocation) in revoked {
        told.entry(id).or_insert(revocation); // the first counts
    }
    let (ids, told): (Vec<Uuid>, Vec<String>) = told.into_iter().unzip();
    sqlx::query!(
        "update messages set revocation = revoked.told
         from unnest($1::uuid[], $2::text[]) as revoked (id, told)
         where messages.id = revoked.id and revocation is null",
        &ids,
        &told
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A message as the rules see it.
///
/// # Errors
/// The database cannot be reached.
pub async fn load<To: DeserializeOwned>(pool: &PgPool, id: MessageId) -> sqlx::Result<Message<To>> {
    let row = sqlx::query!(
        "select sender, recipient, group_id, sent_at, revocation from messages where id = $1",
        id.0
    )
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else {
        return Ok(Message::Unsent);
    };
    let to_user = row.recipient.map(|user| Target::User(UserId(user)));
    let to_group = row.group_id.map(|group| Target::Group(GroupId(group)));
    let Some(to) = to_user.or(to_group) else {
        return Ok(Message::Unsent);
    };
    let accepted = Accepted { author: UserId(row.sender), to, sent_at: Timestamp::of(row.sent_at) };
    let revocation = row.revocation.and_then(|text| serde_json::from_str(&text).ok());
    Ok(match revocation {
        Some(revocation) => Message::Revoked(accepted, revocation),
        None => Message::Sent(accepted),
    })
}
