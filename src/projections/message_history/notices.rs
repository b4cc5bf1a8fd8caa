//! Notices: what is shown of events that are no messages.

use sqlx::PgConnection;

use super::groups::Groups;
use crate::{
    events::{GroupEvent, GroupId, Position, UserId},
    projections::{
        StoreError,
        engine::postgres::{column, number},
    },
    protocol::group_notices::{self, Notice, NoticeAudience},
};

/// What is shown of an event that is no message.
pub(super) struct HistoryNotice {
    pub(super) at: Position,
    pub(super) audience: Audience,
    pub(super) object: String,
}

/// To whom.
#[derive(Clone, Copy)]
pub(super) enum Audience {
    User(UserId),
    /// Everybody in the group, and of a dissolved one also those who waited.
    All(GroupId),
}

impl HistoryNotice {
    /// Takes in what happened to a group, and tells what is shown of it.
    pub(super) fn in_group(
        groups: &mut Groups,
        id: GroupId,
        event: &GroupEvent,
        at: Position,
    ) -> Option<Self> {
        let is_over = matches!(event, GroupEvent::Dissolved { .. });
        if !is_over {
            groups.apply(id, at, event);
        }
        let notice = groups.get(id).and_then(|group| group_notices::of(event, group));
        if is_over {
            groups.apply(id, at, event);
        }
        let Notice { audience, object } = notice?;
        let audience = match audience {
            NoticeAudience::Owner(owner) => Audience::User(owner),
            NoticeAudience::Members | NoticeAudience::MembersAndApplicants => Audience::All(id),
        };
        Some(Self { at, audience, object })
    }
}

impl Audience {
    /// `recipient` and `group_id`.
    fn columns(self) -> (i64, Option<i64>) {
        match self {
            Self::User(user) => (user.0, None),
            Self::All(group) => (0, Some(group.0)),
        }
    }
}

/// Writes them.
pub(super) async fn insert(
    tx: &mut PgConnection,
    notices: Vec<HistoryNotice>,
) -> Result<(), StoreError> {
    if notices.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into notices (position, recipient, group_id, object)
         select position, recipient, group_id, object
         from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[])
             as new (position, recipient, group_id, object)",
        &column(&notices, |notice| number(notice.at)),
        &column(&notices, |notice| notice.audience.columns().0),
        &column(&notices, |notice| notice.audience.columns().1) as &[Option<i64>],
        &column(&notices, |notice| notice.object.clone()),
    )
    .execute(tx)
    .await?;
    Ok(())
}
