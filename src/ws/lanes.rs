//! What is said in large groups, on its way to the sockets of their members here (ADR 0011): one subscription per
//! group with a socket, one frame for all of them.

use std::{
    collections::HashMap,
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::extract::ws::Utf8Bytes;
use bytes::Bytes;
use futures_util::{
    StreamExt as _,
    stream::{AbortHandle, SelectAll},
};
use tokio::sync::mpsc;

use super::{
    hub::{Entry, Order},
    mailbox::Mailbox,
};
use crate::{
    adapters::push::{PushError, Pushes, SaidInbox, SaidPush},
    commands::execute::Executor,
    events::{ConnectionId, GroupId},
};

/// Who hears what is said in which group.
#[derive(Clone)]
pub struct Lanes {
    pushes: Pushes,
    groups: Arc<Mutex<HashMap<GroupId, Hearers>>>,
    begun: mpsc::UnboundedSender<SaidInbox>,
}

struct Hearers {
    sockets: HashMap<ConnectionId, Arc<Mailbox<Order>>>,
    /// Ends the subscription.
    end: AbortHandle,
}

/// What was said, as a socket hears it.
#[derive(Debug)]
pub struct Said {
    /// Where and by whom.
    pub push: SaidPush,
    /// The frame; none if the socket has to look by itself.
    pub frame: Option<Utf8Bytes>,
}

/// A socket's place among the hearers of a group, given back when it is dropped.
pub struct Attached {
    groups: Arc<Mutex<HashMap<GroupId, Hearers>>>,
    group: GroupId,
    connection: ConnectionId,
}

impl Lanes {
    /// Run the returned future.
    pub fn start(
        pushes: Pushes,
        executor: Executor,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (begun, beginning) = mpsc::unbounded_channel();
        let this = Self { pushes, groups: Arc::default(), begun };
        (this.clone(), this.run(executor, beginning))
    }

    /// From now on the socket hears what is said in the group.
    ///
    /// # Errors
    /// Not connected to the server.
    pub(super) async fn attach(
        &self,
        group: GroupId,
        entry: &Entry,
    ) -> Result<Attached, PushError> {
        let connection = entry.connection;
        if !self.join(group, entry) {
            let (inbox, end) = self.pushes.said_in(group).await?;
            let (ours, mut groups) = (end.clone(), lock(&self.groups));
            let nobody = || Hearers { sockets: HashMap::new(), end };
            let hearers = groups.entry(group).or_insert_with(nobody);
            if hearers.sockets.is_empty() {
                _ = self.begun.send(inbox);
            } else {
                ours.abort(); // another socket was faster
            }
            hearers.sockets.insert(connection, Arc::clone(&entry.orders));
        }
        let attached = Attached { groups: Arc::clone(&self.groups), group, connection };
        // Also if somebody else has subscribed: that may be on its way yet.
        self.pushes.prove().await?;
        Ok(attached)
    }

    fn join(&self, group: GroupId, entry: &Entry) -> bool {
        let mut groups = lock(&self.groups);
        let Some(hearers) = groups.get_mut(&group) else { return false };
        hearers.sockets.insert(entry.connection, Arc::clone(&entry.orders));
        true
    }

    async fn run(self, executor: Executor, mut beginning: mpsc::UnboundedReceiver<SaidInbox>) {
        let mut inboxes = SelectAll::new();
        loop {
            let next = async {
                match inboxes.next().await {
                    Some(said) => said,
                    None => pending().await, // until a group begins
                }
            };
            tokio::select! {
                inbox = beginning.recv() => match inbox {
                    Some(inbox) => inboxes.push(inbox),
                    None => return,
                },
                (push, frame) = next => self.tell(&executor, push, frame).await,
            }
        }
    }

    /// Tells all who hear it. Not before this node knows whose sockets they are, and who has left: then they have been
    /// told that before.
    async fn tell(&self, executor: &Executor, push: SaidPush, frame: Bytes) {
        let frame = Some(frame).filter(|frame| !frame.is_empty());
        let knows = executor.seen_here(push.ruled).await;
        let frame = frame.filter(|_| knows).and_then(|frame| Utf8Bytes::try_from(frame).ok());
        let groups = lock(&self.groups);
        let Some(hearers) = groups.get(&push.group) else { return };
        let said = Arc::new(Said { push, frame });
        for socket in hearers.sockets.values() {
            socket.put(Order::Hear(Arc::clone(&said))); // it may have ended just now
        }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let mut groups = lock(&self.groups);
        let Some(hearers) = groups.get_mut(&self.group) else { return };
        hearers.sockets.remove(&self.connection);
        if hearers.sockets.is_empty() {
            hearers.end.abort();
            groups.remove(&self.group);
        }
    }
}

fn lock(groups: &Mutex<HashMap<GroupId, Hearers>>) -> MutexGuard<'_, HashMap<GroupId, Hearers>> {
    groups.lock().unwrap_or_else(PoisonError::into_inner)
}
