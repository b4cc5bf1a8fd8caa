//! Subscriptions of this gateway: one connection to nats-server for the pushes to all its sockets (ADR 0012).
//!
//! A subscription of async-nats costs 6 KiB, for its channel. Here it is a row of a map, and what comes is handed on in
//! the order in which it was published, whatever its subject.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    mem::take,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, split},
    sync::{Notify, oneshot},
    time::timeout,
};
use tracing::info;

pub use super::connection::Servers;
use super::{
    connection::{self, Connection},
    protocol::{self, Op, WireError},
};

/// How long the server may be silent before it is asked whether it is there, and then until it is given up.
const SILENCE: Duration = Duration::from_secs(10);

/// From one attempt to connect to the next.
const PAUSE: Duration = Duration::from_millis(250);

/// How long it may take to have an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The subjects that somebody here wants to hear of.
#[derive(Clone, Default)]
pub struct Subscriptions(Arc<Shared>);

/// Somebody wants to hear of a subject, until this is dropped.
pub struct Subscription {
    subscriptions: Subscriptions,
    subject: Box<str>,
}

/// Something that was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubscriptionEvent {
    /// A message.
    Message {
        /// Its subject.
        subject: Bytes,
        /// Where an answer is awaited.
        reply: Option<Bytes>,
        /// Its content.
        payload: Bytes,
    },
    /// Messages may have been missed before this.
    Gap,
}

/// There is no server, or it does not answer.
#[derive(Debug, thiserror::Error)]
#[error("not connected to nats: pushes cannot be received")]
pub struct NotConnected;

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Rung when there is something to be written.
    bell: Notify,
}

#[derive(Default)]
struct State {
    subjects: HashMap<Box<str>, SubjectState>,
    last_id: u64,
    connected: bool,
    /// What the server is to be told.
    outbox: BytesMut,
    /// Is a ping to be written, and who waits for the answer?
    pinging: Option<Vec<oneshot::Sender<()>>>,
    /// The same of pings that were written.
    pinged: VecDeque<Vec<oneshot::Sender<()>>>,
}

struct SubjectState {
    id: u64,
    subscribers: usize,
}

impl Subscriptions {
    /// From now on what is published on `subject` is heard; what others publish now may be missed until
    /// [`Subscriptions::prove`] has returned.
    pub fn subscribe(&self, subject: String) -> Subscription {
        let subject = subject.into_boxed_str();
        let mut state = self.lock();
        if let Some(subscription) = state.subjects.get_mut(&subject) {
            subscription.subscribers += 1;
        } else {
            state.last_id += 1;
            let id = state.last_id;
            if state.connected {
                protocol::subscribe(&mut state.outbox, &subject, id);
            }
            state.subjects.insert(subject.clone(), SubjectState { id, subscribers: 1 });
            self.0.bell.notify_one();
        }
        drop(state);
        Subscription { subscriptions: self.clone(), subject }
    }

