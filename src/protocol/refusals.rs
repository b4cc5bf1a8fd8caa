//! Refusals: the contract's exact text for every reason to say no, by the part of the service that says it. Status codes
//! are HTTP's and stand in `api::error`.

use crate::{
    commands::{
        complaint::ComplaintRejection,
        friendship::FriendshipRejection,
        group::command::{GroupRejection, OwnersTask},
        message::MessageRejection,
        quick_replies::QuickReplyRejection,
        session::SessionRejection,
        user::UserRejection,
    },
    events::Role,
};

/// A rule's no, in the words that its client is told.
pub trait Refusal {
    /// The text; `None` for what no client can bring about, which is a fault of the service.
    fn text(&self) -> Option<&'static str>;
}

/// Whatever the route.
pub mod any {
    /// There is no such route, or no such file.
    pub const NOT_FOUND: &str = "404 错误";
    /// A token is missing (data.md §4.2, step 1).
    pub const NO_TOKEN: &str = "您没有权限访问即时通讯接口";
    /// A token is malformed, or was replaced or ended.
    pub const BAD_TOKEN: &str = "Token 令牌不合法！";
    /// A token's account is disabled.
    pub const ACCOUNT_UNAVAILABLE: &str = "当前用户不存在或者已被禁用";
    /// A guest's token, where guests may not call.
    pub const NO_GUESTS: &str = "您没有权限访问，请先注册或登录";
    /// Why somebody is not let in.
    pub const UNAUTHORIZED: &[&str] = &[NO_TOKEN, BAD_TOKEN, ACCOUNT_UNAVAILABLE, NO_GUESTS];
    /// A body says that it is JSON, and is not.
    pub const NOT_JSON: &str = "请求内容不是有效的 JSON";
    /// A body broke off.
    pub const INCOMPLETE: &str = "请求内容不完整";
    /// Why a body cannot be read.
    pub const UNREADABLE: &[&str] = &[NOT_JSON, INCOMPLETE];
    /// A body did not come to its end in time.
    pub const TOO_SLOW: &str = "请求超时";
    /// A body has too many bytes or parameters.
    pub const TOO_LARGE: &str = "请求内容过大";
    /// Too many requests in this minute.
    pub const TOO_MANY: &str = "请求过于频繁，请稍后再试";
    /// There is no room for this request now.
    pub const OVERLOADED: &str = "服务繁忙，请稍后再试";
    /// The disk is nearly full.
    pub const NO_SPACE: &str = "存储空间不足，请稍后再试";
    /// A part is down; the cause is in the log.
    pub const INTERNAL: &str = "Internal Server Error";
}

/// Before a socket opens (ws.md §2).
pub mod socket {
    /// There is no token.
    pub const NO_TOKEN: &str = "缺少 token 参数";
    /// The token is malformed, or was replaced or ended.
    pub const BAD_TOKEN: &str = "Token 不合法";
    /// The token's account does not exist.
    pub const NO_SUCH_USER: &str = "用户不存在";
    /// The token's account is disabled.
    pub const DISABLED: &str = "你已被管理员禁用";
}

/// Accounts and guests (rest.md §1–§6, §42).
pub mod accounts {
    /// The username is somebody else's.
    pub const TAKEN: &str = "该账号已存在，请换一个账号注册";
    /// There is no such account, or it is disabled.
    pub const UNAVAILABLE: &str = "账号不存在或者被禁用";
    /// The password is another one.
    pub const WRONG_PASSWORD: &str = "账户或密码错误";
    /// Too many log-ins failed.
    pub const TOO_MANY_FAILURES: &str = "登录失败次数过多，请稍后再试";
    /// A signed call has no signature.
    pub const UNSIGNED: &str = "非法访问";
    /// The signature is wrong.
    pub const BAD_SIGNATURE: &str = "非法签名";
    /// The signature's time is too far off.
    pub const STALE: &str = "请求已过期";
    /// The device has no well-formed id.
    pub const BAD_DEVICE: &str = "无效标识";
    /// Too many signed calls of a device in an hour.
    pub const TOO_MANY_SIGNED_CALLS: &str = "请求过于频繁，请1个小时后再试";
    /// The new password was typed in two ways.
    pub const PASSWORDS_DIFFER: &str = "新密码与确认新密码不一致";
    /// Guests have no password.
    pub const GUEST_HAS_NO_PASSWORD: &str = "您未登录，无法修改密码";
    /// The account is gone, so it keeps its password.
    pub const NO_ACCOUNT_FOR_PASSWORD: &str = "用户不存在，无法修改密码";
    /// The old password is another one.
    pub const WRONG_OLD_PASSWORD: &str = "原始密码错误，无法修改密码";
}

