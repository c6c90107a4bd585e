//! The program: reads the command line, runs it, and tells the shell how it went.

use clap::Parser;
use esclusa::child;
use esclusa::cli::{self, Cli};
use esclusa::exit::Exit;
use std::process::ExitCode;

/// Lifting a plugin's effects makes many small texts on one thread and frees them on another, which the
/// system's allocator is slow at: docs/reference/performance.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if let Some(exit) = child::serve() {
        return exit;
    }
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            cli::complain(&anyhow::Error::new(error).context("cannot start the threads of the program"));
            return Exit::Failed.into();
        }
    };
    let exit = runtime.block_on(cli.run());
    // Whatever still runs (a compiler, say) has nothing more to write.
    runtime.shutdown_background();
    exit.into()
}
