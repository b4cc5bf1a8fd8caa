//! The command line has one file per noun: what operators type, and nothing else.

mod complaints;
mod events;
mod explain;
mod export;
mod groups;
mod inspection;
mod messages;
mod operator;
mod ops;
mod progress;
mod projections;
mod secrets;
mod text;
mod users;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use serde_json::json;

use crate::{boot, config::Config, telemetry};

/// An event-sourced instant-messaging backend.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    /// A TOML file with settings; config/default.toml in the sources lists them all
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the service
    Serve {
        /// Which parts to play
        #[arg(long, value_enum, default_value = "all")]
        role: boot::ProcessRole,
    },
    /// Create what is missing in NATS and PostgreSQL
    Migrate,
    /// Compare the server and its stream with what is needed
    CheckConfig,
    /// Read models: where they are, building them anew, comparing them
    #[command(subcommand)]
    Projections(projections::ProjectionsCommand),
    /// Accounts
    #[command(subcommand)]
    Users(users::UsersCommand),
    /// Groups
    #[command(subcommand)]
    Groups(groups::GroupsCommand),
    /// What people wrote
    #[command(subcommand)]
    Messages(messages::MessagesCommand),
    /// What people complain about
    #[command(subcommand)]
    Complaints(complaints::ComplaintsCommand),
    /// What tokens and passwords are made with
    #[command(subcommand)]
    Secrets(secrets::SecretsCommand),
    /// The log
    #[command(subcommand)]
    Events(events::EventsCommand),
    /// An account, session, friendship, group, chat … as it was at any moment
    State(inspection::StateCommand),
    /// What happened to it: who changed what, when, by which request
    History(inspection::HistoryCommand),
    /// Why somebody got a message, or did not
    Explain(explain::ExplainCommand),
    /// This program's version
    Version,
}

/// How results are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    Text,
    Json,
}

impl Output {
    /// Tells a result in the form asked for.
    fn print(self, json: &serde_json::Value, text: impl FnOnce() -> String) {
        let told = match self {
            Self::Json => json.to_string(),
            Self::Text => text(),
        };
        text::print(&text::harmless(&told));
    }
}

/// Does what the command line asks for, and says on standard error why it could not.
#[tokio::main]
pub async fn main() -> ExitCode {
    match Cli::parse().run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("hongyan: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Cli {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let output = if self.json { Output::Json } else { Output::Text };
        if let Command::Version = self.command {
            let version = env!("CARGO_PKG_VERSION");
            output.print(&json!({"version": version}), || format!("hongyan {version}"));
            return Ok(ExitCode::SUCCESS);
        }
        let config = Config::read(self.config.as_deref())?;
        let serving = matches!(self.command, Command::Serve { .. });
        let filter = if serving { config.telemetry.log.as_str() } else { "warn" };
        let recent_errors = telemetry::init(filter, config.telemetry.format == "json")?;
        match self.command {
            Command::Serve { role } => {
                Box::pin(boot::serve(config, role, recent_errors)).await.map(|()| ExitCode::SUCCESS)
            }
            Command::Migrate => ops::migrate(&config, output).await,
            Command::CheckConfig => ops::check_config(&config, output).await,
            Command::Projections(command) => {
                Box::pin(projections::run(command, &config, output)).await
            }
            Command::Users(command) => users::run(command, &config, output).await,
            Command::Groups(command) => groups::run(command, &config, output).await,
            Command::Messages(command) => messages::run(command, &config, output).await,
            Command::Complaints(command) => complaints::run(command, &config, output).await,
            Command::Secrets(command) => secrets::run(command, &config, output).await,
            Command::Events(command) => events::run(command, &config, output).await,
            Command::State(command) => inspection::state(command, &config, output).await,
            Command::History(command) => inspection::history(command, &config, output).await,
            Command::Explain(command) => explain::run(command, &config, output).await,
            Command::Version => Ok(ExitCode::SUCCESS),
        }
    }
}
