//! Quick replies: questions that somebody has answered beforehand (rest.md §42): anybody reads them, their owner alone changes them.

use std::sync::Arc;

use axum::extract::State;

use super::{
    error::{ApiError, CodedReplyError},
    middleware::auth::AuthenticatedUser,
    params::Params,
    route::{Route, post},
};
use crate::{
    clock,
    commands::{
        decider::Decider as _,
        quick_replies::{QuickReplyCommand, QuickReplyList, QuickReplyRejection},
    },
    events::{Position, QuickReplyEvent},
    executor::{CommandError, Wait},
    projections::quick_replies,
    protocol::{
        questions::{
            CreateQuestion, DeleteQuestion, FoundQuestions, GetQuestion, ListQuestions, NOT_YOURS,
            QuestionObject, SearchQuestions, UpdateQuestion, told,
        },
        refusals::questions as refused,
        reply::CodedReply,
    },
    state::{App, Readers},
};

type Request<R> = Result<Params<R>, ApiError>;
type Answer<T> = Result<CodedReply<T>, CodedReplyError>;

pub(super) fn routes() -> Vec<Route> {
    vec![
        post(42, "/api/chat/askanswer/create", create, "Answer a question beforehand")
            .about("The same question gets the new answer.")
            .tells(told::CREATED)
            .tells(told::ANSWERED_ANEW)
            .tells_with(404, refused::UNKNOWN)
            .refuses(&[refused::INCOMPLETE, NOT_YOURS, refused::FULL]),
        post(42, "/api/chat/askanswer/update", update, "Change a question or its answer")
            .tells(told::UPDATED)
            .tells_with(404, refused::UNKNOWN)
            .refuses(&[refused::INCOMPLETE, NOT_YOURS]),
        post(42, "/api/chat/askanswer/delete", delete, "Answer a question no more")
            .tells(told::DELETED)
            .tells_with(404, refused::UNKNOWN)
            .refuses(&[refused::INCOMPLETE, NOT_YOURS]),
        post(42, "/api/chat/askanswer/list", list, "Somebody's questions")
            .tells(told::FETCHED)
            .tells(told::NONE)
            .refuses(&[refused::INCOMPLETE]),
        post(42, "/api/chat/askanswer/detail", detail, "One of somebody's questions")
            .about("The caller's own, unless it is said whose.")
            .tells(told::FETCHED)
            .tells_with(404, refused::UNKNOWN)
            .refuses(&[refused::INCOMPLETE]),
        post(42, "/api/chat/askanswer/search", search, "What somebody answers to this")
            .about("The very question, or else those that have it in them.")
            .tells(told::FOUND)
            .tells(told::SEARCHED)
            .tells_with(404, refused::NOTHING_FOUND)
            .refuses(&[refused::INCOMPLETE]),
    ]
}

fn unknown() -> ApiError {
    ApiError::unknown(refused::UNKNOWN)
}

/// Answer a question, whether it is there or not
async fn create(
    State(app): State<App>,
    caller: AuthenticatedUser,
    request: Request<CreateQuestion>,
) -> Answer<QuestionObject> {
    let Params(CreateQuestion { ask, answer, kind, owner }) = request?;
    let me = caller.account.id;
    owner.check(me)?;
    let (most, at) = (app.config.limits.questions, clock::now());
    let put = QuickReplyCommand::Put { kind, ask: ask.clone(), answer, most, at };
    let (event, list) = change(&app, &caller, &put).await?;
    let msg = match event {
        Some(QuickReplyEvent::Added { .. }) => told::CREATED,
        _ => told::ANSWERED_ANEW,
    };
    let (id, question) = list.asking(kind, &ask).ok_or_else(unknown)?;
    Ok(CodedReply::new(200, msg, QuestionObject::of(me, id, question)))
}

/// Change a question or its answer
async fn update(
    State(app): State<App>,
    caller: AuthenticatedUser,
    request: Request<UpdateQuestion>,
) -> Answer<QuestionObject> {
    let Params(UpdateQuestion { id, ask, answer, kind, owner }) = request?;
    let me = caller.account.id;
    owner.check(me)?;
    let command = QuickReplyCommand::Change { id, kind, ask, answer, at: clock::now() };
    let (_, list) = change(&app, &caller, &command).await?;
    let question = list.get(id).ok_or_else(unknown)?;
    Ok(CodedReply::new(200, told::UPDATED, QuestionObject::of(me, id, question)))
}

