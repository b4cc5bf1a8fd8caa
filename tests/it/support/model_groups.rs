//! What people do in groups, for the streams of [`Model`].

use std::sync::Arc;

use hongyan::{
    commands::{
        group::{
            Group,
            command::{GroupAction, GroupCommand, People},
        },
        message::{Draft, Message, MessageCommand, MessageContent, Revoker},
    },
    events::{Event, GroupEvent, GroupId, MessageId, Revocation, UserId},
    protocol::group_notices::{self, NoticeAudience},
};
use serde_json::value::RawValue;

use super::model::{Model, judge};
use super::steps::{Step, What, one_of, recent, text};

/// So few that a group is full now and then.
const MOST: usize = 3;

impl Model {
    /// A step in a group, or with one.
    pub(super) fn in_group(&mut self, step: &Step) {
        let Step { what, who, whom, pick } = *step;
        if self.account(who).is_none() || self.account(whom).is_none() {
            return;
        }
        let mut known = self.groups.keys().copied().collect::<Vec<_>>();
        known.sort_unstable();
        let group = recent(&known, pick / 16 % 3).copied();
        let active = group.and_then(|id| self.groups.get(&id)?.active());
        let by_owner = active.map(|group| group.row.owner);
        let waiting = active.and_then(|group| {
            group.memberships().find(|member| member.waiting).map(|member| member.user)
        });
        match (what, group) {
            (What::MakeGroup, _) => self.make_group(who, whom),
            (What::Say, Some(group)) => self.say(group, who, pick),
            (What::TakeBack, _) => self.take_back(pick),
            (What::Rule, Some(group)) => {
                let action = match pick % 4 {
                    0 => GroupAction::Rename(text(pick / 4)),
                    1 => GroupAction::Announce(text(pick / 4)),
                    _ => GroupAction::SetPolicy(one_of(&[0, 1, 1, 1, 2, 3], pick / 4)),
                };
                self.change(group, by_owner.unwrap_or(who), action);
            }
            (What::Join, Some(group)) => {
                let by = if pick % 3 == 0 { who } else { whom };
                let (user, inviter, text) = (whom, None, text(pick));
                self.change(group, by, GroupAction::Join { user, inviter, text, most: MOST });
            }
            (What::Decide, Some(group)) => {
                let action = match pick % 5 {
                    0 => GroupAction::Refuse(waiting.unwrap_or(whom)),
                    1 => GroupAction::Remove(whom),
                    _ => GroupAction::Approve(waiting.unwrap_or(whom)),
                };
                self.change(group, by_owner.unwrap_or(who), action);
            }
            (What::Name, Some(group)) => {
                self.change(group, who, GroupAction::SetNickname(text(pick)));
            }
            (What::Leave, Some(group)) => self.change(group, who, GroupAction::Leave),
            _ => {}
        }
    }

    fn make_group(&mut self, owner: UserId, friend: UserId) {
        let id = GroupId(self.number());
        let members = if owner == friend { vec![owner] } else { vec![owner, friend] };
        let action = GroupAction::Create { id, members, uuid: self.id() };
        self.change(id, owner, action);
    }

    fn change(&mut self, id: GroupId, by: UserId, action: GroupAction) {
        let people = self.users.iter().map(|(id, user)| (*id, Arc::new(user.clone())));
        let people: People = people.collect();
        let icon = "https://example.org/icon.png".to_owned();
        let notice = MessageId(self.id());
        let command = GroupCommand { by, at: self.now(), notice, icon, people, action };
        let before = self.groups.get(&id).cloned().unwrap_or_default();
        let mut group = before.clone();
        let position = self.next_position();
        let Some(event) = judge(&mut group, position, &command) else { return };
        let over = matches!(event, GroupEvent::Dissolved { .. });
        let shown = if over { &before } else { &group };
        let heard_by = shown.active().and_then(|group| {
            let members = || group.members().map(|member| member.user).collect();
            Some(match group_notices::of(&event, group)?.audience {
                NoticeAudience::Owner(owner) => vec![owner],
                NoticeAudience::Members => members(),
                NoticeAudience::MembersAndApplicants => {
                    group.memberships().map(|member| member.user).collect()
                }
            })
        });
        self.groups.insert(id, group);
        self.tell(Event::Group(id, event), heard_by.unwrap_or_default());
    }

    fn say(&mut self, id: GroupId, author: UserId, pick: u16) {
        let Some(account) = self.account(author) else { return };
        let group = self.groups.get(&id).cloned().unwrap_or_default();
        let options = one_of(&[None, Some("{}")], pick);
        let content = MessageContent {
            kind: "text".to_owned(),
            data: format!("{}\0{pick}", text(pick)),
            options: options.map(|text| RawValue::from_string(text.to_owned()).expect("JSON")),
        };
        let stamp = (MessageId(self.id()), self.now());
        let Ok(draft) = Draft::to_group(&account, &group, content, stamp) else { return };
        let (message, by, to) = (draft.id, draft.from.clone(), draft.to.clone());
        let mut said = Message::default();
        let position = self.next_position();
        let Some(event) = judge(&mut said, position, &MessageCommand::Send(draft)) else { return };
        self.said.push((said, Revocation { message, by, to, at: stamp.1 }));
        let others = members(&group).into_iter().filter(|user| *user != author).collect();
        self.tell(Event::GroupChat(id, event), others);
    }

    fn take_back(&mut self, pick: u16) {
        let (at, position) = (self.now(), self.next_position());
        let index = self.said.len().wrapping_sub(1 + usize::from(pick % 4));
        let Some((message, revocation)) = self.said.get_mut(index) else { return };
        let Some(group) = self.groups.get(&revocation.to.id).filter(|group| {
            group.active().is_some_and(|group| group.membership(revocation.by.id).is_some())
        }) else {
            return;
        };
        revocation.at = at;
        let (id, hear) = (revocation.to.id, members(group));
        let command =
            MessageCommand::Revoke { revocation: revocation.clone(), revoker: Revoker::Author };
        if let Some(event) = judge(message, position, &command) {
            self.tell(Event::GroupChat(id, event), hear);
        }
    }
}

fn members(group: &Group) -> Vec<UserId> {
    let active = group.active().into_iter();
    active.flat_map(|group| group.members().map(|member| member.user)).collect()
}
