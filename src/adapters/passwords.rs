//! Password hashes: Argon2id with a pepper, a few at a time and off the async threads.

use std::sync::Arc;

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;

/// Hashes and checks passwords.
#[derive(Clone)]
pub struct Passwords {
    settings: Arc<Settings>,
    permits: Arc<Semaphore>,
}

struct Settings {
    pepper: SecretString,
    params: Params,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Not the password.
    Wrong,
    /// The password.
    Right,
    /// The password, kept in an older form: here is the new one (DEV-4).
    RightButOld(String),
}

impl Passwords {
    /// `memory_kib`, `passes`: the cost; `parallel`: how many at once.
    ///
    /// # Errors
    /// The cost is outside what Argon2 allows.
    pub fn new(
        pepper: SecretString,
        memory_kib: u32,
        passes: u32,
        parallel: usize,
    ) -> anyhow::Result<Self> {
        let params = Params::new(memory_kib, passes, 1, None)
            .map_err(|error| anyhow::anyhow!("auth.argon2_*: {error}"))?;
        Ok(Self {
            settings: Arc::new(Settings { pepper, params }),
            permits: Arc::new(Semaphore::new(parallel.max(1))),
        })
    }

    /// The hash of a password, in PHC form.
    pub async fn hash(&self, password: &str) -> String {
        let password = password.to_owned();
        self.off_thread(move |settings| settings.hash(&password)).await
    }

    /// Is it the password of `hash`?
    pub async fn verify(&self, password: &str, hash: &str) -> Verdict {
        let (password, hash) = (password.to_owned(), hash.to_owned());
        self.off_thread(move |settings| settings.verify(&password, &hash)).await
    }

    async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Settings) -> T + Send + 'static,
    ) -> T {
        let _permit = self.permits.acquire().await.expect("the semaphore is never closed");
        let settings = Arc::clone(&self.settings);
        tokio::task::spawn_blocking(move || work(&settings)).await.expect("hashing does not panic")
    }
}

impl Settings {
    fn argon2(&self) -> Argon2<'_> {
        let pepper = self.pepper.expose_secret().as_bytes();
        Argon2::new_with_secret(pepper, Algorithm::Argon2id, Version::V0x13, self.params.clone())
            .expect("a pepper has a sane length")
    }

    fn hash(&self, password: &str) -> String {
        self.argon2()
            .hash_password(password.as_bytes())
            .expect("the parameters were checked at the start")
            .to_string()
    }

    fn verify(&self, password: &str, hash: &str) -> Verdict {
        if let Ok(legacy) = <[u8; 32]>::try_from(hex::decode(hash).unwrap_or_default()) {
            let ours: [u8; 32] = Sha256::digest(password).into();
            return if bool::from(ours.ct_eq(&legacy)) {
                Verdict::RightButOld(self.hash(password))
            } else {
                Verdict::Wrong
            };
        }
        let Ok(parsed) = PasswordHash::new(hash) else { return Verdict::Wrong };
        match self.argon2().verify_password(password.as_bytes(), &parsed) {
            Ok(()) => Verdict::Right,
            Err(_) => Verdict::Wrong,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cheap(pepper: &str) -> Passwords {
        Passwords::new(pepper.into(), 64, 1, 2).expect("sane costs")
    }

    #[tokio::test]
    async fn dev_04_only_the_password_with_the_pepper_fits() {
        let passwords = cheap("a pepper of some length");
        let hash = passwords.hash("secret1").await;
        assert!(hash.starts_with("$argon2id$"));
        assert_eq!(passwords.verify("secret1", &hash).await, Verdict::Right);
        assert_eq!(passwords.verify("secret2", &hash).await, Verdict::Wrong);
        assert_eq!(cheap("another pepper here").verify("secret1", &hash).await, Verdict::Wrong);
        assert_eq!(passwords.verify("secret1", "no hash").await, Verdict::Wrong);
    }

    #[tokio::test]
    async fn dev_04_a_legacy_hash_fits_and_is_renewed() {
        let passwords = cheap("a pepper of some length");
        let legacy = hex::encode(Sha256::digest("secret1"));
        assert_eq!(passwords.verify("secret2", &legacy).await, Verdict::Wrong);
        let Verdict::RightButOld(hash) = passwords.verify("secret1", &legacy).await else {
            panic!("a legacy hash is renewed")
        };
        assert_eq!(passwords.verify("secret1", &hash).await, Verdict::Right);
    }
}
