//! Streams that a log may hold: a few people who do all that can be done, judged by the real rules.

use std::collections::{BTreeMap, BTreeSet};

use hongyan::{
    commands::{
        decider::Decider,
        friendship::{Friendship, FriendshipCommand},
        group::Group,
        message::{
            Draft, Message, MessageCommand, MessageContent, Revoker, SendQuota, SenderRelation,
        },
        session::{CurrentConnection, Session, SessionCommand},
        user::{Account, User, UserCommand},
    },
    events::{
        Answer, Cause, ChatEvent, ChatKey, ConnectionId, Delivered, DeliveredInGroup,
        DeliveryEvent, Device, DisconnectReason, Event, FriendshipEvent, GroupId, GroupSummary,
        MessageId, NewEdge, Pair, Position, Recorded, RequestId, Revocation, Subject, Timestamp,
        TokenId, UserId, Username, Visibility,
    },
};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::lists::Lists;
use super::steps::{PEOPLE, Step, What, change, node, one_of, recent, role, text};

/// Who there is, as the rules see it, and what the log holds of it.
#[derive(Default)]
pub struct Model {
    /// Accounts.
    pub users: BTreeMap<UserId, User>,
    /// Their sessions.
    pub sessions: BTreeMap<UserId, Session>,
    /// What is between two of them.
    pub friendships: BTreeMap<Pair, Friendship>,
    /// Groups, those that are no more too.
    pub groups: BTreeMap<GroupId, Group>,
    /// What they keep for themselves.
    pub lists: Lists,
    /// The log.
    pub log: Vec<Recorded<Event>>,
    pub(super) said: Vec<(Message<GroupSummary>, Revocation<GroupSummary>)>,
    connections: Vec<(UserId, ConnectionId)>,
    requests: Vec<(RequestId, UserId, UserId)>,
    messages: Vec<(Message, Revocation)>,
    /// Who wrote to whom.
    spoken: BTreeSet<(UserId, UserId)>,
    /// How many entries each queue was given.
    queued: BTreeMap<UserId, u64>,
    ids: u32,
    now: i64,
}

impl Model {
    /// What comes of some steps.
    pub fn of(steps: &[Step]) -> Self {
        let mut model = Self { now: 1_758_675_907_004, ..Self::default() };
        model.go_on(steps);
        model
    }

    /// More steps.
    pub fn go_on(&mut self, steps: &[Step]) {
        for step in steps {
            let long = step.pick < 2_000;
            self.now += if long { 600_000 } else { i64::from(step.pick % 20_000) };
            self.take(step);
        }
    }

    /// Tells of each account's socket again, as gateways do before the first event expires; all others end.
    pub fn renew_sockets(&mut self) {
        for (user, connection) in self.connections.clone() {
            let socket = self.sessions.get(&user).and_then(|session| session.socket.as_ref());
            if socket.is_some_and(|socket| socket.connection == connection) {
                self.session(user, &SessionCommand::Renew(connection));
            } else {
                let ended = SessionCommand::Disconnect(connection, DisconnectReason::Closed);
                self.session(user, &ended);
            }
        }
    }

    /// Everybody, whether registered or not.
    pub fn people() -> impl Iterator<Item = UserId> {
        (1..=PEOPLE).map(UserId)
    }

    /// The last event about something.
    pub fn version(&self, subject: Subject) -> Position {
        let last = self.log.iter().rev().find(|recorded| recorded.subject() == subject);
        last.map_or(Position(0), |recorded| recorded.position)
    }

    fn take(&mut self, step: &Step) {
        let Step { what, who, pick, .. } = *step;
        match what {
            What::Register => {
                let command = self.registration(who, pick);
                self.user(who, &command);
            }
            What::ChangeAccount => self.user(who, &change(pick)),
            What::LogIn => {
                let (token, role) = (TokenId(self.id()), role(pick));
                self.session(who, &SessionCommand::LogIn { token, role });
            }
            What::LogOut => {
                let kept = self.sessions.get(&who).and_then(|session| session.user_token);
                match kept {
                    Some(token) if pick % 3 > 0 => {
                        self.session(who, &SessionCommand::LogOut(token));
                    }
                    kept => self.session(
                        who,
                        &SessionCommand::Revoke { kept, change: uuid::Uuid::new_v4() },
                    ),
                }
            }
            What::Connect => self.connect(who, pick),
            What::Disconnect => self.disconnect(pick),
            What::Send => self.send(step),
            What::Revoke => self.revoke(pick),
            What::Deliver => self.deliver(step),
            What::MakeGroup
            | What::Rule
            | What::Join
            | What::Decide
            | What::Name
            | What::Leave
            | What::Say
            | What::TakeBack => self.in_group(step),
            What::QuickReply => self.question(step),
            What::Complain => self.complain(step),
            _ => self.between(step),
        }
    }

