//! Complaints about people and groups (rest.md §42); everybody sees their own.

use axum::extract::State;

use super::{
    error::{ApiError, TextReplyError},
    middleware::auth::AuthenticatedUser,
    params::Params,
    route::{Route, get, post},
};
use crate::{
    clock,
    commands::complaint::{Complaint, ComplaintCommand, ComplaintRejection, Revision},
    events::{ComplaintEvent, ComplaintId, ComplaintKey, Event, Position},
    executor::{CommandError, Wait},
    projections::complaints,
    protocol::{
        complaints::{
            ComplaintNumber, ComplaintObject, CreateComplaint, OfComplaint, UpdateComplaint, told,
        },
        refusals::complaints as refused,
        reply::TextReply,
    },
    state::{App, Readers},
};

type Request<R> = Result<Params<R>, ApiError>;
type Answer<T> = Result<TextReply<T>, TextReplyError>;

pub(super) fn routes() -> Vec<Route> {
    vec![
        post(42, "/api/chat/complaint/create", create, "Complain")
            .tells(told::CREATED)
            .refuses(&[refused::INCOMPLETE, refused::TOO_MANY]),
        get(42, "/api/chat/complaint/list", list, "My complaints").tells(told::FETCHED),
        get(42, "/api/chat/complaint/detail/{id}", detail, "One of my complaints")
            .tells(told::FETCHED)
            .refuses(&[refused::UNKNOWN]),
        post(42, "/api/chat/complaint/update/{id}", update, "Complain in other words")
            .about("As long as nobody has dealt with it. Whom it is about stays.")
            .tells(told::UPDATED)
            .refuses(&[refused::INCOMPLETE, refused::UNKNOWN, refused::CLOSED]),
        post(42, "/api/chat/complaint/delete/{id}", delete, "Take a complaint back")
            .tells(told::DELETED)
            .refuses(&[refused::UNKNOWN, refused::CLOSED]),
    ]
}

/// Complain
async fn create(
    State(app): State<App>,
    caller: AuthenticatedUser,
    request: Request<CreateComplaint>,
) -> Answer<ComplaintNumber> {
    let Params(request) = request?;
    let (target, statement) = request.into_parts();
    // Those on their way are not counted; it is a limit, not a promise.
    let me = caller.account.id;
    if complaints::count_of(&app.executor.pool, me).await? >= app.config.limits.complaints {
        return Err(ApiError::rule(refused::TOO_MANY).into());
    }
    let key = ComplaintKey(clock::random_id());
    let file = ComplaintCommand::File { by: me, target, statement, at: clock::now() };
    let filed = execute(&app, &caller, key, &file).await?;
    Ok(TextReply::new(told::CREATED, ComplaintNumber { id: ComplaintId::made_at(filed) }))
}

/// My complaints
async fn list(
    State(readers): State<Readers>,
    caller: AuthenticatedUser,
) -> Answer<Vec<ComplaintObject>> {
    let complaints = complaints::complaints_of(readers.pool(), caller.account.id).await?;
    Ok(TextReply::new(told::FETCHED, complaints.iter().map(ComplaintObject::of).collect()))
}

/// One of them
async fn detail(
    State(readers): State<Readers>,
    caller: AuthenticatedUser,
    request: Request<OfComplaint>,
) -> Answer<ComplaintObject> {
    let Params(OfComplaint { id }) = request?;
    let key = key_of(&readers, id).await?;
    let found = readers.state::<Complaint>(key).await?;
    match &*found {
        Complaint::Filed(filed) if filed.by == caller.account.id => {
            Ok(TextReply::new(told::FETCHED, ComplaintObject::of(filed)))
        }
        _ => Err(unknown().into()),
    }
}

/// Say it in other words, as long as nobody has dealt with it. Whom it is about stays
async fn update(
    State(app): State<App>,
    caller: AuthenticatedUser,
    request: Request<UpdateComplaint>,
) -> Answer<ComplaintNumber> {
    let Params(request) = request?;
    let id = request.id;
    let revision = request.into_revision();
    if revision == Revision::default() {
        return Err(ApiError::rule(refused::INCOMPLETE).into());
    }
    let key = key_of(&app.readers(), id).await?;
    let revise = ComplaintCommand::Revise { by: caller.account.id, revision, at: clock::now() };
    execute(&app, &caller, key, &revise).await?;
    Ok(TextReply::new(told::UPDATED, ComplaintNumber { id }))
}

/// Take it back
async fn delete(
    State(app): State<App>,
    caller: AuthenticatedUser,
    request: Request<OfComplaint>,
) -> Answer<ComplaintNumber> {
    let Params(OfComplaint { id }) = request?;
    let key = key_of(&app.readers(), id).await?;
    let withdraw = ComplaintCommand::Withdraw { by: caller.account.id, at: clock::now() };
    execute(&app, &caller, key, &withdraw).await?;
    Ok(TextReply::new(told::DELETED, ComplaintNumber { id }))
}

fn unknown() -> ApiError {
    ComplaintRejection::Unknown.into()
}

/// The complaint that clients know by this id, whosever it is.
async fn key_of(readers: &Readers, id: ComplaintId) -> Result<ComplaintKey, ApiError> {
    let filed = readers.made(id.0).await?;
    match filed.map(|recorded| recorded.event) {
        Some(Event::Complaint(key, ComplaintEvent::Filed { .. })) => Ok(key),
        _ => Err(unknown()),
    }
}

async fn execute(
    app: &App,
    caller: &AuthenticatedUser,
    key: ComplaintKey,
    command: &ComplaintCommand,
) -> Result<Position, CommandError<ComplaintRejection>> {
    let done = app
        .executor
        .execute::<Complaint>(key, command, caller.authority(), Wait::Everywhere)
        .await?;
    Ok(done.position)
}
