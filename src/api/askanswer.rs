//! Quick replies: questions that somebody has answered beforehand (rest.md §42): anybody reads them, their owner alone changes them.

use std::{borrow::Cow, sync::Arc};

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{caller::Caller, observed::Failure, params::Params, refusal::Refusal, reply::JSON};
use crate::{
    clock,
    commands::{
        decider::Decider as _,
        quick_replies::{QuickReply, QuickReplyCommand, QuickReplyList, QuickReplyRejection},
    },
    events::{ChatKind, Position, QuickReplyEvent, QuickReplyId, UserId},
    executor::Wait,
    projections::quick_replies,
    state::App,
};

/// The envelope of these routes, on yes and on no; the status is always 200.
pub struct Said {
    code: u16,
    msg: Cow<'static, str>,
    data: Value,
    failure: Option<Failure>,
}

type Answer = Result<Said, Said>;

fn said(code: u16, msg: &'static str, data: Value) -> Said {
    Said { code, msg: msg.into(), data, failure: None }
}

fn yes(msg: &'static str, data: Value) -> Said {
    said(200, msg, data)
}

fn unknown() -> Said {
    said(404, "问答不存在", Value::Null)
}

impl IntoResponse for Said {
    fn into_response(self) -> Response {
        let body = json!({ "code": self.code, "msg": self.msg, "data": self.data }).to_string();
        let response = ([(header::CONTENT_TYPE, JSON)], body).into_response();
        Failure::told_to_log(self.failure, response)
    }
}

/// Parameters and failures, told as everywhere else, with one of the codes that these routes know.
impl<E: Into<Refusal>> From<E> for Said {
    fn from(error: E) -> Self {
        let (status, msg, failure) = error.into().into_parts();
        let code = if status.is_server_error() { 500 } else { 400 };
        Self { code, msg, data: Value::Null, failure }
    }
}

impl From<QuickReplyRejection> for Refusal {
    fn from(rejection: QuickReplyRejection) -> Self {
        match rejection {
            QuickReplyRejection::Unknown => Self::rule("问答不存在"),
            QuickReplyRejection::Full => Self::rule("问答数量已达上限"),
        }
    }
}

/// Answer a question, whether it is there or not
pub async fn create(State(app): State<App>, caller: Caller, params: Params) -> Answer {
    all_there(&params, &["ask", "answer", "type", "create_userId"])?;
    let (ask, answer) = texts(&params)?;
    let kind = kind(&params)?;
    own(&params, &caller)?;
    let (most, at) = (app.config.limits.questions, clock::now());
    let put = QuickReplyCommand::Put { kind, ask: ask.clone(), answer, most, at };
    let (event, list) = change(&app, &caller, &put).await?;
    let msg = match event {
        Some(QuickReplyEvent::Added { .. }) => "问答创建成功",
        _ => "问答已更新",
    };
    let (id, question) = list.asking(kind, &ask).ok_or_else(unknown)?;
    Ok(yes(msg, item(caller.account.id, id, question)))
}

/// Change a question or its answer
pub async fn update(State(app): State<App>, caller: Caller, params: Params) -> Answer {
    all_there(&params, &["id", "ask", "answer", "type", "create_userId"])?;
    let id = id(&params)?;
    let (ask, answer) = texts(&params)?;
    let kind = kind(&params)?;
    own(&params, &caller)?;
    let command = QuickReplyCommand::Change { id, kind, ask, answer, at: clock::now() };
    let (_, list) = change(&app, &caller, &command).await?;
    let question = list.get(id).ok_or_else(unknown)?;
    Ok(yes("更新成功", item(caller.account.id, id, question)))
}

/// Answer a question no more
pub async fn delete(State(app): State<App>, caller: Caller, params: Params) -> Answer {
    all_there(&params, &["id"])?;
    let id = id(&params)?;
    let kind = kind_if_said(&params)?;
    if params.raw("create_userId").is_some() {
        own(&params, &caller)?;
    }
    change(&app, &caller, &QuickReplyCommand::Remove { id, kind }).await?;
    Ok(yes("删除成功", Value::Null))
}

/// Somebody's questions
pub async fn list(State(app): State<App>, _caller: Caller, params: Params) -> Answer {
    all_there(&params, &["type", "userId"])?;
    let kind = kind(&params)?;
    let owner = UserId(params.id("userId", "用户id")?);
    let list = quick_replies::list(&app.executor.pool, owner, kind).await?;
    let msg = if list.is_empty() { "暂无问答数据" } else { "获取成功" };
    Ok(yes(msg, items(owner, &list)))
}

