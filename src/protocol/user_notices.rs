//! What single users are shown of an event that is not a group's (ws.md §7.2).

use super::message_object::{MessageObject, revoked_text};
use crate::events::{
    Answer, ChatEvent, Event, FriendshipEvent, MessageId, Recorded, Timestamp, UserId, UserSummary,
};

/// Each user and the message object that is for them.
pub fn of(recorded: &Recorded<Event>) -> Vec<(UserId, String)> {
    let at = recorded.at;
    match &recorded.event {
        Event::Chat(_, ChatEvent::Sent(sent)) => {
            vec![(sent.to.id, MessageObject::chat(sent).json())]
        }
        Event::Chat(_, ChatEvent::Revoked(revocation)) => {
            let text = revoked_text(revocation);
            vec![(revocation.to.id, MessageObject::revoked(revocation, &text).json())]
        }
        Event::Friendship(_, FriendshipEvent::Requested { asker, asked, icon, notice, .. }) => {
            let key = format!("redirect-applyFriend-{}", asker.id);
            let from =
                UserSummary {
                    id: asker.id, name: "好友申请提醒".into(), avatar: icon.clone()
                };
            let text = format!("用户[{}]申请添加您为好友，请尽快处理", asker.name);
            let url = "/pages/applyMyfriend/applyMyfriend";
            let object = MessageObject::page(*notice, (&key, &from), asked, &text, url, at);
            vec![(asked.id, object.json())]
        }
        Event::Friendship(
            _,
            FriendshipEvent::Answered { answer: Answer::Agree, caller, other, notice, .. }
            | FriendshipEvent::Befriended { caller, other, notice, .. },
        ) => now_friends(*notice, caller, other, at),
        _ => Vec::new(),
    }
}

fn now_friends(
    id: MessageId,
    caller: &UserSummary,
    other: &UserSummary,
    at: Timestamp,
) -> Vec<(UserId, String)> {
    [(caller, other), (other, caller)]
        .map(|(from, to)| (to.id, MessageObject::now_friends(id, from, to, at).json()))
        .into()
}
