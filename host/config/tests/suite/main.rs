//! routes.toml as its users see it: files in, plans or messages out.

#![expect(clippy::unwrap_used, reason = "a test")]

mod cases;
mod coverage;
mod documents;
mod hidden_values;
mod levels;
mod linked_paths;
mod locator;
mod mutations;
mod nesting;
mod plugins;
mod queues;
mod schemas;
mod secret_files;
mod size;
