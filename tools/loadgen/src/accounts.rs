//! Accounts to make load with: made anew, or of an earlier run.

use std::{
    io::Write as _,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::Context as _;
use futures_util::future::try_join_all;
use serde::Serialize;

pub(super) use testkit::client::account::{Account, AccountKind, call};
use testkit::{
    client::http::{Connection, Origin},
    lock,
    output::Output,
};

use super::{progress::Progress, target::Target};

/// Where accounts came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct AccountCounts {
    /// Made for this run.
    pub(super) made: usize,
    /// Read from the file.
    pub(super) kept: usize,
}

/// As many users as are wanted, ready to write and to be written to.
pub(super) async fn ready(
    target: &Target,
    servers: &[Arc<Origin>],
    (count, kind): (usize, AccountKind),
    output: Output,
) -> anyhow::Result<(Vec<Account>, AccountCounts)> {
    let (mut accounts, others) = read(target.users_file.as_deref(), kind)?;
    let spare = accounts.split_off(count.min(accounts.len()));
    let kept = accounts.len();
    accounts.extend((kept..count).map(|_| Account::generate(kind)));
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
    Ok((accounts, AccountCounts { made: count - kept, kept }))
}

/// The accounts of one kind, and the others.
fn read(file: Option<&Path>, kind: AccountKind) -> anyhow::Result<(Vec<Account>, Vec<Account>)> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_kept_for_the_next_run_and_for_nobody_else() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("users");
        assert_eq!(
            read(Some(&file), AccountKind::Guests).expect("no file is no accounts").0.len(),
            0
        );
        let all = [AccountKind::Guests, AccountKind::Registered, AccountKind::Guests]
            .map(Account::generate);
        write(&file, all.iter()).expect("written");
        let (guests, others) = read(Some(&file), AccountKind::Guests).expect("read");
        let names = |accounts: &[Account]| {
            accounts.iter().map(|account| account.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(&guests), [all[0].name.clone(), all[2].name.clone()]);
        assert_eq!(names(&others), [all[1].name.clone()]);
        let mode = std::fs::metadata(&file).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
