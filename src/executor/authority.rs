//! The authority of a command: on whose behalf it runs, and what must still be so when it is appended.

use crate::{
    commands::{session::Session, user::User},
    events::{Cause, TokenId, UserId},
};

/// Who asks. A token is judged before the command's body has come, and again right before its append.
#[derive(Debug, Clone, Copy)]
pub struct Authority<'a> {
    /// On whose behalf; nobody's, if an operator asks.
    pub actor: Option<UserId>,
    /// What they came with, unless they are to be given one.
    pub token: Option<TokenId>,
    /// The request.
    pub cause: &'a Cause,
}

/// Why a command may not be appended any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unauthorized {
    /// Another log-in replaced the token, or it was taken back.
    #[error("the token is not the current one")]
    Token,
    /// The account was disabled.
    #[error("the account does not exist or is disabled")]
    Account,
}

impl<'a> Authority<'a> {
    /// A user's, by their token.
    pub fn of_user(user: UserId, token: TokenId, cause: &'a Cause) -> Self {
        Self { actor: Some(user), token: Some(token), cause }
    }

    /// A user's who has proven in another way who they are.
    pub fn without_token(user: UserId, cause: &'a Cause) -> Self {
        Self { actor: Some(user), token: None, cause }
    }

    /// An operator's.
    pub fn of_operator(cause: &'a Cause) -> Self {
        Self { actor: None, token: None, cause }
    }

    /// Judges by the account and its session as they are now.
    ///
    /// # Errors
    /// What has ended.
    pub fn judge(&self, session: &Session, user: &User) -> Result<(), Unauthorized> {
        if !self.has_token(session) {
            return Err(Unauthorized::Token);
        }
        if self.token.is_some() && user.active().is_none() {
            return Err(Unauthorized::Account);
        }
        Ok(())
    }

    /// Does the token count, if there has to be one?
    pub fn has_token(&self, session: &Session) -> bool {
        self.token.is_none_or(|token| session.is_current(token))
    }
}
