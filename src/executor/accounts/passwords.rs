//! Changes of password: the hash goes to the credential store, and whoever came in with the old one is out.
//!
//! The credential store holds the new hash and that the log has yet to follow, in one write. What the log has to say, whoever
//! meets the reservation next says: the caller, or a log-in after the caller's process has died.

use std::net::{IpAddr, Ipv4Addr};

use super::{AccountError, Accounts, Proven, Result};
use crate::{
    adapters::{
        client_address::ClientNetwork,
        nats::credential_store::{PasswordChange, StoredReservation, UsernameReservation},
        passwords::{Verdict, hash_queue::Purpose},
    },
    clock,
    commands::{
        session::{Session, SessionCommand},
        user::{Account, User, UserCommand},
    },
    events::{Cause, TokenId, UserId, Username},
    executor::{Wait, authority::Authority},
};

impl Accounts {
    /// Gives an account a new password if `old` is the present one, and ends all its sessions but that of `kept`
    /// (rest.md §42).
    ///
    /// # Errors
    /// It has no password, or another one; or `kept` has ended.
    pub async fn change_password(
        &self,
        account: &Account,
        (old, new): (&str, &str),
        kept: TokenId,
        from: ClientNetwork,
        cause: &Cause,
    ) -> Result<()> {
        let request = Purpose::LogIn.by(&account.username.folded(), from);
        let authority = Authority::of_user(account.id, kept, cause);
        let id = clock::random_id();
        loop {
            let held = self.credential(account, cause).await?;
            if held.reservation.is_changed_by(id) {
                return Ok(()); // this was there, and another has finished it
            }
            let hash = held.reservation.hash.as_deref().ok_or(AccountError::NoSuchAccount)?;
            // Judged under the revision that is replaced: of two changes at once the later one finds
            // that its old password is not right any more.
            if matches!(self.passwords.verify(request.clone(), old, hash).await?, Verdict::Wrong) {
                return Err(AccountError::WrongPassword);
            }
            let hash = self.passwords.hash(request.clone(), new).await?;
            let running = self.executor.begin::<AccountError>(authority).await?;
            let change =
                PasswordChange { id, kept: Some(kept), actor: authority.actor, unfinished: true };
            let may_send = || self.executor.has_served_since(running.silences);
            let replaced = self.replace_password(account, held, (hash, change), may_send).await?;
            drop(running);
            if let Some(held) = replaced {
                self.finish_change(account.id, &account.username.folded(), held, cause).await?;
                return Ok(());
            }
        }
    }

    /// Gives an account a new password and ends all its sessions.
    ///
    /// # Errors
    /// It has no name to log in with.
    pub async fn set_password(
        &self,
        account: &Account,
        password: &str,
        cause: &Cause,
    ) -> Result<()> {
        let here = ClientNetwork::from(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let hash = self
            .passwords
            .hash(Purpose::LogIn.by(&account.username.folded(), here), password)
            .await?;
        let held = self.credential(account, cause).await?;
        let id = clock::random_id();
        let change = PasswordChange { id, kept: None, actor: None, unfinished: true };
        if let Some(held) = self.replace_password(account, held, (hash, change), || true).await? {
            self.finish_change(account.id, &account.username.folded(), held, cause).await?;
        } else if !self.credential(account, cause).await?.reservation.is_changed_by(id) {
            return Err(AccountError::Busy("the password is being changed".into()));
        }
        Ok(())
    }

    /// The reservation of an account's name, with a password, and no change of it unfinished.
    async fn credential(
        &self,
        account: &Account,
        cause: &Cause,
    ) -> Result<StoredReservation<UsernameReservation>> {
        let folded = account.username.folded();
        let held = self.credentials.find::<UsernameReservation>(&folded).await?;
        let held = held
            .filter(|held| held.reservation.hash.is_some())
            .ok_or(AccountError::NoSuchAccount)?;
        self.finish_change(account.id, &folded, held, cause).await
    }

    /// `None` if somebody else has changed the reservation, perhaps after this, or if it may not be sent any more.
    async fn replace_password(
        &self,
        account: &Account,
        held: StoredReservation<UsernameReservation>,
        (hash, change): (String, PasswordChange),
        may_send: impl Fn() -> bool,
    ) -> Result<Option<StoredReservation<UsernameReservation>>> {
        let reservation =
            UsernameReservation { hash: Some(hash), change: Some(change), ..held.reservation };
        let folded = account.username.folded();
        let revision =
            self.credentials.replace_if(&folded, &reservation, held.revision, may_send).await?;
        Ok(revision.map(|revision| StoredReservation { reservation, revision }))
    }

    /// Appends what a change of password has yet to say in the log: that there was one, and that whoever came in with
    /// the old one is out, everywhere.
    ///
    /// # Errors
    /// The log or the credential store cannot be reached.
    pub(super) async fn finish_change(
        &self,
        user: UserId,
        folded: &str,
        held: StoredReservation<UsernameReservation>,
        cause: &Cause,
    ) -> Result<StoredReservation<UsernameReservation>> {
        let unfinished = held.reservation.change.clone().filter(|change| change.unfinished);
        let Some(change) = unfinished else { return Ok(held) };
        let PasswordChange { id, kept, actor, .. } = change;
        let authority = Authority { actor, token: None, cause };
        self.executor
            .execute::<User>(user, &UserCommand::ChangePassword, authority, Wait::Durable)
            .await?;
        let revoke = SessionCommand::Revoke { kept, change: id };
        self.executor.execute::<Session>(user, &revoke, authority, Wait::Everywhere).await?;
        let finished = PasswordChange { unfinished: false, ..change };
        let reservation = UsernameReservation { change: Some(finished), ..held.reservation };
        let replaced = self.credentials.replace(folded, &reservation, held.revision).await?;
        // Otherwise somebody else has finished it, or changed the password once more.
        Ok(StoredReservation { reservation, revision: replaced.unwrap_or(held.revision) })
    }

    /// The hash of the password of an account to be.
    pub(super) async fn new_hash(
        &self,
        username: &Username,
        password: &str,
        from: ClientNetwork,
    ) -> Result<String> {
        let request = Purpose::Registration.by(&username.folded(), from);
        Ok(self.passwords.hash(request, password).await?)
    }

    /// Is what somebody has proven still so?
    pub(super) async fn still_holds(&self, proven: &Proven) -> Result<()> {
        if let Some((folded, proven)) = &proven.password {
            let held = self
                .credentials
                .find::<UsernameReservation>(folded)
                .await?
                .ok_or(AccountError::NoSuchAccount)?;
            if held.reservation.change.map(|change| change.id) != *proven {
                return Err(AccountError::WrongPassword);
            }
        }
        let account = self.account(proven.account.id).await?;
        account.filter(|account| !account.disabled).map(drop).ok_or(AccountError::NoSuchAccount)
    }
}
