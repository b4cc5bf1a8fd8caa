//! What the events of a batch do to queues, timelines and lanes, one after the other.

use std::sync::Arc;

use super::{
    Bounds, Waiting,
    cursors::Heads,
    members::{Groups, Told},
    store::{self, SHARED},
    undelivered::Lanes,
};
use crate::{
    adapters::nats::push::SaidPush,
    events::{
        DeliveryEvent, Event, GroupChatEvent, GroupEvent, GroupId, Position, Recorded, Subject,
        UserId,
    },
    projections::{
        StoreError,
        engine::redis::RedisTx,
        group_notices,
        message_object::{MessageObject, revoked_text_in_group},
        user_objects,
    },
};

/// What a batch does.
pub(super) struct Work<'a> {
    pub(super) tx: &'a mut RedisTx,
    pub(super) bounds: Bounds,
    pub(super) groups: Groups,
    pub(super) heads: Heads,
    pub(super) lanes: Lanes,
    /// The last event that changed who receives: a socket, or a membership.
    pub(super) ruled: Position,
    pub(super) waiting: Vec<Waiting>,
}

impl Work<'_> {
    pub(super) async fn take(&mut self, recorded: &Recorded<Event>) -> Result<(), StoreError> {
        let at = recorded.position;
        match (&recorded.event, recorded.subject) {
            (Event::Session(event), Subject::Session(user)) => {
                self.ruled = at;
                self.heads.note(user, event, at);
            }
            (Event::Delivery(DeliveryEvent::Written { users, groups }), _) => {
                for delivered in users {
                    store::acknowledge(self.tx, delivered.user, &delivered.ranges);
                }
                for delivered in groups {
                    let users = || delivered.users.iter().copied();
                    self.lanes.load(self.tx, delivered.group, users()).await?;
                    for user in users() {
                        self.lanes.receive(delivered.group, user, &delivered.ranges);
                    }
                }
            }
            (Event::Group(event), Subject::Group(id)) => {
                self.ruled = at;
                self.take_group(id, event, recorded).await?;
            }
            (Event::GroupChat(GroupChatEvent::Sent(sent)), _) => {
                let Some(group) = self.groups.get(sent.to.id) else { return Ok(()) };
                // On a replicated log nothing guards a message by its group (ADR 0021).
                if group.member(sent.from.id).is_none() {
                    return Ok(());
                }
                let object = MessageObject::group_chat(sent, Some(group)).json();
                self.tell_all(sent.to.id, Some(sent.from.id), &[], object, at).await?;
            }
            (Event::GroupChat(GroupChatEvent::Revoked(revocation)), _) => {
                let text = revoked_text_in_group(revocation);
                let object = MessageObject::revoked_in_group(revocation, &text).json();
                self.tell_all(revocation.to.id, None, &[], object, at).await?;
            }
            _ => {
                for (user, object) in user_objects::of(recorded) {
                    self.queue(&[user], None, object, at).await?;
                }
            }
        }
        Ok(())
    }

    async fn take_group(
        &mut self,
        id: GroupId,
        event: &GroupEvent,
        recorded: &Recorded<Event>,
    ) -> Result<(), StoreError> {
        let at = recorded.position;
        let was_large = self.groups.get(id).is_some_and(|group| group.count() > self.bounds.large);
        self.groups.take(id, at, event);
        let Some(group) = self.groups.get(id) else { return Ok(()) };
        let notice = group_notices::of(event, group);
        let members = || group.members().map(|member| member.user).collect::<Vec<_>>();
        let is_large = group.count() > self.bounds.large;
        let over = matches!(event, GroupEvent::Dissolved { .. });
        let beginning = match event {
            _ if !is_large => Vec::new(),
            _ if !was_large => members(),
            GroupEvent::Joined { entry, .. } => vec![entry.user.id],
            GroupEvent::Approved { user, .. } => vec![user.id],
            _ => Vec::new(),
        };
        let mut ending = match event {
            GroupEvent::Left { by, .. } => vec![by.id],
            GroupEvent::MemberRemoved { user, .. } => vec![*user],
            GroupEvent::Dissolved { .. } => members(),
            _ => Vec::new(),
        };
        let shrinks = was_large && !is_large;
        if shrinks {
            ending.extend(members());
        }
        let mut hearers = Vec::new();
        if let Some((users, _)) = &notice {
            hearers.clone_from(users);
            hearers.retain(|user| !over || group.member(*user).is_none());
        }
        self.open_lanes(id, &beginning, at).await?;
        match (notice, event) {
            (Some((_, object)), GroupEvent::Applied { .. } | GroupEvent::Left { .. }) => {
                self.queue(&hearers, Some(id), object, at).await?;
            }
            (Some((_, object)), GroupEvent::Dissolved { .. }) => {
                self.tell_all(id, None, &hearers, object, at).await?;
            }
            (Some((_, object)), _) => self.tell_all(id, None, &[], object, at).await?,
            (None, _) => {}
        }
        self.close_lanes(id, &ending).await?;
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
    async fn open_lanes(
        &mut self,
        id: GroupId,
        users: &[UserId],
        at: Position,
    ) -> Result<(), StoreError> {
        if users.is_empty() {
            return Ok(());
        }
        self.groups.begin_timeline(id);
        self.lanes.load(self.tx, id, users.iter().copied()).await?;
        let new = users.iter().filter(|user| self.lanes.open(id, **user, at.0));
        let new: Vec<UserId> = new.copied().collect();
        // An entry without a message: their sockets look, and find the lane.
        self.heads.load(self.tx, new.iter().copied()).await?;
        for user in new {
            let given = self.heads.give(user);
            let place = (user, given.number);
            store::enqueue(self.tx, self.bounds.quota, place, at, ("", 0));
            self.waiting.extend(given.connection.map(|connection| Waiting::Queue {
                user,
                number: given.number,
                connection,
                object: None,
            }));
        }
        Ok(())
    }

    /// What is said after this is not for these any more.
    async fn close_lanes(&mut self, id: GroupId, users: &[UserId]) -> Result<(), StoreError> {
        let Some(last) = self.groups.timeline(id).map(|timeline| timeline.last) else {
            return Ok(());
        };
        self.lanes.load(self.tx, id, users.iter().copied()).await?;
        for user in users {
            self.lanes.close(id, *user, last);
        }
        Ok(())
    }

    /// Something for all members but its author, and for some who are none.
    async fn tell_all(
        &mut self,
        id: GroupId,
        author: Option<UserId>,
        others: &[UserId],
        object: String,
        at: Position,
    ) -> Result<(), StoreError> {
        let Some(group) = self.groups.get(id) else { return Ok(()) };
        if group.count() > self.bounds.large {
            self.queue(others, Some(id), object.clone(), at).await?;
            self.enter_timeline(id, author, object, at);
            return Ok(());
        }
        let members = group.members().map(|member| member.user);
        let members = members.filter(|user| Some(*user) != author);
        let users: Vec<UserId> = members.chain(others.iter().copied()).collect();
        self.queue(&users, Some(id), object, at).await?;
        if let Some(timeline) = self.groups.timeline(id) {
            timeline.told = match (timeline.told, author) {
                (Told::Timeline, Some(author)) => Told::QueuesBut(author),
                (Told::QueuesBut(other), Some(author)) if other == author => timeline.told,
                _ => Told::Queues,
            };
        }
        Ok(())
    }

    fn enter_timeline(
        &mut self,
        id: GroupId,
        author: Option<UserId>,
        object: String,
        at: Position,
    ) {
        let timeline = self.groups.begin_timeline(id);
        let (after, look) = (timeline.last, timeline.told != Told::Timeline);
        (timeline.last, timeline.told) = (at.0, Told::Timeline);
        let place = (id, at);
        store::append_to_timeline(self.tx, self.bounds.quota, place, (after, author), &object);
        let said = SaidPush { group: id, position: at, after, author, ruled: self.ruled };
        self.waiting.push(Waiting::Timeline(said, (!look).then(|| object.into())));
    }

    /// Something for the queues of some; `of` is the group that it belongs to.
    async fn queue(
        &mut self,
        users: &[UserId],
        of: Option<GroupId>,
        object: String,
        at: Position,
    ) -> Result<(), StoreError> {
        self.heads.load(self.tx, users.iter().copied()).await?;
        let told = of.and_then(|id| self.groups.timeline(id)).map(|timeline| timeline.told);
        let object: Arc<str> = object.into();
        let is_shared = users.len() > 1;
        if is_shared {
            store::share(self.tx, at, &object, users.len());
        }
        let stored = (if is_shared { SHARED } else { &*object }, object.len());
        for &user in users {
            let given = self.heads.give(user);
            let place = (user, given.number);
            store::enqueue(self.tx, self.bounds.quota, place, at, stored);
            let Some(connection) = given.connection else { continue };
            // The socket may have yet to hear of what is in the timeline.
            let look = match told {
                None | Some(Told::Queues) => false,
                Some(Told::QueuesBut(other)) => other == user,
                Some(Told::Timeline) => true,
            };
            let object = (!look).then(|| Arc::clone(&object));
            self.waiting.push(Waiting::Queue { user, number: given.number, connection, object });
        }
        Ok(())
    }
}
