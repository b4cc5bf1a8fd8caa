//! Content keys: a stream with the keys by which the log's texts and names are sealed (ADR 0038).
//!
//! A key is one of its owner's by its place in the stream. Its owner's newest entry is the key to seal with; an
//! entry without a key says that there is to be none any more.

use std::{
    collections::HashSet,
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::jetstream::{message::StreamMessage, stream::Stream};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use quick_cache::sync::Cache;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use uuid::Uuid;

use super::{
    connect::Nats,
    group_commit::GroupCommit,
    log_error::{LogError, unavailable},
    lookup::{AnsweredBy, Lookup},
    protocol::Headers,
    publish::PutOutcome,
    unbuffered_client::UnbufferedClient,
};
use crate::events::{
    ContentKey, DecodeError, KeyOwner, KeyState, Timestamp, UnsealError, Unsealed, UserId,
    seal_text, sealed_by, unseal,
};

/// The stream.
pub(super) const KEYS: &str = "KEYS";

/// How long a key may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// For so long a key may be on nobody's disk yet.
const YOUNG_MS: i64 = 60_000;

/// How many keys are asked for at once.
const LEARNED_AT_ONCE: usize = 64;

/// How many keys a process remembers: some 100 bytes each.
const REMEMBERED: usize = 200_000;

/// The keys, and those that this process remembers.
#[derive(Clone)]
pub struct ContentKeys(Arc<Inner>);

struct Inner {
    stream: Stream<()>,
    lookup: Lookup,
    appends: UnbufferedClient,
    commit: Option<GroupCommit>,
    /// By place.
    keys: Cache<u64, KeyState>,
    /// The newest of each owner.
    newest: Cache<KeyOwner, u64>,
    connected: watch::Receiver<u64>,
    /// In which connection they were read.
    read_in: AtomicU64,
}

impl ContentKeys {
    /// Opens the stream, which `hongyan migrate` makes.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn open(
        nats: &Nats,
        commit: Option<GroupCommit>,
        replicated: bool,
    ) -> Result<Self, LogError> {
        let stream = nats.jetstream.get_stream_no_info(KEYS).await.map_err(unavailable)?;
        Ok(Self(Arc::new(Inner {
            lookup: Lookup::new(stream.clone(), nats.client.clone(), AnsweredBy::all(replicated)),
            stream,
            appends: nats.appends.clone(),
            commit,
            keys: Cache::new(REMEMBERED),
            newest: Cache::new(REMEMBERED),
            connected: nats.reconnects.clone(),
            read_in: AtomicU64::default(),
        })))
    }

    /// An event's body as it is stored.
    ///
    /// # Errors
    /// A key cannot be had.
    pub(super) async fn seal(&self, event: &Unsealed<'_>) -> Result<Vec<u8>, LogError> {
        loop {
            self.forget_those_of_before();
            let newest = |owner| self.0.keys.get(&self.0.newest.get(&owner)?);
            match event.seal(newest) {
                Ok(body) => return Ok(body),
                Err(owner) => self.learn_newest(owner).await?,
            }
        }
    }

    /// A text that is kept beside the log, sealed by the newest key of a user; `id` is given once.
    ///
    /// # Errors
    /// The key cannot be had.
    pub(super) async fn seal_text(
        &self,
        user: UserId,
        id: Uuid,
        text: &str,
    ) -> Result<String, LogError> {
        let owner = KeyOwner::User(user);
        loop {
            self.forget_those_of_before();
            if let Some(key) = self.0.newest.get(&owner).and_then(|number| self.0.keys.get(&number))
            {
                return Ok(seal_text(id, text, owner, &key));
            }
            self.learn_newest(owner).await?;
        }
    }

    /// The body of the event `id` with all that was sealed, or what is read in its place.
    ///
    /// # Errors
    /// A key cannot be had, or the body is damaged.
    pub(super) async fn unseal(&self, id: Option<&str>, body: Bytes) -> Result<Unread, LogError> {
        loop {
            match self.unseal_by_known(id, &body) {
                // A key is acknowledged before anything is sealed by it, and the leader knows what was.
                Err(UnsealError::Unknown(owner, number)) if self.learn(owner, number).await? => {}
                done => return Ok(done.map_err(DecodeError::from)),
            }
        }
    }

    /// The same of the first of some bodies. If its key is not known, those of all are found out about at once.
    ///
    /// # Errors
    /// A key cannot be had.
    pub(super) async fn unseal_first(
        &self,
        id: Option<&str>,
        mut bodies: impl Iterator<Item = &Bytes> + Clone,
    ) -> Result<Unread, LogError> {
        let all = bodies.clone();
        let body = bodies.next().cloned().unwrap_or_default();
        match self.unseal_by_known(id, &body) {
            Err(UnsealError::Unknown(..)) => {
                self.learn_all(all.map(Bytes::as_ref)).await?;
                self.unseal(id, body).await
            }
            done => Ok(done.map_err(DecodeError::from)),
        }
    }

    /// The same by what this process remembers.
    fn unseal_by_known(&self, id: Option<&str>, body: &Bytes) -> Result<Bytes, UnsealError> {
        self.forget_those_of_before();
        let id = id.and_then(|id| Uuid::try_parse(id).ok()).unwrap_or_default();
        let clear = unseal(id, body, |_, number| self.0.keys.get(&number))?;
        Ok(clear.map_or_else(|| body.clone(), Bytes::from))
    }

    /// Finds out about all keys of many events at once, as far as that can be seen from outside.
    async fn learn_all(&self, bodies: impl Iterator<Item = &[u8]>) -> Result<(), LogError> {
        let unknown: HashSet<_> = bodies
            .flat_map(sealed_by)
            .filter(|(_, number)| self.0.keys.peek(number).is_none())
            .collect();
        let learning = stream::iter(unknown).map(|(owner, number)| self.learn(owner, number));
        learning.buffer_unordered(LEARNED_AT_ONCE).try_for_each(|_| ready(Ok(()))).await
    }

    /// Finds out about a key; false if nothing is known of it.
    async fn learn(&self, owner: KeyOwner, number: u64) -> Result<bool, LogError> {
        let Some(newest) = self.0.lookup.last(&subject(owner)).await? else { return Ok(false) };
        let known = if newest.sequence == number {
            state(&newest)
        } else if newest.sequence < number {
            return Ok(false);
        } else if newest.payload.is_empty() {
            KeyState::Destroyed
        } else {
            let stored = self.0.lookup.at(number).await?;
            let stored = stored.filter(|stored| stored.subject.as_str() == subject(owner));
            stored.as_ref().map_or(KeyState::Destroyed, state)
        };
        self.0.keys.insert(number, known);
        // It may be newer than the one that new events are sealed by.
        if self.0.newest.get(&owner).is_some_and(|newest| newest < number) {
            self.0.newest.remove(&owner);
        }
        Ok(true)
    }

    /// Finds out which key is the newest of an owner's, and makes the first.
    async fn learn_newest(&self, owner: KeyOwner) -> Result<(), LogError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(last) = self.0.lookup.last(&subject(owner)).await? {
                // Whoever made it a moment ago may not have synced it yet.
                if crate::clock::now().0 - Timestamp::of(last.time).0 < YOUNG_MS {
                    self.sync().await?;
                }
                self.0.keys.insert(last.sequence, state(&last));
                self.0.newest.insert(owner, last.sequence);
                return Ok(());
            }
            let secret = new_secret();
            if let Some(number) = self.put(owner, &secret, 0).await? {
                let key = ContentKey::new(number, &secret).expect("it is that long");
                self.0.keys.insert(number, KeyState::Known(Arc::new(key)));
                self.0.newest.insert(owner, number);
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(unavailable("the key of an owner is not where it was made"));
            }
            sleep(Duration::from_millis(5)).await; // on its way to a replica
        }
    }

    /// A server that was away may have lost keys, or be a backup that was restored: then other keys have their places.
    fn forget_those_of_before(&self) {
        let connected = *self.0.connected.borrow();
        if self.0.read_in.load(Ordering::Acquire) != connected {
            self.forget_all(); // before anybody takes what is left for new
            self.0.read_in.store(connected, Ordering::Release);
        }
    }

    /// Forgets all that it remembers.
    pub fn forget_all(&self) {
        self.0.newest.clear();
        self.0.keys.clear();
    }

    /// Gives an owner a new key, by which all that follows is sealed.
    ///
    /// # Errors
    /// The server cannot be reached, or does not let us.
    pub async fn rotate(&self, owner: KeyOwner) -> Result<(), LogError> {
        self.supersede(owner, &new_secret()).await
    }

    /// Says that an owner is to have no key any more. The one before stays until [`Self::destroy_older`].
    ///
    /// # Errors
    /// As [`Self::rotate`].
    pub async fn revoke(&self, owner: KeyOwner) -> Result<(), LogError> {
        self.supersede(owner, &[]).await
    }

    async fn supersede(&self, owner: KeyOwner, secret: &[u8]) -> Result<(), LogError> {
        loop {
            let last = self.0.lookup.last(&subject(owner)).await?;
            if secret.is_empty() && last.as_ref().is_some_and(|last| last.payload.is_empty()) {
                return Ok(());
            }
            let revision = last.map_or(0, |last| last.sequence);
            if self.put(owner, secret, revision).await?.is_some() {
                self.0.newest.remove(&owner);
                return Ok(());
            }
        }
    }

    /// Destroys all keys of an owner but the newest: their bytes are overwritten in the files of the server.
    ///
    /// # Errors
    /// As [`Self::rotate`].
    pub async fn destroy_older(&self, owner: KeyOwner) -> Result<(), LogError> {
        let Some(newest) = self.0.lookup.last(&subject(owner)).await? else { return Ok(()) };
        while let Some(older) = self.0.lookup.next(&subject(owner), 1).await?
            && older.sequence < newest.sequence
        {
            self.0.stream.delete_message(older.sequence).await.map_err(unavailable)?;
            self.0.keys.insert(older.sequence, KeyState::Destroyed);
        }
        Ok(())
    }

    /// The days before one whose keys are not destroyed.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn days_before(&self, day: i64) -> Result<Vec<KeyOwner>, LogError> {
        let listed = self.0.stream.info_with_subjects("key.day.*").await.map_err(unavailable)?;
        let subjects: Vec<(String, usize)> = listed.try_collect().await.map_err(unavailable)?;
        let mut days = Vec::new();
        for (subject, _) in subjects {
            let number = subject.rsplit('.').next().and_then(|day| day.parse().ok());
            let Some(owner) = number.filter(|number| *number < day).map(KeyOwner::Day) else {
                continue;
            };
            if self.holds_one(owner).await? {
                days.push(owner);
            }
        }
        Ok(days)
    }

    /// Is there a key of an owner's that is not destroyed?
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn holds_one(&self, owner: KeyOwner) -> Result<bool, LogError> {
        let first = self.0.lookup.next(&subject(owner), 1).await?;
        Ok(first.is_some_and(|first| !first.payload.is_empty()))
    }

    /// Puts an entry, durably: nothing may be sealed by a key that a power loss takes. `None` if there is a newer one.
    async fn put(
        &self,
        owner: KeyOwner,
        secret: &[u8],
        revision: u64,
    ) -> Result<Option<u64>, LogError> {
        let (subject, entry) = (subject(owner), (Headers::new(), secret));
        let last = async || self.0.lookup.last(&subject).await;
        let put = self.0.appends.put(&subject, entry, revision, || true, last).await?;
        self.sync().await?;
        Ok(match put {
            PutOutcome::At(number) => Some(number),
            PutOutcome::Not | PutOutcome::Unknown => None,
        })
    }

    async fn sync(&self) -> Result<(), LogError> {
        match &self.0.commit {
            Some(commit) if !commit.barrier().await => {
                Err(unavailable("a key could not be synced to disk"))
            }
            _ => Ok(()),
        }
    }
}

/// A body, or why it cannot be read.
pub(super) type Unread = Result<Bytes, DecodeError>;

fn state(stored: &StreamMessage) -> KeyState {
    ContentKey::new(stored.sequence, &stored.payload)
        .map_or(KeyState::Destroyed, |key| KeyState::Known(Arc::new(key)))
}

fn new_secret() -> [u8; ContentKey::LENGTH] {
    let mut secret = [0; ContentKey::LENGTH];
    SystemRandom::new().fill(&mut secret).expect("the system has randomness");
    secret
}

fn subject(owner: KeyOwner) -> String {
    match owner {
        // To be listed.
        KeyOwner::Day(day) => format!("key.day.{day}"),
        owner => format!("key.{owner}"),
    }
}
