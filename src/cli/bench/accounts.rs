//! Accounts to make load with: made anew, or of an earlier run.

use std::{
    io::Write as _,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use futures_util::future::try_join_all;
use hyper::{StatusCode, header::HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    super::{Output, progress::Progress},
    http::{Connection, Origin},
    lock,
    target::Target,
};
use crate::clock;

/// What a token that has ended is refused with (data.md §4.2).
const NOT_CURRENT: &str = "Token 令牌不合法！";

/// Who the users of a run are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// With a password, whose hash costs the server tens of milliseconds each
    Registered,
    /// Of a device, without one
    Guests,
}

/// One user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) id: i64,
    kind: Kind,
    /// A username, or a device.
    name: String,
    password: String,
    pub(super) token: String,
}

impl Account {
    pub(super) fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.token).expect("tokens are made of letters, digits and dots")
    }

    /// A new one, not known to any server.
    fn invent(kind: Kind) -> Self {
        let id = clock::random_id();
        let (name, password) = match kind {
            Kind::Registered => {
                let all = id.simple().to_string();
                (format!("hb{}", &all[..16]), clock::random_id().simple().to_string()[..20].into())
            }
            Kind::Guests => (id.to_string(), String::new()),
        };
        Self { id: 0, kind, name, password, token: String::new() }
    }

    /// Gets a token: registers, or logs in.
    async fn enter(&mut self, server: &mut Connection, salt: &str) -> anyhow::Result<()> {
        let data = match self.kind {
            Kind::Registered => {
                let path = if self.id == 0 { "/api/regChat" } else { "/api/loginChat" };
                let body = json!({"username": self.name, "password": self.password});
                server.post(path, None, body.to_string()).await?.data()?
            }
            Kind::Guests => {
                let at = clock::now().0;
                // data.md §9
                let signed = format!("deviceId={}&salt={salt}&timestamp={at}APP_SECRET", self.name);
                let signature = hex::encode(Sha256::digest(signed));
                let body = json!({"deviceId": self.name, "timestamp": at});
                server.post_signed("/api/visitorRegister", &signature, &body).await?
            }
        };
        self.id = data["id"].as_i64().context("a log-in without an id")?;
        data["token"].as_str().context("a log-in without a token")?.clone_into(&mut self.token);
        Ok(())
    }

    /// Lets strangers write as much as they like (data.md §6.1). This also tells whether the token is good.
    async fn open_up(&self, server: &mut Connection) -> anyhow::Result<bool> {
        let rule = json!({"sendCount": 2, "needFollow": false});
        let userset = json!({"chatset": {"visitor": rule, "user": rule}}).to_string();
        let body = json!({"userset": userset}).to_string();
        let answer = server.post("/api/chat/userset", Some(&self.header()), body).await?;
        if answer.status == StatusCode::BAD_REQUEST && answer.text().contains(NOT_CURRENT) {
            return Ok(false);
        }
        answer.data().map(|_| true)
    }

    /// Makes it one that can be used.
    async fn prepare(&mut self, server: &mut Connection, salt: &str) -> anyhow::Result<()> {
        if self.id != 0 && self.open_up(server).await? {
            return Ok(());
        }
        self.enter(server, salt).await?;
        if !self.open_up(server).await? {
            bail!("a token was refused at once: does another run use the same accounts?");
        }
        Ok(())
    }
}

/// Where accounts came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Origins {
    /// Made for this run.
    pub(super) made: usize,
    /// Read from the file.
    pub(super) kept: usize,
}