    /// Returns when the server knows all that was wanted before. Waits a little for one.
    ///
    /// # Errors
    /// There is none.
    pub async fn confirm(&self) -> Result<(), NotConnected> {
        let (answer, answered) = oneshot::channel();
        self.lock().ping().push(answer);
        self.0.bell.notify_one();
        match timeout(PATIENCE, answered).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(NotConnected),
        }
    }

    /// Answers what was heard, without a word. Nobody else may: the server knows who was asked.
    pub fn answer(&self, reply: &[u8]) {
        let mut state = self.lock();
        if state.connected {
            protocol::publish(&mut state.outbox, reply, b"");
            self.0.bell.notify_one();
        }
    }

    /// Keeps a connection to one of the servers, for ever, and hands on what is heard.
    pub async fn run<F>(&self, servers: Servers, on_incoming: impl Fn(SubscriptionEvent) -> F)
    where
        F: Future<Output = ()>,
    {
        let purpose = ("pushes", "receives pushes; sockets refetch when it is back");
        let serve = |connection| self.serve(connection, &on_incoming);
        let lost = || self.lock().disconnect();
        match connection::keep_connected(&servers, purpose, PAUSE, serve, lost).await {}
    }

    /// Until the connection is lost.
    async fn serve<F: Future<Output = ()>>(
        &self,
        Connection { wire, received, .. }: Connection,
        on_incoming: &impl Fn(SubscriptionEvent) -> F,
    ) -> WireError {
        let (reading, writing) = split(wire);
        self.lock().connect();
        let ended = tokio::select! {
            ended = self.write(writing) => ended,
            ended = self.read(reading, received, on_incoming) => ended,
        };
        match ended {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn write(&self, mut wire: impl AsyncWrite + Unpin) -> Result<Infallible, WireError> {
        loop {
            let words = self.lock().take_outbox();
            if words.is_empty() {
                self.0.bell.notified().await;
            } else {
                wire.write_all(&words).await?;
                wire.flush().await?;
            }
        }
    }

    async fn read<F: Future<Output = ()>>(
        &self,
        mut wire: impl AsyncRead + Unpin,
        mut received: BytesMut,
        on_incoming: &impl Fn(SubscriptionEvent) -> F,
    ) -> Result<Infallible, WireError> {
        let (mut proved, mut asked) = (false, false);
        loop {
            let Ok(op) = timeout(SILENCE, protocol::read_op(&mut wire, &mut received)).await else {
                if std::mem::replace(&mut asked, true) {
                    return Err(WireError::Silent);
                }
                self.lock().ping();
                self.0.bell.notify_one();
                continue;
            };
            asked = false;
            match op? {
                Op::Message { subject, reply, payload, .. } => {
                    on_incoming(SubscriptionEvent::Message { subject, reply, payload }).await;
                }
                Op::Ping => {
                    protocol::pong(&mut self.lock().outbox);
                    self.0.bell.notify_one();
                }
                Op::Pong => {
                    // Those who have given up do not hear it.
                    let waiting = self.lock().pinged.pop_front().unwrap_or_default();
                    for answer in waiting {
                        _ = answer.send(());
                    }
                    if !std::mem::replace(&mut proved, true) {
                        info!("pushes are heard");
                        on_incoming(SubscriptionEvent::Gap).await;
                    }
                }
                Op::Info(_) | Op::Other => {}
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A new connection: the server knows nothing yet, and will have been told all when it answers the ping.
    fn connect(&mut self) {
        for (subject, subscription) in &self.subjects {
            protocol::subscribe(&mut self.outbox, subject, subscription.id);
        }
        self.connected = true;
        protocol::ping(&mut self.outbox);
        self.pinging.get_or_insert_default();
    }

    /// Whoever waits for an answer goes on waiting for that of the next server.
    fn disconnect(&mut self) {
        (self.connected, self.outbox) = (false, BytesMut::new());
        let waiting = self.pinged.drain(..).flatten();
        self.pinging.get_or_insert_default().extend(waiting);
    }

    /// Asks the server for an answer; those who wait for it.
    fn ping(&mut self) -> &mut Vec<oneshot::Sender<()>> {
        if self.connected && self.pinging.is_none() {
            protocol::ping(&mut self.outbox);
        }
        let waiting = self.pinging.get_or_insert_default();
        if waiting.len() == waiting.capacity() {
            waiting.retain(|answer| !answer.is_closed()); // there may be no server for hours
        }
        waiting
    }

    fn take_outbox(&mut self) -> BytesMut {
        self.pinged.extend(self.pinging.take());
        take(&mut self.outbox)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut state = self.subscriptions.lock();
        let Some(subscription) = state.subjects.get_mut(&self.subject) else { return };
        subscription.subscribers -= 1;
        if subscription.subscribers == 0 {
            let id = subscription.id;
            state.subjects.remove(&self.subject);
            if state.connected {
                protocol::unsubscribe(&mut state.outbox, id);
                self.subscriptions.0.bell.notify_one();
            }
        }
    }
}
