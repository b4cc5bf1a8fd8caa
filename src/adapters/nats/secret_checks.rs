//! Checks of the secrets of this process: are they those that tokens and passwords were made with? `VAULT` has a check
//! value of each: a digest keyed with the secret, from which it cannot be had.

use anyhow::ensure;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::{
    credential_store::{CredentialStore, Reservation, ReserveOutcome},
    log_error::LogError,
};

/// A secret whose change would be noticed late, and hurt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secret {
    /// `auth.token_secret`.
    Token,
    /// `auth.password_pepper`.
    Pepper,
}

/// What the credential store keeps of a secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct CheckValue {
    /// HMAC-SHA-256 of the secret's name under the secret, in hexadecimal digits.
    digest: String,
}

impl Reservation for CheckValue {
    const KIND: &'static str = "check";
}

impl Secret {
    /// The setting.
    pub fn setting(self) -> &'static str {
        match self {
            Self::Token => "auth.token_secret",
            Self::Pepper => "auth.password_pepper",
        }
    }

    /// What `hongyan secrets accept` calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Token => "token-secret",
            Self::Pepper => "password-pepper",
        }
    }

    /// What its change does.
    pub fn consequence(self) -> &'static str {
        match self {
            Self::Token => "every token is void: everybody logs in again",
            Self::Pepper => {
                "every password is void: nobody logs in before `hongyan users set-password` gives them another"
            }
        }
    }

    fn check_value(self, secret: &SecretString) -> CheckValue {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
            .expect("a key may have any length");
        mac.update(b"hongyan check value: ");
        mac.update(self.setting().as_bytes());
        CheckValue { digest: hex::encode(mac.finalize().into_bytes()) }
    }
}

/// Is this the secret that the credential store knows? The first one that is asked about is noted.
///
/// # Errors
/// The credential store cannot be reached.
async fn is_known(
    credentials: &CredentialStore,
    which: Secret,
    secret: &SecretString,
) -> Result<bool, LogError> {
    let value = which.check_value(secret);
    Ok(match credentials.reserve(which.setting(), &value).await? {
        ReserveOutcome::New => true,
        ReserveOutcome::Taken(held) => is_same(&held.reservation, &value),
    })
}

/// The same, as a reason not to go on.
///
/// # Errors
/// It is another one, or the credential store cannot be reached.
pub async fn check(
    credentials: &CredentialStore,
    which: Secret,
    secret: &SecretString,
) -> anyhow::Result<()> {
    ensure!(
        is_known(credentials, which, secret).await?,
        "{setting} is not the one that the service ran with before. If it was not meant to change, put the old one back. \
         If it was, run `hongyan secrets accept {name}` with the new one in the settings; then {consequence}",
        setting = which.setting(),
        name = which.name(),
        consequence = which.consequence(),
    );
    Ok(())
}

/// From now on this is the secret that the credential store knows. `false` if it was already.
///
/// # Errors
/// The credential store cannot be reached.
pub async fn accept(
    credentials: &CredentialStore,
    which: Secret,
    secret: &SecretString,
) -> Result<bool, LogError> {
    let value = which.check_value(secret);
    loop {
        let held = match credentials.reserve(which.setting(), &value).await? {
            ReserveOutcome::New => return Ok(true),
            ReserveOutcome::Taken(held) if is_same(&held.reservation, &value) => return Ok(false),
            ReserveOutcome::Taken(held) => held,
        };
        if credentials.replace(which.setting(), &value, held.revision).await?.is_some() {
            return Ok(true);
        }
    }
}

fn is_same(known: &CheckValue, found: &CheckValue) -> bool {
    known.digest.as_bytes().ct_eq(found.digest.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_value_is_of_one_secret_and_tells_nothing_of_it() {
        let secret = SecretString::from("0123456789abcdef0123456789abcdef");
        let value = Secret::Token.check_value(&secret);
        assert!(is_same(&value, &Secret::Token.check_value(&secret)));
        assert!(!is_same(&value, &Secret::Pepper.check_value(&secret)), "each has its own");
        assert!(!is_same(&value, &Secret::Token.check_value(&"another".into())));
        assert_eq!(value.digest.len(), 64);
    }
}
