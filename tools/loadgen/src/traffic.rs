//! The traffic of a run: senders, listeners, and what both count.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hdrhistogram::Histogram;
use hyper::{StatusCode, header::HeaderValue};
use testkit::{
    client::{
        http::{Answer, CallError, Connection},
        socket::Socket,
    },
    lock,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    accounts::{self, Account},
    checker::{Arrived, Outcome, Sent, To},
    correlation_id::CorrelationId,
    environment, format,
    schedule::{Schedule, Times},
    target::Server,
};

const SEND: &str = "/api/chat/socket/sendmessage";
const DRAIN: &str = "/api/chat/chatGetmessageOffLine";
/// After a call without an answer, so that a server that is away is not asked all the time.
const PAUSE: Duration = Duration::from_millis(50);

/// A group of the run.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) id: i64,
    pub(super) members: Vec<usize>,
}

/// One who sends to these, one after the other, and waits for each answer.
#[derive(Debug)]
pub(super) struct Author {
    pub(super) user: usize,
    pub(super) to: Vec<To>,
}

/// The scenario of a run: who is there, and who writes to whom.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) users: Vec<Account>,
    pub(super) groups: Vec<Group>,
    pub(super) authors: Vec<Author>,
    /// The authors of each connection.
    pub(super) connections: Vec<Vec<usize>>,
    /// So many of the users have a socket, from the first on.
    pub(super) online: usize,
}

impl Scenario {
    /// Everybody writes to the next one, over so many connections each.
    pub(super) fn ring(users: Vec<Account>, connections_each: usize, online: usize) -> Self {
        let count = users.len();
        let connections = count * connections_each;
        let author = |connection: usize| {
            let user = connection % count;
            Author { user, to: vec![To::User((user + 1) % count)] }
        };
        Self {
            users,
            groups: Vec::new(),
            authors: (0..connections).map(author).collect(),
            connections: (0..connections).map(|connection| vec![connection]).collect(),
            online,
        }
    }

    /// Whom a message of an author must reach.
    pub(super) fn readers(&self, author: usize, to: To) -> Box<dyn Iterator<Item = usize> + '_> {
        match to {
            To::User(user) => Box::new(std::iter::once(user)),
            To::Group(group) => {
                let own = self.authors[author].user;
                Box::new(
                    self.groups[group].members.iter().copied().filter(move |user| *user != own),
                )
            }
        }
    }
}

/// A run under way.
pub(super) struct Traffic {
    pub(super) run: u32,
    pub(super) server: Server,
    pub(super) scenario: Scenario,
    pub(super) schedule: Arc<Schedule>,
    pub(super) times: Times,
    /// Of each message's text.
    pub(super) bytes: usize,
    pub(super) counts: Counts,
    clock: Mutex<Clock>,
    arrived: Vec<Mutex<Arrived>>,
    failures: Mutex<BTreeMap<String, u64>>,
}

/// What has happened so far.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) acknowledged: AtomicU64,
    pub(super) unknown: AtomicU64,
    /// Messages that must arrive at somebody who is online.
    pub(super) due: AtomicU64,
    /// Messages that have arrived, each counted once.
    pub(super) arrived: AtomicU64,
    /// Sockets that ended while they were needed.
    pub(super) dropped: AtomicU64,
    /// Users whose socket has ended and who have not come back.
    pub(super) away: AtomicU64,
}

/// Durations of what was scheduled in the measured time.
pub(super) struct Clock {
    /// Until the answer.
    pub(super) answers: Histogram<u64>,
    /// Until the frame.
    pub(super) frames: Histogram<u64>,
    /// Until the call began: the share of the generator, and of callers who still waited for the answer before.
    pub(super) begins: Histogram<u64>,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Traffic {
    /// Begins at once.
    pub(super) fn begin(
        (run, server, scenario): (u32, Server, Scenario),
        (pace, times): (super::schedule::Pace, Times),
        bytes: usize,
    ) -> Arc<Self> {
        let [answers, frames, begins] = std::array::from_fn(|_| format::histogram());
        let arrived = scenario.users.iter().map(|_| Mutex::default()).collect();
        Arc::new(Self {
            run,
            server,
            scenario,
            schedule: Schedule::begin(pace, times),
            times,
            bytes,
            counts: Counts::default(),
            clock: Mutex::new(Clock { answers, frames, begins }),
            arrived,
            failures: Mutex::default(),
        })
    }

    pub(super) fn clock(&self) -> MutexGuard<'_, Clock> {
        lock(&self.clock)
    }

