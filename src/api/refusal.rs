//! No: the only place where a reason becomes a status and the contract's exact text.

use std::{borrow::Cow, sync::Arc};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{observed::Failure, reply::JSON};
use crate::{
    adapters::{nats::log_error::LogError, redis::RedisFailure},
    commands::{
        friendship::FriendshipRejection,
        group::command::{GroupRejection, OwnersTask},
        message::MessageRejection,
        session::SessionRejection,
        user::UserRejection,
    },
    events::Role,
    executor::{CommandError, accounts::AccountError, authority::Unauthorized},
};

/// A request refused: `{"msg":"fail","data":"<text>"}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    status: StatusCode,
    text: Cow<'static, str>,
    /// What the log is told, and the caller is not.
    failure: Option<Failure>,
}

type Text = Cow<'static, str>;

impl Refusal {
    /// 400: a rule or the caller's standing.
    pub fn rule(text: impl Into<Text>) -> Self {
        Self::with(StatusCode::BAD_REQUEST, text)
    }

    /// 422: a parameter.
    pub fn parameter(text: impl Into<Text>) -> Self {
        Self::with(StatusCode::UNPROCESSABLE_ENTITY, text)
    }

    /// 404: no such route.
    pub fn not_found() -> Self {
        Self::with(StatusCode::NOT_FOUND, "404 错误")
    }

    /// 413: the body.
    pub fn too_large() -> Self {
        Self::with(StatusCode::PAYLOAD_TOO_LARGE, "请求内容过大")
    }

    /// 429: too many requests in this minute.
    pub fn too_many() -> Self {
        Self::with(StatusCode::TOO_MANY_REQUESTS, "请求过于频繁，请稍后再试")
    }

    /// 503: there is more to do at once than there is room for.
    pub fn overloaded(cause: &'static str) -> Self {
        Self::for_now("服务繁忙，请稍后再试", cause)
    }

    /// 429: too many bytes of files in this day.
    pub fn too_much() -> Self {
        Self::with(StatusCode::TOO_MANY_REQUESTS, "今日上传已达上限，请稍后再试")
    }

    /// 503: the disk is nearly full.
    pub fn no_room() -> Self {
        Self::for_now("存储空间不足，请稍后再试", "the disk is nearly full (limits.min_free_bytes)")
    }

    /// 408: the body does not come.
    pub fn too_slow() -> Self {
        Self::with(StatusCode::REQUEST_TIMEOUT, "请求超时")
    }

    /// 413: a message (clarification 29).
    pub fn message_too_large() -> Self {
        Self::with(StatusCode::PAYLOAD_TOO_LARGE, "消息内容过大")
    }

    /// 413: a file.
    pub fn file_too_large() -> Self {
        Self::with(StatusCode::PAYLOAD_TOO_LARGE, "文件过大")
    }

    /// 500: a part is down or broken. The caller learns nothing; the log has the cause.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        let failure = Some(Failure(Arc::from(cause.to_string())));
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self { failure, ..Self::with(status, "Internal Server Error") }
    }

    fn for_now(text: &'static str, cause: &'static str) -> Self {
        let failure = Some(Failure(Arc::from(cause)));
        Self { failure, ..Self::with(StatusCode::SERVICE_UNAVAILABLE, text) }
    }

    fn with(status: StatusCode, text: impl Into<Text>) -> Self {
        Self { status, text: text.into(), failure: None }
    }

    /// Status, text, and what the log is told, for routes with an envelope of their own (rest.md §42).
    pub(super) fn into_parts(self) -> (StatusCode, Text, Option<Failure>) {
        (self.status, self.text, self.failure)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({"msg": "fail", "data": self.text}).to_string();
        let response = (self.status, [(header::CONTENT_TYPE, JSON)], body).into_response();
        let mut response = Failure::told_to_log(self.failure, response);
        let retry_after = match self.status {
            StatusCode::INTERNAL_SERVER_ERROR | StatusCode::SERVICE_UNAVAILABLE => "1",
            StatusCode::TOO_MANY_REQUESTS => "60",
            _ => return response,
        };
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(retry_after));
        response
    }
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Self::internal(error)
    }
}

impl From<RedisFailure> for Refusal {
    fn from(error: RedisFailure) -> Self {
        Self::internal(error)
    }
}

impl From<Unauthorized> for Refusal {
    fn from(error: Unauthorized) -> Self {
        Self::rule(match error {
            Unauthorized::Token => "Token 令牌不合法！",
            Unauthorized::Account => "当前用户不存在或者已被禁用",
        })
    }
}

