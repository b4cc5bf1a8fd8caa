//! `/explain` of the admin listener: why somebody got a message, or did not. Numbers only: names are nobody's business
//! here.

use axum::{
    Json,
    extract::{Path, RawQuery, State},
    http::StatusCode,
};
use uuid::Uuid;

use super::{inspection::Query, problem::Problem};
use crate::{
    delivery_audit::{AuditError, DeliveryAudit, Explanation, RECIPIENTS, SendJudgement},
    events::{MessageId, UserId},
    executor::inspection::Inspection,
};

/// What became of a message, for one recipient or for all.
pub(super) async fn explain(
    State(audit): State<Option<DeliveryAudit>>,
    Path(message): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Explanation>, Problem> {
    let message: Uuid = message.parse().map_err(|_| {
        Problem::bad_request("a message is named by the `id` that clients get, a UUID")
    })?;
    let query = Query::read(query, &["user", "limit"])?;
    let (user, limit) = (user(&query, "user")?, query.limit(RECIPIENTS)?);
    let audit = audit.ok_or_else(|| Problem::unavailable("the start is under way"))?;
    Ok(Json(audit.explain(MessageId(message), user, limit).await?))
}

/// Whether a message of one person to another would be refused, and why, now or at another moment.
pub(super) async fn judge_send(
    State(audit): State<Option<DeliveryAudit>>,
    State(inspection): State<Option<Inspection>>,
    RawQuery(query): RawQuery,
) -> Result<Json<SendJudgement>, Problem> {
    let query = Query::read(query, &["from", "user", "at"])?;
    let (from, user, at) = (user(&query, "from")?, user(&query, "user")?, query.moment("at")?);
    let pair = from.zip(user).ok_or_else(|| Problem::bad_request("name `from` and `user`"))?;
    let opened = audit.zip(inspection);
    let (audit, inspection) =
        opened.ok_or_else(|| Problem::unavailable("the start is under way"))?;
    let as_of = inspection.position(at).await?;
    Ok(Json(audit.judge_send(pair, as_of).await?))
}

fn user(query: &Query, name: &str) -> Result<Option<UserId>, Problem> {
    let Some(user) = query.get(name) else { return Ok(None) };
    let id = user.parse().ok().filter(|id: &i64| *id > 0);
    id.map(|id| Some(UserId(id))).ok_or_else(|| Problem::bad_request("a user is one number"))
}

impl From<AuditError> for Problem {
    fn from(error: AuditError) -> Self {
        let status = match error {
            AuditError::UnknownMessage(_) | AuditError::UnknownUser(_) => StatusCode::NOT_FOUND,
            AuditError::Log(_) | AuditError::ReadModels(_) | AuditError::Queue(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        Self::new(status, error.to_string())
    }
}
