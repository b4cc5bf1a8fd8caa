//! Groups with their rosters (rest.md §23), of which a page is in memory at a time, however many members there are.

use std::{collections::HashMap, sync::Arc};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt as _, stream};
use schemars::SchemaGenerator;
use sqlx::PgPool;
use tracing::{Span, error};

use super::{
    error::ApiError,
    middleware::auth::AuthenticatedUser,
    params::Params,
    reply::JSON,
    route::{self, Answers, Route, get},
};
use crate::{
    commands::group::{ActiveGroup, Group, Member},
    events::{MembershipId, UserId},
    projections::user_directory::{self, RosterUser},
    protocol::{
        groups::{GroupWith, MemberAccount, Membership, OfGroup},
        refusals::groups as refused,
        reply::Reply,
    },
    state::Readers,
};

/// Members of one page.
const PAGE: usize = 500;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get(23, "/api/chat/groupinfo/{id}", info, "A group with its roster")
            .for_guests()
            .refuses(&[refused::UNAVAILABLE]),
    ]
}

/// A group with its roster, in pages.
struct GroupWithRoster(Response);

impl IntoResponse for GroupWithRoster {
    fn into_response(self) -> Response {
        self.0
    }
}

impl Answers for GroupWithRoster {
    fn answer(generator: &mut SchemaGenerator) -> route::ReplyShape {
        Reply::<GroupWith<Membership<'static>>>::answer(generator)
    }
}

/// A group with its roster (§23)
async fn info(
    State(readers): State<Readers>,
    _caller: AuthenticatedUser,
    Params(OfGroup { group: id }): Params<OfGroup>,
) -> Result<GroupWithRoster, ApiError> {
    let group = readers.state::<Group>(id).await?;
    let (head, tail) = {
        let active = group.active().ok_or_else(|| ApiError::rule(refused::UNAVAILABLE))?;
        around(active)
    };
    // The group stays what it is now to the end, however slowly it is read: its state is shared.
    let mut roster = Roster { pool: readers.pool().clone(), group, last: None, begun: false };
    let first = roster.page().await?;
    if roster.is_at_end() {
        return Ok(answer(Body::from([head, first, tail].concat())));
    }
    let request = Span::current();
    let rest = stream::try_unfold((roster, request), async |(mut roster, request)| {
        if roster.is_at_end() {
            return Ok(None);
        }
        let page = roster.page().await;
        // The answer has begun: all that is left is to break it off.
        let page = page.inspect_err(|error| {
            error!(parent: &request, %error, "a roster was broken off");
        })?;
        Ok::<_, sqlx::Error>(Some((page, (roster, request))))
    });
    let begin = stream::iter([head, first].map(Ok));
    Ok(answer(Body::from_stream(begin.chain(rest).chain(stream::iter([Ok(tail)])))))
}

fn answer(body: Body) -> GroupWithRoster {
    GroupWithRoster(([(header::CONTENT_TYPE, JSON)], body).into_response())
}

/// The answer before the first membership, and after the last.
fn around(group: &ActiveGroup) -> (Bytes, Bytes) {
    const TAIL: &str = "]}}";
    let mut text = Reply::of(GroupWith::<Membership<'_>>::of(&group.row, Vec::new())).json();
    assert!(text.ends_with(TAIL.as_bytes()), "the roster is the last column");
    let tail = text.split_off(text.len() - TAIL.len());
    (text.into(), tail.into())
}

/// A roster that is being read.
struct Roster {
    pool: PgPool,
    group: Arc<Group>,
    /// The last membership that was looked at.
    last: Option<MembershipId>,
    /// Does a membership come before the next one?
    begun: bool,
}

impl Roster {
    /// The memberships of the next page, separated by commas. The database is asked for no longer than that takes,
    /// however slow the client is.
    async fn page(&mut self) -> sqlx::Result<Bytes> {
        let Some(group) = self.group.active() else { return Ok(Bytes::new()) };
        let members: Vec<&Member> = group.members_after(self.last).take(PAGE).collect();
        let ids: Vec<UserId> = members.iter().map(|member| member.user).collect();
        let users = user_directory::roster_users(&self.pool, &ids).await?;
        let users: HashMap<UserId, RosterUser> =
            users.into_iter().map(|user| (user.id, user)).collect();
        let mut text = Vec::new();
        for member in &members {
            let Some(user) = users.get(&member.user) else { continue };
            if self.begun {
                text.push(b',');
            }
            let row = Membership::of(group.row.id, member, account(user));
            serde_json::to_writer(&mut text, &row).expect("plain data, into memory");
            self.begun = true;
        }
        self.last = members.last().map(|member| member.id).or(self.last);
        Ok(text.into())
    }

    fn is_at_end(&self) -> bool {
        self.group.active().is_none_or(|group| group.members_after(self.last).next().is_none())
    }
}

fn account(user: &RosterUser) -> MemberAccount<'_> {
    MemberAccount {
        id: user.id,
        username: &user.username,
        avatar: &user.avatar,
        nickname: &user.nickname,
        role: &user.role,
        uuid: user.uuid,
    }
}
