//! One user of ours: made anew, or logged in again, and ready to be written to.

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use hyper::{StatusCode, header::HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::time::sleep;

use super::http::Connection;
use crate::clock;

/// What a token that has ended is refused with (data.md §4.2).
pub const NOT_CURRENT: &str = "Token 令牌不合法！";

/// As the server asks for when it is busy.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Who the users of a run are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum AccountKind {
    /// With a password, whose hash costs the server tens of milliseconds each
    Registered,
    /// Of a device, without one
    Guests,
}

/// One user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Account {
    /// The id that the server gave; 0 before.
    pub id: i64,
    /// With or without a password.
    pub kind: AccountKind,
    /// A username, or a device.
    pub name: String,
    /// Empty for guests.
    pub password: String,
    /// The newest one.
    pub token: String,
}

impl Account {
    /// The token, for a request.
    ///
    /// # Panics
    /// The server made a token that no header can hold.
    pub fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.token).expect("tokens are made of letters, digits and dots")
    }

    /// A new one, not known to any server.
    pub fn generate(kind: AccountKind) -> Self {
        let id = clock::random_id();
        let (name, password) = match kind {
            AccountKind::Registered => {
                let all = id.simple().to_string();
                (format!("hb{}", &all[..16]), clock::random_id().simple().to_string()[..20].into())
            }
            AccountKind::Guests => (id.to_string(), String::new()),
        };
        Self { id: 0, kind, name, password, token: String::new() }
    }

    /// Gets a token: registers, or logs in.
    pub async fn log_in(&mut self, server: &mut Connection, salt: &str) -> anyhow::Result<()> {
        let data = match self.kind {
            AccountKind::Registered => {
                let path = if self.id == 0 { "/api/regChat" } else { "/api/loginChat" };
                let body = json!({"username": self.name, "password": self.password}).to_string();
                loop {
                    let answer = server.post(path, None, body.clone()).await?;
                    if answer.status != StatusCode::SERVICE_UNAVAILABLE {
                        break answer.data()?;
                    }
                    sleep(RETRY_AFTER).await; // many at once wait for their hashes
                }
            }
            AccountKind::Guests => {
                let at = clock::now_ms();
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
    pub async fn allow_strangers(&self, server: &mut Connection) -> anyhow::Result<bool> {
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
    pub async fn prepare(&mut self, server: &mut Connection, salt: &str) -> anyhow::Result<()> {
        if self.id != 0 && self.allow_strangers(server).await? {
            return Ok(());
        }
        self.log_in(server, salt).await?;
        if !self.allow_strangers(server).await? {
            bail!("a token was refused at once: does another run use the same accounts?");
        }
        Ok(())
    }
}

/// A call that must succeed.
pub async fn call(
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
    fn names_and_passwords_are_as_long_as_the_contract_allows() {
        let user = Account::generate(AccountKind::Registered);
        assert!(user.name.len() <= 20 && user.password.len() <= 20, "{user:?}");
        assert_eq!(Account::generate(AccountKind::Guests).name.len(), 36);
    }
}