/// Profiles and settings (rest.md §10, §38, §39).
pub mod users {
    /// Settings are no JSON object.
    pub const BAD_SETTINGS: &str = "用户设置格式错误";
    /// A username never changes.
    pub const USERNAME_IS_FIXED: &str = "账号不可修改";
    /// A nickname is too long.
    pub const NICKNAME_TOO_LONG: &str = "昵称长度不能超过30个字符";
    /// The address of an avatar is too long.
    pub const AVATAR_TOO_LONG: &str = "头像地址过长不能超过1000个字符";
    /// Neither 0 nor 1.
    pub const BAD_INVITE_CONFIRM: &str = "添加我为好友设置值错误";
    /// There is no such account to change.
    pub const UNKNOWN: &str = "用户不存在，无法修改信息";
    /// Nobody, or a guest.
    pub const NOBODY_TO_BEFRIEND: &str = "用户不存在或者为游客，无法加为好友";
}

/// Friends (rest.md §9, §11–§19, §37, §40).
pub mod friends {
    /// There is no such user.
    pub const NO_SUCH_USER: &str = "用户不存在";
    /// That user has not asked.
    pub const NO_REQUEST: &str = "用户申请信息不存在";
    /// Nobody befriends themselves.
    pub const NOT_ONESELF: &str = "不能添加自己为好友";
    /// There is nobody to befriend.
    pub const NOBODY_TO_BEFRIEND: &str = "添加的好友不存在";
    /// The other wants to be asked.
    pub const MUST_ASK: &str = "需要对方审核，不能自动加对方为好友";
    /// A request is open.
    pub const ALREADY_ASKED: &str = "您已经申请过了，请勿重复申请";
    /// There is no open request of this number.
    pub const NOT_PENDING: &str = "申请不存在或已处理";
    /// Not in the address book.
    pub const NOT_IN_BOOK: &str = "好友不存在";
    /// Not in the address book, or blocked.
    pub const NOT_IN_BOOK_OR_BLOCKED: &str = "好友不存在或者被拉黑，无法操作";
    /// Not in the caller's book, or blocked there.
    pub const NOT_A_FRIEND: &str = "不是好友";
    /// There is no friendship to end.
    pub const NO_FRIENDSHIP: &str = "不是好友关系，无权操作";
}

/// Groups (rest.md §20–§31).
pub mod groups {
    /// Nobody was chosen.
    pub const NOBODY_CHOSEN: &str = "请选择加入群聊的用户";
    /// Nobody who was chosen is there.
    pub const NOBODY_AVAILABLE: &str = "用户不存在，无法加入群聊";
    /// There is no such group to look at.
    pub const UNAVAILABLE: &str = "群不存在或被封禁";
    /// Only the owner renames.
    pub const OWNER_RENAMES: &str = "只有群主才能修改群名称";
    /// Only the owner announces.
    pub const OWNER_ANNOUNCES: &str = "只有群主才能修改群公告";
    /// Only the owner removes members.
    pub const OWNER_REMOVES: &str = "只有群主才能操作";
    /// Only the owner says who comes in.
    pub const OWNER_ADMITS: &str = "群不存在或者被封禁或者你无权操作";
    /// The owner cannot remove themselves.
    pub const OWNER_STAYS: &str = "群主不能删除自己";
    /// Nobody waits, or another one invited.
    pub const ILLEGAL: &str = "非法操作";
    /// The applicant is gone.
    pub const APPLICANT_UNAVAILABLE: &str = "用户不存在或者被封禁";
    /// There is no group to join.
    pub const NO_GROUP_TO_JOIN: &str = "群不存在或者被封禁";
    /// The application is there already.
    pub const WAITING_ALREADY: &str = "已申请加入群聊，正在等待群主同意";
    /// A member already.
    pub const MEMBER_ALREADY: &str = "用户已经在群里";
    /// Who is to join is gone.
    pub const JOINER_UNAVAILABLE: &str = "加群的用户不存在或已被封禁，无法加入群聊";
    /// The group takes no guests.
    pub const NO_GUESTS: &str = "请先登录再申请进群";
    /// The group has as many members as it may.
    pub const FULL: &str = "群成员已达上限";
    /// Only members have a nickname in the group.
    pub const NOT_A_MEMBER: &str = "你不在该群聊中，无法修改昵称";
    /// There is no such group.
    pub const NO_SUCH_GROUP: &str = "群不存在";
    /// The caller is not in the group.
    pub const NOT_IN_GROUP: &str = "你不在该群聊中，操作失败";
}

