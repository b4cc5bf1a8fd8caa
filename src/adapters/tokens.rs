//! Tokens: JWT HS256 without expiry (data.md §4). Whether one is current, the session says.

use std::sync::Arc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::ErrorKind,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use signature::{Signer, Verifier};
use uuid::Uuid;

use crate::events::{Role, TokenId, UserId};

/// Makes and reads tokens.
#[derive(Clone)]
pub struct Tokens {
    keys: Arc<(EncodingKey, DecodingKey)>,
    validation: Arc<Validation>,
}

/// HS256 alone. The backends that come with jsonwebtoken bring RSA and elliptic curves along, and their advisories.
static HS256: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| Ok(Box::new(Hs256::new(*algorithm, key.as_bytes())?)),
    verifier_factory: |algorithm, key| {
        Ok(Box::new(Hs256::new(*algorithm, key.try_get_as_bytes()?)?))
    },
    key_utils: KeyUtils::new_unimplemented(), // of keys that are published
};

struct Hs256(Hmac<Sha256>);

impl Hs256 {
    fn new(algorithm: Algorithm, key: &[u8]) -> jsonwebtoken::errors::Result<Self> {
        if algorithm != Algorithm::HS256 {
            return Err(ErrorKind::InvalidAlgorithm.into());
        }
        let keyed = Hmac::new_from_slice(key).map_err(|_| ErrorKind::InvalidKeyFormat)?;
        Ok(Self(keyed))
    }

    fn over(&self, message: &[u8]) -> Hmac<Sha256> {
        self.0.clone().chain_update(message)
    }
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(self.over(message).finalize().into_bytes().to_vec())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    /// In constant time.
    fn verify(&self, message: &[u8], signed: &Vec<u8>) -> Result<(), signature::Error> {
        self.over(message).verify_slice(signed).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

/// What a token says. Clients may read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The account.
    pub id: UserId,
    /// Its public identifier.
    pub uuid: Uuid,
    /// Its log-in name.
    pub username: String,
    /// Its display name when the token was made.
    pub nickname: String,
    /// Its picture when the token was made.
    pub avatar: String,
    /// The role played.
    pub role: Role,
    /// When it was made, in seconds.
    pub iat: i64,
    /// Its identity.
    pub jti: TokenId,
}

impl Tokens {
    /// Signs with `secret`.
    pub fn new(secret: &SecretString) -> Self {
        _ = HS256.install_default(); // once is enough
        let secret = secret.expose_secret().as_bytes();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.validate_exp = false; // tokens do not expire: clients cannot renew them
        validation.required_spec_claims.clear();
        Self {
            keys: Arc::new((EncodingKey::from_secret(secret), DecodingKey::from_secret(secret))),
            validation: Arc::new(validation),
        }
    }

    /// A signed token.
    pub fn issue(&self, claims: &Claims) -> String {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &self.keys.0)
            .expect("claims are plain data")
    }

    /// The claims of a token that we signed; `None` for any other text.
    pub fn read(&self, token: &str) -> Option<Claims> {
        jsonwebtoken::decode::<Claims>(token, &self.keys.1, &self.validation)
            .ok()
            .map(|data| data.claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims {
            id: UserId(7),
            uuid: Uuid::nil(),
            username: "alice".into(),
            nickname: String::new(),
            avatar: "/a.png".into(),
            role: Role::Visitor,
            iat: 1,
            jti: TokenId(Uuid::max()),
        }
    }

    #[test]
    fn only_our_own_tokens_are_read() {
        let tokens = Tokens::new(&"0123456789abcdef0123456789abcdef".into());
        let token = tokens.issue(&claims());
        assert_eq!(tokens.read(&token), Some(claims()));
        let others = Tokens::new(&"another secret of thirty-two bytes".into());
        assert_eq!(others.read(&token), None);
        for text in ["", "a.b.c", "x", &token[1..]] {
            assert_eq!(tokens.read(text), None, "{text}");
        }
    }

    /// The example of jwt.io, which other implementations sign alike.
    #[test]
    fn others_sign_alike() {
        let key = b"your-256-bit-secret";
        _ = Tokens::new(&"0123456789abcdef0123456789abcdef".into()); // has the algorithm known
        let message = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ";
        let key = EncodingKey::from_secret(key);
        let signed = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256);
        assert_eq!(signed.as_deref(), Ok("SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"));
        let other = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS512);
        assert!(other.is_err(), "only HS256 is signed");
    }

    #[test]
    fn a_token_without_a_signature_is_none() {
        let tokens = Tokens::new(&"0123456789abcdef0123456789abcdef".into());
        let token = tokens.issue(&claims());
        let body = token.split('.').nth(1).expect("three parts");
        assert_eq!(tokens.read(&format!("eyJ0eXAiOiJKV1QiLCJhbGciOiJub25lIn0.{body}.")), None);
    }
}
