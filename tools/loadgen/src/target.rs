//! What is measured: where it is, what it is, and which processes it consists of.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::Args;
use hyper::StatusCode;
use serde_json::{Value, json};
use testkit::client::http::{Connection, Origin};

use super::{deployment, processes::Servers};

#[derive(Debug, Clone, Args)]
pub(super) struct Target {
    /// A gateway; give more of them, and they share the load
    #[arg(long = "url", value_name = "URL", default_value = "http://127.0.0.1:7001")]
    urls: Vec<String>,
    /// The admin listener, as `http://127.0.0.1:7002`: tells what the server is, and when its read models have caught up
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
    /// Use the accounts in this file, and keep new ones there: making many costs the server a password hash each
    #[arg(long, value_name = "FILE")]
    pub(super) users_file: Option<PathBuf>,
    /// How many accounts are made at once
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub(super) registering: usize,
    /// The salt that the server shares with its clients (`auth.signing_salt`), for guests
    #[arg(long, value_name = "TEXT", default_value = "45ncashdaksh2!#@3nxjdas*_259")]
    pub(super) signing_salt: String,
    /// Server processes on this machine whose CPU is counted, with their children; if left out, who listens at the URL
    /// and whom that process is connected to, or else those with the names of our servers
    #[arg(long, value_name = "PID,…", value_delimiter = ',')]
    pids: Vec<u32>,
    /// Threads of the generator; one is the lightest
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) threads: usize,
}

/// A target that was found.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) origins: Vec<Arc<Origin>>,
    admin: Option<Arc<Origin>>,
    pub(super) processes: Servers,
    /// What it says of itself.
    about: Value,
    threads: usize,
}

impl Target {
    pub(super) async fn find(&self) -> anyhow::Result<Server> {
        let mut origins = Vec::new();
        for url in &self.urls {
            origins.push(Origin::resolve(url).await?);
        }
        let admin = match &self.admin {
            Some(url) => Some(Origin::resolve(url).await?),
            None => None,
        };
        let about = match &admin {
            Some(admin) => about(admin).await?,
            None => json!({}),
        };
        let processes = match self.pids.as_slice() {
            [] => Servers::Named,
            pids => Servers::Pids(pids.iter().copied().collect()),
        };
        Ok(Server { origins, admin, processes, about, threads: self.threads })
    }
}

async fn about(admin: &Arc<Origin>) -> anyhow::Result<Value> {
    let answer = Connection::to(admin).get(Some("/health/ready"), None).await;
    let answer = answer.with_context(|| format!("the admin listener {} is silent", admin.url))?;
    let health: Value = serde_json::from_slice(&answer.body)
        .with_context(|| format!("{} says no JSON; is that the admin listener?", admin.url))?;
    anyhow::ensure!(answer.status == StatusCode::OK, "the server is not ready: {health}");
    Ok(json!({"durability": health["durability"], "versions": health["versions"]}))
}

impl Server {
    /// The gateway for the n-th user or connection.
    pub(super) fn origin(&self, number: usize) -> &Arc<Origin> {
        &self.origins[number % self.origins.len()]
    }

    /// Finds the processes, if they were not named; once the gateways have been used, and so are connected to all that
    /// they need.
    pub(super) fn find_processes(&mut self) {
        if self.processes != Servers::Named {
            return;
        }
        if !self.origins.iter().all(|origin| origin.address.ip().is_loopback()) {
            self.processes = Servers::Elsewhere;
            return;
        }
        let ports: Vec<u16> = self.origins.iter().map(|origin| origin.address.port()).collect();
        let found = deployment::behind(&ports);
        if !found.is_empty() {
            self.processes = Servers::Pids(found);
        }
    }

    /// Waits, but not longer than `patience`, until every read model of the process behind the admin listener has
    /// caught up. `None`: there is no admin listener to ask.
    pub(super) async fn caught_up(&self, patience: Duration) -> Option<bool> {
        let mut admin = Connection::to(self.admin.as_ref()?);
        let caught_up = async {
            loop {
                if let Ok(answer) = admin.get(Some("/positions"), None).await
                    && let Ok(positions) = serde_json::from_slice::<Value>(&answer.body)
                    && let Some(all) = positions["projections"].as_object()
                    && all.values().all(|one| one["lag"] == 0)
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        Some(tokio::time::timeout(patience, caught_up).await.is_ok())
    }

    /// The server, the machine and the generator, for the results.
    pub(super) fn describe(&self) -> Value {
        let system = rustix::system::uname();
        let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        json!({
            "urls": self.origins.iter().map(|origin| &origin.url).collect::<Vec<_>>(),
            "server": self.about,
            "generator": {"version": env!("CARGO_PKG_VERSION"), "threads": self.threads},
            "machine": {
                "cores": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
                "system": format!("{} {}", text(system.sysname()), text(system.release())),
                "processor": processor(),
            },
        })
    }
}

fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
