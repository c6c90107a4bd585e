//! The wiring of the router: configuration, sandbox, engine, sources and outputs put to work together.

pub mod admin;
pub mod audit;
pub mod child;
pub mod cli;
pub mod configuration;
pub mod exit;
pub mod intake;
pub mod letters;
pub mod memory;
pub mod reload;
pub mod runtime;
pub mod sinks;
pub mod tables;
pub mod telemetry;
pub mod threads;
mod tls;
