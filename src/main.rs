//! The program. All it does is in the library: what is compiled here is compiled once more.

use std::process::ExitCode;

/// Under load glibc's allocator took a quarter of the service's CPU (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hongyan::cli::main()
}