    /// How many calls failed, by how.
    pub(super) fn failures(&self) -> BTreeMap<String, u64> {
        lock(&self.failures).clone()
    }

    /// What has reached a user; afterwards nothing has.
    pub(super) fn take_arrived(&self, user: usize) -> Arrived {
        std::mem::take(&mut *lock(&self.arrived[user]))
    }

    /// Counts a frame. Is it a message of this run that is new?
    pub(super) fn on_frame(&self, user: usize, frame: &str) -> bool {
        let Some(correlation_id) =
            CorrelationId::find(frame).filter(|correlation_id| correlation_id.run == self.run)
        else {
            return false;
        };
        let now = self.schedule.now();
        let new = lock(&self.arrived[user]).take(correlation_id.author, correlation_id.number);
        if new {
            count(&self.counts.arrived);
            // Who was offline reads late, and says nothing about how long a message takes.
            if user < self.scenario.online && self.times.measures(correlation_id.scheduled_at) {
                format::record(
                    &mut self.clock().frames,
                    now.saturating_sub(correlation_id.scheduled_at),
                );
            }
        }
        new
    }

    /// Listens for a user until told to stop, and comes back when a socket ends, as a client does.
    pub(super) async fn listen(
        self: Arc<Self>,
        user: usize,
        mut socket: Socket,
        stop: CancellationToken,
    ) {
        loop {
            let frame = tokio::select! {
                () = stop.cancelled() => return,
                frame = socket.next() => frame,
            };
            if let Some(frame) = frame {
                self.on_frame(user, &frame);
                continue;
            }
            count(&self.counts.dropped);
            lock(&self.arrived[user]).lose_socket();
            count(&self.counts.away);
            socket = tokio::select! {
                () = stop.cancelled() => return,
                again = self.reconnect(user) => again,
            };
            self.counts.away.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// At whichever gateway accepts them.
    async fn reconnect(&self, user: usize) -> Socket {
        let mut gateway = user;
        loop {
            sleep(PAUSE).await;
            if let Ok(socket) = self.open_at(gateway, user).await
                && self.drain_at(gateway, user).await.is_ok()
            {
                return socket;
            }
            gateway += 1;
        }
    }

    /// Where the connections of a user come from.
    fn source(&self, user: usize) -> Option<IpAddr> {
        let origins = &self.server.origins;
        environment::source(user / origins.len(), self.server.origin(user).address.ip())
    }

    /// Opens a socket of a user.
    pub(super) async fn open(&self, user: usize) -> anyhow::Result<Socket> {
        self.open_at(user, user).await
    }

    async fn open_at(&self, gateway: usize, user: usize) -> anyhow::Result<Socket> {
        let token = &self.scenario.users[user].token;
        Socket::open(self.server.origin(gateway), token, self.source(user)).await
    }

    /// What waits is to come over the user's socket (rest.md §21).
    pub(super) async fn drain(&self, user: usize) -> anyhow::Result<()> {
        self.drain_at(user, user).await
    }

    async fn drain_at(&self, gateway: usize, user: usize) -> anyhow::Result<()> {
        let mut server = Connection::to(self.server.origin(gateway)).from(self.source(user));
        let account = &self.scenario.users[user];
        accounts::call(&mut server, account, DRAIN, serde_json::json!({})).await?;
        Ok(())
    }

    /// A new one, not open yet.
    pub(super) fn connection(&self, number: usize) -> Connection {
        Connection::to(self.server.origin(number))
    }

    /// Sends over one connection whatever the schedule asks for, to its end.
    pub(super) async fn send(self: Arc<Self>, connection: usize) -> Vec<(usize, Sent)> {
        let mut gateway = connection;
        let mut server = self.connection(gateway);
        let authors = &self.scenario.connections[connection];
        let mut senders: Vec<Sender> =
            authors.iter().map(|author| Sender::new(&self.scenario, *author)).collect();
        let mut turn = 0;
        while let Some(scheduled_at) = self.schedule.take().await {
            let sender = &mut senders[turn % authors.len()];
            turn += 1;
            let begun = self.schedule.now();
            let outcome = sender.send(&mut server, scheduled_at, &self).await;
            let done = self.schedule.now();
            if self.times.measures(scheduled_at) {
                let mut clock = self.clock();
                format::record(&mut clock.begins, begun.saturating_sub(scheduled_at));
                if outcome != Outcome::Refused {
                    format::record(&mut clock.answers, done.saturating_sub(scheduled_at));
                }
            }
            if outcome == Outcome::Unknown {
                sleep(PAUSE).await;
                gateway += 1;
                server = self.connection(gateway);
            }
        }
        senders.into_iter().map(Sender::finish).collect()
    }

    /// What an answer means.
    fn check(&self, answer: Result<Answer, CallError>) -> Outcome {
        let (outcome, text) = match answer {
            Ok(answer) if answer.status == StatusCode::OK => {
                count(&self.counts.acknowledged);
                return Outcome::Acknowledged;
            }
            Ok(answer) if answer.status.is_client_error() => (Outcome::Refused, answer.text()),
            Ok(answer) => (Outcome::Unknown, answer.text()),
            Err(error) => (Outcome::Unknown, format!("{:#}", anyhow::Error::from(error))),
        };
        if outcome == Outcome::Unknown {
            count(&self.counts.unknown);
        }
        *lock(&self.failures).entry(text).or_default() += 1;
        outcome
    }
}

/// The sender of one author's messages.
pub(super) struct Sender {
    author: usize,
    token: HeaderValue,
    /// Targets, how many of their readers are online, and the body up to the text.
    targets: Vec<(To, u64, String)>,
    sent: Sent,
}

impl Sender {
    pub(super) fn new(scenario: &Scenario, author: usize) -> Self {
        let Author { user, to } = &scenario.authors[author];
        let target = |to: &To| {
            let (kind, id) = match *to {
                To::User(user) => ("single", scenario.users[user].id),
                To::Group(group) => ("group", scenario.groups[group].id),
            };
            // The body that the published client posts.
            let body = format!(
                r#"{{"sendto_id":{id},"chatType":"{kind}","type":"text","options":"%7B%7D","data":{{"data":""#
            );
            let online =
                scenario.readers(author, *to).filter(|reader| *reader < scenario.online).count();
            (*to, online as u64, body)
        };
        let targets = to.iter().map(target).collect();
        Self { author, token: scenario.users[*user].header(), targets, sent: Sent::default() }
    }

    /// Sends the next message.
    pub(super) async fn send(
        &mut self,
        server: &mut Connection,
        scheduled_at: Duration,
        traffic: &Traffic,
    ) -> Outcome {
        let number = self.sent.calls.len();
        let (to, online, begin) = &self.targets[number % self.targets.len()];
        let correlation_id =
            CorrelationId { run: traffic.run, author: self.author, number, scheduled_at };
        let mut body = String::with_capacity(begin.len() + traffic.bytes + 64);
        body.push_str(begin);
        correlation_id.write(traffic.bytes, &mut body);
        body.push_str(r#"","dataType":false,"otherData":null}}"#);
        let outcome = traffic.check(server.post(SEND, Some(&self.token), body).await);
        if outcome == Outcome::Acknowledged {
            traffic.counts.due.fetch_add(*online, Ordering::Relaxed);
        }
        self.sent.calls.push((*to, outcome));
        outcome
    }

    /// The author, and what was sent.
    pub(super) fn finish(self) -> (usize, Sent) {
        (self.author, self.sent)
    }
}
