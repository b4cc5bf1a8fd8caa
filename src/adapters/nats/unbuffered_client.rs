//! The connection for appends: a request that was given up is never sent later (ADR 0019).
//!
//! A client library keeps what was published while it has no connection, and sends it once it has one. For an append
//! that is wrong: its caller has been told that it failed, or has appended again. So this client has no buffer that
//! outlives a connection. A request is written at once or not at all; one that was written and not answered before the
//! connection broke is of unknown outcome, and the caller has to look.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, split},
    sync::{Notify, oneshot, watch},
    time::{Instant, sleep_until, timeout_at},
};

use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    connection::{self, Connection, Servers},
    protocol::{self, Headers, Op, WireError},
    write_coalescing::WriteCoalescer,
};
use crate::clock;

/// From one attempt to connect to the next.
const PAUSE: Duration = Duration::from_millis(50);

/// A connection on which requests wait and nothing is heard is asked after this, and given up after as much again.
const SILENCE: Duration = Duration::from_millis(700);

/// Sends requests and returns their answers. The connection ends with the last clone.
#[derive(Clone)]
pub struct UnbufferedClient {
    shared: Arc<Shared>,
    _open: Arc<DropGuard>,
}

/// Why a request has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It was not sent, and never will be.
    #[error("there is no connection to nats")]
    NotSent,
    /// The same, since it may not be sent any more.
    #[error("it may not be sent any more")]
    Withdrawn,
    /// It was sent, at least in part: whether it has had its effect is unknown.
    #[error("nats has not answered")]
    Unanswered,
    /// Nobody serves its subject: it had no effect.
    #[error("nobody serves this subject")]
    NoResponders,
    /// It is larger than the server takes, and was not sent.
    #[error("it is larger than the server takes")]
    TooLarge,
}

struct Shared {
    state: Mutex<State>,
    /// Rung when there is something to be written.
    arrived: Notify,
    /// Rung when a request waits and none did.
    waits: Notify,
    /// Is there a connection?
    connected: watch::Sender<bool>,
    /// What the subjects of answers begin with.
    inbox: String,
}

#[derive(Default)]
struct State {
    /// What is to be written next: the request's number, if somebody waits for its answer, and the bytes.
    queue: VecDeque<(Option<u64>, Bytes)>,
    waiting: HashMap<u64, Waiting>,
    gathering: WriteCoalescer,
    last_number: u64,
    max_payload: usize,
    /// When the server was last heard, or the first request began to wait.
    heard: Option<Instant>,
    /// Was the server asked since whether it is there?
    asked: bool,
}

/// A command appends, until this is dropped.
pub(super) struct Appending<'a>(&'a Shared);

type Answer = Result<Bytes, RequestError>;

struct Waiting {
    answer: oneshot::Sender<Answer>,
    written: bool,
}

impl UnbufferedClient {
    /// For one of `servers`; run the returned future.
    pub(super) fn start(servers: Servers) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            arrived: Notify::new(),
            waits: Notify::new(),
            connected: watch::channel(false).0,
            inbox: format!("_INBOX_{}.{}.", servers.user, clock::random_id().simple()),
        });
        let closed = CancellationToken::new();
        let client =
            Self { shared: Arc::clone(&shared), _open: Arc::new(closed.clone().drop_guard()) };
        let keep = async move {
            let purpose = ("appends", "appends events; commands fail until it is back");
            let serve = |connection| serve(&shared, connection);
            let lost = || shared.disconnect();
            tokio::select! {
                never = connection::keep_connected(&servers, purpose, PAUSE, serve, lost) => match never {},
                () = closed.cancelled() => {}
            }
        };
        (client, keep)
    }

    /// A command begins to append: what others append meanwhile may share a write with it.
    pub(super) fn begin(&self) -> Appending<'_> {
        self.shared.lock().gathering.begin(Instant::now());
        Appending(&self.shared)
    }

    /// Sends a request once there is a connection, if it may be sent by then, and waits for its answer, both until
    /// `deadline`.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub(super) async fn request(
        &self,
        subject: &str,
        headers: &Headers,
        payload: &[u8],
        deadline: Instant,
        may_send: impl Fn() -> bool,
    ) -> Result<Bytes, RequestError> {
        let shared = &self.shared;
        let mut connected = shared.connected.subscribe();
        loop {
            if !*connected.borrow() && !may_send() {
                return Err(RequestError::Withdrawn);
            }
            match timeout_at(deadline, connected.wait_for(|connected| *connected)).await {
                Ok(Ok(_)) => {}
                _ => return Err(RequestError::NotSent),
            }
            if !may_send() {
                return Err(RequestError::Withdrawn);
            }
            let Some((number, mut answered)) = shared.enqueue(subject, headers, payload)? else {
                continue;
            };
            let request = Unanswered { shared, number };
            let outcome = match timeout_at(deadline, &mut answered).await {
                Ok(outcome) => outcome.unwrap_or(Err(RequestError::Unanswered)),
                // The answer may have come just now.
                Err(_) => match request.give_up() {
                    Some(error) => Err(error),
                    None => answered.try_recv().unwrap_or(Err(RequestError::Unanswered)),
                },
            };
            if outcome != Err(RequestError::NotSent) || Instant::now() >= deadline {
                return outcome;
            }
        }
    }
}

