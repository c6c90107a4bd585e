//! The program: reads the command line, runs it, and tells the shell how it went.

use clap::Parser;
use esclusa::{Cli, serve_child};
use std::process::ExitCode;

/// Lifting a plugin's effects makes many small texts on one thread and frees them on another, which the
/// system's allocator is slow at: docs/reference/performance.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if let Some(exit) = serve_child() {
        return exit;
    }
    Cli::parse().run().into()
}