    pub(super) fn id(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(u128::from(self.ids))
    }

    pub(super) fn number(&mut self) -> i64 {
        self.ids += 1;
        self.ids.into()
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp(self.now)
    }

    pub(super) fn record(&mut self, event: Event) {
        let hear = hears(&event);
        self.tell(event, hear);
    }

    /// An event, and whose queues get an entry of it.
    pub(super) fn tell(&mut self, event: Event, hear: Vec<UserId>) {
        for user in hear {
            *self.queued.entry(user).or_default() += 1;
        }
        let (id, position) = (self.id(), self.next_position());
        self.log.push(Recorded {
            event,
            position,
            id,
            at: self.now(),
            stored_at: self.now(),
            actor: None,
            cause: Cause::own("a test"),
        });
    }

    /// Where the next event is; others' events lie between.
    pub(super) fn next_position(&self) -> Position {
        let last = self.log.last().map_or(0, |recorded| recorded.position.0);
        Position(last + 1 + self.log.len() as u64 % 3)
    }

    pub(super) fn account(&self, user: UserId) -> Option<Account> {
        self.users.get(&user).and_then(User::account).cloned()
    }

    fn user(&mut self, user: UserId, command: &UserCommand) {
        let position = self.next_position();
        if let Some(event) = judge(self.users.entry(user).or_default(), position, command) {
            self.record(Event::User(user, event));
        }
    }

    fn registration(&mut self, id: UserId, pick: u16) -> UserCommand {
        let device = (pick % 2 == 1).then(|| Device {
            fingerprint: format!("device-{id}"),
            uniplatform: text(pick),
            model: text(pick / 2),
            ..Device::default()
        });
        UserCommand::Register {
            id,
            uuid: self.id(),
            username: Username(format!("name {id} {}", text(pick))),
            role: role(pick),
            device,
            avatar: format!("https://example.org/{pick}.png"),
            at: self.now(),
        }
    }

    fn session(&mut self, user: UserId, command: &SessionCommand) {
        let position = self.next_position();
        if let Some(event) = judge(self.sessions.entry(user).or_default(), position, command) {
            self.record(Event::Session(user, event));
        }
    }

    fn connect(&mut self, user: UserId, pick: u16) {
        let session = self.sessions.entry(user).or_default();
        let Some(token) = one_of(&[session.user_token, session.visitor_token], pick) else {
            return;
        };
        let connection = ConnectionId(self.id());
        self.connections.push((user, connection));
        let node = node(pick);
        self.session(
            user,
            &SessionCommand::Connect(CurrentConnection {
                connection,
                node,
                token,
                role: role(pick),
            }),
        );
    }

    /// Of one that is open, or ended before: the reaper and a gateway may both tell.
    fn disconnect(&mut self, pick: u16) {
        if let Some((user, connection)) = recent(&self.connections, pick).copied() {
            let reason = one_of(&[DisconnectReason::Closed, DisconnectReason::NodeLost], pick);
            self.session(user, &SessionCommand::Disconnect(connection, reason));
        }
    }

    fn between(&mut self, step: &Step) {
        let (mut who, mut whom) = (step.who, step.whom);
        let position = self.next_position();
        let mut asked = RequestId::made_at(position);
        if let (What::Answer, Some(found)) = (step.what, recent(&self.requests, step.pick)) {
            (asked, whom, who) = *found;
        }
        let (Some(caller), Some(other)) = (self.account(who), self.account(whom)) else { return };
        if who == whom {
            return;
        }
        let (caller, other) = (caller.summary(), other.summary());
        let remark = text(step.pick);
        let edges = [(who, whom), (whom, who)].map(|(owner, friend)| NewEdge {
            owner,
            friend,
            remark: remark.clone(),
        });
        let notice = MessageId(self.id());
        let text = text(step.pick / 3);
        let command = match step.what {
            What::Answer => {
                let answers = [Answer::Agree, Answer::Refuse, Answer::Agree, Answer::Ignore];
                let answer = Some(one_of(&answers, step.pick / 8));
                FriendshipCommand::Answer { request: asked, answer, caller, other, edges, notice }
            }
            What::Befriend => FriendshipCommand::Befriend { caller, other, text, edges, notice },
            What::End => FriendshipCommand::End { by: who },
            What::Block => FriendshipCommand::ToggleBlacklist { owner: who },
            What::Star => FriendshipCommand::ToggleStar { owner: who },
            What::Show => {
                let [friend_sees_mine, i_see_theirs] = [2, 3].map(|n| step.pick % n == 1);
                let visibility = Visibility { friend_sees_mine, i_see_theirs };
                FriendshipCommand::SetVisibility { owner: who, visibility }
            }
            _ => {
                self.requests.push((asked, who, whom));
                let icon = "https://example.org/icon.png".to_owned();
                let (asker, asked_one) = (caller, other);
                FriendshipCommand::Request { asker, asked: asked_one, text, icon, notice }
            }
        };
        let pair = Pair::of(who, whom);
        if let Some(event) = judge(self.friendships.entry(pair).or_default(), position, &command) {
            self.record(Event::Friendship(pair, event));
        }
    }