/// A request that somebody waits for: once nobody does, it is not written any more.
struct Unanswered<'a> {
    shared: &'a Shared,
    number: u64,
}

impl Unanswered<'_> {
    /// Gives it up; `None` if it has its answer.
    fn give_up(&self) -> Option<RequestError> {
        let mut state = self.shared.lock();
        if state.waiting.remove(&self.number)?.written {
            return Some(RequestError::Unanswered);
        }
        state.queue.retain(|(queued, _)| *queued != Some(self.number));
        Some(RequestError::NotSent)
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        self.give_up();
    }
}

impl Drop for Appending<'_> {
    fn drop(&mut self) {
        self.0.lock().gathering.end();
    }
}

impl State {
    /// When what is queued is to be written; `None` if nothing is. A pong and the like do not wait.
    fn due(&self, now: Instant) -> Option<Instant> {
        let waits = self.queue.iter().all(|(number, _)| number.is_some());
        let due = if waits { self.gathering.due(self.queue.len(), now) } else { now };
        (!self.queue.is_empty()).then_some(due)
    }
}

impl Shared {
    /// Puts a request where it is written from; `None` if the connection has just gone.
    fn enqueue(
        &self,
        subject: &str,
        headers: &Headers,
        payload: &[u8],
    ) -> Result<Option<(u64, oneshot::Receiver<Answer>)>, RequestError> {
        let mut state = self.lock();
        if !*self.connected.borrow() {
            return Ok(None);
        }
        if headers.len() + payload.len() > state.max_payload {
            return Err(RequestError::TooLarge);
        }
        state.last_number += 1;
        let number = state.last_number;
        let mut bytes = BytesMut::new();
        let reply = format!("{}{number}", self.inbox);
        protocol::publish_with(&mut bytes, subject, &reply, headers, payload);
        if state.waiting.is_empty() {
            (state.heard, state.asked) = (Some(Instant::now()), false);
            self.waits.notify_one();
        }
        let (answer, answered) = oneshot::channel();
        state.waiting.insert(number, Waiting { answer, written: false });
        state.queue.push_back((Some(number), bytes.freeze()));
        let queued = state.queue.len();
        let is_enough = state.gathering.is_enough(queued);
        drop(state);
        if queued == 1 || is_enough {
            self.arrived.notify_one(); // in between it is known that there is something
        }
        Ok(Some((number, answered)))
    }

    fn connect(&self, max_payload: usize) {
        let mut state = self.lock();
        let mut bytes = BytesMut::new();
        protocol::subscribe(&mut bytes, &format!("{}*", self.inbox), 1);
        state.queue.push_front((None, bytes.freeze()));
        state.max_payload = max_payload;
        (state.heard, state.asked) = (Some(Instant::now()), false);
        self.connected.send_replace(true);
    }

    /// What was not written never will be; what was has an unknown outcome.
    fn disconnect(&self) {
        let mut state = self.lock();
        self.connected.send_replace(false);
        state.queue.clear();
        for (_, Waiting { answer, written }) in state.waiting.drain() {
            let outcome = if written { RequestError::Unanswered } else { RequestError::NotSent };
            _ = answer.send(Err(outcome)); // they may have given up
        }
    }

