//! Pseudonyms stand for people's ids: the same one each time, and nobody can tell whose without the secret.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use uuid::Uuid;

use crate::events::ids::UserId;

/// Below 2^53, which every reader of JSON can count to; of ten million people two share one with a chance of 0.6 %.
const BITS: u32 = 53;

/// Makes pseudonyms with a secret.
pub(super) struct Pseudonyms(Hmac<Sha256>);

impl Pseudonyms {
    pub(super) fn new(secret: &[u8]) -> Self {
        Self(Hmac::new_from_slice(secret).expect("a key may have any length"))
    }

    /// A number that is an id like the one that it stands for.
    pub(super) fn of_user(&self, user: UserId) -> UserId {
        UserId(self.of_number(user.0))
    }

    pub(super) fn of_number(&self, id: i64) -> i64 {
        let bytes = self.of(b"number", &id.to_be_bytes());
        let (first, _) = bytes.split_first_chunk().expect("a digest is longer than a number");
        let number = u64::from_be_bytes(*first) >> (u64::BITS - BITS);
        number.max(1).cast_signed()
    }

    /// Of a number or a UUID in a text; other texts have none.
    pub(super) fn of_text(&self, text: &str) -> Option<String> {
        if let Ok(id) = text.parse() {
            return Some(self.of_number(id).to_string());
        }
        let id = Uuid::try_parse(text).ok()?;
        let bytes = self.of(b"uuid", id.as_bytes());
        let (first, _) = bytes.split_first_chunk().expect("a digest is longer than a UUID");
        Some(uuid::Builder::from_custom_bytes(*first).into_uuid().to_string())
    }

    /// Tells secrets apart.
    pub(super) fn fingerprint(&self) -> String {
        hex::encode(&self.of(b"fingerprint", b"")[..8])
    }

    /// Ids of another kind have other pseudonyms.
    fn of(&self, kind: &[u8], id: &[u8]) -> [u8; 32] {
        self.0.clone().chain_update(kind).chain_update(id).finalize().into_bytes().into()
    }
}