impl From<LogError> for Refusal {
    fn from(error: LogError) -> Self {
        match error {
            LogError::TooLarge => Self::too_large(),
            other => Self::internal(other),
        }
    }
}

impl<R: std::error::Error + Into<Refusal>> From<CommandError<R>> for Refusal {
    fn from(error: CommandError<R>) -> Self {
        match error {
            CommandError::Rejected(rejection) => rejection.into(),
            CommandError::Log(error) => error.into(),
            CommandError::Unauthorized(error) => error.into(),
            other => Self::internal(other),
        }
    }
}

impl From<AccountError> for Refusal {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Taken => Self::rule("该账号已存在，请换一个账号注册"),
            AccountError::Gone => Self::rule("账号不存在或者被禁用"),
            AccountError::WrongPassword => Self::rule("账户或密码错误"),
            AccountError::Overloaded(_) => {
                Self::overloaded("more passwords wait to be hashed than can be in time")
            }
            AccountError::Log(error) => error.into(),
            AccountError::Unauthorized(error) => error.into(),
            other => Self::internal(other),
        }
    }
}

impl From<UserRejection> for Refusal {
    fn from(rejection: UserRejection) -> Self {
        match rejection {
            UserRejection::Unknown => Self::rule("用户不存在，无法修改信息"),
            other => Self::internal(other),
        }
    }
}

impl From<SessionRejection> for Refusal {
    fn from(SessionRejection::NotCurrent: SessionRejection) -> Self {
        Self::rule("Token 令牌不合法！")
    }
}

impl From<FriendshipRejection> for Refusal {
    fn from(rejection: FriendshipRejection) -> Self {
        Self::rule(match rejection {
            FriendshipRejection::AlreadyAsked => "您已经申请过了，请勿重复申请",
            FriendshipRejection::NotPending => "申请不存在或已处理",
            FriendshipRejection::NotInBook => "好友不存在",
            FriendshipRejection::NotInBookOrBlocked => "好友不存在或者被拉黑，无法操作",
        })
    }
}

impl From<MessageRejection> for Refusal {
    fn from(rejection: MessageRejection) -> Self {
        use MessageRejection::{
            Blocked, FriendsOnly, GroupGone, IdTaken, NoGroupToRevokeIn, NotInGroup, NotYours,
            QuotaUsed, RecipientGone, RevokerNotInGroup, TooLate,
        };
        Self::rule(match rejection {
            RecipientGone => "对方不存在或者被禁用，不能发消息",
            Blocked(Role::User) => "对方把你拉黑了，不能发送消息",
            Blocked(Role::Visitor) => "对方把你拉黑了，不能发消息",
            FriendsOnly(Role::User) => "对方设置成：需要您先成为他的好友才能发消息",
            FriendsOnly(Role::Visitor) => "你们不是好友关系，对方设置成：先登录才能发消息",
            QuotaUsed => "在成为好友之前，对方只允许向他发一条消息",
            NotYours => "消息不存在或无权撤回",
            TooLate => "消息超过5分钟，不能撤回",
            GroupGone => "群不存在或者已解散或者被封禁，无法发消息",
            NotInGroup => "您不在群里，无法发消息",
            NoGroupToRevokeIn => "群不存在",
            RevokerNotInGroup => "你不在该群聊中，操作失败",
            IdTaken => return Self::internal(IdTaken),
        })
    }
}

impl From<GroupRejection> for Refusal {
    fn from(rejection: GroupRejection) -> Self {
        use GroupRejection as No;
        Self::rule(match rejection {
            No::OwnersOnly(OwnersTask::Rename) => "只有群主才能修改群名称",
            No::OwnersOnly(OwnersTask::Announce) => "只有群主才能修改群公告",
            No::OwnersOnly(OwnersTask::Remove) => "只有群主才能操作",
            No::OwnersOnly(OwnersTask::Admit) => "群不存在或者被封禁或者你无权操作",
            No::OwnerStays => "群主不能删除自己",
            No::NotWaiting | No::NotTheInviter => "非法操作",
            No::ApplicantGone => "用户不存在或者被封禁",
            No::NoGroupToJoin => "群不存在或者被封禁",
            No::WaitingAlready => "已申请加入群聊，正在等待群主同意",
            No::MemberAlready => "用户已经在群里",
            No::JoinerGone => "加群的用户不存在或已被封禁，无法加入群聊",
            No::NoGuests => "请先登录再申请进群",
            No::Full => "群成员已达上限",
            No::NotAMember => "你不在该群聊中，无法修改昵称",
            No::NoGroupToLeave => "群不存在",
            No::NothingToLeave => "你不在该群聊中，操作失败",
            No::IdTaken => return Self::internal(rejection),
        })
    }
}
