//! Accounts: registration, log-in and credentials. Reservations are in the credential store, events in the log.
//!
//! The reservation of a name or a device is made first and holds all that is needed to finish, so a process that dies in
//! between leaves nothing half done: whoever meets the reservation completes it.

mod guests;
pub mod passwords;

use tracing::warn;
use uuid::Uuid;

use super::{
    CommandError, Executor, Wait,
    action::{Action, Judgement},
    aggregates::Aggregate as _,
    authority::{Authority, Unauthorized},
};
use crate::{
    adapters::{
        client_address::ClientNetwork,
        id_allocation::{IdAllocationError, Sequence},
        nats::{
            credential_store::{
                CredentialStore, ReserveOutcome, StoredReservation, UsernameReservation,
            },
            log_error::LogError,
        },
        passwords::{Overloaded, Passwords, Verdict, hash_queue::Purpose},
    },
    clock,
    commands::{
        session::{Session, SessionCommand, SessionRejection},
        user::{Account, User, UserCommand, UserRejection},
    },
    events::{Cause, Device, Role, Subject, TokenId, UserId, Username},
};

/// What makes and opens accounts.
#[derive(Clone)]
pub struct Accounts {
    /// Executes commands.
    pub executor: Executor,
    /// Claims and hashes.
    pub credentials: CredentialStore,
    /// Argon2.
    pub passwords: Passwords,
    /// The picture of new accounts.
    pub default_avatar: String,
}

