//! Questions answered beforehand: parameters and answers (rest.md §42).

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    parameters::{
        Declare, FieldValue, Invalid, Param, ParameterKind, id, one_of, request, text, wrong_choice,
    },
    refusals::questions::INCOMPLETE,
};
use crate::{
    commands::quick_replies::QuickReply,
    events::{ChatKind, QuickReplyId, UserId},
};

/// The list is another one's; `…` stands for the two numbers.
pub const NOT_YOURS: &str = "创建者id 的值 `…` 必须在 [`…`] 中";

const OWNER: &str = "创建者id";

request! {
    /// A question and its answer.
    CreateQuestion if incomplete INCOMPLETE => {
        ask: String = ask(),
        answer: String = text("answer", "回答", (1, 1000), "From nine to five").missed_together(),
        kind: ChatKind = kind().missed_together(),
        owner: OwnerText = owner().missed_together(),
    }
}

request! {
    /// Which question, and what it is to be.
    UpdateQuestion if incomplete INCOMPLETE => {
        id: QuickReplyId = number(),
        ask: String = ask(),
        answer: String = text("answer", "回答", (1, 1000), "From nine to five").missed_together(),
        kind: ChatKind = kind().missed_together(),
        owner: OwnerText = owner().missed_together(),
    }
}

request! {
    /// Which question is not to be answered any more.
    DeleteQuestion if incomplete INCOMPLETE => {
        id: QuickReplyId = number(),
        kind: Option<ChatKind> = kind().or_none(),
        owner: Option<OwnerText> = owner().or_none(),
    }
}

request! {
    /// Whose questions.
    ListQuestions if incomplete INCOMPLETE => {
        kind: ChatKind = kind().missed_together(),
        owner: UserId = id("userId", "用户id").missed_together().map(UserId),
    }
}

request! {
    /// Which question.
    GetQuestion if incomplete INCOMPLETE => {
        id: QuickReplyId = number(),
        kind: Option<ChatKind> = kind().or_none(),
        owner: Option<UserId> = id("create_userId", OWNER).or_none().map(|id| id.map(UserId)),
    }
}

request! {
    /// What is asked, and whom.
    SearchQuestions if incomplete INCOMPLETE => {
        kind: ChatKind = kind().missed_together(),
        owner: UserId = id("create_userId", OWNER).missed_together().map(UserId),
        ask: String = ask(),
    }
}

fn number() -> impl Declare<Value = QuickReplyId> {
    id("id", "问答id").missed_together().map(QuickReplyId)
}

fn ask() -> impl Declare<Value = String> {
    text("ask", "问题", (1, 100), "When are you open?").missed_together()
}

fn kind() -> Param<super::parameters::OneOf<ChatKind>> {
    one_of("type", "类型", &[("single", ChatKind::Single), ("group", ChatKind::Group)])
}

fn owner() -> Param<Owner> {
    Param::new("create_userId", OWNER, Owner, 12).note("The caller's own id.")
}

/// Whose list a request says it is about: nobody changes another one's.
#[derive(Debug)]
pub struct OwnerText(String);

impl OwnerText {
    /// Is it the caller's?
    ///
    /// # Errors
    /// It is another one's.
    pub fn check(&self, caller: UserId) -> Result<(), Invalid> {
        let own = caller.to_string();
        if self.0 == own {
            return Ok(());
        }
        Err(Invalid::Parameter(wrong_choice(OWNER, &self.0, [own.as_str()].into_iter()).into()))
    }
}

struct Owner;

impl ParameterKind for Owner {
    type Value = OwnerText;

    fn read(&self, _: &str, value: &FieldValue) -> Result<OwnerText, Invalid> {
        Ok(OwnerText(value.text().into_owned()))
    }

    fn schema(&self) -> Value {
        json!({ "type": "integer" })
    }

    fn refusals(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
}

/// A question and its answer.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "QuickReply")]
pub struct QuestionObject {
    /// Its number.
    pub id: QuickReplyId,
    /// What is asked.
    pub ask: String,
    /// What is answered.
    pub answer: String,
    /// In which chats it is answered.
    #[serde(rename = "type")]
    pub kind: ChatKind,
    /// Whose it is.
    #[serde(rename = "create_userId")]
    pub owner: UserId,
    /// When it was added.
    pub create_time: String,
    /// When it was changed.
    pub update_time: String,
    /// Nobody can like it.
    #[serde(rename = "likeCount")]
    pub likes: u8,
    /// Nobody can like it.
    pub liked: bool,
}

impl QuestionObject {
    /// One of somebody's questions.
    pub fn of(owner: UserId, id: QuickReplyId, question: &QuickReply) -> Self {
        Self {
            id,
            ask: question.ask.clone(),
            answer: question.answer.clone(),
            kind: question.kind,
            owner,
            create_time: question.created_at.row_text(),
            update_time: question.updated_at.iso_text(),
            likes: 0,
            liked: false,
        }
    }
}

/// The very question, or those that have it in them.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
#[allow(missing_docs, reason = "they are what they are called")]
pub enum FoundQuestions {
    One(QuestionObject),
    Many(Vec<QuestionObject>),
}

/// How it went, in words, when it went well.
pub mod told {
    /// The question is new.
    pub const CREATED: &str = "问答创建成功";
    /// The question has another answer now.
    pub const ANSWERED_ANEW: &str = "问答已更新";
    /// The question is another one now.
    pub const UPDATED: &str = "更新成功";
    /// The question is gone.
    pub const DELETED: &str = "删除成功";
    /// There it is.
    pub const FETCHED: &str = "获取成功";
    /// The list is empty.
    pub const NONE: &str = "暂无问答数据";
    /// The very question was found.
    pub const FOUND: &str = "找到相关回答";
    /// Some like it were found.
    pub const SEARCHED: &str = "搜索成功";
}
