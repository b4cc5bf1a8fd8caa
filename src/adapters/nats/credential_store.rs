//! Credentials and reservations of usernames: a key-value bucket that only the server's account may read.

#![expect(missing_docs, reason = "a field whose name says what it is needs no comment")]

use std::time::Duration;

use async_nats::jetstream::message::StreamMessage;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{
    connect::Nats,
    content_keys::ContentKeys,
    envelope::{EXPECTED, EXPECTED_ON, header},
    log_error::{LogError, unavailable},
    lookup::{AnsweredBy, Lookup},
    protocol::Headers,
    publish::{ANSWER, PublishError, PutOutcome},
    unbuffered_client::UnbufferedClient,
};
use crate::events::{TokenId, UserId, Username};

/// The bucket.
pub const BUCKET: &str = "VAULT";
/// Its stream.
const STREAM: &str = "KV_VAULT";

/// How long a change may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The header that says that a message takes a key out, and not what it is now.
const OPERATION: &str = "KV-Operation";
const DELETE: &str = "DEL";

/// What the name in a reservation is sealed with beside the key: it is another one each time.
const SEAL: &str = "seal";

/// A key without a meaning.
const PROBE: &str = "probe";

/// What is secret, and which names and devices are taken.
#[derive(Clone)]
pub struct CredentialStore {
    keys: ContentKeys,
    lookup: Lookup,
    appends: UnbufferedClient,
    /// What a replica says is checked with the leader.
    replicated: bool,
}

/// Who has a log-in name, and how they prove it.
#[derive(Clone, Serialize, Deserialize)]
pub struct UsernameReservation {
    pub user: UserId,
    /// Its public identifier, which tells it from another account under a reused number.
    pub uuid: Uuid,
    /// The name as typed.
    pub username: Username,
    /// The password's hash, in PHC form or as legacy SHA-256 hex; guests have none (DEV-10).
    pub hash: Option<String>,
    /// The last change of password.
    #[serde(default)]
    pub change: Option<PasswordChange>,
}

impl UsernameReservation {
    /// Was the password last changed by this change?
    pub fn is_changed_by(&self, change: Uuid) -> bool {
        self.change.as_ref().is_some_and(|last| last.id == change)
    }
}

/// A change of password: the log has to say what the credential store says already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordChange {
    pub id: Uuid,
    /// The token that stays good.
    pub kept: Option<TokenId>,
    /// On whose behalf; nobody's if an operator's.
    pub actor: Option<UserId>,
    /// Has the log yet to say so?
    pub unfinished: bool,
}

/// Which account a device owns.
#[derive(Clone, Serialize, Deserialize)]
pub struct DeviceReservation {
    pub user: UserId,
    /// Its public identifier.
    pub uuid: Uuid,
}

/// A reservation with the revision that a change must expect.
pub struct StoredReservation<C> {
    pub reservation: C,
    pub revision: u64,
}

/// What a reservation is about; its key says nothing about the name.
pub trait Reservation: Serialize + DeserializeOwned {
    /// Keeps names and devices apart.
    const KIND: &'static str;

    /// Whose it is, if it is anybody's.
    fn user(&self) -> Option<UserId> {
        None
    }

    /// The name in it.
    fn name(&self) -> Option<&str> {
        None
    }
}

impl Reservation for UsernameReservation {
    const KIND: &'static str = "name";

    fn user(&self) -> Option<UserId> {
        Some(self.user)
    }

    fn name(&self) -> Option<&str> {
        Some(&self.username.0)
    }
}

impl Reservation for DeviceReservation {
    const KIND: &'static str = "device";

    fn user(&self) -> Option<UserId> {
        Some(self.user)
    }
}

/// How [`CredentialStore::reserve`] ended.
pub enum ReserveOutcome<C> {
    /// It is ours now.
    New,
    /// It was somebody's before.
    Taken(StoredReservation<C>),
}

impl CredentialStore {
    /// Opens the bucket. Of several replicas any is asked, and what it says is checked with the leader.
    ///
    /// # Errors
    /// It is not there: `hongyan migrate` makes it.
    pub async fn open(nats: &Nats, keys: ContentKeys, replicated: bool) -> Result<Self, LogError> {
        nats.jetstream.get_stream(STREAM).await.map_err(unavailable)?;
        let stream = nats.jetstream.get_stream_no_info(STREAM).await.map_err(unavailable)?;
        // By key: whoever may ask the leader may ask for all credentials, one by one.
        let lookup = Lookup::new(stream, nats.client.clone(), AnsweredBy::perhaps_late(replicated));
        Ok(Self { keys, lookup, appends: nats.appends.clone(), replicated })
    }

    /// Claims `what` unless somebody has it: that only one can is what makes names unique.
    ///
    /// # Errors
    /// The credential store cannot be reached.
    pub async fn reserve<C: Reservation>(
        &self,
        what: &str,
        reservation: &C,
    ) -> Result<ReserveOutcome<C>, LogError> {
        let mut revision = 0;
        loop {
            let key = key::<C>(what);
            let written = self.written(reservation).await?;
            let entry = (Headers::new(), &*written);
            match self.put(&key, entry, revision, || true).await? {
                PutOutcome::At(_) => return Ok(ReserveOutcome::New),
                PutOutcome::Not => {}
                // Taken, it would be told, and perhaps by this.
                PutOutcome::Unknown => return Err(unavailable("another came, perhaps after it")),
            }
            match self.last(&key).await? {
                Some(message) if is_there(&message) => {
                    return Ok(ReserveOutcome::Taken(self.read(message).await?));
                }
                Some(released) => revision = released.sequence,
                // On its way to a replica.
                None => sleep(Duration::from_millis(5)).await,
            }
        }
    }

