//! `bench rebuild`: how fast read models are built anew, which is done in this process.

use std::process::ExitCode;

use clap::Args;
use hyper::Uri;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::{
    super::{Output, projections},
    deployment,
    processes::{self, Servers, spent},
    report,
};
use crate::config::Config;

#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// Which read model; all, one after the other, if left out
    name: Option<String>,
}

pub(super) async fn run(
    options: &Options,
    config: &Config,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let urls = [
        config.nats.url.as_str(),
        config.postgres.url.expose_secret(),
        config.redis.url.expose_secret(),
    ];
    let servers = Servers::Pids(urls.into_iter().filter_map(server).collect());
    let (before, own) = (servers.sample(), processes::own_cpu());
    let built = projections::rebuild(options.name.clone(), config, output).await?;
    let own = processes::own_cpu().saturating_sub(own);
    let spent = spent(&before, &servers.sample());
    let (by_name, cpu) = report::cpu(&spent);
    let models: Vec<Value> = built.iter().map(model).collect();
    let sum = |key: &str| built.iter().filter_map(|one| one[key].as_f64()).sum::<f64>();
    let (events, seconds) = (sum("events"), sum("seconds"));
    let count = built.iter().filter_map(|one| one["events"].as_u64()).sum();
    let shown = json!({
        "title": format!("rebuild: {} read models, one after the other", models.len()),
        "version": env!("CARGO_PKG_VERSION"),
        "batch": config.projections.batch,
        "read_models": models,
        "events": events,
        "seconds": report::rounded(seconds, 3),
        "events_per_s": report::rounded(events / seconds, 1),
        "server_cpu": {"by_name": by_name, "per_1000_events": report::per_1000(cpu, count)},
        "own_cpu": {"seconds": own.as_secs_f64(), "per_1000_events": report::per_1000(own, count)},
    });
    output.tell(&shown, || {
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
            report::cpu_text(&spent, count)
        );
        lines.push(("CPU", cpu));
        report::table(shown["title"].as_str().unwrap_or_default(), &lines)
    });
    Ok(ExitCode::SUCCESS)
}

fn model(built: &Value) -> Value {
    let number = |key: &str| built[key].as_f64().unwrap_or_default();
    json!({
        "name": built["name"],
        "events": built["events"],
        "seconds": report::rounded(number("seconds"), 3),
        "events_per_s": report::rounded(number("events") / number("seconds"), 1),
    })
}

/// The process behind a URL, if it is on this machine.
fn server(url: &str) -> Option<u32> {
    let uri: Uri = url.parse().ok()?;
    let local = matches!(uri.host()?, "127.0.0.1" | "localhost" | "[::1]");
    deployment::listener(uri.port_u16()?).filter(|_| local)
}
