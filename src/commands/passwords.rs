//! Another password for an account: the hash goes to the vault, and whoever came in with the old one is out.

use super::{
    accounts::{AccountError, Accounts, Result},
    session::{Session, SessionCommand},
    user::{Account, User, UserCommand},
};
use crate::{
    adapters::{passwords::Verdict, vault::NameClaim},
    events::{Cause, TokenId, UserId},
};

impl Accounts {
    /// Gives an account a new password if `old` is the present one, and ends all its sessions but
    /// that of `kept` (rest.md §42).
    ///
    /// # Errors
    /// It has no password, or another one.
    pub async fn change_password(
        &self,
        account: &Account,
        (old, new): (&str, &str),
        kept: TokenId,
        cause: &Cause,
    ) -> Result<()> {
        let folded = account.username.folded();
        loop {
            let held = self.vault.held::<NameClaim>(&folded).await?.ok_or(AccountError::Gone)?;
            let hash = held.claim.hash.as_deref().ok_or(AccountError::Gone)?;
            // Judged under the revision that is replaced: of two changes at once the later one finds
            // that its old password is not right any more.
            if matches!(self.passwords.verify(old, hash).await, Verdict::Wrong) {
                return Err(AccountError::WrongPassword);
            }
            let renewed = NameClaim { hash: Some(self.passwords.hash(new).await), ..held.claim };
            if self.vault.replace(&folded, &renewed, held.revision).await? {
                return self
                    .password_changed(account.id, Some(kept), Some(account.id), cause)
                    .await;
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
        let folded = account.username.folded();
        let hash = self.passwords.hash(password).await;
        let held = self.vault.held::<NameClaim>(&folded).await?;
        let held = held.filter(|held| held.claim.hash.is_some()).ok_or(AccountError::Gone)?;
        let renewed = NameClaim { hash: Some(hash), ..held.claim };
        if !self.vault.replace(&folded, &renewed, held.revision).await? {
            return Err(AccountError::Busy("the password is being changed".into()));
        }
        self.password_changed(account.id, None, None, cause).await
    }

    /// Tells the log what the vault knows; whoever came in with the old password is out, everywhere.
    async fn password_changed(
        &self,
        user: UserId,
        kept: Option<TokenId>,
        actor: Option<UserId>,
        cause: &Cause,
    ) -> Result<()> {
        let changed = UserCommand::ChangePassword;
        self.executor.execute::<User>(user, &changed, actor, cause).await?;
        let revoke = SessionCommand::Revoke { kept };
        self.executor.execute_visibly::<Session>(user, &revoke, actor, cause).await?;
        Ok(())
    }
}