    /// Who has `what`.
    ///
    /// # Errors
    /// The credential store cannot be reached.
    pub async fn find<C: Reservation>(
        &self,
        what: &str,
    ) -> Result<Option<StoredReservation<C>>, LogError> {
        match self.last(&key::<C>(what)).await?.filter(is_there) {
            Some(message) => self.read(message).await.map(Some),
            None => Ok(None),
        }
    }

    /// Replaces a reservation if it is still the one that was read; its new revision, or `None` if it is not.
    ///
    /// # Errors
    /// The credential store cannot be reached.
    pub async fn replace<C: Reservation>(
        &self,
        what: &str,
        reservation: &C,
        revision: u64,
    ) -> Result<Option<u64>, LogError> {
        self.replace_if(what, reservation, revision, || true).await
    }

    /// The same, if it may still be sent. After `None` it may have been there, before another.
    ///
    /// # Errors
    /// The credential store cannot be reached.
    pub async fn replace_if<C: Reservation>(
        &self,
        what: &str,
        reservation: &C,
        revision: u64,
        may_send: impl Fn() -> bool,
    ) -> Result<Option<u64>, LogError> {
        let written = self.written(reservation).await?;
        Ok(
            match self.put(&key::<C>(what), (Headers::new(), &written), revision, may_send).await? {
                PutOutcome::At(revision) => Some(revision),
                PutOutcome::Not | PutOutcome::Unknown => None,
            },
        )
    }

    /// Gives a reservation up, if it is still the one that was read.
    ///
    /// # Errors
    /// The credential store cannot be reached.
    pub async fn release<C: Reservation>(&self, what: &str, revision: u64) -> Result<(), LogError> {
        let mut headers = Headers::new();
        headers.add(OPERATION, DELETE);
        self.put(&key::<C>(what), (headers, b""), revision, || true).await?;
        Ok(())
    }

    /// Takes a reservation out if it is this user's. The name in it is sealed, so it goes with the user's key.
    ///
    /// # Errors
    /// The credential store cannot be reached.
    pub async fn erase<C: Reservation>(&self, what: &str, user: UserId) -> Result<(), LogError> {
        if let Some(held) = self.find::<C>(what).await?
            && held.reservation.user() == Some(user)
        {
            self.release::<C>(what, held.revision).await?;
        }
        Ok(())
    }

    /// As it is stored: with the name sealed.
    async fn written<C: Reservation>(&self, reservation: &C) -> Result<Vec<u8>, LogError> {
        let mut stored = serde_json::to_value(reservation).expect("reservations are plain data");
        if let (Some(user), Some(name)) = (reservation.user(), reservation.name()) {
            let seal = crate::clock::random_id();
            let sealed = self.keys.seal_text(user, seal, name).await?;
            stored["username"] = serde_json::from_str(&sealed).expect("it is JSON");
            stored[SEAL] = seal.to_string().into();
        }
        Ok(stored.to_string().into_bytes())
    }

    async fn read<C: Reservation>(
        &self,
        message: StreamMessage,
    ) -> Result<StoredReservation<C>, LogError> {
        #[derive(Deserialize)]
        struct Sealed {
            seal: Option<String>,
        }
        let Sealed { seal } = serde_json::from_slice(&message.payload).map_err(unavailable)?;
        let body = self.keys.unseal(seal.as_deref(), message.payload).await?;
        let body = body.map_err(unavailable)?;
        let reservation = serde_json::from_slice(&body).map_err(unavailable)?;
        Ok(StoredReservation { reservation, revision: message.sequence })
    }

    /// Puts something in a key's place if that is as it was at `revision`.
    async fn put(
        &self,
        key: &str,
        entry: (Headers, &[u8]),
        revision: u64,
        may_send: impl Fn() -> bool,
    ) -> Result<PutOutcome, LogError> {
        let last = async || self.last(key).await;
        self.appends.put(&subject(key), entry, revision, may_send, last).await
    }

    /// What a key has. Any replica may answer, also one that has not heard of a change of password yet; so on a
    /// replicated log the leader is sent a message, on another key, that depends on what was found.
    async fn last(&self, key: &str) -> Result<Option<StreamMessage>, LogError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let last = self.lookup.last(&subject(key)).await?;
            if !self.replicated {
                return Ok(last);
            }
            let mut headers = Headers::new();
            headers.add(OPERATION, DELETE);
            headers.add(EXPECTED, last.as_ref().map_or(0, |message| message.sequence));
            headers.add(EXPECTED_ON, subject(key));
            let answer = deadline.min(Instant::now() + ANSWER);
            match self.appends.publish(&subject(PROBE), &headers, b"", answer).await {
                Ok(_) => return Ok(last),
                Err(
                    PublishError::Conflict | PublishError::Contended | PublishError::Request(_),
                ) if Instant::now() < deadline => {
                    sleep(Duration::from_millis(5)).await;
                }
                Err(error) => return Err(unavailable(error)),
            }
        }
    }
}

fn is_there(message: &StreamMessage) -> bool {
    header(&message.headers, OPERATION).is_none()
}

fn subject(key: &str) -> String {
    format!("$KV.{BUCKET}.{key}")
}

fn key<C: Reservation>(what: &str) -> String {
    format!("{}.{}", C::KIND, hex::encode(Sha256::digest(what)))
}
