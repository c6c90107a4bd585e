//! The program: reads the command line, runs the command, and exits with its code.

use clap::Parser;
use esclusa::{Cli, serve_child};
use std::process::ExitCode;

/// A plugin's effects are copied as many small strings on one thread and freed on another. The system's allocator is
/// slow at that: docs/reference/performance.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if let Some(exit) = serve_child() {
        return exit;
    }
    Cli::parse().run().into()
}
