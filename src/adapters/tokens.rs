//! Tokens: JWT HS256 without expiry (data.md §4). Whether one is current, the session says.

use std::sync::Arc;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::events::{Role, TokenId, UserId};

/// Makes and reads tokens.
#[derive(Clone)]
pub struct Tokens {
    keys: Arc<(EncodingKey, DecodingKey)>,
    validation: Arc<Validation>,
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

    #[test]
    fn a_token_without_a_signature_is_none() {
        let tokens = Tokens::new(&"0123456789abcdef0123456789abcdef".into());
        let token = tokens.issue(&claims());
        let body = token.split('.').nth(1).expect("three parts");
        assert_eq!(tokens.read(&format!("eyJ0eXAiOiJKV1QiLCJhbGciOiJub25lIn0.{body}.")), None);
    }
}
