//! Sending, revoking, draining (rest.md §21, §36, §41).

use std::time::Duration;

use axum::extract::State;
use schemars::SchemaGenerator;
use serde_json::value::RawValue;
use tokio::time::sleep;

use super::{
    error::ApiError,
    middleware::auth::AuthenticatedUser,
    params::Params,
    route::{Answers, ReplyShape, Route, post},
};
use crate::{
    adapters::nats::push::DrainAnswer,
    clock,
    commands::{
        message::{MessageContent, MessageRejection, REVOKE_WINDOW_MS, Revoker},
        session::Session,
    },
    events::{ChatKind, GroupId, GroupSummary, MessageId, Revocation, UserId, UserSummary},
    executor::messages::{self, SendToGroup, SendToPerson, SentToGroup},
    protocol::{
        message_object::{MessageObject, revoked_text, revoked_text_in_group},
        messages::{RevokeMessage, SendMessage},
        refusals::{groups, messages as refused},
        reply::{OK, Plain, Reply},
    },
    state::App,
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        post(21, "/api/chat/chatGetmessageOffLine", drain, "Deliver my offline queue")
            .about("Over the open socket, the oldest first. Without one the queue is kept.")
            .for_guests(),
        post(36, "/api/chat/revokeMessage", revoke, "Take back a message")
            .about("Its author's, for five minutes. Push V1 to the other or to all members; a second time nobody is told.")
            .for_guests()
            .refuses(&[
                refused::TOO_LATE,
                groups::NO_SUCH_GROUP,
                groups::NOT_IN_GROUP,
                refused::NOT_YOURS,
            ]),
        post(41, "/api/chat/socket/sendmessage", send, "Send a chat message")
            .about("Pushed to the other (C1) or to the other members (C2), and queued for those who are offline. Not idempotent: a repeated call is a new message.")
            .for_guests()
            .refuses(&[
                refused::BAD_KIND,
                refused::RECIPIENT_UNAVAILABLE,
                refused::USER_BLOCKED,
                refused::GUEST_BLOCKED,
                refused::USERS_BEFRIEND_FIRST,
                refused::GUESTS_LOG_IN_FIRST,
                refused::QUOTA_USED,
                refused::GROUP_UNAVAILABLE,
                refused::NOT_IN_GROUP,
            ]),
    ]
}

/// How often, and after which pauses, the gateway that holds the caller's socket is asked to drain their queue.
const DRAIN_ATTEMPTS: u32 = 5;
const DRAIN_PAUSE: Duration = Duration::from_millis(200);

/// What a message's `data` and `options` hold, together (clarification 29). Everything that keeps or carries messages
/// counts on it.
const MESSAGE_BYTES: usize = 128 * 1024;

/// A message object, written already.
struct Object(Box<RawValue>);

impl Object {
    fn of(object: &MessageObject<'_>) -> Result<Self, ApiError> {
        RawValue::from_string(object.json()).map(Self).map_err(ApiError::internal)
    }
}

impl axum::response::IntoResponse for Object {
    fn into_response(self) -> axum::response::Response {
        Reply::of(self.0).into_response()
    }
}

impl Answers for Object {
    fn answer(generator: &mut SchemaGenerator) -> ReplyShape {
        Reply::<MessageObject<'static>>::answer(generator)
    }
}

/// Send a chat message (§41)
async fn send(
    State(app): State<App>,
    caller: AuthenticatedUser,
    Params(SendMessage { to, chat, kind, data, options }): Params<SendMessage>,
) -> Result<Object, ApiError> {
    if kind == "systemNotice" {
        return Err(ApiError::rule(refused::BAD_KIND)); // DEV-14
    }
    if data.len() + options.as_ref().map_or(0, |options| options.get().len()) > MESSAGE_BYTES {
        return Err(ApiError::message_too_large());
    }
    if app.redis_memory.is_full() {
        return Err(ApiError::overloaded("Redis is nearly full"));
    }
    let stamp = (MessageId(clock::random_id()), clock::now());
    let content = MessageContent { kind, data, options };
    let (executor, account, authority) = (&app.executor, &caller.account, caller.authority());
    let sent = match chat {
        ChatKind::Group => {
            let action = SendToGroup { stamp, author: account, to: GroupId(to), content: &content };
            let SentToGroup { sent, group } = action.run(executor, authority).await?;
            Object::of(&MessageObject::group_chat(&sent, group.active()))
        }
        ChatKind::Single => {
            let action = SendToPerson { stamp, author: account, to: UserId(to), content: &content };
            let sent = action.run(executor, authority).await?;
            Object::of(&MessageObject::chat(&sent))
        }
    };
    app.metrics.messages_sent.inc();
    sent
}

/// Take back a message (§36)
async fn revoke(
    State(app): State<App>,
    caller: AuthenticatedUser,
    Params(request): Params<RevokeMessage>,
) -> Result<Object, ApiError> {
    let now = clock::now();
    request.check_time(now)?;
    let RevokeMessage { to, name, avatar, message, chat, sent_at } = request;
    if now.0 - sent_at.0 > REVOKE_WINDOW_MS {
        return Err(MessageRejection::TooLate.into());
    }
    let (executor, account, authority) = (&app.executor, &caller.account, caller.authority());
    match chat {
        ChatKind::Group => {
            let to = GroupSummary { id: GroupId(to), name, avatar };
            let revoked =
                messages::revoke_in_group(executor, account, (message, to), authority).await?;
            let text = revoked_text_in_group(&revoked);
            Object::of(&MessageObject::revoked_in_group(&revoked, &text))
        }
        ChatKind::Single => {
            let to = UserSummary { id: UserId(to), name, avatar };
            let revocation = Revocation { message, by: account.summary(), to, at: now };
            let revoked =
                messages::revoke(executor, revocation, Revoker::Author, authority).await?;
            Object::of(&MessageObject::revoked(&revoked, &revoked_text(&revoked)))
        }
    }
}

/// Deliver my offline queue (§21)
async fn drain(State(app): State<App>, caller: AuthenticatedUser) -> Result<Plain, ApiError> {
    let user = caller.account.id;
    for attempt in 1..=DRAIN_ATTEMPTS {
        if attempt > 1 {
            sleep(DRAIN_PAUSE).await;
        }
        let told = app.pushes.drain(user).await;
        if matches!(told, Ok(DrainAnswer::Yes)) {
            break;
        }
        let session = app.executor.state::<Session>(user).await.map_err(ApiError::internal)?;
        if session.state.socket.is_none() {
            break; // the queue is kept
        }
        // The gateway that has the socket may be on its way back to a server.
        if attempt == DRAIN_ATTEMPTS {
            told.map_err(ApiError::internal)?;
        }
    }
    Ok(OK)
}
