//! The last messages of each chat, newest last: once for both sides, and once per group. In Redis.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use super::{
    Projection, ProjectionParts, StoreError,
    engine::redis::{NONE, RedisStore, RedisTx, command},
    quota::{KEPT, Quota},
};
use crate::{
    adapters::redis::keys::RedisKey,
    events::{ChatEvent, Event, GroupChatEvent, MessageId, Pair, Recorded, UserId},
    protocol::message_object::MessageObject,
};

/// The read model.
pub struct ChatLog {
    quota: Quota,
}

impl ChatLog {
    /// Keeps `length` messages per chat, fewer if they are large.
    pub fn new(length: usize) -> Self {
        Self { quota: Quota { entries: length, ..KEPT } }
    }
}

impl Projection for ChatLog {
    type Store = RedisStore;
    type Effect = ();
    const NAME: &'static str = "chat_log";
    const SUBJECTS: &'static [&'static str] = &["evt.chat.>", "evt.groupchat.>"];
    const MIN_BATCH_INTERVAL: Duration = Duration::from_millis(250); // no message waits for it

    fn open(parts: &ProjectionParts) -> (Self, RedisStore) {
        (Self::new(parts.chat_log_length), RedisStore::new(parts.redis.clone()))
    }

    async fn apply(
        &self,
        tx: &mut RedisTx,
        batch: &[Recorded<Event>],
    ) -> Result<Vec<()>, StoreError> {
        let mut rewritten = logs_with_revokes(tx, batch).await?;
        let mut appended: BTreeMap<String, Appended> = BTreeMap::new();
        for recorded in batch {
            match &recorded.event {
                Event::Chat(_, ChatEvent::Sent(sent)) => {
                    let object = MessageObject::chat(sent).json();
                    let key = pair_key(tx, sent.from.id, sent.to.id);
                    self.log((&mut rewritten, &mut appended), key, object);
                }
                Event::GroupChat(_, GroupChatEvent::Sent(sent)) => {
                    // Without the group: who was in it then is not for this read model to know.
                    let object = MessageObject::group_chat(sent, None).json();
                    let key = tx.key(RedisKey::GroupLog(sent.to.id));
                    self.log((&mut rewritten, &mut appended), key, object);
                }
                event => {
                    let Some((revoked, key)) = revoked(tx, event) else { continue };
                    for object in rewritten.entry(key).or_default() {
                        blank(object, revoked);
                    }
                }
            }
        }
        for (key, Appended { objects, kept }) in appended {
            tx.run(&command("RPUSH", &key, objects));
            tx.run(&command("LTRIM", &key, (format!("-{kept}"), -1)));
        }
        for (key, log) in rewritten {
            tx.run(&command("DEL", &key, NONE));
            if !log.is_empty() {
                tx.run(&command("RPUSH", &key, log));
            }
        }
        Ok(Vec::new())
    }
}

/// What a batch appends to a log, and how much the log keeps after that.
#[derive(Default)]
struct Appended {
    objects: Vec<String>,
    kept: usize,
}

impl ChatLog {
    fn log(
        &self,
        (rewritten, appended): (
            &mut BTreeMap<String, Vec<String>>,
            &mut BTreeMap<String, Appended>,
        ),
        key: String,
        object: String,
    ) {
        let kept = self.quota.after(object.len());
        if let Some(log) = rewritten.get_mut(&key) {
            log.push(object);
            log.drain(..log.len().saturating_sub(kept));
        } else {
            let log =
                appended.entry(key).or_insert_with(|| Appended { kept, ..Appended::default() });
            log.objects.push(object);
            // What an object leaves of those before it, and what comes after it.
            log.kept = kept.min(log.kept + 1);
        }
    }
}

/// Both sides' log is the same.
fn pair_key(tx: &RedisTx, a: UserId, b: UserId) -> String {
    tx.key(RedisKey::PairLog(Pair::of(a, b)))
}

/// Which message an event takes back, and the log that has it.
fn revoked(tx: &RedisTx, event: &Event) -> Option<(MessageId, String)> {
    match event {
        Event::Chat(_, ChatEvent::Revoked(told)) => {
            Some((told.message, pair_key(tx, told.by.id, told.to.id)))
        }
        Event::GroupChat(_, GroupChatEvent::Revoked(told)) => {
            Some((told.message, tx.key(RedisKey::GroupLog(told.to.id))))
        }
        _ => None,
    }
}

async fn logs_with_revokes(
    tx: &mut RedisTx,
    batch: &[Recorded<Event>],
) -> Result<BTreeMap<String, Vec<String>>, StoreError> {
    let mut wanted: Vec<String> =
        batch.iter().filter_map(|recorded| Some(revoked(tx, &recorded.event)?.1)).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let commands: Vec<_> = wanted.iter().map(|key| command("LRANGE", key, (0, -1))).collect();
    let logs: Vec<Vec<String>> = tx.read(commands).await?;
    Ok(wanted.into_iter().zip(logs).collect())
}

/// Drops the body of a revoked message.
fn blank(object: &mut String, revoked: MessageId) {
    if !object.contains(&revoked.to_string()) {
        return;
    }
    let Ok(mut value) = serde_json::from_str::<Value>(object) else { return };
    if value["id"] == revoked.to_string() {
        value["data"] = Value::String(String::new());
        value["options"] = Value::Null;
        value["isremove"] = 1.into();
        *object = value.to_string();
    }
}
