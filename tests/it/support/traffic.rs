//! Messages that flow while something breaks, and the proof that none was lost, doubled or shuffled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinHandle;

use super::api::try_send;
use super::group::Group;
use super::process::{patience, until};
use super::socket::{Arrival, Socket, text_of};
use super::user::{SEND, User, text_to};

/// What came over the sockets of one reader: a list per connection.
type Seen = Arc<Mutex<Vec<Vec<Numbered>>>>;
/// The sender and the number of a message.
pub type Numbered = (u64, u64);

/// Between two messages to a group: one is work for each member.
const GROUP_PAUSE: Duration = Duration::from_millis(100);

/// What writers write: where to, texts of how many bytes at least, and how long they rest before each.
#[derive(Debug, Clone, Copy)]
struct How {
    chat: &'static str,
    to: u64,
    length: usize,
    pause: Duration,
}

/// Writers that number their messages, and a reader that comes back whenever its connection ends.
#[derive(Debug)]
pub struct Traffic {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<BTreeSet<Numbered>>>,
    writers: Vec<JoinHandle<()>>,
    reader: JoinHandle<()>,
    seen: Seen,
}

impl Traffic {
    /// Starts writing from each of `senders` to `reader`, who lets them.
    pub async fn start(senders: &[&User], reader: &User) -> Self {
        Self::of_length(0, senders, reader).await
    }

    /// The same with texts of at least so many bytes: the number has zeros in front.
    pub async fn of_length(length: usize, senders: &[&User], reader: &User) -> Self {
        reader.let_strangers_send(2).await;
        let pause = Duration::ZERO;
        Self::begin(senders, How { chat: "single", to: reader.id, length, pause }, reader).await
    }

    /// Starts writing from each of `senders` to a group that `reader` is in.
    pub async fn start_in(group: Group, senders: &[&User], reader: &User) -> Self {
        let how = How { chat: "group", to: group.id, length: 0, pause: GROUP_PAUSE };
        Self::begin(senders, how, reader).await
    }

    async fn begin(senders: &[&User], how: How, reader: &User) -> Self {
        let (stop, acknowledged, seen) = (Arc::default(), Arc::default(), Seen::default());
        let write_as = |sender: &&User| {
            let (stop, acknowledged) = (Arc::clone(&stop), Arc::clone(&acknowledged));
            tokio::spawn(write((*sender).clone(), how, stop, acknowledged))
        };
        let writers = senders.iter().map(write_as).collect();
        let reader = tokio::spawn(read(reader.clone(), Arc::clone(&seen)));
        let traffic = Self { stop, acknowledged, writers, reader, seen };
        traffic.brings(10).await;
        traffic
    }

    /// Waits until fifty more messages were acknowledged, and fifty more arrived.
    pub async fn flows(&self) {
        self.brings(50).await;
    }

    /// The same for another number of messages.
    pub async fn brings(&self, more: usize) {
        let (written, read) = (self.written() + more, self.read() + more);
        let both = async || (self.written() >= written && self.read() >= read).then_some(());
        until("messages flow", both).await;
    }

    /// What was acknowledged so far.
    pub fn acknowledged(&self) -> BTreeSet<Numbered> {
        self.acknowledged.lock().expect("not poisoned").clone()
    }

    /// How many connections the reader needed so far.
    pub fn connections(&self) -> usize {
        self.seen.lock().expect("not poisoned").len()
    }

    /// Ends the writing.
    pub async fn stop_writing(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for writer in self.writers.drain(..) {
            writer.await.expect("a writer meets no refusal");
        }
    }

    /// Ends the writing, waits for the last message, and insists on the promises of `ws.md` §7.
    pub async fn end(mut self) {
        self.stop_writing().await;
        let acknowledged = self.acknowledged.lock().expect("not poisoned").clone();
        let seen = Arc::clone(&self.seen);
        let missing = || {
            let seen = seen.lock().expect("not poisoned");
            let arrived: BTreeSet<Numbered> = seen.iter().flatten().copied().collect();
            acknowledged.difference(&arrived).copied().collect::<Vec<_>>()
        };
        // As long as some arrive: how many there are depends on the machine.
        let (mut left, mut since) = (missing().len(), Instant::now());
        while left > 0 && since.elapsed() < patience() && !self.reader.is_finished() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let now = missing().len();
            if now < left {
                (left, since) = (now, Instant::now());
            }
        }
        if self.reader.is_finished() {
            self.reader.await.expect("the reader meets nothing that a client may not meet");
            unreachable!("a reader reads until it is stopped");
        }
        self.reader.abort();
        let missing = missing();
        assert!(
            missing.is_empty(),
            "{} acknowledged messages were lost: {missing:?}",
            missing.len()
        );
        for connection in self.seen.lock().expect("not poisoned").iter() {
            nothing_twice(connection);
            // One that a writer gave up waiting for may be taken in after their next.
            let answered = connection.iter().filter(|message| acknowledged.contains(message));
            in_order(&answered.copied().collect::<Vec<_>>());
        }
    }

    fn written(&self) -> usize {
        self.acknowledged.lock().expect("not poisoned").len()
    }

    fn read(&self) -> usize {
        self.seen.lock().expect("not poisoned").iter().map(Vec::len).sum()
    }
}

