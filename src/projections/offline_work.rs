//! What the events of a batch do to queues, timelines and lanes, one after the other.

use std::sync::Arc;

use super::{
    StoreError, group_notices,
    in_redis::{RedisTx, command},
    message_object::{MessageObject, revoked_text, revoked_text_in_group},
    offline_groups::{AT_ONCE, Groups, Told},
    offline_heads::{Heads, QUEUE},
    offline_lanes::{Lanes, timeline_key},
    offline_queue::Waiting,
};
use crate::{
    adapters::push::SaidPush,
    commands::group::ActiveGroup,
    events::{
        Answer, ChatEvent, DeliveryEvent, Event, FriendshipEvent, GroupChatEvent, GroupEvent,
        GroupId, MessageId, Person, Position, Recorded, Subject, Timestamp, UserId,
    },
};

/// Entries of a timeline after which it is looked whether everybody has the older ones. In a larger group a tenth of its
/// members: the look reads what each of them has.
const TRIM: u64 = 100;

/// What a batch does.
pub(super) struct Work<'a> {
    pub(super) tx: &'a mut RedisTx,
    pub(super) large: usize,
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
                    forget(self.tx, delivered.user, &delivered.ranges);
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
                let object = MessageObject::group_chat(sent, Some(group)).json();
                self.tell_all(sent.to.id, Some(sent.from.id), &[], object, at).await?;
            }
            (Event::GroupChat(GroupChatEvent::Revoked(revocation)), _) => {
                let text = revoked_text_in_group(revocation);
                let object = MessageObject::revoked_in_group(revocation, &text).json();
                self.tell_all(revocation.to.id, None, &[], object, at).await?;
            }
            _ => {
                for (user, object) in messages(recorded) {
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
        let was_large = self.groups.get(id).is_some_and(|group| group.count() > self.large);
        self.groups.take(id, event);
        let Some(group) = self.groups.get(id) else { return Ok(()) };
        let notice = group_notices::of(event, group);
        let members = || group.members().map(|member| member.user).collect::<Vec<_>>();
        let is_large = group.count() > self.large;
        let over = matches!(event, GroupEvent::Dissolved { .. });
        let beginning = match event {
            _ if !is_large => Vec::new(),
            _ if !was_large => members(),
            GroupEvent::Joined { entry, .. } => vec![entry.user.id],
            GroupEvent::Approved { user, .. } => vec![user.id],
            _ => Vec::new(),
        };
        let ending = match event {
            GroupEvent::Left { by, .. } => vec![by.id],
            GroupEvent::MemberRemoved { user, .. } => vec![*user],
            GroupEvent::Dissolved { .. } => members(),
            _ => Vec::new(),
        };
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
        if over {
            self.groups.end(id, event);
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
            let given = self.heads.push(self.tx, user, at, &Arc::from(""), None);
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
        if group.count() > self.large {
            self.queue(others, Some(id), object.clone(), at).await?;
            return self.enter_timeline(id, author, object, at).await;
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

    async fn enter_timeline(
        &mut self,
        id: GroupId,
        author: Option<UserId>,
        object: String,
        at: Position,
    ) -> Result<(), StoreError> {
        let members = self.groups.get(id).map_or(0, ActiveGroup::count) as u64;
        let timeline = self.groups.begin_timeline(id);
        let (after, look) = (timeline.last, timeline.told != Told::Timeline);
        (timeline.last, timeline.told) = (at.0, Told::Timeline);
        timeline.entries += 1;
        let is_due = timeline.entries.is_multiple_of(TRIM.max(members / 10));
        let key = timeline_key(self.tx, id);
        let by = author.map(|author| author.to_string()).unwrap_or_default();
        let fields = (format!("{at}-0"), "q", after, "a", by, "m", &object);
        self.tx.run(&command("XADD", &key, fields));
        if is_due {
            self.lanes.trim(self.tx, id).await?;
        }
        let said = SaidPush { group: id, position: at, after, author, ruled: self.ruled };
        self.waiting.push(Waiting::Timeline(said, (!look).then(|| object.into())));
        Ok(())
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
        let shared = (users.len() > 1).then(|| self.tx.share(object.as_bytes()));
        for &user in users {
            let given = self.heads.push(self.tx, user, at, &object, shared);
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

/// Who hears what of an event that is not a group's (ws.md §7.2).
fn messages(recorded: &Recorded<Event>) -> Vec<(UserId, String)> {
    let at = recorded.at;
    match &recorded.event {
        Event::Chat(ChatEvent::Sent(sent)) => {
            vec![(sent.to.id, MessageObject::chat(sent).json())]
        }
        Event::Chat(ChatEvent::Revoked(revocation)) => {
            let text = revoked_text(revocation);
            vec![(revocation.to.id, MessageObject::revoked(revocation, &text).json())]
        }
        Event::Friendship(FriendshipEvent::Requested { asker, asked, icon, notice, .. }) => {
            let key = format!("redirect-applyFriend-{}", asker.id);
            let from =
                Person { id: asker.id, name: "好友申请提醒".into(), avatar: icon.clone() };
            let text = format!("用户[{}]申请添加您为好友，请尽快处理", asker.name);
            let url = "/pages/applyMyfriend/applyMyfriend";
            let object = MessageObject::page(*notice, (&key, &from), asked, &text, url, at);
            vec![(asked.id, object.json())]
        }
        Event::Friendship(
            FriendshipEvent::Answered { answer: Answer::Agree, caller, other, notice, .. }
            | FriendshipEvent::Befriended { caller, other, notice, .. },
        ) => now_friends(*notice, caller, other, at),
        _ => Vec::new(),
    }
}

fn now_friends(
    id: MessageId,
    caller: &Person,
    other: &Person,
    at: Timestamp,
) -> Vec<(UserId, String)> {
    [(caller, other), (other, caller)]
        .map(|(from, to)| (to.id, MessageObject::now_friends(id, from, to, at).json()))
        .into()
}

/// Takes delivered entries out. Naming one that is gone already does no harm.
fn forget(tx: &mut RedisTx, user: UserId, ranges: &[(u64, u64)]) {
    let numbers: Vec<String> = ranges
        .iter()
        .flat_map(|&(from, to)| from..=to)
        .map(|number| format!("{number}-0"))
        .collect();
    for some in numbers.chunks(AT_ONCE) {
        let key = tx.key(format_args!("{QUEUE}{user}"));
        tx.run(&command("XDEL", &key, some));
    }
}
