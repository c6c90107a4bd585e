//! Scenarios: the real binary, real plugins, real files.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod admin;
mod bad_input;
mod breaker;
mod busy;
mod cli;
mod costly;
mod drain;
mod exactly_once;
mod filters;
mod fleet;
mod full;
mod graphs;
mod hostile;
mod json;
mod kafka;
mod lake;
mod listener;
mod live;
mod log;
mod loops;
mod outputs;
mod private;
mod redrive;
mod reload;
mod replay;
mod router;
mod samples;
mod shared_queue;
mod slips;
mod start;
mod store;
mod unreachable;