/// Writes until told to stop. No answer, or "internal error", means "perhaps"; a refusal is a bug: a client would
/// believe it.
async fn write(
    sender: User,
    how: How,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<BTreeSet<Numbered>>>,
) {
    for number in 0.. {
        tokio::time::sleep(how.pause).await;
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let length = how.length;
        let body = text_to(how.chat, how.to, &format!("{number:0>length$}"));
        let request = sender
            .request(reqwest::Method::POST, SEND)
            .json(&body)
            .timeout(Duration::from_secs(30));
        match try_send(request).await {
            Ok(reply) if reply.status == 200 => {
                acknowledged.lock().expect("not poisoned").insert((sender.id, number));
            }
            Ok(reply) if reply.status < 500 => {
                panic!("message {number}: {} {}", reply.status, reply.text())
            }
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Connects, asks for what waited, and listens; again whenever the connection ends.
async fn read(reader: User, seen: Seen) {
    loop {
        let path = format!("/ws?token={}", reader.token());
        let Ok(mut socket) = Socket::open(reader.origin(), &path).await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        seen.lock().expect("not poisoned").push(Vec::new());
        let drain = tokio::spawn(drain(reader.clone()));
        listen(&mut socket, &seen).await;
        drain.abort();
    }
}

/// Asks until the answer is yes.
async fn drain(reader: User) {
    loop {
        let request = reader.request(reqwest::Method::POST, "/api/chat/chatGetmessageOffLine");
        match try_send(request.timeout(Duration::from_secs(30))).await {
            Ok(reply) if reply.status == 200 => return,
            Ok(reply) if reply.status < 500 => panic!("drain: {} {}", reply.status, reply.text()),
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn listen(socket: &mut Socket, seen: &Seen) {
    loop {
        match socket.next_unhurried().await {
            Arrival::Frame(frame) => {
                // A refused token would log the client out, and so would a close frame (`ws.md` §7.7).
                assert_ne!(frame["msg"], "fail", "{frame}");
                let mut seen = seen.lock().expect("not poisoned");
                seen.last_mut().expect("a connection").extend(numbered(&frame["data"]));
            }
            Arrival::Dropped => return,
            closed @ Arrival::Closed(_) => panic!("a client would log out: {closed:?}"),
        }
    }
}

/// The sender and the number of a push, if it is a message of a person.
pub fn numbered(push: &Value) -> Option<Numbered> {
    let from = push["from_id"].as_u64().filter(|&from| from != 0)?;
    let number = (push["type"] == "text").then(|| text_of(push).parse().expect("a number"))?;
    Some((from, number))
}

/// Insists that no message came twice.
pub fn nothing_twice(connection: &[Numbered]) {
    let mut met = BTreeSet::new();
    for message in connection {
        assert!(met.insert(message), "{message:?} came twice on one connection: {connection:?}");
    }
}

/// Each sender's messages keep their order, but for this: those accepted before the connection opened come with the
/// drain, and live ones may precede them (`ws.md` §7.6). So there is a number that parts two rising sequences.
pub fn in_order(connection: &[Numbered]) {
    let mut numbers: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for (sender, number) in connection {
        numbers.entry(*sender).or_default().push(*number);
    }
    for (sender, numbers) in numbers {
        let rises = |wanted: &dyn Fn(u64) -> bool| {
            numbers.iter().filter(|number| wanted(**number)).is_sorted()
        };
        let parted =
            |last: &u64| rises(&|number| number <= *last) && rises(&|number| number > *last);
        let ordered = numbers.is_sorted() || numbers.iter().any(parted);
        assert!(ordered, "messages of {sender} are out of order: {numbers:?}");
    }
}
