//! The applier of a batch: what its events do to queues, timelines and undelivered sets, one after the other.

use std::sync::Arc;

use super::{
    Bounds, PushEffect,
    cursors::QueueCursors,
    members::{GroupMembers, LastFanout},
    store,
    undelivered::UndeliveredSets,
};
use crate::{
    adapters::nats::push::{GroupPush, QueuePush},
    adapters::redis::keys::SHARED,
    events::{
        DeliveryEvent, Event, GroupChatEvent, GroupEvent, GroupId, Position, Recorded, UserId,
    },
    projections::{StoreError, engine::redis::RedisTx},
    protocol::{
        group_notices::{self, Notice, NoticeAudience},
        message_object::{MessageObject, revoked_text_in_group},
        user_notices,
    },
};

/// What a batch does.
pub(super) struct BatchApplier<'a> {
    pub(super) tx: &'a mut RedisTx,
    pub(super) bounds: Bounds,
    pub(super) groups: GroupMembers,
    pub(super) cursors: QueueCursors,
    pub(super) undelivered: UndeliveredSets,
    /// The last event that changed who receives: a connection, or a membership.
    pub(super) audience_version: Position,
    pub(super) effects: Vec<PushEffect>,
}

impl BatchApplier<'_> {
    pub(super) async fn apply(&mut self, recorded: &Recorded<Event>) -> Result<(), StoreError> {
        let at = recorded.position;
        match &recorded.event {
            Event::Session(user, event) => {
                self.audience_version = at;
                self.cursors.apply(*user, event, at);
            }
            Event::Delivery(_, DeliveryEvent::Written { users, groups }) => {
                for delivered in users {
                    store::acknowledge(self.tx, delivered.user, &delivered.ranges);
                }
                for delivered in groups {
                    let users = || delivered.users.iter().copied();
                    self.undelivered.load(self.tx, delivered.group, users()).await?;
                    for user in users() {
                        self.undelivered.receive(delivered.group, user, &delivered.ranges);
                    }
                }
            }
            Event::Group(id, event) => {
                self.audience_version = at;
                self.apply_group(*id, event, recorded).await?;
            }
            Event::GroupChat(_, GroupChatEvent::Sent(sent)) => {
                let Some(group) = self.groups.get(sent.to.id) else { return Ok(()) };
                // On a replicated log nothing guards a message by its group (ADR 0021).
                if group.member(sent.from.id).is_none() {
                    return Ok(());
                }
                let object = MessageObject::group_chat(sent, Some(group)).json();
                self.fan_out(sent.to.id, Some(sent.from.id), &[], object, at).await?;
            }
            Event::GroupChat(_, GroupChatEvent::Revoked(revocation)) => {
                let text = revoked_text_in_group(revocation);
                let object = MessageObject::revoked_in_group(revocation, &text).json();
                self.fan_out(revocation.to.id, None, &[], object, at).await?;
            }
            _ => {
                for (user, object) in user_notices::of(recorded) {
                    self.enqueue(&[user], None, object, at).await?;
                }
            }
        }
        Ok(())
    }

    async fn apply_group(
        &mut self,
        id: GroupId,
        event: &GroupEvent,
        recorded: &Recorded<Event>,
    ) -> Result<(), StoreError> {
        let at = recorded.position;
        let was_large = self.groups.get(id).is_some_and(|group| group.count() > self.bounds.large);
        self.groups.apply(id, at, event);
        let Some(group) = self.groups.get(id) else { return Ok(()) };
        let notice = group_notices::of(event, group);
        let members = || group.members().map(|member| member.user).collect::<Vec<_>>();
        let is_large = group.count() > self.bounds.large;
        let over = matches!(event, GroupEvent::Dissolved { .. });
        let (comes, goes) = match event {
            GroupEvent::Joined { entry, .. } => (vec![entry.user.id], Vec::new()),
            GroupEvent::Approved { user, .. } => (vec![user.id], Vec::new()),
            GroupEvent::Left { by, .. } => (Vec::new(), vec![by.id]),
            GroupEvent::MemberRemoved { user, .. } => (Vec::new(), vec![*user]),
            GroupEvent::Dissolved { .. } => (Vec::new(), members()),
            GroupEvent::Created { .. }
            | GroupEvent::Renamed { .. }
            | GroupEvent::Announced { .. }
            | GroupEvent::PolicySet { .. }
            | GroupEvent::Applied { .. }
            | GroupEvent::Refused { .. }
            | GroupEvent::NicknameSet { .. } => (Vec::new(), Vec::new()),
        };
        let beginning = match (was_large, is_large) {
            (_, false) => Vec::new(),
            (false, true) => members(),
            (true, true) => comes,
        };
        let mut ending = goes;
        let shrinks = was_large && !is_large;
        if shrinks {
            ending.extend(members());
        }
        let everybody = group.memberships().map(|member| member.user);
        let applicants: Vec<UserId> =
            everybody.filter(|user| over && group.member(*user).is_none()).collect();
        self.open_undelivered(id, &beginning, at).await?;
        if let Some(Notice { audience, object }) = notice {
            match audience {
                NoticeAudience::Owner(owner) => {
                    self.enqueue(&[owner], Some(id), object, at).await?;
                }
                NoticeAudience::Members => self.fan_out(id, None, &[], object, at).await?,
                NoticeAudience::MembersAndApplicants => {
                    self.fan_out(id, None, &applicants, object, at).await?;
                }
            }
        }
        self.close_undelivered(id, &ending).await?;
        let timeline = self.groups.timeline(id).filter(|_| shrinks || over);
        if let Some(timeline) = timeline {
            // What somebody has yet to receive of it is in `message_history`.
            store::drop_timeline(self.tx, id, Some(timeline.last).filter(|_| !over));
        }
        if over {
            self.groups.end(id, at, event);
        }
        Ok(())
    }

    /// From now on what is said to all is for these as well.
    async fn open_undelivered(
        &mut self,
        id: GroupId,
        users: &[UserId],
        at: Position,
    ) -> Result<(), StoreError> {
        if users.is_empty() {
            return Ok(());
        }
        self.groups.begin_timeline(id);
        self.undelivered.load(self.tx, id, users.iter().copied()).await?;
        let new = users.iter().filter(|user| self.undelivered.open(id, **user, at.0));
        let new: Vec<UserId> = new.copied().collect();
        // An entry without a message: their connections refetch, and find the undelivered set.
        self.cursors.load(self.tx, new.iter().copied()).await?;
        for user in new {
            let given = self.cursors.allocate(user);
            let place = (user, given.number);
            store::enqueue(self.tx, self.bounds.quota, place, at, ("", 0));
            let Some(connection) = given.connection else { continue };
            let push = QueuePush { user, number: given.number, position: at, connection };
            self.effects.push(PushEffect::Queue(push, None));
        }
        Ok(())
    }

    /// What is said after this is not for these any more.
    async fn close_undelivered(&mut self, id: GroupId, users: &[UserId]) -> Result<(), StoreError> {
        let Some(last) = self.groups.timeline(id).map(|timeline| timeline.last) else {
            return Ok(());
        };
        self.undelivered.load(self.tx, id, users.iter().copied()).await?;
        for user in users {
            self.undelivered.close(id, *user, last);
        }
        Ok(())
    }

    /// Something for all members but its author, and for some who are none.
    async fn fan_out(
        &mut self,
        id: GroupId,
        author: Option<UserId>,
        others: &[UserId],
        object: String,
        at: Position,
    ) -> Result<(), StoreError> {
        let Some(group) = self.groups.get(id) else { return Ok(()) };
        if group.count() > self.bounds.large {
            self.enqueue(others, Some(id), object.clone(), at).await?;
            self.append_to_timeline(id, author, object, at);
            return Ok(());
        }
        let members = group.members().map(|member| member.user);
        let members = members.filter(|user| Some(*user) != author);
        let users: Vec<UserId> = members.chain(others.iter().copied()).collect();
        self.enqueue(&users, Some(id), object, at).await?;
        if let Some(timeline) = self.groups.timeline(id) {
            timeline.last_fanout = match (timeline.last_fanout, author) {
                (LastFanout::OnRead, Some(author)) => LastFanout::OnWriteExcept(author),
                (LastFanout::OnWriteExcept(other), Some(author)) if other == author => {
                    timeline.last_fanout
                }
                _ => LastFanout::OnWrite,
            };
        }
        Ok(())
    }

    fn append_to_timeline(
        &mut self,
        id: GroupId,
        author: Option<UserId>,
        object: String,
        at: Position,
    ) {
        let timeline = self.groups.begin_timeline(id);
        let (after, must_refetch) = (timeline.last, timeline.last_fanout != LastFanout::OnRead);
        (timeline.last, timeline.last_fanout) = (at.0, LastFanout::OnRead);
        let place = (id, at);
        store::append_to_timeline(self.tx, self.bounds.quota, place, (after, author), &object);
        let said = GroupPush {
            group: id,
            position: at,
            after,
            author,
            audience_version: self.audience_version,
        };
        self.effects.push(PushEffect::Timeline(said, (!must_refetch).then(|| object.into())));
    }

    /// Something for the queues of some; `of` is the group that it belongs to.
    async fn enqueue(
        &mut self,
        users: &[UserId],
        of: Option<GroupId>,
        object: String,
        at: Position,
    ) -> Result<(), StoreError> {
        self.cursors.load(self.tx, users.iter().copied()).await?;
        let last_fanout =
            of.and_then(|id| self.groups.timeline(id)).map(|timeline| timeline.last_fanout);
        let object: Arc<str> = object.into();
        let is_shared = users.len() > 1;
        if is_shared {
            store::share(self.tx, at, &object, users.len());
        }
        let stored = (if is_shared { SHARED } else { &*object }, object.len());
        for &user in users {
            let given = self.cursors.allocate(user);
            let place = (user, given.number);
            store::enqueue(self.tx, self.bounds.quota, place, at, stored);
            let Some(connection) = given.connection else { continue };
            // The connection may have yet to hear of what is in the timeline.
            let must_refetch = match last_fanout {
                None | Some(LastFanout::OnWrite) => false,
                Some(LastFanout::OnWriteExcept(other)) => other == user,
                Some(LastFanout::OnRead) => true,
            };
            let object = (!must_refetch).then(|| Arc::clone(&object));
            let push = QueuePush { user, number: given.number, position: at, connection };
            self.effects.push(PushEffect::Queue(push, object));
        }
        Ok(())
    }
}
