//! The program: reads the command line, runs the command, and exits with its code.

use clap::Parser;
use esclusa::{Cli, answer_shell, serve_child};
use std::process::ExitCode;

/// A plugin's effects are copied as many small strings on one thread and freed on another. The system's allocator is
/// slow at that: docs/reference/performance.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if let Some(exit) = serve_child() {
        return exit;
    }
    answer_shell();
    Cli::parse().run().into()
}
