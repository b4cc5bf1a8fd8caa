//! Credentials and claims: a key-value bucket that only the server's account may read.

use std::time::Duration;

use async_nats::jetstream::kv::{CreateErrorKind, Store};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use tokio::time::sleep;
use uuid::Uuid;

use super::{
    event_log::{LogError, is_conflict, unavailable},
    nats::Nats,
};
use crate::events::{UserId, Username};

/// The bucket.
pub const BUCKET: &str = "VAULT";

/// What is secret, and which names and devices are taken.
#[derive(Clone)]
pub struct Vault {
    store: Store,
}

/// Who has a log-in name, and how he proves it.
#[derive(Clone, Serialize, Deserialize)]
pub struct NameClaim {
    /// The account.
    pub user: UserId,
    /// Its public identifier, which tells it from another account under a reused number.
    pub uuid: Uuid,
    /// The name as typed.
    pub username: Username,
    /// The password's hash, in PHC form or as legacy SHA-256 hex; guests have none (DEV-10).
    pub hash: Option<String>,
}

/// Which account a device owns.
#[derive(Clone, Serialize, Deserialize)]
pub struct DeviceClaim {
    /// The account.
    pub user: UserId,
    /// Its public identifier.
    pub uuid: Uuid,
}

/// A claim with the revision that a change must expect.
pub struct Held<C> {
    /// The claim.
    pub claim: C,
    /// Its revision.
    pub revision: u64,
}

/// What a claim is about; its key says nothing about the name.
pub trait Claim: Serialize + DeserializeOwned {
    /// Keeps names and devices apart.
    const KIND: &'static str;
}

impl Claim for NameClaim {
    const KIND: &'static str = "name";
}

impl Claim for DeviceClaim {
    const KIND: &'static str = "device";
}

/// How [`Vault::claim`] ended.
pub enum Claimed<C> {
    /// It is ours now.
    Made,
    /// It was somebody's before.
    Taken(Held<C>),
}

impl Vault {
    /// Opens the bucket.
    ///
    /// # Errors
    /// It is not there: `hongyan migrate` makes it.
    pub async fn open(nats: &Nats) -> Result<Self, LogError> {
        let store = nats.jetstream.get_key_value(BUCKET).await.map_err(unavailable)?;
        Ok(Self { store })
    }

    /// Claims `what` unless somebody has it: `create` is what makes names unique.
    ///
    /// # Errors
    /// The vault cannot be reached.
    pub async fn claim<C: Claim>(&self, what: &str, claim: &C) -> Result<Claimed<C>, LogError> {
        loop {
            match self.store.create(key::<C>(what), json(claim)).await {
                Ok(_) => return Ok(Claimed::Made),
                Err(error)
                    if error.kind() == CreateErrorKind::AlreadyExists || is_conflict(&error) =>
                {
                    if let Some(held) = self.held(what).await? {
                        return Ok(Claimed::Taken(held));
                    }
                    // Released between the two calls, or on its way to a replica: try again.
                    sleep(Duration::from_millis(5)).await;
                }
                Err(error) => return Err(unavailable(error)),
            }
        }
    }

    /// Who has `what`.
    ///
    /// # Errors
    /// The vault cannot be reached.
    pub async fn held<C: Claim>(&self, what: &str) -> Result<Option<Held<C>>, LogError> {
        use async_nats::jetstream::kv::Operation;
        let entry = self.store.entry(key::<C>(what)).await.map_err(unavailable)?;
        entry
            .filter(|entry| entry.operation == Operation::Put)
            .map(|entry| {
                let claim = serde_json::from_slice(&entry.value).map_err(unavailable)?;
                Ok(Held { claim, revision: entry.revision })
            })
            .transpose()
    }

    /// Replaces a claim if it is still the one that was read; `false` if it is not.
    ///
    /// # Errors
    /// The vault cannot be reached.
    pub async fn replace<C: Claim>(
        &self,
        what: &str,
        claim: &C,
        revision: u64,
    ) -> Result<bool, LogError> {
        match self.store.update(key::<C>(what), json(claim), revision).await {
            Ok(_) => Ok(true),
            Err(error) if is_conflict(&error) => Ok(false),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// Gives a claim up.
    ///
    /// # Errors
    /// The vault cannot be reached.
    pub async fn release<C: Claim>(&self, what: &str, revision: u64) -> Result<(), LogError> {
        self.store.delete_expect_revision(key::<C>(what), Some(revision)).await.map_err(unavailable)
    }
}

fn key<C: Claim>(what: &str) -> String {
    format!("{}.{}", C::KIND, hex::encode(Sha256::digest(what)))
}

fn json<C: Claim>(claim: &C) -> bytes::Bytes {
    serde_json::to_vec(claim).expect("claims are plain data").into()
}