/// Messages (rest.md §21, §36, §41).
pub mod messages {
    /// The service alone sends notices (DEV-14).
    pub const BAD_KIND: &str = "消息类型不合法";
    /// More bytes than a message may have (clarification 29).
    pub const TOO_LARGE: &str = "消息内容过大";
    /// The recipient is gone.
    pub const RECIPIENT_UNAVAILABLE: &str = "对方不存在或者被禁用，不能发消息";
    /// The recipient blocks the sender, a user.
    pub const USER_BLOCKED: &str = "对方把你拉黑了，不能发送消息";
    /// The recipient blocks the sender, a guest.
    pub const GUEST_BLOCKED: &str = "对方把你拉黑了，不能发消息";
    /// The recipient hears friends only, of users.
    pub const USERS_BEFRIEND_FIRST: &str = "对方设置成：需要您先成为他的好友才能发消息";
    /// The recipient hears friends only, of guests.
    pub const GUESTS_LOG_IN_FIRST: &str = "你们不是好友关系，对方设置成：先登录才能发消息";
    /// The recipient hears one message of strangers.
    pub const QUOTA_USED: &str = "在成为好友之前，对方只允许向他发一条消息";
    /// There is no such message of the caller's.
    pub const NOT_YOURS: &str = "消息不存在或无权撤回";
    /// The message is too old to be taken back.
    pub const TOO_LATE: &str = "消息超过5分钟，不能撤回";
    /// There is no group to write to.
    pub const GROUP_UNAVAILABLE: &str = "群不存在或者已解散或者被封禁，无法发消息";
    /// The sender is not in the group.
    pub const NOT_IN_GROUP: &str = "您不在群里，无法发消息";
}

/// Files, posters and QR codes (rest.md §32–§35).
pub mod media {
    /// There is no such group, or the caller is not in it.
    pub const NO_SUCH_GROUP: &str = "群不存在或被封禁或者您不在该群聊中";
    /// There is no such user.
    pub const NO_SUCH_USER: &str = "用户不存在或被封禁";
    /// More text than a QR code holds.
    pub const CODE_TOO_LONG: &str = "二维码内容过长";
    /// The folder has other characters than it may.
    pub const BAD_FOLDER: &str = "无效的上传目录";
    /// There is no file in the form.
    pub const NO_FILE: &str = "请选择要上传的文件";
    /// A file of a kind that is not taken.
    pub const BAD_KIND: &str = "不支持的文件类型";
    /// A file with too many bytes.
    pub const FILE_TOO_LARGE: &str = "文件过大";
    /// Too many bytes of files in this day; the caller may come again tomorrow.
    pub const TOO_MUCH: &str = "今日上传已达上限，请稍后再试";
    /// No address of a video.
    pub const NO_VIDEO: &str = "视频地址不能为空";
    /// No moment of a video.
    pub const BAD_TIME: &str = "时间点参数无效";
    /// Wider than a poster may be.
    pub const BAD_WIDTH: &str = "图片宽度应在1-3840之间";
    /// The video has no picture there.
    pub const NO_FRAME: &str = "截图生成失败";

    /// Why an upload to the object store failed (rest.md §34).
    pub mod upload {
        /// Too many bytes in this day.
        pub const TOO_MUCH: &str = "今日上传已达上限";
        /// The disk is nearly full.
        pub const NO_SPACE: &str = "存储空间不足";
        /// The store does not take it.
        pub const UNAVAILABLE: &str = "文件存储暂时不可用";
        /// What is before any of these, or before the name of a field that is not `img`.
        pub const FAILED: &str = "上传失败: ";
        /// Any of them, as the document tells it.
        pub const ANY: &str = "上传失败: …";
    }

    /// Why a poster failed (rest.md §35).
    pub mod poster {
        /// An address elsewhere.
        pub const FOREIGN: &str = "不允许的视频地址";
        /// There is no such video.
        pub const NO_SUCH_VIDEO: &str = "视频不存在";
        /// The file is no video.
        pub const NO_VIDEO: &str = "不是支持的视频文件";
        /// The video cannot be decoded.
        pub const UNREADABLE: &str = "视频无法解码";
        /// The video takes too long.
        pub const TOO_SLOW: &str = "处理超时";
        /// ffmpeg is missing.
        pub const NO_TOOL: &str = "服务器未安装视频处理工具";
        /// The object store does not give the video.
        pub const VIDEO_UNAVAILABLE: &str = "视频暂时无法读取";
        /// The poster that is there cannot be read.
        pub const POSTER_UNREADABLE: &str = "图片无法读取";
        /// The poster cannot be kept.
        pub const UNKEPT: &str = "图片无法保存";
        /// The disk is nearly full.
        pub const NO_SPACE: &str = "存储空间不足";
        /// What is before any of these.
        pub const FAILED: &str = "截图处理失败: ";
        /// Any of them, as the document tells it.
        pub const ANY: &str = "截图处理失败: …";
    }
}

