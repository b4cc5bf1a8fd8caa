//! Command line → config → what was asked for.

use std::process::ExitCode;

use clap::Parser as _;
use hongyan::cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    match Cli::parse().run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("hongyan: {error:#}");
            ExitCode::FAILURE
        }
    }
}
