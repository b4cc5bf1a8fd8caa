//! Guests: accounts that a device owns, and how one becomes a registered user (rest.md §4, §5).

use super::{AccountError, Accounts, Result};
use crate::{
    adapters::{
        client_address::ClientNetwork,
        nats::credential_store::{DeviceReservation, ReserveOutcome, UsernameReservation},
    },
    clock,
    commands::user::{Account, DeviceReport, User, UserCommand},
    events::{Cause, Device, Role, Username},
    executor::{Wait, authority::Authority},
};

impl Accounts {
    /// Turns a guest into a registered user, or makes a new account if the device owns no guest
    /// (rest.md §5, DEV-7).
    ///
    /// # Errors
    /// The name is taken.
    pub async fn upgrade(
        &self,
        device: &str,
        username: &Username,
        password: &str,
        from: ClientNetwork,
        cause: &Cause,
    ) -> Result<Account> {
        let Some(guest) = self.guest_of(device).await? else {
            return self.register(username, password, from, cause).await;
        };
        let reservation = UsernameReservation {
            user: guest.id,
            uuid: guest.uuid,
            username: username.clone(),
            hash: Some(self.new_hash(username, password, from).await?),
            change: None,
        };
        self.reserve_name(&reservation, cause).await?;
        let account = self.complete(&username.folded(), reservation, cause).await?;
        if account.username != *username {
            // Another name was faster for this guest, who is a registered user now.
            self.release_if_stale(&username.folded()).await?;
            return self.register(username, password, from, cause).await;
        }
        self.release_if_stale(&guest.username.folded()).await?;
        Ok(account)
    }

    async fn guest_of(&self, device: &str) -> Result<Option<Account>> {
        let Some(held) = self.credentials.find::<DeviceReservation>(device).await? else {
            return Ok(None);
        };
        let owner = self.account(held.reservation.user).await?;
        Ok(owner.filter(|account| {
            let is_theirs = account.uuid == held.reservation.uuid && !account.deleted;
            is_theirs && account.role == Role::Visitor
        }))
    }

    /// The account that a device owns; makes a guest if it owns none (rest.md §4).
    ///
    /// # Errors
    /// The account is disabled.
    pub async fn of_device(
        &self,
        device: &str,
        report: &DeviceReport,
        cause: &Cause,
    ) -> Result<Account> {
        let fresh = DeviceReservation { user: self.next_id(0).await?, uuid: clock::random_id() };
        let reservation = match self.credentials.reserve(device, &fresh).await? {
            ReserveOutcome::New => fresh,
            ReserveOutcome::Taken(held) => held.reservation,
        };
        let account = match self.account(reservation.user).await? {
            Some(account) if account.uuid == reservation.uuid => account,
            _ => self.register_guest(device, reservation, report, cause).await?,
        };
        if account.disabled {
            return Err(AccountError::NoSuchAccount);
        }
        let describe = UserCommand::DescribeDevice(report.clone());
        let authority = Authority::without_token(account.id, cause);
        self.executor.execute::<User>(account.id, &describe, authority, Wait::Durable).await?;
        self.account(account.id).await?.ok_or(AccountError::NoSuchAccount)
    }

    async fn register_guest(
        &self,
        device: &str,
        mut reservation: DeviceReservation,
        report: &DeviceReport,
        cause: &Cause,
    ) -> Result<Account> {
        let mut refused = 0;
        loop {
            let username = self.guest_name(device, &reservation, cause).await?;
            let known = Device { fingerprint: device.to_owned(), ..Device::default() };
            let registered = self
                .register_as(
                    &UsernameReservation {
                        user: reservation.user,
                        uuid: reservation.uuid,
                        username: username.clone(),
                        hash: None,
                        change: None,
                    },
                    Some(report.over(&known)),
                    cause,
                )
                .await?;
            if let Some(account) = registered {
                return Ok(account);
            }
            // The id is another account's: the database that gives them is older than the log.
            refused += 1;
            let Some(held) = self.credentials.find::<DeviceReservation>(device).await? else {
                continue;
            };
            reservation = DeviceReservation {
                user: self.next_id(refused).await?,
                uuid: held.reservation.uuid,
            };
            if self.credentials.replace(device, &reservation, held.revision).await?.is_none() {
                let held = self.credentials.find::<DeviceReservation>(device).await?;
                reservation = held.map_or(reservation, |held| held.reservation);
            }
        }
    }

    /// `VIS` and as much of the device as makes it unique (DEV-9).
    async fn guest_name(
        &self,
        device: &str,
        reservation: &DeviceReservation,
        cause: &Cause,
    ) -> Result<Username> {
        for length in 8..=device.len() {
            let username = Username(format!("VIS{}", &device[..length]));
            let name = UsernameReservation {
                user: reservation.user,
                uuid: reservation.uuid,
                username: username.clone(),
                hash: None,
                change: None,
            };
            match self.reserve_name(&name, cause).await {
                Err(AccountError::Taken) => {}
                result => return result.map(|()| username),
            }
        }
        Err(AccountError::Taken)
    }
}