    fn send(&mut self, step: &Step) {
        let (Some(author), Some(recipient)) = (self.account(step.who), self.account(step.whom))
        else {
            return;
        };
        let between = self.friendships.entry(Pair::of(author.id, recipient.id)).or_default();
        let relation =
            SenderRelation::of(&author, Some(&recipient).filter(|it| !it.disabled), between);
        let first = relation.may_write(author.role) == Ok(SendQuota::First);
        if first && self.spoken.contains(&(author.id, recipient.id)) {
            return;
        }
        let options = one_of(&[None, Some("{}"), Some(r#"{"n": 1.50, "list":[null]}"#)], step.pick);
        let draft = Draft {
            id: MessageId(self.id()),
            relation,
            from: author.summary(),
            from_role: author.role,
            from_uuid: author.uuid,
            to: recipient.summary(),
            content: MessageContent {
                kind: "text".to_owned(),
                data: format!("{}\0{}", text(step.pick), step.pick),
                options: options.map(|text| RawValue::from_string(text.to_owned()).expect("JSON")),
            },
            at: self.now(),
        };
        let id = draft.id;
        let mut message = Message::default();
        let position = self.next_position();
        if let Some(event) = judge(&mut message, position, &MessageCommand::Send(draft)) {
            let (by, to) = (author.summary(), recipient.summary());
            self.spoken.insert((by.id, to.id));
            self.record(Event::Chat(ChatKey::of(by.id, to.id), event));
            self.messages.push((message, Revocation { message: id, by, to, at: self.now() }));
        }
    }

    fn revoke(&mut self, pick: u16) {
        let (at, position) = (self.now(), self.next_position());
        let count = self.messages.len();
        let Some((message, revocation)) =
            self.messages.get_mut(count.wrapping_sub(1 + usize::from(pick % 6)))
        else {
            return;
        };
        revocation.at = at;
        let key = ChatKey::of(revocation.by.id, revocation.to.id);
        let command =
            MessageCommand::Revoke { revocation: revocation.clone(), revoker: Revoker::Author };
        if let Some(event) = judge(message, position, &command) {
            self.record(Event::Chat(key, event));
        }
    }

    /// Entries of two queues, some of them again: a socket may be written to twice.
    fn deliver(&mut self, step: &Step) {
        let pick = u64::from(step.pick);
        let row = |user: UserId| {
            let last = *self.queued.get(&user)?;
            let from = 1 + pick % last;
            let ranges = vec![(from, last.min(from + pick % 4)), (last, last)];
            Some(Delivered { user, ranges, positions: Vec::new() })
        };
        let users: Vec<Delivered> = [step.who, step.whom].into_iter().filter_map(row).collect();
        // And a stretch of what was said in a group, if it is a large one.
        let known: Vec<GroupId> = self.groups.keys().copied().collect();
        let last = self.log.last().map_or(0, |recorded| recorded.position.0);
        let from = last.saturating_sub(pick % 40);
        let ranges = vec![(from, from + pick % 7), (last.saturating_sub(pick % 3), last)];
        let groups = recent(&known, step.pick).into_iter().map(|group| {
            let (group, ranges, users) = (*group, ranges.clone(), vec![step.who, step.whom]);
            DeliveredInGroup { group, ranges, users }
        });
        let groups: Vec<DeliveredInGroup> = groups.collect();
        if !users.is_empty() || !groups.is_empty() {
            let event = DeliveryEvent::Written { users, groups };
            self.record(Event::Delivery(node(step.pick), event));
        }
    }
}

pub(super) fn judge<A: Decider>(
    state: &mut A,
    position: Position,
    command: &A::Command,
) -> Option<A::Event> {
    let event = state.decide(command).ok()??;
    state.evolve(position, &event);
    Some(event)
}

/// Whose queue gets an entry.
fn hears(event: &Event) -> Vec<UserId> {
    match event {
        Event::Chat(_, ChatEvent::Sent(sent)) => vec![sent.to.id],
        Event::Chat(_, ChatEvent::Revoked(revocation)) => vec![revocation.to.id],
        Event::Friendship(_, FriendshipEvent::Requested { asked, .. }) => vec![asked.id],
        Event::Friendship(
            _,
            FriendshipEvent::Answered { answer: Answer::Agree, caller, other, .. }
            | FriendshipEvent::Befriended { caller, other, .. },
        ) => vec![caller.id, other.id],
        _ => Vec::new(),
    }
}