    /// Waits until something is to be written.
    async fn wait_for_queue(&self) {
        loop {
            let now = Instant::now();
            let due = self.lock().due(now);
            match due {
                Some(due) if due <= now => return,
                Some(due) => tokio::select! {
                    () = sleep_until(due) => {}
                    () = self.arrived.notified() => {}
                },
                None => self.arrived.notified().await,
            }
        }
    }

    /// Everything that is queued, to be written now.
    fn take_queue(&self) -> BytesMut {
        let mut state = self.lock();
        state.gathering.write(Instant::now());
        let mut bytes = BytesMut::new();
        for (number, request) in std::mem::take(&mut state.queue) {
            bytes.extend_from_slice(&request);
            if let Some(waiting) = number.and_then(|number| state.waiting.get_mut(&number)) {
                waiting.written = true;
            }
        }
        bytes
    }

    fn send(&self, write: impl FnOnce(&mut BytesMut)) {
        let mut bytes = BytesMut::new();
        write(&mut bytes);
        self.lock().queue.push_back((None, bytes.freeze()));
        self.arrived.notify_one();
    }

    fn answer(&self, subject: &[u8], headers: &[u8], payload: Bytes) {
        let number = subject.strip_prefix(self.inbox.as_bytes());
        let number = number.and_then(|number| str::from_utf8(number).ok()?.parse().ok());
        let waiting = number.and_then(|number: u64| self.lock().waiting.remove(&number));
        let Some(waiting) = waiting else { return };
        let is_refusal = payload.is_empty() && headers.starts_with(b"NATS/1.0 503");
        let answer = if is_refusal { Err(RequestError::NoResponders) } else { Ok(payload) };
        _ = waiting.answer.send(answer); // they may have given up
    }

    fn heard(&self) {
        let mut state = self.lock();
        (state.heard, state.asked) = (Some(Instant::now()), false);
    }

    /// When to check again whether the server is silent; `None` if nothing is waited for.
    fn check_silence(&self) -> Result<Option<Instant>, WireError> {
        let now = Instant::now();
        let mut state = self.lock();
        let Some(heard) = state.heard.filter(|_| !state.waiting.is_empty()) else {
            return Ok(None);
        };
        let limit = if state.asked { SILENCE * 2 } else { SILENCE };
        if now < heard + limit {
            return Ok(Some(heard + limit));
        }
        if std::mem::replace(&mut state.asked, true) {
            return Err(WireError::Silent);
        }
        drop(state);
        self.send(protocol::ping);
        Ok(Some(heard + SILENCE * 2))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Until the connection is lost.
async fn serve(shared: &Shared, connection: Connection) -> WireError {
    let Connection { wire, received, max_payload } = connection;
    let (reading, writing) = split(wire);
    shared.connect(max_payload);
    let ended = tokio::select! {
        ended = write(shared, writing) => ended,
        ended = read(shared, reading, received) => ended,
        ended = watch_silence(shared) => ended,
    };
    match ended {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn write(
    shared: &Shared,
    mut wire: impl AsyncWrite + Unpin,
) -> Result<Infallible, WireError> {
    loop {
        shared.wait_for_queue().await;
        wire.write_all(&shared.take_queue()).await?;
        wire.flush().await?;
    }
}

async fn read(
    shared: &Shared,
    mut wire: impl AsyncRead + Unpin,
    mut received: BytesMut,
) -> Result<Infallible, WireError> {
    loop {
        let op = protocol::read_op(&mut wire, &mut received).await?;
        shared.heard();
        match op {
            Op::Message { subject, headers, payload, .. } => {
                shared.answer(&subject, &headers, payload);
            }
            Op::Ping => shared.send(protocol::pong),
            Op::Pong | Op::Info(_) | Op::Other => {}
        }
    }
}

/// A line can go dead without a word.
async fn watch_silence(shared: &Shared) -> Result<Infallible, WireError> {
    loop {
        match shared.check_silence()? {
            Some(next) => sleep_until(next).await,
            None => shared.waits.notified().await,
        }
    }
}
