//! The child that the tests of this crate compile with: it does the same as the router's own command, or misbehaves if
//! it has an argument.
#![expect(clippy::panic, reason = "tests")]

use esclusa_sandbox::child::{ChildLimits, serve};
use std::process::ExitCode;
use std::time::Duration;

const BOUNDS: ChildLimits = ChildLimits { memory: 64 << 20, time: Duration::from_secs(1), answer: 1 << 10 };

fn main() -> ExitCode {
    let Some(what) = std::env::args().nth(1) else { return esclusa_sandbox::compile_plugin() };
    serve(&BOUNDS, 1 << 20, |input| match &*what {
        "echo" => input,
        "grow" => {
            let mut all = Vec::new();
            loop {
                all.push(vec![1_u8; 1 << 20]);
            }
        }
        "spin" => loop {
            std::hint::spin_loop();
        },
        "flood" => vec![0; 2 << 10],
        "overflow" => vec![u8::try_from(deep(1) % 7).unwrap_or_default()],
        "look" => look().into_bytes(),
        _ => panic!("there is no {what}"),
    })
}

fn deep(n: u64) -> u64 {
    if n == 0 { 0 } else { std::hint::black_box(deep(n + 1)) + 1 }
}

/// The environment and the open descriptors of this process.
fn look() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let variables: Vec<_> = std::env::vars().map(|(name, _)| name).collect();
    let files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    // The directory that is being read is one of them.
    format!("{variables:?} {} {}", files - 1, read("/proc/self/oom_score_adj").trim())
}
