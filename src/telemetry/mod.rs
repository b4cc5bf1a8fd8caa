//! Telemetry is what operators see of a process from outside: its logs, its metrics, and its health.

pub mod file_systems;
pub mod health;
mod labels;
pub mod metrics;
mod process;
pub mod recent_errors;

use std::{
    io::{IsTerminal as _, stderr},
    str::FromStr as _,
};

use anyhow::{Context as _, bail};
use tracing_subscriber::{
    EnvFilter, Layer as _, filter::LevelFilter, layer::SubscriberExt as _, registry,
    util::SubscriberInitExt as _,
};

pub use self::{
    file_systems::FileSystems,
    health::{ProjectionHealth, ProjectionState, StartWaits},
    metrics::Metrics,
    recent_errors::RecentErrors,
};

/// Whose log lines there are: this program's, and those of the libraries that write some.
const LOGGING: &[&str] = &[
    "async_nats",
    "h2",
    "hongyan",
    "hyper_util",
    "log",
    "object_store",
    "reqwest",
    "rustls_platform_verifier",
    "sqlx",
    "sqlx_core",
    "sqlx_postgres",
    "tokio_tungstenite",
    "tracing",
    "tungstenite",
];

/// Starts logging to standard error; what somebody may have to act on is kept, too.
///
/// # Errors
/// `telemetry.log` is no filter.
pub fn init(filter: &str, json: bool) -> anyhow::Result<RecentErrors> {
    check_filter(filter)?;
    let filter = EnvFilter::try_new(filter).with_context(|| bad_filter(filter))?;
    let logs = tracing_subscriber::fmt::layer().with_writer(stderr);
    // Whoever searches a file does not search for colours.
    let logs = logs.with_ansi(stderr().is_terminal());
    let logs = if json { logs.json().boxed() } else { logs.boxed() };
    let recent_errors = RecentErrors::default();
    registry().with(logs).with(recent_errors.clone()).with(filter).init();
    Ok(recent_errors)
}

/// A word that is no level is a target to the library, also one that is mistyped: `inof` would silence everything but
/// what nobody writes.
fn check_filter(filter: &str) -> anyhow::Result<()> {
    for directive in filter.split(',').map(str::trim).filter(|directive| !directive.is_empty()) {
        let target = directive.split(['=', '[']).next().unwrap_or_default();
        let is_level = target == directive && LevelFilter::from_str(directive).is_ok();
        let krate = target.split("::").next().unwrap_or_default();
        // `[span]=level` is about spans of whatever target.
        if !is_level && !target.is_empty() && !LOGGING.contains(&krate) {
            bail!(
                "{}: `{target}` is no level (off, error, warn, info, debug, trace), and nothing of that name writes \
                 log lines; those that do are {}",
                bad_filter(filter),
                LOGGING.join(", ")
            );
        }
    }
    Ok(())
}

fn bad_filter(filter: &str) -> String {
    format!("telemetry.log = `{filter}` is no filter for log lines")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_names_nothing_known_is_refused() {
        for good in [
            "",
            "info",
            "INFO, async_nats=warn",
            "off,hongyan=debug",
            "hongyan::access",
            "warn,hongyan::projections::engine::runner=trace,sqlx=info",
            "[request]=debug",
        ] {
            check_filter(good).unwrap_or_else(|error| panic!("{good}: {error}"));
        }
        for (bad, word) in [
            ("inof", "inof"),
            ("info,asnyc_nats=warn", "asnyc_nats"),
            ("hongyan=debug,dbug", "dbug"),
            ("hongyanx", "hongyanx"),
        ] {
            let error = check_filter(bad).expect_err(bad).to_string();
            assert!(error.contains(bad) && error.contains(&format!("`{word}`")), "{error}");
        }
    }
}
