//! The last messages of each chat, newest last, once per side. In Redis.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Projection, StoreError,
    in_redis::{InRedis, NONE, RedisTx, command},
    message_object::MessageObject,
};
use crate::events::{ChatEvent, Event, MessageId, Recorded, UserId};

/// The read model.
pub struct ChatLog {
    length: usize,
}

impl ChatLog {
    /// Keeps `length` messages per chat.
    pub fn new(length: usize) -> Self {
        Self { length: length.max(1) }
    }
}

impl Projection for ChatLog {
    type Store = InRedis;
    type Effect = ();
    const NAME: &'static str = "chat_log";
    const SUBJECTS: &'static [&'static str] = &["evt.chat.>"];

    async fn apply(
        &self,
        tx: &mut RedisTx,
        batch: &[Recorded<Event>],
    ) -> Result<Vec<()>, StoreError> {
        let mut rewritten = logs_with_revokes(tx, batch).await?;
        for recorded in batch {
            match &recorded.event {
                Event::Chat(ChatEvent::Sent(sent)) => {
                    let object = MessageObject::chat(sent).json();
                    for key in keys(tx, sent.from.id, sent.to.id) {
                        match rewritten.get_mut(&key) {
                            Some(log) => log.push(object.clone()),
                            None => self.append(tx, &key, &object),
                        }
                    }
                }
                Event::Chat(ChatEvent::Revoked(revocation)) => {
                    for key in keys(tx, revocation.by.id, revocation.to.id) {
                        let log = rewritten.entry(key).or_default();
                        for object in log.iter_mut() {
                            blank(object, revocation.message);
                        }
                    }
                }
                _ => {}
            }
        }
        for (key, log) in rewritten {
            tx.run(&command("DEL", &key, NONE));
            let newest = &log[log.len().saturating_sub(self.length)..];
            if !newest.is_empty() {
                tx.run(&command("RPUSH", &key, newest));
            }
        }
        Ok(Vec::new())
    }
}

impl ChatLog {
    fn append(&self, tx: &mut RedisTx, key: &str, object: &str) {
        tx.run(&command("RPUSH", key, object));
        tx.run(&command("LTRIM", key, (format!("-{}", self.length), -1)));
    }
}

/// `chatlog:chatlog_{owner}_single_{peer}` of both sides; one if somebody writes to himself.
fn keys(tx: &RedisTx, a: UserId, b: UserId) -> Vec<String> {
    let key = |owner, peer| tx.key(format_args!("chatlog:chatlog_{owner}_single_{peer}"));
    if a == b { vec![key(a, b)] } else { vec![key(a, b), key(b, a)] }
}

async fn logs_with_revokes(
    tx: &mut RedisTx,
    batch: &[Recorded<Event>],
) -> Result<BTreeMap<String, Vec<String>>, StoreError> {
    let mut wanted: Vec<String> = batch
        .iter()
        .filter_map(|recorded| match &recorded.event {
            Event::Chat(ChatEvent::Revoked(revocation)) => {
                Some(keys(tx, revocation.by.id, revocation.to.id))
            }
            _ => None,
        })
        .flatten()
        .collect();
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
