//! Complaints about people and groups: parameters and answers (rest.md §42).

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    parameters::{Optional, Param, TextKind, id, one_of, request, text},
    refusals::complaints::INCOMPLETE,
};
use crate::{
    commands::complaint::{Filed, Revision},
    events::{Accused, ChatKind, ComplaintId, Statement, UserId},
};

request! {
    /// About whom, and why.
    CreateComplaint if incomplete INCOMPLETE => {
        target_id: i64 = id("target_id", "投诉对象id").missed_together(),
        kind: ChatKind = one_of("target_type", "投诉对象类型", &[("group", ChatKind::Group), ("single", ChatKind::Single)])
            .missed_together(),
        target_name: String = text("target_name", "投诉对象名称", (1, 200), "Tea club").missed_together(),
        reason: String = reason().missed_together(),
        content: Option<String> = content(),
        images: Option<String> = images(),
        chat: Option<String> = chat(),
    }
}

request! {
    /// Which complaint.
    OfComplaint {
        id: ComplaintId = id("id", "投诉id").map(ComplaintId),
    }
}

request! {
    /// Which complaint, and its other words.
    UpdateComplaint {
        id: ComplaintId = id("id", "投诉id").map(ComplaintId),
        reason: Option<String> = reason().or_none(),
        content: Option<String> = content(),
        images: Option<String> = images(),
        chat: Option<String> = chat(),
    }
}

fn reason() -> Param<TextKind> {
    text("reason", "投诉原因", (1, 200), "spam")
}

fn content() -> Optional<TextKind> {
    text("content", "投诉内容", (1, 2000), "They write to everybody").or_none()
}

fn images() -> Optional<TextKind> {
    text("images", "投诉图片", (1, 10_000), r#"["https://h/a.png"]"#).or_none()
}

fn chat() -> Optional<TextKind> {
    text("complaint_chatinfo", "聊天记录", (1, 20_000), "[]").or_none()
}

impl CreateComplaint {
    /// About whom, and what.
    pub fn into_parts(self) -> (Accused, Statement) {
        let Self { target_id: id, kind, target_name: name, reason, content, images, chat } = self;
        let statement = Statement {
            reason,
            content: content.unwrap_or_default(),
            images: images.unwrap_or_default(),
            chat: chat.unwrap_or_default(),
        };
        (Accused { kind, id, name }, statement)
    }
}

impl UpdateComplaint {
    /// The other words.
    pub fn into_revision(self) -> Revision {
        let Self { id: _, reason, content, images, chat } = self;
        Revision { reason, content, images, chat }
    }
}

/// The number of a complaint.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ComplaintNumber {
    /// It.
    pub id: ComplaintId,
}

/// A complaint.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Complaint")]
pub struct ComplaintObject {
    /// When it was filed.
    pub create_time: String,
    /// Its number.
    pub id: ComplaintId,
    /// Who complains.
    pub user_id: UserId,
    /// About whom, or about which group.
    pub target_id: i64,
    /// About a person, or a group.
    pub target_type: ChatKind,
    /// How they are called.
    pub target_name: String,
    /// Why, in a word.
    pub reason: String,
    /// In full; may be empty.
    pub content: String,
    /// Pictures, as the client writes them.
    pub images: String,
    /// What was said in the chat, as the client writes it.
    pub complaint_chatinfo: String,
    /// 0 as long as nobody has dealt with it.
    pub status: i16,
    /// When something happened to it.
    pub update_time: String,
}

impl ComplaintObject {
    /// As it was filed and revised.
    pub fn of(filed: &Filed) -> Self {
        Self {
            create_time: filed.created_at.row_text(),
            id: filed.id,
            user_id: filed.by,
            target_id: filed.target.id,
            target_type: filed.target.kind,
            target_name: filed.target.name.clone(),
            reason: filed.statement.reason.clone(),
            content: filed.statement.content.clone(),
            images: filed.statement.images.clone(),
            complaint_chatinfo: filed.statement.chat.clone(),
            status: filed.status,
            update_time: filed.updated_at.iso_text(),
        }
    }
}

/// How it went, in words, when it went well.
pub mod told {
    /// The complaint is filed.
    pub const CREATED: &str = "投诉提交成功";
    /// There it is.
    pub const FETCHED: &str = "获取成功";
    /// It has other words now.
    pub const UPDATED: &str = "投诉修改成功";
    /// It is taken back.
    pub const DELETED: &str = "投诉删除成功";
}
