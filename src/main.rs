//! The program: command line, configuration, and what was asked for.

use std::process::ExitCode;

use clap::Parser as _;
use hongyan::cli::Cli;

/// Under load glibc's allocator took a quarter of the service's CPU (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
