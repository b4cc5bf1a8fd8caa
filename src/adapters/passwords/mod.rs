//! Password hashes: Argon2id with a pepper, a few at a time and off the async threads (ADR 0025).

pub mod hash_queue;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::{sync::oneshot, time::timeout};

use self::hash_queue::{HashQueue, HashRequest};

/// How many wait for a hash at once: more than are hashed within any sensible patience.
const CAPACITY: usize = 1_000;

/// Hashes and checks passwords.
#[derive(Clone)]
pub struct Passwords {
    settings: Arc<Settings>,
    turns: Turns,
}

/// There are too many passwords to hash; in a while there may not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are waiting to be hashed")]
pub struct Overloaded;

/// Who may hash now.
#[derive(Clone)]
struct Turns {
    state: Arc<Mutex<State>>,
    patience: Duration,
}

struct State {
    queue: HashQueue<oneshot::Sender<Permit>>,
    /// How many more may hash. Nobody waits unless it is none.
    idle: usize,
}

/// A place among those who hash; goes to who is next.
struct Permit(Option<Turns>);

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
    /// `memory_kib`, `passes`: the cost; `parallel`: how many at once, 0 for all cores but one, which is left to the rest;
    /// `patience`: how long one may wait for its turn.
    ///
    /// # Errors
    /// The cost is outside what Argon2 allows.
    pub fn new(
        pepper: SecretString,
        (memory_kib, passes): (u32, u32),
        parallel: usize,
        patience: Duration,
    ) -> anyhow::Result<Self> {
        let parallel = if parallel == 0 {
            std::thread::available_parallelism().map_or(1, |cores| cores.get() - 1)
        } else {
            parallel
        };
        let params = Params::new(memory_kib, passes, 1, None)
            .map_err(|error| anyhow::anyhow!("auth.argon2_*: {error}"))?;
        Ok(Self {
            settings: Arc::new(Settings { pepper, params }),
            turns: Turns::new(parallel.max(1), patience),
        })
    }

    /// The hash of a password, in PHC form.
    ///
    /// # Errors
    /// Others came first for too long.
    pub async fn hash(&self, request: HashRequest, password: &str) -> Result<String, Overloaded> {
        let password = password.to_owned();
        self.off_thread(request, move |settings| settings.hash(&password)).await
    }

    /// Is it the password of `hash`?
    ///
    /// # Errors
    /// Others came first for too long.
    pub async fn verify(
        &self,
        request: HashRequest,
        password: &str,
        hash: &str,
    ) -> Result<Verdict, Overloaded> {
        let (password, hash) = (password.to_owned(), hash.to_owned());
        self.off_thread(request, move |settings| settings.verify(&password, &hash)).await
    }

    async fn off_thread<T: Send + 'static>(
        &self,
        request: HashRequest,
        work: impl FnOnce(&Settings) -> T + Send + 'static,
    ) -> Result<T, Overloaded> {
        let permit = self.turns.take(&request).await?;
        let settings = Arc::clone(&self.settings);
        let work = move || {
            let done = work(&settings);
            drop(permit);
            done
        };
        Ok(tokio::task::spawn_blocking(work).await.expect("hashing does not panic"))
    }
}

impl Turns {
    fn new(parallel: usize, patience: Duration) -> Self {
        let state = State { queue: HashQueue::new(CAPACITY), idle: parallel };
        Self { state: Arc::new(Mutex::new(state)), patience }
    }

