//! A deployment is laid out and compared with what it needs: `migrate` and `check-config`.

use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::json;

use super::Output;
use crate::{
    adapters::{
        nats::{
            connect::{self, Nats},
            provision,
        },
        postgres,
    },
    boot,
    config::Config,
    projections::analytics::AnalyticsParts,
};

/// The connection of the `ops` user.
pub(super) async fn connect(config: &Config) -> anyhow::Result<Nats> {
    connect::connect(&config.nats.url, &config.nats.ops_user, &config.nats.ops_password).await
}

pub(super) async fn migrate(config: &Config, output: Output) -> anyhow::Result<ExitCode> {
    let nats = connect(config).await?;
    provision::check_account(&nats).await?;
    provision::create(&nats, config.log.replicas).await?;
    let pool = postgres::migrators(&config.postgres.url)?;
    sqlx::migrate!("./migrations").run(&pool).await.context(
        "cannot migrate the database; does it exist, and does postgres.url name its owner?",
    )?;
    let analytics = boot::open_analytics(config).await?;
    if let Some(AnalyticsParts { stream, .. }) = &analytics {
        // What older versions made for analysts, which tells everything.
        stream.remove_old_copy().await.context("cannot remove the copy EVENTS_COPY")?;
    }
    output.print(
        &json!({"stream": "EVENTS", "vault": "VAULT", "database": true, "analytics": analytics.is_some()}),
        || "the stream, the credential store and the database are ready".into(),
    );
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn check_config(config: &Config, output: Output) -> anyhow::Result<ExitCode> {
    let nats = connect(config).await?;
    let drift = provision::drift(&nats, config.log.replicas).await?;
    if config.log.durability == crate::config::Durability::Synced {
        provision::check_store(&nats, &config.log.store_dir).await?;
    }
    let info = nats.client.server_info();
    output.print(&json!({"server": info.version, "drift": drift}), || {
        if drift.is_empty() {
            return format!("nats-server {} and its stream are as they must be", info.version);
        }
        let lines = drift.iter().map(|found| {
            format!("{}: {} instead of {}: {}", found.setting, found.found, found.wanted, found.why)
        });
        lines.collect::<Vec<_>>().join("\n")
    });
    Ok(if drift.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
