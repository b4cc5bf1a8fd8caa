//! The analysts' stream is opened where there is a password for it.

use std::{sync::Arc, time::Duration};

use secrecy::ExposeSecret as _;

use crate::{
    adapters::nats::{
        analysts_stream::{AnalystsStream, Retention},
        connect,
    },
    config::Config,
    projections::analytics::AnalyticsParts,
};

/// What the analysts' stream is made with; nothing without `nats.analytics_password`.
///
/// # Errors
/// The server refuses or cannot be reached, or there is no secret for pseudonyms.
pub async fn open_analytics(config: &Config) -> anyhow::Result<Option<AnalyticsParts>> {
    let (nats, analytics) = (&config.nats, &config.analytics);
    if nats.analytics_password.expose_secret().is_empty() {
        return Ok(None);
    }
    let redaction = Arc::new(config.redaction()?);
    let user = &nats.analytics_user;
    let connection = connect::connect(&nats.url, user, &nats.analytics_password).await?;
    let retention = Retention {
        age: Duration::from_hours(24 * analytics.max_age_days),
        bytes: analytics.max_bytes,
    };
    let stream = AnalystsStream::new(connection, retention, config.log.replicas);
    Ok(Some(AnalyticsParts { stream, redaction }))
}