/// Answer a question no more
async fn delete(
    State(app): State<App>,
    caller: AuthenticatedUser,
    request: Request<DeleteQuestion>,
) -> Answer<()> {
    let Params(DeleteQuestion { id, kind, owner }) = request?;
    if let Some(owner) = owner {
        owner.check(caller.account.id)?;
    }
    change(&app, &caller, &QuickReplyCommand::Remove { id, kind }).await?;
    Ok(CodedReply::new(200, told::DELETED, ()))
}

/// Somebody's questions
async fn list(
    State(readers): State<Readers>,
    _caller: AuthenticatedUser,
    request: Request<ListQuestions>,
) -> Answer<Vec<QuestionObject>> {
    let Params(ListQuestions { kind, owner }) = request?;
    let list = quick_replies::list(readers.pool(), owner, kind).await?;
    let msg = if list.is_empty() { told::NONE } else { told::FETCHED };
    let questions = list.iter().map(|(id, question)| QuestionObject::of(owner, *id, question));
    Ok(CodedReply::new(200, msg, questions.collect()))
}

/// One of somebody's questions; the caller's own, unless it is said whose
async fn detail(
    State(readers): State<Readers>,
    caller: AuthenticatedUser,
    request: Request<GetQuestion>,
) -> Answer<QuestionObject> {
    let Params(GetQuestion { id, kind, owner }) = request?;
    let owner = owner.unwrap_or(caller.account.id);
    let question = quick_replies::question(readers.pool(), owner, id).await?;
    let question = question.filter(|found| kind.is_none_or(|kind| kind == found.kind));
    let question = question.ok_or_else(unknown)?;
    Ok(CodedReply::new(200, told::FETCHED, QuestionObject::of(owner, id, &question)))
}

/// What somebody answers to this: the very question, or else those that have it in them
async fn search(
    State(readers): State<Readers>,
    _caller: AuthenticatedUser,
    request: Request<SearchQuestions>,
) -> Answer<FoundQuestions> {
    let Params(SearchQuestions { kind, owner, ask }) = request?;
    let ask = plain(&ask);
    let mut list = quick_replies::list(readers.pool(), owner, kind).await?;
    if let Some((id, question)) = list.iter().find(|(_, found)| plain(&found.ask) == ask) {
        let found = FoundQuestions::One(QuestionObject::of(owner, *id, question));
        return Ok(CodedReply::new(200, told::FOUND, found));
    }
    list.retain(|(_, found)| plain(&found.ask).contains(&ask));
    let many = list.iter().map(|(id, question)| QuestionObject::of(owner, *id, question)).collect();
    let nothing = (404, refused::NOTHING_FOUND);
    let (code, msg) = if list.is_empty() { nothing } else { (200, told::SEARCHED) };
    Ok(CodedReply::new(code, msg, FoundQuestions::Many(many)))
}

/// A question as it is compared: nobody asks twice with the same capitals.
fn plain(ask: &str) -> String {
    ask.trim().to_lowercase()
}

/// What happened to the caller's list, and the list after it.
async fn change(
    app: &App,
    caller: &AuthenticatedUser,
    command: &QuickReplyCommand,
) -> Result<(Option<QuickReplyEvent>, Arc<QuickReplyList>), ApiError> {
    let me = caller.account.id;
    let before = app.executor.state::<QuickReplyList>(me).await?.state;
    let done =
        app.executor.execute::<QuickReplyList>(me, command, caller.authority(), Wait::Everywhere);
    let done = done.await.map_err(|error| match error {
        CommandError::Rejected(QuickReplyRejection::Unknown) => unknown(),
        other => other.into(),
    })?;
    // What has happened is answered, also if the log cannot be asked for more now.
    let after = app.executor.state::<QuickReplyList>(me).await;
    let list = after
        .map_or_else(|_| with(&before, done.position, done.event.as_ref()), |after| after.state);
    Ok((done.event, list))
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
