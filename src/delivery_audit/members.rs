//! The members of a group when a message was accepted: who they are now, with what has changed since undone; or, where
//! that does not tell, folded from the beginning.

use std::collections::BTreeSet;

use sqlx::PgPool;

use super::{AuditError, verdict::Reason};
use crate::{
    adapters::nats::{event_log::EventLog, log_error::LogError},
    commands::group::{ActiveGroup, Group},
    events::{Event, GroupEvent, GroupId, Position, Recorded, Subject, UserId},
    executor::inspection::state_at,
    projections::group_roster,
};

/// Who was in a group at a position.
pub(super) async fn at(
    log: &EventLog,
    pool: &PgPool,
    group: GroupId,
    position: Position,
) -> Result<BTreeSet<UserId>, AuditError> {
    let now = async { Ok::<_, AuditError>(group_roster::load(pool, group).await?) };
    let last = async { Ok(log.last_of(Subject::Group(group)).await?) };
    let ((now, version), last) = tokio::try_join!(now, last)?;
    if let (Some(now), true) = (now.active(), version == last) {
        let members = now.members().map(|member| member.user).collect();
        let from = Position(position.0 + 1);
        let later = log.few_between(Subject::Group(group), (from, last)).await?;
        if let Some(members) = undo(members, &later) {
            return Ok(members);
        }
    }
    let then: Group = state_at(log, group, position).await?;
    let members = then.active().into_iter().flat_map(ActiveGroup::members);
    Ok(members.map(|member| member.user).collect())
}

/// Members without what has happened since. `None` if that does not tell: who left or was removed may have been a member or
/// one who waited, and a group that is no more has lost all.
fn undo(mut members: BTreeSet<UserId>, later: &[Recorded<Event>]) -> Option<BTreeSet<UserId>> {
    for recorded in later.iter().rev() {
        let Event::Group(_, event) = &recorded.event else { continue };
        match event {
            GroupEvent::Joined { entry, .. } => _ = members.remove(&entry.user.id),
            GroupEvent::Approved { user, .. } => _ = members.remove(&user.id),
            GroupEvent::Created { .. }
            | GroupEvent::Left { .. }
            | GroupEvent::MemberRemoved { .. }
            | GroupEvent::Dissolved { .. } => return None,
            GroupEvent::Renamed { .. }
            | GroupEvent::Announced { .. }
            | GroupEvent::PolicySet { .. }
            | GroupEvent::Applied { .. }
            | GroupEvent::Refused { .. }
            | GroupEvent::NicknameSet { .. } => {}
        }
    }
    Some(members)
}

/// Why somebody was no member at a position: they had left, or had never been one.
pub(super) async fn why_not(
    log: &EventLog,
    group: GroupId,
    user: UserId,
    position: Position,
) -> Result<Reason, LogError> {
    let (mut folded, mut was_member) = (Group::default(), false);
    for recorded in log.events_until(Subject::Group(group), position).await? {
        if let Event::Group(_, event) = &recorded.event {
            folded.evolve(recorded.position, event);
            was_member |= folded.active().is_some_and(|group| group.member(user).is_some());
        }
    }
    Ok(if was_member { Reason::LeftBefore } else { Reason::NotAMember })
}