/// Why somebody gets no account, or not into it.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The name is somebody else's.
    #[error("the name is taken")]
    Taken,
    /// No such account with a password, or it is disabled.
    #[error("no such account, or it is disabled")]
    NoSuchAccount,
    /// Not its password.
    #[error("wrong password")]
    WrongPassword,
    /// What the caller came with has ended meanwhile.
    #[error(transparent)]
    Unauthorized(#[from] Unauthorized),
    /// The log or the credential store says no, or nothing.
    #[error(transparent)]
    Log(#[from] LogError),
    /// PostgreSQL cannot be asked for an id.
    #[error(transparent)]
    Unavailable(#[from] IdAllocationError),
    /// Too many passwords are waiting to be hashed.
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    /// An account or its session cannot be changed now.
    #[error("{0}")]
    Busy(String),
}

impl<R: std::error::Error> From<CommandError<R>> for AccountError {
    fn from(error: CommandError<R>) -> Self {
        match error {
            CommandError::Log(error) => Self::Log(error),
            CommandError::Unauthorized(error) => Self::Unauthorized(error),
            other => Self::Busy(other.to_string()),
        }
    }
}

impl From<SessionRejection> for AccountError {
    fn from(rejection: SessionRejection) -> Self {
        Self::Busy(rejection.to_string())
    }
}

/// Somebody who has proven who they are.
#[derive(Debug, Clone)]
pub struct Proven {
    /// The account.
    pub account: Account,
    /// If it was by a password: the folded name, and the last change of the password that was right.
    pub(super) password: Option<(String, Option<Uuid>)>,
}

pub(super) type Result<T> = std::result::Result<T, AccountError>;

impl Accounts {
    /// Makes a registered account.
    ///
    /// # Errors
    /// The name is taken.
    pub async fn register(
        &self,
        username: &Username,
        password: &str,
        from: ClientNetwork,
        cause: &Cause,
    ) -> Result<Account> {
        // First: whoever is refused for that has cost nothing else.
        let hash = self.new_hash(username, password, from).await?;
        let reservation = UsernameReservation {
            user: self.next_id(0).await?,
            uuid: clock::random_id(),
            username: username.clone(),
            hash: Some(hash),
            change: None,
        };
        self.reserve_name(&reservation, cause).await?;
        self.complete(&username.folded(), reservation, cause).await
    }

    /// An account as it is now, if there is one.
    ///
    /// # Errors
    /// The log cannot be reached.
    pub async fn account(&self, id: UserId) -> Result<Option<Account>> {
        Ok(self.executor.state::<User>(id).await?.state.account().cloned())
    }

    /// Claims a name; completes what somebody else began with it.
    async fn reserve_name(&self, reservation: &UsernameReservation, cause: &Cause) -> Result<()> {
        let folded = reservation.username.folded();
        loop {
            let held = match self.credentials.reserve(&folded, reservation).await? {
                ReserveOutcome::New => return Ok(()),
                ReserveOutcome::Taken(held) => held,
            };
            if held.reservation.uuid == reservation.uuid {
                // Our own reservation of an earlier attempt. Unless that came to its end, the password is the latest.
                let owner = self.account(reservation.user).await?;
                if owner.is_some_and(|account| account.role == Role::User) {
                    return Err(AccountError::Taken);
                }
                if self.credentials.replace(&folded, reservation, held.revision).await?.is_some() {
                    return Ok(());
                }
                continue;
            }
            if self.is_stale(&held).await? {
                self.credentials.release::<UsernameReservation>(&folded, held.revision).await.ok();
                continue;
            }
            if held.reservation.hash.is_some() {
                self.complete(&folded, held.reservation, cause).await?;
            }
            return Err(AccountError::Taken);
        }
    }

    /// Does the reservation belong to an account that bears another name, and will not bear this one?
    async fn is_stale(&self, held: &StoredReservation<UsernameReservation>) -> Result<bool> {
        let owner = self.account(held.reservation.user).await?;
        Ok(owner.is_some_and(|account| {
            account.uuid == held.reservation.uuid
                && account.role == Role::User
                && account.username.folded() != held.reservation.username.folded()
        }))
    }

    async fn release_if_stale(&self, folded: &str) -> Result<()> {
        if let Some(held) = self.credentials.find::<UsernameReservation>(folded).await?
            && self.is_stale(&held).await?
        {
            self.credentials.release::<UsernameReservation>(folded, held.revision).await.ok();
        }
        Ok(())
    }

    /// Puts into the log what a reservation with a password promises: a new account, or an upgrade.
    async fn complete(
        &self,
        folded: &str,
        mut reservation: UsernameReservation,
        cause: &Cause,
    ) -> Result<Account> {
        let mut refused = 0;
        loop {
            match self.register_as(&reservation, None, cause).await? {
                Some(account) if account.role == Role::User => return Ok(account),
                Some(guest) => {
                    let upgrade = UserCommand::Upgrade(reservation.username.clone());
                    let authority = Authority::without_token(guest.id, cause);
                    let done =
                        self.executor.execute::<User>(guest.id, &upgrade, authority, Wait::Durable);
                    return match done.await {
                        Ok(_) | Err(CommandError::Rejected(_)) => {
                            self.account(guest.id).await?.ok_or(AccountError::NoSuchAccount)
                        }
                        Err(error) => Err(error.into()),
                    };
                }
                None => {
                    refused += 1;
                    let Some(held) = self.credentials.find::<UsernameReservation>(folded).await?
                    else {
                        return Err(AccountError::Taken);
                    };
                    reservation = UsernameReservation {
                        user: self.next_id(refused).await?,
                        ..held.reservation
                    };
                    if self
                        .credentials
                        .replace(folded, &reservation, held.revision)
                        .await?
                        .is_none()
                    {
                        return Err(AccountError::Busy("the name is being reserved".into()));
                    }
                }
            }
        }
    }

    /// Registers the reservation's account unless it is registered; `None` if its number is another's.
    async fn register_as(
        &self,
        reservation: &UsernameReservation,
        device: Option<Device>,
        cause: &Cause,
    ) -> Result<Option<Account>> {
        let command = UserCommand::Register {
            id: reservation.user,
            uuid: reservation.uuid,
            username: reservation.username.clone(),
            role: if reservation.hash.is_some() { Role::User } else { Role::Visitor },
            device,
            avatar: self.default_avatar.clone(),
            at: clock::now(),
        };
        let authority = Authority::without_token(reservation.user, cause);
        match self
            .executor
            .execute::<User>(reservation.user, &command, authority, Wait::Durable)
            .await
        {
            Ok(_) => self.account(reservation.user).await,
            Err(CommandError::Rejected(UserRejection::IdTaken)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The "compare" of rest.md §0.6, steps 1 and 2.
    ///
    /// # Errors
    /// No such account, or not its password.
    pub async fn authenticate(
        &self,
        username: &Username,
        password: &str,
        from: ClientNetwork,
        cause: &Cause,
    ) -> Result<Proven> {
        let folded = username.folded();
        let held = self
            .credentials
            .find::<UsernameReservation>(&folded)
            .await?
            .ok_or(AccountError::NoSuchAccount)?;
        if held.reservation.hash.is_none() {
            return Err(AccountError::NoSuchAccount); // DEV-10: guests have no password
        }
        let account = self.complete(&folded, held.reservation.clone(), cause).await?;
        let held = self.finish_change(account.id, &folded, held, cause).await?;
        if account.disabled || account.username.folded() != folded {
            return Err(AccountError::NoSuchAccount);
        }
        let hash = held.reservation.hash.as_deref().unwrap_or_default();
        let request = Purpose::LogIn.by(&folded, from);
        match self.passwords.verify(request, password, hash).await? {
            Verdict::Wrong => return Err(AccountError::WrongPassword),
            Verdict::Right => {}
            Verdict::RightButOld(hash) => {
                let renewed = UsernameReservation { hash: Some(hash), ..held.reservation.clone() };
                let renewed = self.credentials.replace(&folded, &renewed, held.revision).await;
                _ = renewed.inspect_err(|error| warn!(%error, "a password's hash is old")); // and is as good
            }
        }
        let change = held.reservation.change.map(|change| change.id);
        Ok(Proven { account, password: Some((folded, change)) })
    }

    /// Who owns an account without having shown its password: a device, or whoever has just made it.
    pub fn owner(account: Account) -> Proven {
        Proven { account, password: None }
    }

    /// Makes `token` current everywhere, if what it is given for is still so.
    ///
    /// # Errors
    /// The password was changed or the account disabled meanwhile, or the log says nothing.
    pub async fn log_in(
        &self,
        proven: &Proven,
        token: TokenId,
        role: Role,
        cause: &Cause,
    ) -> Result<()> {
        let user = proven.account.id;
        let command = SessionCommand::LogIn { token, role };
        let log_in = LogIn { accounts: self, proven, command };
        let authority = Authority::without_token(user, cause);
        match self.executor.run(log_in, authority, Wait::Everywhere).await {
            Ok(_) => Ok(()),
            Err(CommandError::Rejected(error)) => Err(error),
            Err(error) => Err(error.into()),
        }
    }

    /// An id for a new account, after `refused` ids in a row that were another's.
    async fn next_id(&self, refused: u32) -> Result<UserId> {
        Ok(UserId(Sequence::Users.allocate(&self.executor.pool, refused).await?))
    }
}

/// A log-in, which is judged by the credential and the account beside the session.
struct LogIn<'a> {
    accounts: &'a Accounts,
    proven: &'a Proven,
    command: SessionCommand,
}

impl Action for LogIn<'_> {
    type Outcome = ();
    type Rejection = AccountError;
    /// The account itself must be found by the next call, too, also on another node.
    const PROJECTIONS: &'static [&'static str] = User::PROJECTIONS;

    fn contention_subject(&self) -> Subject {
        Session::subject(self.proven.account.id)
    }

    async fn judge(
        &mut self,
        executor: &Executor,
    ) -> std::result::Result<Judgement<Self>, CommandError<AccountError>> {
        let user = self.proven.account.id;
        // Before the credential and the account: whoever changes one of them takes the tokens back after that, so
        // either we see the change, or they end the token, or there is a conflict.
        let session = executor.state::<Session>(user).await?;
        self.accounts.still_holds(self.proven).await.map_err(CommandError::Rejected)?;
        let decided = session.decide(user, &self.command).map_err(AccountError::from);
        Ok(Judgement { outcome: (), decided: decided.map_err(CommandError::Rejected)? })
    }
}
