//! Secrets that were changed on purpose are accepted as the new ones: `secrets accept`.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use serde_json::json;

use super::{Output, ops};
use crate::{
    adapters::nats::{
        content_keys::ContentKeys,
        credential_store::CredentialStore,
        secret_checks::{self, Secret},
    },
    config::Config,
};

#[derive(Subcommand)]
pub(super) enum SecretsCommand {
    /// Take the secret in the settings for the right one from now on. What was made with the old one is void
    Accept {
        #[arg(value_enum)]
        secret: Name,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Name {
    /// `auth.token_secret`: everybody logs in again
    TokenSecret,
    /// `auth.password_pepper`: nobody logs in before they were given another password
    PasswordPepper,
}

pub(super) async fn run(
    SecretsCommand::Accept { secret }: SecretsCommand,
    config: &Config,
    output: Output,
) -> anyhow::Result<ExitCode> {
    config.check_gateway()?; // no secret, or one that is too short, is not accepted
    let nats = ops::connect(config).await?;
    let replicated = config.log.is_replicated();
    let keys = ContentKeys::open(&nats, None, replicated).await?;
    let credentials = CredentialStore::open(&nats, keys, replicated)
        .await
        .context("cannot open VAULT; run `hongyan migrate`")?;
    let (which, value) = match secret {
        Name::TokenSecret => (Secret::Token, &config.auth.token_secret),
        Name::PasswordPepper => (Secret::Pepper, &config.auth.password_pepper),
    };
    let is_new = secret_checks::accept(&credentials, which, value).await?;
    let told = json!({"secret": which.setting(), "changed": is_new});
    output.print(&told, || {
        let setting = which.setting();
        if !is_new {
            return format!("{setting} is what it was");
        }
        format!("{setting} is accepted: {}", which.consequence())
    });
    Ok(ExitCode::SUCCESS)
}