/// As many users as are wanted, ready to write and to be written to.
pub(super) async fn ready(
    target: &Target,
    servers: &[Arc<Origin>],
    (count, kind): (usize, Kind),
    output: Output,
) -> anyhow::Result<(Vec<Account>, Origins)> {
    let (mut accounts, others) = read(target.users_file.as_deref(), kind)?;
    let spare = accounts.split_off(count.min(accounts.len()));
    let kept = accounts.len();
    accounts.extend((kept..count).map(|_| Account::invent(kind)));
    let progress = Mutex::new(Progress::of("accounts", "accounts", count as u64, output));
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let places: Vec<Mutex<Option<Account>>> =
        accounts.into_iter().map(|account| Mutex::new(Some(account))).collect();
    let workers = (0..target.registering.clamp(1, count.max(1))).map(|worker| {
        let mut server = Connection::to(&servers[worker % servers.len()]);
        let (next, done, places, progress) = (&next, &done, &places, &progress);
        async move {
            while let Some(place) = places.get(next.fetch_add(1, Ordering::Relaxed)) {
                let taken = lock(place).take();
                let mut account = taken.expect("each is taken once");
                let prepared = account.prepare(&mut server, &target.signing_salt).await;
                prepared.context("an account cannot be made ready")?;
                *lock(place) = Some(account);
                let done = done.fetch_add(1, Ordering::Relaxed) as u64 + 1;
                lock(progress).set(done);
            }
            anyhow::Ok(())
        }
    });
    let prepared = try_join_all(workers).await;
    let accounts: Vec<Account> = places
        .into_iter()
        .filter_map(|place| place.into_inner().unwrap_or_else(PoisonError::into_inner))
        .collect();
    if let Some(file) = &target.users_file {
        // Also after a failure: those that were made are there, and were not cheap.
        let known = accounts.iter().filter(|account| account.id != 0);
        write(file, known.chain(&spare).chain(&others))?;
    }
    prepared?;
    Ok((accounts, Origins { made: count - kept, kept }))
}

/// The accounts of one kind, and the others.
fn read(file: Option<&Path>, kind: Kind) -> anyhow::Result<(Vec<Account>, Vec<Account>)> {
    let Some(file) = file else { return Ok((Vec::new(), Vec::new())) };
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    let accounts: Result<Vec<Account>, _> = text.lines().map(serde_json::from_str).collect();
    let accounts = accounts.with_context(|| format!("{} holds no accounts", file.display()))?;
    Ok(accounts.into_iter().partition(|account| account.kind == kind))
}

/// Replaces the file as a whole; it holds passwords, so nobody else may read it.
fn write<'a>(file: &Path, accounts: impl Iterator<Item = &'a Account>) -> anyhow::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let written = (|| {
        let mut new = tempfile::NamedTempFile::new_in(folder)?;
        for account in accounts {
            serde_json::to_writer(&mut new, account)?;
            new.write_all(b"\n")?;
        }
        new.persist(file).map_err(|error| error.error)
    })();
    written.map(drop).with_context(|| format!("cannot write {}", file.display()))
}

/// A call that must succeed.
pub(super) async fn done(
    server: &mut Connection,
    account: &Account,
    path: &'static str,
    body: Value,
) -> anyhow::Result<Value> {
    let answer = server.post(path, Some(&account.header()), body.to_string()).await?;
    answer.data().with_context(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_kept_for_the_next_run_and_for_nobody_else() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("users");
        assert_eq!(read(Some(&file), Kind::Guests).expect("no file is no accounts").0.len(), 0);
        let all = [Kind::Guests, Kind::Registered, Kind::Guests].map(Account::invent);
        write(&file, all.iter()).expect("written");
        let (guests, others) = read(Some(&file), Kind::Guests).expect("read");
        let names = |accounts: &[Account]| {
            accounts.iter().map(|account| account.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(&guests), [all[0].name.clone(), all[2].name.clone()]);
        assert_eq!(names(&others), [all[1].name.clone()]);
        let mode = std::fs::metadata(&file).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn names_and_passwords_are_as_long_as_the_contract_allows() {
        let user = Account::invent(Kind::Registered);
        assert!(user.name.len() <= 20 && user.password.len() <= 20, "{user:?}");
        assert_eq!(Account::invent(Kind::Guests).name.len(), 36);
    }
}