    async fn take(&self, request: &HashRequest) -> Result<Permit, Overloaded> {
        let turn = {
            let mut state = self.lock();
            if state.idle > 0 {
                state.idle -= 1;
                return Ok(Permit(Some(self.clone())));
            }
            let (sender, turn) = oneshot::channel();
            state.queue.push(request, sender); // who has to give way for it is told by that
            turn
        };
        match timeout(self.patience, turn).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(Overloaded),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(turns) = self.0.take() else { return };
        loop {
            let next = {
                let mut state = turns.lock();
                let next = state.queue.pop();
                state.idle += usize::from(next.is_none());
                next
            };
            let Some(next) = next else { return };
            match next.send(Self(Some(turns.clone()))) {
                Ok(()) => return,
                Err(mut permit) => permit.0 = None, // has waited for too long
            }
        }
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

    use std::net::{IpAddr, Ipv4Addr};

    use futures_util::FutureExt as _;

    use super::hash_queue::Purpose;

    fn cheap(pepper: &str) -> Passwords {
        Passwords::new(pepper.into(), (64, 1), 2, Duration::from_mins(1)).expect("sane costs")
    }

    fn from(client: u8, purpose: Purpose) -> HashRequest {
        let address = IpAddr::V4(Ipv4Addr::new(198, 51, 100, client));
        purpose.by("ann", address.into())
    }

    async fn verify(passwords: &Passwords, password: &str, hash: &str) -> Verdict {
        let request = from(1, Purpose::LogIn);
        passwords.verify(request, password, hash).await.expect("nobody else hashes")
    }

    #[tokio::test]
    async fn dev_04_only_the_password_with_the_pepper_fits() {
        let passwords = cheap("a pepper of some length");
        let request = from(1, Purpose::Registration);
        let hash = passwords.hash(request, "secret1").await.expect("nobody else hashes");
        assert!(hash.starts_with("$argon2id$"));
        assert_eq!(verify(&passwords, "secret1", &hash).await, Verdict::Right);
        assert_eq!(verify(&passwords, "secret2", &hash).await, Verdict::Wrong);
        assert_eq!(verify(&cheap("another pepper here"), "secret1", &hash).await, Verdict::Wrong);
        assert_eq!(verify(&passwords, "secret1", "no hash").await, Verdict::Wrong);
    }

    #[tokio::test]
    async fn dev_04_a_legacy_hash_fits_and_is_renewed() {
        let passwords = cheap("a pepper of some length");
        let legacy = hex::encode(Sha256::digest("secret1"));
        assert_eq!(verify(&passwords, "secret2", &legacy).await, Verdict::Wrong);
        let Verdict::RightButOld(hash) = verify(&passwords, "secret1", &legacy).await else {
            panic!("it is right, and old");
        };
        assert_eq!(verify(&passwords, "secret1", &hash).await, Verdict::Right);
    }

    #[tokio::test]
    async fn a_log_in_waits_for_one_of_many_registrations_from_elsewhere() {
        let (registers, logs_in) = (from(1, Purpose::Registration), from(2, Purpose::LogIn));
        let turns = Turns::new(1, Duration::from_mins(1));
        let mut running = turns.take(&registers).await.expect("nobody waits");
        let mut flood: Vec<_> = (0..300).map(|_| Box::pin(turns.take(&registers))).collect();
        for waiting in &mut flood {
            assert!(waiting.as_mut().now_or_never().is_none());
        }
        let mut log_in = Box::pin(turns.take(&logs_in));
        let mut hashed = 0;
        let permit = loop {
            if let Some(permit) = log_in.as_mut().now_or_never() {
                break permit;
            }
            drop(running);
            let next = flood[hashed].as_mut().now_or_never();
            running = match next {
                Some(permit) => permit.expect("there is room"),
                None => break log_in.await,
            };
            hashed += 1;
        };
        permit.expect("there is room");
        assert!(hashed <= 1, "{hashed} were hashed before");
    }

    #[tokio::test]
    async fn who_waits_for_too_long_is_refused_and_holds_nobody_up() {
        let turns = Turns::new(1, Duration::ZERO);
        let running = turns.take(&from(1, Purpose::LogIn)).await.expect("nobody waits");
        for client in 1..5 {
            assert_eq!(turns.take(&from(client, Purpose::LogIn)).await.err(), Some(Overloaded));
        }
        drop(running);
        turns.take(&from(1, Purpose::LogIn)).await.expect("nobody hashes");
    }

    #[tokio::test]
    async fn who_gives_way_is_refused_at_once() {
        let (one, another) = (from(1, Purpose::LogIn), from(2, Purpose::LogIn));
        let turns = Turns::new(1, Duration::from_mins(1));
        let running = turns.take(&one).await.expect("nobody waits");
        let mut waiting: Vec<_> = (0..CAPACITY).map(|_| Box::pin(turns.take(&one))).collect();
        for turn in &mut waiting {
            assert!(turn.as_mut().now_or_never().is_none());
        }
        let mut other = Box::pin(turns.take(&another));
        assert!(other.as_mut().now_or_never().is_none());
        let last = waiting.pop().expect("there are many");
        assert_eq!(last.await.err(), Some(Overloaded));
        drop(waiting);
        drop(running);
        other.await.expect("it is next");
    }
}
