//! Changes of groups: the accounts that the rules ask about are loaded, and the answer is awaited.

use futures_util::future::try_join_all;

use super::{
    CommandError, Executed, Executor, Wait,
    action::{Action, Judgement},
    aggregates::Aggregate as _,
    authority::Authority,
};
use crate::{
    adapters::{id_allocation::Sequence, nats::log_error::LogError},
    clock,
    commands::{
        group::{
            Group,
            command::{GroupAction, GroupCommand, GroupRejection, PICTURES, People, ROSTER},
        },
        user::{Account, User},
    },
    events::{GroupEvent, GroupId, MessageId, Subject, UserId},
};

type Result<T> = std::result::Result<T, CommandError<GroupRejection>>;

/// Who changes a group, and what notices need beside that.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// Who asks.
    pub by: &'a Account,
    /// The picture beside notices that are from nobody.
    pub icon: &'a str,
    /// On whose behalf.
    pub authority: Authority<'a>,
}

/// Makes a group of the caller and `friends`, in this order.
///
/// # Errors
/// The log or the database says no.
pub async fn create(executor: &Executor, change: Change<'_>, friends: &[UserId]) -> Result<()> {
    let members: Vec<UserId> =
        std::iter::once(change.by.id).chain(friends.iter().copied()).collect();
    let mut refused = 0;
    loop {
        let id = GroupId(Sequence::Groups.allocate(&executor.pool, refused).await?);
        let (uuid, members) = (clock::random_id(), members.clone());
        match run(executor, change, id, GroupAction::Create { id, uuid, members }).await {
            Err(CommandError::Rejected(GroupRejection::IdTaken)) => refused += 1,
            done => return done.map(|_| ()),
        }
    }
}

/// Brings somebody into a group, or the caller themselves. Says whether they are in.
///
/// # Errors
/// The rules of rest.md §29, or the log.
pub async fn join(
    executor: &Executor,
    change: Change<'_>,
    group: GroupId,
    (user, inviter): (UserId, Option<UserId>),
    text: &str,
    most: usize,
) -> Result<bool> {
    let action = GroupAction::Join { user, inviter, text: text.to_owned(), most };
    let done = run(executor, change, group, action).await?;
    if let Some(event) = done.event {
        return Ok(matches!(event, GroupEvent::Joined { .. }));
    }
    let now = executor.state::<Group>(group).await?.state;
    Ok(now.active().is_some_and(|group| group.member(user).is_some()))
}

/// Does something to a group, and waits until everybody sees it.
///
/// # Errors
/// A rule or the log says no.
pub async fn run(
    executor: &Executor,
    change: Change<'_>,
    id: GroupId,
    action: GroupAction,
) -> Result<Executed<Group>> {
    let command = GroupCommand {
        by: change.by.id,
        at: clock::now(),
        notice: MessageId(clock::random_id()),
        icon: change.icon.to_owned(),
        people: People::default(),
        action,
    };
    let on_group = OnGroup { id, command };
    let done = executor.run(on_group, change.authority, Wait::Everywhere).await?;
    let position = done.position;
    Ok(Executed { event: done.event(), position })
}

/// What is done to a group: the accounts that its rules ask about are loaded anew for each attempt, for they depend on
/// who is in it.
struct OnGroup {
    id: GroupId,
    command: GroupCommand,
}

impl Action for OnGroup {
    type Outcome = ();
    type Rejection = GroupRejection;
    const PROJECTIONS: &'static [&'static str] = Group::PROJECTIONS;

    fn contention_subject(&self) -> Subject {
        Group::subject(self.id)
    }

    async fn judge(&mut self, executor: &Executor) -> Result<Judgement<Self>> {
        let group = executor.state::<Group>(self.id).await?;
        let asked = asked_about(&group.state, self.command.by, &self.command.action);
        self.command.people = people(executor, asked).await?;
        let decided = group.decide(self.id, &self.command).map_err(CommandError::Rejected)?;
        Ok(Judgement { outcome: (), decided })
    }
}

/// Whose accounts the rules may ask for: of who is shown in the group's picture, and of who is told
/// of in a notice.
fn asked_about(group: &Group, by: UserId, action: &GroupAction) -> Vec<UserId> {
    let mut users = vec![by];
    match action {
        GroupAction::Create { members, .. } => users.extend(members),
        GroupAction::Join { user, .. } | GroupAction::Approve(user) => users.push(*user),
        GroupAction::Remove(_)
        | GroupAction::Expel(_)
        | GroupAction::Leave
        | GroupAction::Dissolve => {}
        GroupAction::Rename(_)
        | GroupAction::Announce(_)
        | GroupAction::SetPolicy(_)
        | GroupAction::Refuse(_)
        | GroupAction::SetNickname(_) => return users,
    }
    if let Some(group) = group.active() {
        users.push(group.row.owner);
        let few = group.count() <= ROSTER + 1; // one may leave
        let members = group.members().map(|member| member.user);
        users.extend(members.take(if few { ROSTER + 1 } else { PICTURES + 1 }));
    }
    users.sort_unstable();
    users.dedup();
    users
}

async fn people(executor: &Executor, users: Vec<UserId>) -> std::result::Result<People, LogError> {
    let states = users
        .into_iter()
        .map(async |user| Ok::<_, LogError>((user, executor.state::<User>(user).await?.state)));
    Ok(try_join_all(states).await?.into_iter().collect())
}