/// One of somebody's questions; the caller's own, unless it is said whose
pub async fn detail(State(app): State<App>, caller: Caller, params: Params) -> Answer {
    all_there(&params, &["id"])?;
    let id = id(&params)?;
    let kind = kind_if_said(&params)?;
    let owner = match params.raw("create_userId") {
        Some(_) => UserId(params.id("create_userId", "创建者id")?),
        None => caller.account.id,
    };
    let question = quick_replies::question(&app.executor.pool, owner, id).await?;
    let question = question.filter(|found| kind.is_none_or(|kind| kind == found.kind));
    Ok(yes("获取成功", item(owner, id, &question.ok_or_else(unknown)?)))
}

/// What somebody answers to this: the very question, or else those that have it in them
pub async fn search(State(app): State<App>, _caller: Caller, params: Params) -> Answer {
    all_there(&params, &["type", "create_userId", "ask"])?;
    let kind = kind(&params)?;
    let owner = UserId(params.id("create_userId", "创建者id")?);
    let ask = plain(&params.text_in("ask", "问题", 1, Some(ASK))?);
    let mut list = quick_replies::list(&app.executor.pool, owner, kind).await?;
    if let Some((id, question)) = list.iter().find(|(_, found)| plain(&found.ask) == ask) {
        return Ok(yes("找到相关回答", item(owner, *id, question)));
    }
    list.retain(|(_, found)| plain(&found.ask).contains(&ask));
    if list.is_empty() {
        return Err(said(404, "未找到相关问答", json!([])));
    }
    Ok(yes("搜索成功", items(owner, &list)))
}

/// A question as it is compared: nobody asks twice with the same capitals.
fn plain(ask: &str) -> String {
    ask.trim().to_lowercase()
}

/// How long a question may be.
const ASK: u64 = 100;
/// How long its answer may be.
const ANSWER: u64 = 1000;

fn all_there(params: &Params, names: &[&str]) -> Result<(), Said> {
    if names.iter().any(|name| params.raw(name).is_none()) {
        return Err(said(400, "参数不完整", Value::Null));
    }
    Ok(())
}

fn id(params: &Params) -> Result<QuickReplyId, Refusal> {
    Ok(QuickReplyId(params.id("id", "问答id")?))
}

fn texts(params: &Params) -> Result<(String, String), Refusal> {
    let ask = params.text_in("ask", "问题", 1, Some(ASK))?;
    Ok((ask, params.text_in("answer", "回答", 1, Some(ANSWER))?))
}

fn kind(params: &Params) -> Result<ChatKind, Refusal> {
    params.one_of("type", "类型", &["single", "group"]).map(ChatKind::parse)
}

fn kind_if_said(params: &Params) -> Result<Option<ChatKind>, Refusal> {
    params.raw("type").map(|_| kind(params)).transpose()
}

/// Nobody changes another one's list.
fn own(params: &Params, caller: &Caller) -> Result<(), Refusal> {
    params.one_of("create_userId", "创建者id", &[&caller.account.id.to_string()]).map(|_| ())
}

/// What happened to the caller's list, and the list after it.
async fn change(
    app: &App,
    caller: &Caller,
    command: &QuickReplyCommand,
) -> Result<(Option<QuickReplyEvent>, Arc<QuickReplyList>), Said> {
    use crate::executor::CommandError::Rejected;
    let me = caller.account.id;
    let before = app.executor.state::<QuickReplyList>(me).await?.state;
    let done =
        app.executor.execute::<QuickReplyList>(me, command, caller.authority(), Wait::Everywhere);
    let done = done.await.map_err(|error| match error {
        Rejected(QuickReplyRejection::Unknown) => unknown(),
        other => other.into(),
    })?;
    // What has happened is answered, also if the log cannot be asked for more now.
    let after = app.executor.state::<QuickReplyList>(me).await;
    let list = after
        .map_or_else(|_| with(&before, done.position, done.event.as_ref()), |after| after.state);
    Ok((done.event, list))
}

fn items(owner: UserId, list: &[(QuickReplyId, QuickReply)]) -> Value {
    list.iter().map(|(id, question)| item(owner, *id, question)).collect()
}

fn item(owner: UserId, id: QuickReplyId, question: &QuickReply) -> Value {
    json!({
        "id": id,
        "ask": question.ask,
        "answer": question.answer,
        "type": question.kind.as_str(),
        "create_userId": owner,
        "create_time": question.created_at.row_text(),
        "update_time": question.updated_at.iso_text(),
        "likeCount": 0,
        "liked": false,
    })
}

fn with(
    list: &QuickReplyList,
    at: Position,
    event: Option<&QuickReplyEvent>,
) -> Arc<QuickReplyList> {
    let mut list = list.clone();
    if let Some(event) = event {
        list.evolve(at, event);
    }
    Arc::new(list)
}
