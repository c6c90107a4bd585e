//! The router: puts configuration, sandbox, engine, sources and sinks to work together, and serves the command line.

mod admin;
mod api_errors;
mod audit;
mod cli;
mod configuration;
mod dead_letters;
mod file_watch;
mod handover;
mod intake;
mod invoke;
mod json_field;
mod listener;
mod memory;
mod plugins;
mod redrive;
mod refusal;
mod replay;
mod route_loader;
mod runtime;
mod sinks;
mod table_reads;
mod telemetry;
mod threads;
mod visible;
mod wiring;

pub use cli::{Cli, answer_shell};
pub use plugins::serve_child;
