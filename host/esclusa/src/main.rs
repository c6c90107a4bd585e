//! The program: reads the command line, runs the command, and exits with its code.

use clap::Parser;
use esclusa::{Cli, answer_shell, serve_child};
use std::process::ExitCode;
use std::time::Duration;

/// A plugin's effects are copied as many small strings on one thread and freed on another. The system's allocator is
/// slow at that: docs/reference/performance.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often memory that is free goes back to the system: first soon, since a start takes more than what follows, then at most this far
/// apart.
const GIVE_BACK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

fn main() -> ExitCode {
    if let Some(exit) = serve_child() {
        return exit;
    }
    answer_shell();
    give_memory_back();
    Cli::parse().run().into()
}

/// Starts a thread that gives free memory back to the system at the times of [`GIVE_BACK`]. The allocator does it by itself only while memory is
/// allocated: an idle router would keep for good what its busiest hour and its last reload took.
fn give_memory_back() {
    let (mut wait, most) = GIVE_BACK;
    let give = move || loop {
        // The function does nothing for a thread that never had memory.
        drop(std::hint::black_box(Box::new(0)));
        std::thread::sleep(wait);
        wait = (wait * 2).min(most);
        #[expect(unsafe_code, reason = "a function of the allocator, which is written in C")]
        // SAFETY: works on what this thread has allocated, and on memory that no thread has, under the allocator's own guards.
        unsafe {
            libmimalloc_sys::mi_collect(true);
        }
    };
    // Without the thread the router is larger, and works.
    drop(std::thread::Builder::new().name("esclusa-memory".to_owned()).spawn(give));
}
