//! Complaints about people and groups (rest.md §42); everybody sees his own.

use std::borrow::Cow;

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{caller::Caller, observed::Failure, params::Params, refusal::Refusal, reply::JSON};
use crate::{
    clock,
    commands::complaint::{Complaint, ComplaintCommand, ComplaintRejection, Filed, Revision},
    events::{
        Accused, ChatKind, ComplaintEvent, ComplaintId, ComplaintKey, Event, Position, Statement,
    },
    executor::{CommandError, Wait},
    projections::complaints,
    state::App,
};

/// The envelope of these routes: `msg` has the text and `data` what belongs to it, on yes and on no.
pub struct Said {
    status: StatusCode,
    msg: Cow<'static, str>,
    data: Value,
    failure: Option<Failure>,
}

type Answer = Result<Said, Said>;

fn yes(msg: &'static str, data: Value) -> Said {
    Said { status: StatusCode::OK, msg: msg.into(), data, failure: None }
}

impl IntoResponse for Said {
    fn into_response(self) -> Response {
        let body = json!({ "msg": self.msg, "data": self.data }).to_string();
        let response = (self.status, [(header::CONTENT_TYPE, JSON)], body).into_response();
        Failure::told_to_log(self.failure, response)
    }
}

impl<E: Into<Refusal>> From<E> for Said {
    fn from(error: E) -> Self {
        let (status, msg, failure) = error.into().into_parts();
        Self { status, msg, data: json!({}), failure }
    }
}

impl From<ComplaintRejection> for Refusal {
    fn from(rejection: ComplaintRejection) -> Self {
        match rejection {
            ComplaintRejection::Unknown => Self::rule("投诉不存在"),
            ComplaintRejection::Closed => Self::rule("投诉已处理，无法修改"),
            ComplaintRejection::KeyTaken => Self::internal(rejection),
        }
    }
}

/// Complain
pub async fn create(State(app): State<App>, caller: Caller, params: Params) -> Answer {
    let needed = ["target_id", "target_type", "target_name", "reason"];
    if needed.iter().any(|name| params.raw(name).is_none()) {
        return Err(incomplete());
    }
    let id = params.id("target_id", "投诉对象id")?;
    let kind = params.one_of("target_type", "投诉对象类型", &["group", "single"])?;
    let name = params.text_in("target_name", "投诉对象名称", 1, Some(200))?;
    let target = Accused { kind: ChatKind::parse(kind), id, name };
    let said = said(&params)?;
    let statement = Statement {
        reason: said.reason.unwrap_or_default(),
        content: said.content.unwrap_or_default(),
        images: said.images.unwrap_or_default(),
        chat: said.chat.unwrap_or_default(),
    };
    // Those on their way are not counted; it is a limit, not a promise.
    let me = caller.account.id;
    if complaints::count_of(&app.executor.pool, me).await? >= app.config.limits.complaints {
        return Err(Refusal::rule("投诉数量已达上限").into());
    }
    let key = ComplaintKey(clock::random_id());
    let file = ComplaintCommand::File { by: me, target, statement, at: clock::now() };
    let filed = execute(&app, &caller, key, &file).await?;
    Ok(yes("投诉提交成功", json!({ "id": ComplaintId::made_at(filed) })))
}

/// My complaints
pub async fn list(State(app): State<App>, caller: Caller) -> Answer {
    let complaints = complaints::complaints_of(&app.executor.pool, caller.account.id).await?;
    Ok(yes("获取成功", complaints.iter().map(row).collect()))
}

/// One of them
pub async fn detail(State(app): State<App>, caller: Caller, params: Params) -> Answer {
    let key = key_of(&app, ComplaintId(params.id("id", "投诉id")?)).await?;
    let found = app.executor.state::<Complaint>(key).await?;
    match &*found.state {
        Complaint::Filed(filed) if filed.by == caller.account.id => Ok(yes("获取成功", row(filed))),
        _ => Err(ComplaintRejection::Unknown.into()),
    }
}

/// Say it in other words, as long as nobody has dealt with it. Whom it is about stays
pub async fn update(State(app): State<App>, caller: Caller, params: Params) -> Answer {
    let id = ComplaintId(params.id("id", "投诉id")?);
    let revision = said(&params)?;
    if revision == Revision::default() {
        return Err(incomplete());
    }
    let key = key_of(&app, id).await?;
    let revise = ComplaintCommand::Revise { by: caller.account.id, revision, at: clock::now() };
    execute(&app, &caller, key, &revise).await?;
    Ok(yes("投诉修改成功", json!({ "id": id })))
}

/// Take it back
pub async fn delete(State(app): State<App>, caller: Caller, params: Params) -> Answer {
    let id = ComplaintId(params.id("id", "投诉id")?);
    let key = key_of(&app, id).await?;
    let withdraw = ComplaintCommand::Withdraw { by: caller.account.id, at: clock::now() };
    execute(&app, &caller, key, &withdraw).await?;
    Ok(yes("投诉删除成功", json!({ "id": id })))
}

/// The complaint that clients know by this id, whosever it is.
async fn key_of(app: &App, id: ComplaintId) -> Result<ComplaintKey, Refusal> {
    let filed = app.executor.log.made(id.0).await?;
    match filed.map(|recorded| recorded.event) {
        Some(Event::Complaint(key, ComplaintEvent::Filed { .. })) => Ok(key),
        _ => Err(ComplaintRejection::Unknown.into()),
    }
}

fn incomplete() -> Said {
    Refusal::rule("缺少必要参数").into()
}

/// What the request tells; lists and objects as compact JSON text (§0.3).
fn said(params: &Params) -> Result<Revision, Refusal> {
    let text = |name: &str, label: &str, most| match params.raw(name) {
        Some(_) => params.text_in(name, label, 1, Some(most)).map(Some),
        None => Ok(None),
    };
    Ok(Revision {
        reason: text("reason", "投诉原因", 200)?,
        content: text("content", "投诉内容", 2000)?,
        images: text("images", "投诉图片", 10_000)?,
        chat: text("complaint_chatinfo", "聊天记录", 20_000)?,
    })
}

async fn execute(
    app: &App,
    caller: &Caller,
    key: ComplaintKey,
    command: &ComplaintCommand,
) -> Result<Position, CommandError<ComplaintRejection>> {
    let done = app
        .executor
        .execute::<Complaint>(key, command, caller.authority(), Wait::Everywhere)
        .await?;
    Ok(done.position)
}

fn row(filed: &Filed) -> Value {
    json!({
        "create_time": filed.created_at.row_text(),
        "id": filed.id,
        "user_id": filed.by,
        "target_id": filed.target.id,
        "target_type": filed.target.kind.as_str(),
        "target_name": filed.target.name,
        "reason": filed.statement.reason,
        "content": filed.statement.content,
        "images": filed.statement.images,
        "complaint_chatinfo": filed.statement.chat,
        "status": filed.status,
        "update_time": filed.updated_at.iso_text(),
    })
}