/// Questions answered beforehand (rest.md §42).
pub mod questions {
    /// A parameter is missing.
    pub const INCOMPLETE: &str = "参数不完整";
    /// There is no such question.
    pub const UNKNOWN: &str = "问答不存在";
    /// The list is full.
    pub const FULL: &str = "问答数量已达上限";
    /// Nothing is like what was searched for.
    pub const NOTHING_FOUND: &str = "未找到相关问答";
}

/// Complaints (rest.md §42).
pub mod complaints {
    /// A parameter is missing.
    pub const INCOMPLETE: &str = "缺少必要参数";
    /// The caller has as many as they may.
    pub const TOO_MANY: &str = "投诉数量已达上限";
    /// There is no such complaint of the caller's.
    pub const UNKNOWN: &str = "投诉不存在";
    /// Somebody has dealt with it.
    pub const CLOSED: &str = "投诉已处理，无法修改";
}

impl Refusal for UserRejection {
    fn text(&self) -> Option<&'static str> {
        match self {
            Self::Unknown => Some(users::UNKNOWN),
            Self::IdTaken | Self::AlreadyRegistered | Self::Deleted | Self::NotDeleted => None,
        }
    }
}

impl Refusal for SessionRejection {
    fn text(&self) -> Option<&'static str> {
        let Self::NotCurrent = self;
        Some(any::BAD_TOKEN)
    }
}

impl Refusal for FriendshipRejection {
    fn text(&self) -> Option<&'static str> {
        Some(match self {
            Self::AlreadyAsked => friends::ALREADY_ASKED,
            Self::NotPending => friends::NOT_PENDING,
            Self::NotInBook => friends::NOT_IN_BOOK,
            Self::NotInBookOrBlocked => friends::NOT_IN_BOOK_OR_BLOCKED,
        })
    }
}

impl Refusal for MessageRejection {
    fn text(&self) -> Option<&'static str> {
        Some(match self {
            Self::RecipientUnavailable => messages::RECIPIENT_UNAVAILABLE,
            Self::Blocked(Role::User) => messages::USER_BLOCKED,
            Self::Blocked(Role::Visitor) => messages::GUEST_BLOCKED,
            Self::FriendsOnly(Role::User) => messages::USERS_BEFRIEND_FIRST,
            Self::FriendsOnly(Role::Visitor) => messages::GUESTS_LOG_IN_FIRST,
            Self::QuotaUsed => messages::QUOTA_USED,
            Self::NotYours => messages::NOT_YOURS,
            Self::TooLate => messages::TOO_LATE,
            Self::GroupGone => messages::GROUP_UNAVAILABLE,
            Self::NotInGroup => messages::NOT_IN_GROUP,
            Self::NoGroupToRevokeIn => groups::NO_SUCH_GROUP,
            Self::RevokerNotInGroup => groups::NOT_IN_GROUP,
            Self::IdTaken => return None,
        })
    }
}

impl Refusal for GroupRejection {
    fn text(&self) -> Option<&'static str> {
        Some(match self {
            Self::OwnersOnly(OwnersTask::Rename) => groups::OWNER_RENAMES,
            Self::OwnersOnly(OwnersTask::Announce) => groups::OWNER_ANNOUNCES,
            Self::OwnersOnly(OwnersTask::Remove) => groups::OWNER_REMOVES,
            Self::OwnersOnly(OwnersTask::Admit) => groups::OWNER_ADMITS,
            Self::OwnerStays => groups::OWNER_STAYS,
            Self::NotWaiting | Self::NotTheInviter => groups::ILLEGAL,
            Self::ApplicantGone => groups::APPLICANT_UNAVAILABLE,
            Self::NoGroupToJoin => groups::NO_GROUP_TO_JOIN,
            Self::WaitingAlready => groups::WAITING_ALREADY,
            Self::MemberAlready => groups::MEMBER_ALREADY,
            Self::JoinerGone => groups::JOINER_UNAVAILABLE,
            Self::NoGuests => groups::NO_GUESTS,
            Self::Full => groups::FULL,
            Self::NotAMember => groups::NOT_A_MEMBER,
            Self::NoGroupToLeave => groups::NO_SUCH_GROUP,
            Self::NothingToLeave => groups::NOT_IN_GROUP,
            Self::IdTaken => return None,
        })
    }
}

impl Refusal for QuickReplyRejection {
    fn text(&self) -> Option<&'static str> {
        Some(match self {
            Self::Unknown => questions::UNKNOWN,
            Self::Full => questions::FULL,
        })
    }
}

impl Refusal for ComplaintRejection {
    fn text(&self) -> Option<&'static str> {
        match self {
            Self::Unknown => Some(complaints::UNKNOWN),
            Self::Closed => Some(complaints::CLOSED),
            Self::KeyTaken => None,
        }
    }
}
