//! `/state` and `/history` of the admin listener: aggregates as they were, and what happened to them, without content.

use axum::{
    Json,
    extract::{Path, RawQuery, State},
    http::StatusCode,
};

use super::problem::Problem;
use crate::{
    events::Position,
    executor::inspection::{
        AggregateName, Content, HistoryPage, Inspection, InspectionError, Kind, Moment, PAGE,
        StateAt,
    },
};

type Answer<T> = Result<Json<T>, Problem>;

/// What there is once the start has come to its end.
type Opened = Option<Inspection>;

/// An aggregate as of a moment, or as it is.
pub(super) async fn state(
    State(inspection): State<Opened>,
    Path((kind, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Answer<StateAt> {
    let (name, query) = (named(&kind, &id)?, Query::read(query, &["at"])?);
    let inspection = opened(inspection)?;
    let at = inspection.position(query.moment("at")?).await?;
    Ok(Json(inspection.state(name, at, Content::Hidden).await?))
}

/// What happened to an aggregate, a page at a time.
pub(super) async fn history(
    State(inspection): State<Opened>,
    Path((kind, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Answer<HistoryPage> {
    let (name, query) = (named(&kind, &id)?, Query::read(query, &["from", "to", "limit"])?);
    let limit = query.limit(PAGE)?;
    let inspection = opened(inspection)?;
    let from = match query.moment("from")? {
        None => Position(1),
        from => inspection.position(from).await?,
    };
    let to = inspection.position(query.moment("to")?).await?;
    Ok(Json(inspection.history(name, (from, to), limit, Content::Hidden).await?))
}

fn named(kind: &str, id: &str) -> Result<AggregateName, Problem> {
    let name = Kind::parse(kind).and_then(|kind| AggregateName::parse(kind, id));
    name.map_err(|error| Problem::bad_request(error.to_string()))
}

fn opened(inspection: Opened) -> Result<Inspection, Problem> {
    inspection.ok_or_else(|| Problem::unavailable("the start is under way"))
}

/// The parameters of a question.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn read(query: Option<String>, known: &[&str]) -> Result<Self, Problem> {
        let query = query.unwrap_or_default();
        let pairs = form_urlencoded::parse(query.as_bytes()).into_owned().collect::<Vec<_>>();
        for (name, _) in &pairs {
            if name == "content" {
                let why = "content is shown by `hongyan state` and `hongyan history` with --content, which say who looks";
                return Err(Problem::new(StatusCode::FORBIDDEN, why));
            }
            if !known.contains(&name.as_str()) {
                let known = known.join("`, `");
                return Err(Problem::bad_request(format!("the parameters are `{known}`")));
            }
        }
        Ok(Self(pairs))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn moment(&self, name: &str) -> Result<Option<Moment>, Problem> {
        let moment = self.get(name).map(str::parse::<Moment>).transpose();
        moment.map_err(|error| Problem::bad_request(error.to_string()))
    }

    /// So many at most.
    pub(super) fn limit(&self, most: usize) -> Result<usize, Problem> {
        let Some(limit) = self.get("limit") else { return Ok(100) };
        let limit = limit.parse().ok().filter(|limit| (1..=most).contains(limit));
        limit.ok_or_else(|| Problem::bad_request(format!("a limit is 1 to {most}")))
    }
}

impl From<InspectionError> for Problem {
    fn from(error: InspectionError) -> Self {
        let status = match error {
            InspectionError::Unknown(..) => StatusCode::NOT_FOUND,
            InspectionError::BeyondEnd(_) => StatusCode::BAD_REQUEST,
            InspectionError::Log(_) | InspectionError::ReadModels(_) | InspectionError::Lags(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        Self::new(status, error.to_string())
    }
}
