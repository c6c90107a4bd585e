//! Kafka topics as sources and outputs, and exactly-once from topic to topic. The only crate that names rdkafka.
//!
//! One consumer per route and process: a member of the route's group, with a thread of its own that polls it. A partition
//! is a lane. Stores of progress meet this crate at `flow`: `flow::lane_progress` and `flow::source::Positions`.

mod beginning;
pub mod check;
mod client;
pub mod codes;
mod context;
pub mod engine;
mod gathered;
mod lane;
mod lanes;
mod member;
mod partition;
mod producer;
pub mod reader;
mod record;
pub mod sink;
