//! A chat as it was: how many messages it had, the last of them as the rules of messages see it, and what governs it.

use serde::Serialize;
use serde_json::{Value, json};

use super::{AggregateName, Content, Folded, Inspection, InspectionError, Place};
use crate::{
    commands::{
        decider::Decider as _,
        message::{Message, Recipient, SentOrRevoked},
    },
    events::{AggregateEvent as _, Event, GroupSummary, Position, Recorded, UserSummary},
    projections::{
        Projection as _,
        engine::postgres::has_seen,
        message_history::{Chat, MessageHistory, Numbered, last_until},
    },
};

impl Inspection {
    /// A chat may have millions of messages, so they are not folded: a read model numbers them, and the log has the last.
    pub(super) async fn chat(
        &self,
        name: AggregateName,
        as_of: Position,
    ) -> Result<Option<Folded<Value>>, InspectionError> {
        let chat = match name {
            AggregateName::Chat(pair) => Chat::Pair(pair),
            AggregateName::GroupChat(group) => Chat::Group(group),
            _ => return Ok(None),
        };
        let mut end = Position(0);
        for subject in name.subjects() {
            end = end.max(self.log.last_of(subject).await?);
        }
        let needed = end.min(as_of);
        if !has_seen(&self.pool, MessageHistory::NAME, needed).await? {
            return Err(InspectionError::Lags(needed));
        }
        let Some(numbered) = last_until(&self.pool, chat, as_of).await? else { return Ok(None) };
        let Some(sent) = self.log.at(numbered.position).await? else { return Ok(None) };
        let folded = match chat {
            Chat::Pair(_) => self.message::<UserSummary>(&sent, numbered, as_of).await?,
            Chat::Group(_) => self.message::<GroupSummary>(&sent, numbered, as_of).await?,
        };
        let Some(Folded { last, events, state: message }) = folded else { return Ok(None) };
        let mut state = json!({
            "messages": numbered.number,
            "last_message": message,
            "sent": Content::Shown.describe(&sent),
        });
        if let AggregateName::Chat(pair) = name {
            let friendship = self.friendship(pair, as_of).await?;
            state["friendship"] = friendship.map(|folded| folded.state).unwrap_or_default();
        }
        Ok(Some(Folded { last, events, state }))
    }

    /// A message as its rules saw it then. What took it back is behind it on its subject, not far as a rule.
    async fn message<To: Recipient + Serialize>(
        &self,
        sent: &Recorded<Event>,
        numbered: Numbered,
        as_of: Position,
    ) -> Result<Option<Folded<Value>>, InspectionError> {
        let mut last = Place::from(sent);
        let Some((key, event)) = To::Event::into_own(sent.event.clone()) else { return Ok(None) };
        let SentOrRevoked::Sent(content) = To::read(&event) else { return Ok(None) };
        let (id, mut events, mut message) = (content.id, 1, Message::<To>::default());
        message.evolve(sent.position, &event);
        let mut from = sent.position;
        while numbered.revoked && events == 1 {
            from = Position(from.0 + 1);
            let next = self.log.next::<To::Event>(key, from).await?;
            let Some(next) = next.filter(|next| next.position <= as_of) else { break };
            if matches!(To::read(&next.event), SentOrRevoked::Revoked(it) if it.message == id) {
                message.evolve(next.position, &next.event);
                (last, events) = (Place::from(&next), 2);
            }
            from = next.position;
        }
        Ok(Some(Folded { last, events, state: json!(message) }))
    }
}
