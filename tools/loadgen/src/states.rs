//! `loadgen states`: how long the admin listener takes to tell what was so, of aggregates and moments by chance, in a log
//! that `loadgen fill` made.

use std::{env, process::ExitCode};

use anyhow::{Context as _, ensure};
use clap::Args;
use serde_json::{Value, json};
use testkit::{
    client::http::{Connection, Origin},
    output::Output,
};
use tokio::time::Instant;

use super::{fill, format};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// How many questions about each kind of aggregate
    #[arg(long, default_value_t = 300)]
    count: u64,
    /// Of what
    #[arg(long, value_delimiter = ',', default_values = ["user", "session", "friendship", "chat"])]
    kinds: Vec<String>,
    /// The admin listener; as ./run has it if left out
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
}

pub(super) async fn run(options: &Options, output: Output) -> anyhow::Result<ExitCode> {
    let listen = || env::var("HONGYAN__SERVER__ADMIN_LISTEN").ok();
    let url = options.admin.clone().or_else(|| listen().map(|at| format!("http://{at}")));
    let url = url.context("name the admin listener by --admin")?;
    let origin = Origin::resolve(&url).await?;
    let mut admin = Connection::to(&origin);
    let positions = admin.get(Some("/positions"), None).await?;
    let positions: Value = serde_json::from_slice(&positions.body)?;
    let end = positions["log"]["last"].as_u64().context("the log has no end")?;
    let users = fill::users(end);
    let mut chance = fill::Chance::new(end);
    let mut kinds = Vec::new();
    for kind in &options.kinds {
        let mut histogram = format::histogram();
        let mut events = 0;
        for _ in 0..options.count {
            let user = 1 + chance.draw(users - 1);
            let id = match kind.as_str() {
                "friendship" | "chat" => format!("{user}.{}", user + 1),
                _ => user.to_string(),
            };
            let at = end / 10 + chance.draw(end - end / 10);
            let begun = Instant::now();
            let answer = admin.get(Some(&format!("/state/{kind}/{id}?at={at}")), None).await?;
            format::record(&mut histogram, begun.elapsed());
            // Somebody may not have signed in by then.
            ensure!(
                [200, 404].contains(&answer.status.as_u16()),
                "{kind} {id} at {at}: {}",
                answer.text()
            );
            let told: Value = serde_json::from_slice(&answer.body)?;
            events += told["events"].as_u64().unwrap_or(0);
        }
        kinds.push(json!({
            "kind": kind, "events": events, "ms": format::quantiles(&histogram),
        }));
    }
    let shown = json!({ "log": end, "count": options.count, "kinds": kinds });
    output.print(&shown, || {
        let title = format!("{} states of each kind, in a log of {end} events", options.count);
        let lines: Vec<(&str, String)> = kinds
            .iter()
            .map(|kind| {
                (kind["kind"].as_str().unwrap_or_default(), format::quantiles_text(&kind["ms"]))
            })
            .collect();
        format::table(&title, &lines)
    });
    Ok(ExitCode::SUCCESS)
}
