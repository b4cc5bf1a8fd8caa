//! `loadgen rebuild`: how fast read models are built anew, by `hongyan projections rebuild`.

use std::{env, process::ExitCode, time::Duration};

use anyhow::{Context as _, ensure};
use clap::Args;
use hyper::Uri;
use serde_json::{Value, json};
use testkit::{output::Output, programs};
use tokio::{process::Command, time::Instant};

use super::{
    deployment, format,
    processes::{self, Servers, spent},
};

/// The settings that say where the servers are.
const URLS: [&str; 3] = ["HONGYAN__NATS__URL", "HONGYAN__POSTGRES__URL", "HONGYAN__REDIS__URL"];

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Which read model; all at once if left out
    name: Option<String>,
}

pub(super) async fn run(options: &Options, output: Output) -> anyhow::Result<ExitCode> {
    let urls = URLS.into_iter().filter_map(|name| env::var(name).ok());
    let servers = Servers::Pids(urls.filter_map(|url| server(&url)).collect());
    let (before, own) = (servers.sample(), with_children());
    let begun = Instant::now();
    let mut built = rebuild(options.name.as_deref()).await?;
    let seconds = begun.elapsed().as_secs_f64();
    built.retain(|one| one["events"].is_u64()); // a projector fills the analysts' stream, later
    let own = with_children().saturating_sub(own);
    let spent = spent(&before, &servers.sample());
    let (by_name, cpu) = format::cpu(&spent);
    let models: Vec<Value> = built.iter().map(model).collect();
    let count = built.iter().filter_map(|one| one["events"].as_u64()).sum();
    #[expect(clippy::cast_precision_loss, reason = "it is far from 2^52")]
    let events = count as f64;
    let shown = json!({
        "title": format!("rebuild: {} read models at once", models.len()),
        "version": env!("CARGO_PKG_VERSION"),
        "read_models": models,
        "events": count,
        "seconds": format::rounded(seconds, 3),
        "events_per_s": format::rounded(events / seconds, 1),
        "server_cpu": {"by_name": by_name, "per_1000_events": format::per_1000(cpu, count)},
        "own_cpu": {"seconds": own.as_secs_f64(), "per_1000_events": format::per_1000(own, count)},
    });
    output.print(&shown, || {
        let lines = models.iter().map(|model| {
            let text = format!(
                "{:>9}/s   {} events in {} s",
                model["events_per_s"], model["events"], model["seconds"]
            );
            (model["name"].as_str().unwrap_or_default(), text)
        });
        let mut lines: Vec<(&str, String)> = lines.collect();
        let all =
            format!("{:>9}/s   {} events in {} s", shown["events_per_s"], count, shown["seconds"]);
        lines.push(("all", all));
        let cpu = format!(
            "{} s per 1,000 events here; {} s in the servers: {}",
            shown["own_cpu"]["per_1000_events"],
            shown["server_cpu"]["per_1000_events"],
            format::cpu_text(&spent, count)
        );
        lines.push(("CPU", cpu));
        format::table(shown["title"].as_str().unwrap_or_default(), &lines)
    });
    Ok(ExitCode::SUCCESS)
}

/// Has the service's own command do it; answers with what it says of each read model.
async fn rebuild(name: Option<&str>) -> anyhow::Result<Vec<Value>> {
    let mut command = Command::new(programs::hongyan()?);
    command.args(["projections", "rebuild", name.unwrap_or("--all"), "--json"]);
    let done = command.stderr(std::process::Stdio::inherit()).output().await?;
    ensure!(done.status.success(), "hongyan projections rebuild: {}", done.status);
    serde_json::from_slice(&done.stdout).context("hongyan projections rebuild prints no JSON")
}

/// The CPU time of this process and of its children that have ended.
fn with_children() -> Duration {
    processes::of(std::process::id()).map_or_else(processes::own_cpu, |(cpu, _)| cpu)
}

fn model(built: &Value) -> Value {
    let number = |key: &str| built[key].as_f64().unwrap_or_default();
    json!({
        "name": built["name"],
        "events": built["events"],
        "seconds": format::rounded(number("seconds"), 3),
        "events_per_s": format::rounded(number("events") / number("seconds"), 1),
    })
}

/// The process behind a URL, if it is on this machine.
fn server(url: &str) -> Option<u32> {
    let uri: Uri = url.parse().ok()?;
    let local = matches!(uri.host()?, "127.0.0.1" | "localhost" | "[::1]");
    deployment::listener(uri.port_u16()?).filter(|_| local)
}
