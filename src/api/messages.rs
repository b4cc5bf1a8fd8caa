//! Sending, revoking, draining (rest.md §21, §36, §41).

use std::time::Duration;

use axum::extract::State;
use percent_encoding::percent_decode_str;
use serde_json::value::RawValue;
use tokio::time::sleep;

use super::{
    caller::Caller,
    params::{Params, Sent, compact},
    refusal::Refusal,
    reply::{OK, Reply},
};
use crate::{
    adapters::nats::push::DrainAnswer,
    clock,
    commands::{
        message::{MessageContent, MessageRejection, REVOKE_WINDOW_MS, Revoker},
        session::Session,
    },
    events::{GroupId, MessageId, Person, Revocation, Room, UserId},
    executor::messages::{self, SendToGroup, SendToPerson, SentToGroup},
    projections::message_object::{MessageObject, revoked_text, revoked_text_in_group},
    state::App,
};

/// How often, and after which pauses, the gateway that holds the caller's socket is asked to drain his queue.
const DRAIN_ATTEMPTS: u32 = 5;
const DRAIN_PAUSE: Duration = Duration::from_millis(200);

/// What a message's `data` and `options` hold, together (clarification 29). Everything that keeps or carries messages
/// counts on it.
const MESSAGE_BYTES: usize = 128 * 1024;

type Object = Result<Reply<Box<RawValue>>, Refusal>;

/// Send a chat message (§41)
pub async fn send(State(app): State<App>, caller: Caller, params: Params) -> Object {
    let to = params.id("sendto_id", "接收人/群的id值")?;
    let chat_type = params.one_of("chatType", "接收类型", &["single", "group"])?;
    let kind = params.text_in("type", "消息类型", 1, Some(50))?;
    let data = params.text("data", "消息内容")?;
    if kind == "systemNotice" {
        return Err(Refusal::rule("消息类型不合法")); // DEV-14
    }
    let options = options(&params);
    if data.len() + options.as_ref().map_or(0, |options| options.get().len()) > MESSAGE_BYTES {
        return Err(Refusal::message_too_large());
    }
    if app.redis_memory.is_full() {
        return Err(Refusal::overloaded("Redis is nearly full"));
    }
    let content = MessageContent { kind, data, options };
    let (executor, account, authority) = (&app.executor, &caller.account, caller.authority());
    let sent = if chat_type == "group" {
        let action = SendToGroup { author: account, to: GroupId(to), content: &content };
        let SentToGroup { sent, group } = action.run(executor, authority).await?;
        object(&MessageObject::group_chat(&sent, group.active()))
    } else {
        let action = SendToPerson { author: account, to: UserId(to), content: &content };
        let sent = action.run(executor, authority).await?;
        object(&MessageObject::chat(&sent))
    };
    app.metrics.sent.inc();
    sent
}

/// What becomes of `options` (ws.md §6.0.3): percent-encoded JSON text, or JSON as it is
/// (clarification 1); `None` for anything else.
fn options(params: &Params) -> Option<Box<RawValue>> {
    match params.raw("options")? {
        Sent::Text(text) => RawValue::from_string(compact(percent_decode(text)?)?).ok(),
        Sent::Json(text) => RawValue::from_string(text.clone()).ok(),
        _ => None,
    }
}

/// As `decodeURIComponent` does it: `None` for a `%` without two hexadecimal digits.
fn percent_decode(text: &str) -> Option<String> {
    let valid = |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|b| b.is_ascii_hexdigit());
    if !text.split('%').skip(1).all(valid) {
        return None;
    }
    Some(percent_decode_str(text).decode_utf8().ok()?.into_owned())
}

/// Take back a message (§36)
pub async fn revoke(State(app): State<App>, caller: Caller, params: Params) -> Object {
    let to = params.id("to_id", "接收者id或者群id")?;
    let name = params.text_in("to_name", "接收者或者群名称", 1, Some(50))?;
    let avatar = params.text_in("to_avatar", "接收者或者群头像", 10, Some(4000))?;
    let id = params.text("id", "消息uuid")?;
    let chat_type = params.one_of("chatType", "聊天类型", &["single", "group"])?;
    let now = clock::now();
    let latest = now.0 + 60_000;
    let created = params.int_in("create_time", "消息发送时间", 1_000_000_000_000, Some(latest))?;
    if now.0 - created > REVOKE_WINDOW_MS {
        return Err(MessageRejection::TooLate.into());
    }
    // What is no UUID is the id of no message.
    let message = MessageId(id.parse().unwrap_or_default());
    let (executor, account, authority) = (&app.executor, &caller.account, caller.authority());
    if chat_type == "group" {
        let to = Room { id: GroupId(to), name, avatar };
        let revoked =
            messages::revoke_in_group(executor, account, (message, to), authority).await?;
        let text = revoked_text_in_group(&revoked);
        return object(&MessageObject::revoked_in_group(&revoked, &text));
    }
    let to = Person { id: UserId(to), name, avatar };
    let revocation = Revocation { message, by: account.person(), to, at: now };
    let revoked = messages::revoke(executor, revocation, Revoker::Author, authority).await?;
    object(&MessageObject::revoked(&revoked, &revoked_text(&revoked)))
}

/// Deliver my offline queue (§21)
pub async fn drain(State(app): State<App>, caller: Caller) -> Result<Reply<&'static str>, Refusal> {
    let user = caller.account.id;
    for attempt in 1..=DRAIN_ATTEMPTS {
        if attempt > 1 {
            sleep(DRAIN_PAUSE).await;
        }
        let told = app.pushes.drain(user).await;
        if matches!(told, Ok(DrainAnswer::Yes)) {
            break;
        }
        let session = app.executor.state::<Session>(user).await.map_err(Refusal::internal)?;
        if session.state.socket.is_none() {
            break; // the queue is kept
        }
        // The gateway that has the socket may be on its way back to a server.
        if attempt == DRAIN_ATTEMPTS {
            told.map_err(Refusal::internal)?;
        }
    }
    Ok(OK)
}

fn object(object: &MessageObject<'_>) -> Object {
    RawValue::from_string(object.json()).map(Reply).map_err(Refusal::internal)
}
