//! Scenarios: the real binary, real plugins, real files.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod admin;
mod bad_input;
mod breaker;
mod busy;
mod changing;
mod cli;
mod costly;
mod drain;
mod exactly_once;
mod filters;
mod fleet;
mod full;
mod fuzz;
mod graphs;
mod hostile;
mod kafka;
mod lake;
mod listener;
mod live;
mod loops;
mod outputs;
mod plugin_files;
mod private;
mod redrive;
mod reload;
mod replay;
mod router;
mod samples;
mod secrets;
mod shared_queue;
mod store;
mod ungranted;
mod unreachable;
