//! Keeps the caches of a gateway fresh: one ordered consumer over all that rules ask about.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::{interval, sleep};
use tracing::warn;

use super::execute::Executor;
use crate::{
    adapters::{
        checkpoints::{Beat, Checkpoints, HEARTBEAT},
        event_log::LogError,
        reader::position_of,
        tail::Tail,
    },
    events::{Event, Position, Recorded, Subject},
};

/// What the caches depend on.
pub const SUBJECTS: &[&str] = &[
    "evt.user.>",
    "evt.session.>",
    "evt.friendship.>",
    "evt.group.>",
    "evt.questions.>",
    "evt.complaint.>",
];

impl Executor {
    /// Keeps the caches fresh, for ever; `observe` hears every event after the caches, `begin` up to where it will
    /// never hear any.
    pub async fn follow(
        &self,
        tail: &Tail,
        observe: impl Fn(&Recorded<Event>),
        begin: impl Fn(Position),
    ) {
        let seen = AtomicU64::new(0);
        tokio::join!(self.keep_telling(&seen), async {
            loop {
                if let Err(error) = self.try_follow(tail, &seen, &observe, &begin).await {
                    warn!(%error, "the caches lost touch with the log");
                    self.clear();
                    sleep(Duration::from_millis(200)).await;
                }
            }
        });
    }

    /// Says that this gateway is alive, also while the log is away: its sockets are not lost then.
    async fn keep_telling(&self, seen: &AtomicU64) {
        let mut beat = interval(HEARTBEAT);
        loop {
            beat.tick().await;
            self.tell(Position(seen.load(Ordering::Relaxed))).await;
        }
    }

    async fn tell(&self, position: Position) {
        let beat = Beat { position, node: self.node, leaving: false };
        self.checkpoints.tell(&Checkpoints::gateway(self.node), beat).await;
    }

    async fn try_follow(
        &self,
        tail: &Tail,
        seen: &AtomicU64,
        observe: &impl Fn(&Recorded<Event>),
        begin: &impl Fn(Position),
    ) -> Result<(), LogError> {
        let end = self.log.end().await?;
        // At first from the end on. Later from where we were: sockets must hear what became of them while we heard
        // nothing, that another took over or that we were taken for dead.
        let mut position = match Position(seen.load(Ordering::Relaxed)) {
            Position(0) => end.last,
            before => before.min(end.last),
        };
        let mut reader = tail.follow(SUBJECTS, Position(position.0 + 1)).await?;
        self.clear(); // nothing that was cached before this reader began has been kept fresh
        begin(position);
        loop {
            seen.store(position.0, Ordering::Relaxed);
            self.tell(position).await;
            for entry in reader.next_batch(1000).await? {
                position = position_of(&entry);
                if let Ok(recorded) = entry {
                    self.take(&recorded);
                    observe(&recorded);
                }
            }
        }
    }

    fn take(&self, recorded: &Recorded<Event>) {
        let at = recorded.position;
        match (&recorded.event, recorded.subject) {
            (Event::User(event), Subject::User(id)) => self.caches.users.apply(id, at, event),
            (Event::Session(event), Subject::Session(id)) => {
                self.caches.sessions.apply(id, at, event);
            }
            (Event::Friendship(event), Subject::Friendship(pair)) => {
                self.caches.friendships.apply(pair, at, event);
            }
            (Event::Group(event), Subject::Group(id)) => self.caches.groups.apply(id, at, event),
            (Event::Questions(event), Subject::Questions(id)) => {
                self.caches.questions.apply(id, at, event);
            }
            (Event::Complaint(event), Subject::Complaint(id)) => {
                self.caches.complaints.apply(id, at, event);
            }
            _ => {}
        }
    }

    fn clear(&self) {
        self.caches.users.clear();
        self.caches.sessions.clear();
        self.caches.friendships.clear();
        self.caches.groups.clear();
        self.caches.questions.clear();
        self.caches.complaints.clear();
    }
}
